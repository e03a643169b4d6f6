"""A machine that lacks something is told what, in one line that names the Debian package."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

OLD = '#!/bin/sh\n[ "$1" = --version ] && { echo "Python 3.9.2"; exit 0; }\nexit 1\n'
WITHOUT_VENV = f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\nexec "{sys.executable}" "$@"\n'


@pytest.fixture
def checkout(tmp_path):
    """A copy at a path with a space, with a PATH that holds the shell's own tools alone."""
    base = tmp_path / "a checkout"
    for name in ("tools/bootstrap", "Makefile", "pyproject.toml", "requirements/core.txt", "requirements/build.txt"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, base / name)
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "dirname", "cat", "rm", "nproc", "touch", "make"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return base


def make_demo(checkout, python3):
    programs = checkout.parent / "bin"
    if python3 is not None:
        (programs / "python3").write_text(python3)
        (programs / "python3").chmod(0o755)
    run = subprocess.run(
        [str(programs / "make"), "demo"],
        cwd=checkout,
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode != 0
    return [line for line in run.stderr.splitlines() if not line.startswith("make")]


@pytest.mark.parametrize(
    ("python3", "line"),
    [
        (None, "mimctl: Python 3.11 or newer is needed, and python3 is missing: apt-get install python3 python3-venv"),
        (OLD, "mimctl: Python 3.11 or newer is needed, and python3 is Python 3.9.2: apt-get install python3 python3-venv"),
        (WITHOUT_VENV, "mimctl: python3 cannot make virtual environments: apt-get install python3-venv"),
    ],
    ids=["missing", "old", "without venv"],
)
def test_what_is_missing_is_said_in_one_line(checkout, python3, line):
    assert make_demo(checkout, python3) == [line]
    assert not (checkout / ".venv").exists()


def test_make_alone_lists_every_target():
    lines = subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    named = {line.split()[1] for line in lines.splitlines()}
    phony = {line.split()[1] for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY")}
    assert named == phony
