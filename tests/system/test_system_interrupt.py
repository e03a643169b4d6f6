"""Ctrl-C at any moment ends a command with 130 and without a traceback, also while it is still being imported."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "site_configs" / "demo.yaml"
#: from the first imports to the work itself, in milliseconds after the interpreter has started
MOMENTS = (0, 30, 80, 150, 250, 400, 600)
#: the interpreter's own start is not mimctl's: what it says when it is interrupted on a busy machine, nobody can keep quiet
TRIES = 8


def interpreter_is_up(process: subprocess.Popen[str]) -> bool:
    """Python itself has begun: it has a handler of its own for SIGINT, a bit in the mask of caught signals."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) & 1 << (signal.SIGINT - 1))
    return False


@pytest.mark.parametrize("command", ["twin", "simulate"])
def test_it_ends_quietly_whenever_it_comes(start_mimctl: Callable[..., subprocess.Popen[str]], command: str) -> None:
    for moment in MOMENTS:
        for _ in range(TRIES):
            code, error = interrupted(start_mimctl(command, DEMO), moment)
            if "mimctl" in error or code == 130:
                break
        assert (code, error) == (130, ""), f"after {moment} ms"


def interrupted(process: subprocess.Popen[str], moment: int) -> tuple[int, str]:
    """How a process ends, and what it says, that is interrupted so many milliseconds after the interpreter has started."""
    deadline = time.monotonic() + 10
    while not interpreter_is_up(process) and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(0.04 + moment / 1000)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    return process.returncode, error
