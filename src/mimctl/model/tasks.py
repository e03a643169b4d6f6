"""The end of tasks: cancelled until they are done, and never waited for without a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from mimctl.model.errors import TaskDied

#: a task that is still there is told again so much later [s]
AGAIN_S = 2.0
#: what is still there then is left, and said [s]
WITHIN_S = 20.0


async def end_tasks(*tasks: asyncio.Task[Any], again_s: float = AGAIN_S, within_s: float = WITHIN_S) -> None:
    """Cancel tasks and wait until they are done; how they ended is theirs to say.

    Once is not enough: `asyncio.wait_for`, as libraries call it, loses a cancellation that comes in the same turn of the loop as
    what it waits for (up to Python 3.11), and the task goes on for ever.

    Args:
        again_s: to leave in order a task has so long before it is told again [s].
        within_s: the longest wait [s].
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    while going := [task for task in tasks if not task.done()]:
        left_s = deadline_s - loop.time()
        if left_s <= 0.0:
            names = ", ".join(task.get_name() for task in going)
            loop.call_exception_handler({"message": f"tasks do not end within {within_s:.0f} s of being cancelled: {names}"})
            break
        for task in going:
            task.cancel()
        await asyncio.wait(going, timeout=min(again_s, left_s))
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # looked at, so that the loop does not complain of it at some later moment


def first_death(tasks: Iterable[asyncio.Task[Any]]) -> TaskDied | None:
    """Of tasks that should go on until somebody ends them, the first that has ended before; None while all go on."""
    for task in tasks:
        if not task.done():
            continue
        error = None if task.cancelled() else task.exception()
        how = "was cancelled by nobody of ours" if task.cancelled() else "has ended" if error is None else f"has failed, {error!r}"
        died = TaskDied(task.get_name(), how)
        died.__cause__ = error
        return died
    return None
