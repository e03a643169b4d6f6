"""The deadline loop: a body on a fixed grid of monotonic instants. Late ticks are skipped and counted, never caught up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mimctl.model.clock import Clock


@dataclass(eq=False)
class DeadlineLoop:
    """Runs `body` every `period_s`, immune to steps of the wall clock.

    Args:
        body: one cycle; an exception in it is given to `on_error` and the loop goes on.
        on_error: must not raise.
        on_well: told after every cycle without one.
    """

    clock: Clock
    period_s: float
    body: Callable[[], Awaitable[object]]
    on_error: Callable[[Exception], None]
    on_well: Callable[[], None] = lambda: None
    ticks: int = 0
    skipped: int = 0
    errors: int = 0

    async def run(self) -> None:
        """Until cancelled."""
        due_s = self.clock.monotonic_s()
        while True:
            await self.clock.sleep_until(due_s)
            await self._tick()
            due_s += self.period_s
            behind_s = self.clock.monotonic_s() - due_s
            if behind_s > 0:
                missed = int(behind_s // self.period_s) + 1
                self.skipped += missed
                due_s += missed * self.period_s

    async def _tick(self) -> None:
        self.ticks += 1
        try:
            await self.body()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # something that the body waited for was cancelled, not this loop: nobody wants it to end
            self._failed(RuntimeError("cancelled from within"), error)
        except Exception as error:  # noqa: BLE001 - the service loop: one bad cycle must not end control, and is told
            self._failed(error)
        else:
            self.on_well()

    def _failed(self, error: Exception, cause: BaseException | None = None) -> None:
        self.errors += 1
        error.__cause__ = cause or error.__cause__
        self.on_error(error)
