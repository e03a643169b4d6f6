"""How long a command that serves something goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


async def until_told(seconds: float | None, *, while_stdin: bool, ready: Callable[[], None] = lambda: None) -> bool:
    """Wait for a signal, the end of the time or of standard input; True when it was Ctrl-C.

    Args:
        ready: called once signals are heeded: from then on whoever started this may end it.
    """
    import asyncio
    import signal

    stop, interrupted = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        interrupted.set()
        stop.set()

    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, interrupt)
    if while_stdin:
        _stop_at_end_of_input(loop, stop)
    ready()
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return interrupted.is_set()


def _stop_at_end_of_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """A thread of its own: standard input may be anything, also what an event loop cannot wait for."""
    import contextlib
    import os
    import threading

    def watch() -> None:
        # not sys.stdin: its lock, held by a waiting thread, would stop the interpreter from ending
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, name="standard input", daemon=True).start()
