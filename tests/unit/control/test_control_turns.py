"""The watch of a cycle's stages, and the turns of cycles that decide at once."""

from __future__ import annotations

import asyncio

import pytest

from mimctl.control.record import Stopwatch


async def stages(name: str, done: list[str], *, failing: bool = False) -> None:
    watch = Stopwatch()
    for stage in ("first", "second", "third"):
        done.append(f"{name} {stage}")
        if failing and stage == "second":
            raise ValueError(name)
        await watch.turn(stage)
    assert [stage for stage, _ in watch.laps()] == ["first", "second", "third"]


async def test_each_stage_is_done_for_all_before_the_next() -> None:
    done: list[str] = []
    await asyncio.gather(*(stages(name, done) for name in "ab"))
    assert done == ["a first", "b first", "a second", "b second", "a third", "b third"]


async def test_one_that_fails_touches_no_other() -> None:
    done: list[str] = []
    failed, fine = await asyncio.gather(stages("a", done, failing=True), stages("b", done), return_exceptions=True)
    assert isinstance(failed, ValueError)
    assert fine is None
    assert done[-1] == "b third"


async def test_the_watch_rests_while_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of the clock is a second later: a lap is one second however many others had a turn."""
    now = iter(float(s) for s in range(1000))
    monkeypatch.setattr("mimctl.control.record.time.perf_counter", lambda: next(now))
    watch = Stopwatch()
    beside = [asyncio.create_task(asyncio.sleep(0)) for _ in range(5)]
    await watch.turn("first")
    watch.lap("second")
    assert watch.laps() == (("first", 1.0), ("second", 1.0))
    await asyncio.gather(*beside)
