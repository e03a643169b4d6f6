"""Nobody reads: standard streams that are closed, or whose reader leaves early."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "site_configs" / "demo.yaml"
MIMCTL = f"{sys.executable} -m mimctl"


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", ["--help", "profile list", f"check {DEMO} --json -"])
def test_a_closed_standard_output_is_no_error(command: str) -> None:
    done = shell(f"{MIMCTL} {command} >&-")
    assert (done.returncode, done.stdout) == (0, "")
    assert "bug" not in done.stderr
    assert "Traceback" not in done.stderr


def test_the_exit_code_still_answers(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    done = shell(f"{MIMCTL} check {missing} <&- >&- 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_what_is_written_to_a_file_does_not_mix_with_the_closed_stream(tmp_path: Path) -> None:
    """The file must not get descriptor 1, which the texts for people go to."""
    problems = tmp_path / "problems.json"
    assert shell(f"{MIMCTL} check {DEMO} --json {problems} >&- 2>&-").returncode == 0
    assert problems.read_text().startswith("{")


@pytest.mark.parametrize("command", ["profile list", "profile show schneider/bcpme", "device read --help"])
def test_a_reader_that_leaves_gets_its_line_and_no_complaint(command: str) -> None:
    done = shell(f"set -o pipefail; {MIMCTL} {command} | head -1")
    assert done.returncode in (0, 141)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
