"""The schedule follows the wall clock, counts what it misses, and is armed anew when that clock steps."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from mimctl.control.events import EventLog
from mimctl.control.scheduler import Schedule
from mimctl.model.clock import SystemClock


class SteppedClock(SystemClock):
    """This machine's clocks, the wall one off by what the test says."""

    off = timedelta(0)

    def utc(self) -> datetime:
        return super().utc() + self.off


async def nothing() -> None:
    """A job."""


@pytest.fixture
async def schedule():
    made = Schedule(SteppedClock(), EventLog(SteppedClock()))
    yield made
    made.stop()


def due(schedule: Schedule, name: str = "job") -> datetime:
    when: datetime = schedule._scheduler.get_job(name).next_run_time
    return when


async def until(condition) -> None:
    while not condition():  # noqa: ASYNC110 the library has no event to wait for
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_step_of_the_wall_clock_arms_every_job_on_its_period_from_now(schedule: Schedule, hours: int):
    schedule.every(7.0, "job", nothing)
    schedule.every(2.5, "other", nothing)
    schedule.start()
    schedule._clock.off = timedelta(hours=hours)
    schedule.watch_clock()
    now = datetime.now(UTC) + timedelta(hours=hours)
    assert schedule.clock_steps == 1
    assert due(schedule) - now == pytest.approx(timedelta(seconds=7.0), abs=timedelta(seconds=1))
    assert due(schedule, "other") - now == pytest.approx(timedelta(seconds=2.5), abs=timedelta(seconds=1))
    assert schedule._scheduler.get_job("other").trigger.interval == timedelta(seconds=2.5)
    schedule.watch_clock()
    assert schedule.clock_steps == 1, "said once"


async def test_a_clock_that_is_only_being_disciplined_is_left_alone(schedule: Schedule):
    schedule.every(7.0, "job", nothing)
    schedule.start()
    before = due(schedule)
    for _ in range(5):
        schedule._clock.off += timedelta(seconds=0.4)
        schedule.watch_clock()
    assert schedule.clock_steps == 0
    assert due(schedule) == before


async def test_runs_failures_and_overlaps_are_counted(schedule: Schedule):
    async def fails() -> None:
        raise ZeroDivisionError

    async def lasts() -> None:
        await asyncio.sleep(3600)

    schedule.every(0.05, "job", nothing)
    schedule.every(0.05, "fails", fails)
    schedule.every(0.05, "lasts", lasts)
    schedule.start()
    await until(lambda: schedule.runs["job"] >= 3 and schedule.errors >= 2 and schedule.misses >= 1)
    assert (schedule.runs["fails"], schedule.runs["lasts"]) == (0, 0)


async def test_nothing_runs_after_the_end(schedule: Schedule):
    schedule.every(0.05, "job", nothing)
    schedule.start()
    await until(lambda: schedule.runs["job"] >= 1)
    schedule.stop()
    runs = schedule.runs["job"]
    await asyncio.sleep(0.2)
    assert schedule.runs["job"] == runs
    schedule.stop()


async def test_a_job_may_run_sooner_the_first_time_and_never_later_than_its_period(schedule: Schedule):
    before = datetime.now(UTC)
    schedule.every(60.0, "soon", nothing, first_in_s=3.0)
    schedule.every(2.0, "often", nothing, first_in_s=3.0)
    schedule.start()
    assert 2.9 <= (due(schedule, "soon") - before).total_seconds() <= 4.0
    assert 1.9 <= (due(schedule, "often") - before).total_seconds() <= 3.0


async def test_after_an_early_first_run_the_period_counts(schedule: Schedule):
    schedule.every(60.0, "job", nothing, first_in_s=0.05)
    schedule.start()
    await asyncio.wait_for(until(lambda: schedule.runs["job"] == 1), 5.0)
    assert 55.0 <= (due(schedule) - datetime.now(UTC)).total_seconds() <= 60.1
