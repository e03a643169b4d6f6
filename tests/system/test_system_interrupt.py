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


def interpreter_is_up(process: subprocess.Popen[str]) -> bool:
    """Python itself has begun: it has a handler of its own for SIGINT, a bit in the mask of caught signals."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) & 1 << (signal.SIGINT - 1))
    return False


@pytest.mark.parametrize("command", ["twin", "simulate"])
def test_it_ends_quietly_whenever_it_comes(start_mimctl: Callable[..., subprocess.Popen[str]], command: str) -> None:
    for moment in MOMENTS:
        process = start_mimctl(command, DEMO)
        deadline = time.monotonic() + 10
        while not interpreter_is_up(process) and time.monotonic() < deadline:
            time.sleep(0.002)
        # the interpreter's own start is not mimctl's: its traceback, if any, cannot be kept quiet from here
        time.sleep(0.04 + moment / 1000)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
        assert (process.returncode, error) == (130, ""), f"after {moment} ms"
