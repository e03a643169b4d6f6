"""When a window is in force: by the local clock, over midnight, and across both clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from mimctl.model.calendar import active_at
from mimctl.model.rules import Window

ZONE = "Europe/Zurich"  # UTC+1 in winter, UTC+2 in summer; 2026-03-29 02:00 → 03:00, 2026-10-25 03:00 → 02:00
EVENING = Window(start=time(18), end=time(22))
NIGHT = Window(start=time(22), end=time(6))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("instant", "inside"),
    [
        ("2026-01-05T16:59:59", False),
        ("2026-01-05T17:00:00", True),  # 18:00 in winter
        ("2026-01-05T20:59:59", True),
        ("2026-01-05T21:00:00", False),  # the end is outside
        ("2026-07-06T16:00:00", True),  # 18:00 in summer
        ("2026-07-06T20:00:00", False),
    ],
)
def test_a_window_follows_the_local_clock_through_the_year(instant, inside):
    assert active_at(EVENING, utc(instant), ZONE) is inside


@pytest.mark.parametrize(
    ("instant", "inside"),
    [("2026-01-05T20:59", False), ("2026-01-05T21:00", True), ("2026-01-06T04:59", True), ("2026-01-06T05:00", False)],
)
def test_a_window_over_midnight(instant, inside):
    assert active_at(NIGHT, utc(instant), ZONE) is inside


def test_a_window_over_midnight_belongs_to_the_day_it_starts_on():
    friday_night = Window(days=(4,), start=time(22), end=time(6))
    assert active_at(friday_night, utc("2026-01-09T23:00"), ZONE)  # Saturday 00:00 local
    assert active_at(friday_night, utc("2026-01-10T04:00"), ZONE)  # Saturday 05:00
    assert not active_at(friday_night, utc("2026-01-09T04:00"), ZONE)  # Friday 05:00 belongs to Thursday
    assert not active_at(friday_night, utc("2026-01-10T21:30"), ZONE)  # Saturday 22:30


def test_equal_ends_mean_the_whole_day():
    saturday = Window(days=(5,))
    start = utc("2026-01-09T23:00")  # Saturday 00:00 local
    assert active_at(saturday, start, ZONE)
    assert active_at(saturday, start + timedelta(hours=23, minutes=59), ZONE)
    assert not active_at(saturday, start - timedelta(seconds=1), ZONE)
    assert not active_at(saturday, start + timedelta(hours=24), ZONE)


def test_an_hour_that_is_skipped_is_skipped_and_one_that_repeats_counts_twice():
    small_hours = Window(start=time(2), end=time(3))

    def minutes_on(day: str) -> int:
        begin = utc(day)
        return sum(active_at(small_hours, begin + timedelta(minutes=m), ZONE) for m in range(24 * 60))

    assert minutes_on("2026-03-28T12:00") == 0
    assert minutes_on("2026-10-24T12:00") == 120
    assert minutes_on("2026-06-01T12:00") == 60
