"""The live table of `mimctl device watch`: as a picture of a given size, and on a terminal."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from rich.console import Console

from mimctl.cli.device_watch import picture


def reading(count: int, value: float = 1.0, quality: str = "good") -> dict:
    place = {"function": 3, "address": 7, "count": 1}
    always = {"unit": "W", "quality": quality, "meaning": None, "registers": [1], "places": [place]}
    points = [{"point": f"active_power.port{n}", "value": value + n, **always} for n in range(1, count + 1)]
    return {"device": "mim-1", "quality": "good", "age_s": 0.25, "points": points}


def lines(size: tuple[int, int], *arguments, **options) -> list[str]:
    screen = Console(file=io.StringIO(), width=size[0], height=size[1], force_terminal=False)
    screen.print(picture(*arguments, size, **{"raw": False, **options}))
    return [line.rstrip() for line in screen.file.getvalue().splitlines()]


def test_a_small_device_is_shown_whole() -> None:
    shown = lines((80, 24), reading(3), frozenset())
    assert shown[0] == "mim-1 (good)"
    assert shown[1].split() == ["point", "value", "unit", "quality", "age_s"]
    assert [line.split()[:2] for line in shown[2:5]] == [[f"active_power.port{n}", str(n + 1)] for n in (1, 2, 3)]
    assert "more points" not in "".join(shown)


@pytest.mark.parametrize("size", [(80, 24), (200, 24), (80, 10), (40, 8), (20, 4)])
@pytest.mark.parametrize("error", ["", "mim-1: no answer within 1 s"])
def test_it_is_never_larger_than_the_terminal(size: tuple[int, int], error: str) -> None:
    shown = lines(size, reading(60), frozenset(), error=error)
    assert len(shown) < size[1] or size[1] == 4
    assert max(map(len, shown)) <= size[0]


def test_what_has_no_room_is_counted() -> None:
    """24 lines: the head, the titles, twenty points, the count, and the line of the cursor."""
    assert lines((60, 24), reading(60), frozenset())[-1] == "… and 40 more points; a larger window shows them"


def test_a_wide_terminal_shows_parts_side_by_side() -> None:
    shown = lines((120, 24), reading(30), frozenset())
    assert shown[1].split().count("point") == 2
    assert "more points" not in "".join(shown)
    assert any("active_power.port1 " in line and "active_power.port16 " in line for line in shown)


def test_after_a_failure_the_last_values_stay_below_the_reason() -> None:
    shown = lines((80, 24), reading(2), frozenset(), error="mim-1: no answer")
    assert shown[1] == "mim-1: no answer"
    assert shown[3].startswith("active_power.port1")
    assert lines((80, 24), None, frozenset(), error="mim-1: no answer") == ["mim-1: no answer"]


_SCRIPT = """
import sys
sys.path.insert(0, {here!r})
from test_cli_device_watch import reading
from mimctl.cli.device_watch import watch_device
from mimctl.model.errors import LinkTimeout
answers = iter([reading(60), reading(60, 5.0), LinkTimeout("mim-1", "no answer"), reading(60, 5.0)])
def read():
    answer = next(answers, SystemExit(0))
    if isinstance(answer, BaseException):
        raise answer
    return answer
watch_device(read, 0.01, None, raw=False)
"""


def on_a_terminal(rows: int, columns: int) -> str:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    script = _SCRIPT.format(here=str(Path(__file__).parent))
    unset = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    environment = {**{k: v for k, v in os.environ.items() if k not in unset}, "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    taken = b""
    while select.select([leader], [], [], 30)[0]:
        try:
            data = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        taken += data
    os.close(leader)
    assert process.wait(30) == 0, taken.decode()
    return taken.decode()


def test_on_a_terminal_each_picture_replaces_the_one_before() -> None:
    """Going up by more lines than the terminal has leaves old pictures above the new ones."""
    taken = on_a_terminal(12, 70)
    assert taken.startswith("\x1b[?25l")
    assert taken.rstrip().endswith("\x1b[?25h")
    climbs = [climb.count("\x1b[1A") for climb in re.findall(r"(?:\x1b\[1A\x1b\[2K)+", taken)]
    assert climbs
    assert max(climbs) < 12
    assert "mim-1: no answer" in taken
    reversed_cells = re.findall(r"\x1b\[7m([^\x1b]*)\x1b", taken)
    assert {cell.strip() for cell in reversed_cells} == {str(5 + n) for n in range(1, 9)}
