"""The deadline loop keeps its grid, skips what it missed, and outlives a bad cycle."""

from __future__ import annotations

import asyncio

import pytest
from tests.builders import START

from mimctl.control.loop import DeadlineLoop
from mimctl.model.clock import VirtualClock


class _Done(BaseException):
    """Ends a loop from within, past every `except Exception`."""


def loop_with(durations: list[float], errors: list[Exception] | None = None):
    clock, starts = VirtualClock(START), []
    script = iter(durations)

    async def body() -> None:
        starts.append(clock.monotonic_s())
        try:
            duration = next(script)
        except StopIteration:
            raise _Done from None
        if duration < 0:
            raise RuntimeError("bad cycle")
        clock.advance_to(clock.monotonic_s() + duration)

    return DeadlineLoop(clock, 1.0, body, (errors if errors is not None else []).append), starts


async def run(loop: DeadlineLoop) -> None:
    with pytest.raises(_Done):
        await asyncio.wait_for(loop.run(), 5)


async def test_starts_stay_on_the_grid_however_long_the_bodies_are():
    loop, starts = loop_with([0.1, 0.9, 0.3, 0.0])
    await run(loop)
    assert starts == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert loop.skipped == 0


async def test_late_ticks_are_skipped_and_counted_never_caught_up():
    loop, starts = loop_with([3.4, 0.1])
    await run(loop)
    assert starts == [0.0, 4.0, 5.0]
    assert loop.skipped == 3


async def test_an_error_in_a_cycle_is_told_and_the_loop_goes_on():
    errors: list[Exception] = []
    loop, starts = loop_with([0.1, -1, 0.1], errors)
    await run(loop)
    assert len(starts) == 4
    assert [str(e) for e in errors] == ["bad cycle"]
    assert loop.errors == 1


async def test_a_step_of_the_wall_clock_changes_nothing():
    class Stepping(VirtualClock):
        def utc(self):
            from datetime import timedelta

            return super().utc() + timedelta(hours=1 if self.monotonic_s() > 1.5 else 0)

    clock, starts = Stepping(START), []

    async def body() -> None:
        starts.append(clock.monotonic_s())
        if len(starts) == 5:
            raise _Done

    with pytest.raises(_Done):
        await DeadlineLoop(clock, 1.0, body, print).run()
    assert starts == [0.0, 1.0, 2.0, 3.0, 4.0]


async def test_a_cancellation_from_within_a_body_ends_no_loop():
    """Something that the cycle waited for was cancelled by somebody else: the loop itself was not."""
    errors: list[Exception] = []
    clock, starts = VirtualClock(START), []

    async def body() -> None:
        starts.append(clock.monotonic_s())
        if len(starts) == 2:
            raise asyncio.CancelledError
        if len(starts) == 4:
            raise _Done

    loop = DeadlineLoop(clock, 1.0, body, errors.append)
    await run(loop)
    assert starts == [0.0, 1.0, 2.0, 3.0]
    assert [str(e) for e in errors] == ["cancelled from within"]


async def test_a_loop_that_is_cancelled_ends():
    async def body() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(DeadlineLoop(VirtualClock(START), 1.0, body, print).run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await task


async def test_whoever_is_told_of_errors_is_told_when_they_are_over():
    said: list[str] = []
    loop, _ = loop_with([0.1, -1, 0.1], None)
    loop.on_error, loop.on_well = lambda _: said.append("bad"), lambda: said.append("well")
    await run(loop)
    assert said == ["well", "bad", "well"]
