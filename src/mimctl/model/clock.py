"""Time is passed in, never taken: control and ages on a monotonic clock, storage and people on UTC."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    def monotonic_s(self) -> float:
        """Seconds since an arbitrary instant; never steps, never runs backwards."""
        ...

    def utc(self) -> datetime:
        """Wall clock, aware, in UTC; may step."""
        ...

    async def sleep_until(self, monotonic_s: float) -> None:
        """Return at the given monotonic instant, at once if it has passed."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def utc(self) -> datetime:
        return datetime.now(UTC)

    async def sleep_until(self, monotonic_s: float) -> None:
        await asyncio.sleep(max(0.0, monotonic_s - time.monotonic()))


class VirtualClock:
    """Time that moves only when told to: simulation and tests run as fast as the machine can."""

    def __init__(self, start: datetime, monotonic_s: float = 0.0) -> None:
        self._start = start
        self._origin_s = monotonic_s
        self._now_s = monotonic_s

    def monotonic_s(self) -> float:
        return self._now_s

    def utc(self) -> datetime:
        return self._start + timedelta(seconds=self._now_s - self._origin_s)

    def step_wall(self, by_s: float) -> None:
        """Put the wall clock forward (or back): monotonic time knows nothing of it."""
        self._start += timedelta(seconds=by_s)

    def advance_to(self, monotonic_s: float) -> None:
        if monotonic_s < self._now_s:
            raise ValueError(f"virtual time cannot go back from {self._now_s} to {monotonic_s}")
        self._now_s = monotonic_s

    async def sleep_until(self, monotonic_s: float) -> None:
        self._now_s = max(self._now_s, monotonic_s)
