"""Ctrl-C while a command is still loading. Nothing is begun then and nothing has to be tidied up, so the process simply ends.

An exception would not do: libraries that call back into Python while they are imported swallow it, or make another error of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130

_own_process = False


def own_this_process() -> None:
    """Say that this process is the command's own, whose signals it may rule.

    One that was started to ignore Ctrl-C, in the background or by nohup, goes on ignoring it.
    """
    global _own_process  # noqa: PLW0603 - there is one process, and one table of signal handlers
    _own_process = signal.getsignal(signal.SIGINT) is signal.default_int_handler


@contextmanager
def loading() -> Iterator[None]:
    """Inside, Ctrl-C ends the process at once and quietly: for imports and the reading of files."""
    if not _own_process or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
