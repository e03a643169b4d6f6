"""Windows over ten years of clock changes in twenty zones, held against the time zones of the C library.

The oracle shares the database of the machine with the code under test, and nothing else: local time comes from `localtime(3)`, and
a window is a range of minutes counted through the week.
"""

from __future__ import annotations

import os
import time as clock
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import TZPATH

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.model.calendar import active_at, day_begins, local_day
from mimctl.model.calendar import changes as edges
from mimctl.model.rules import Window

ZONES = (
    "UTC",
    "Europe/Zurich",
    "Europe/London",
    "Europe/Istanbul",  # stayed on summer time in 2016
    "Europe/Moscow",
    "Europe/Volgograd",  # UTC+4 from 2018 to 2020
    "America/New_York",
    "America/St_Johns",  # half an hour beside the others
    "America/Phoenix",  # no summer time
    "America/Sao_Paulo",  # gave it up in 2019; its changes came at midnight
    "America/Santiago",  # southern, at midnight
    "America/Havana",
    "Africa/Casablanca",  # turns the clock back for each Ramadan
    "Asia/Tehran",  # half an hour, gave summer time up in 2022, changes at midnight
    "Asia/Kolkata",
    "Asia/Kathmandu",  # three quarters of an hour
    "Asia/Gaza",  # new rules nearly every year
    "Australia/Lord_Howe",  # half an hour of summer time
    "Pacific/Auckland",
    "Pacific/Apia",  # far east of the date line, gave summer time up in 2021
)
FIRST, LAST = datetime(2017, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
WEEK_MIN = 7 * 1440


@contextmanager
def c_library(zone: str) -> Iterator[None]:
    """`time.localtime` speaks of this zone."""
    file = next((path for folder in TZPATH if (path := Path(folder) / zone).exists()), None)
    if file is None:
        pytest.skip("this machine has no time zone database of its own")
    before = os.environ.get("TZ")
    os.environ["TZ"] = f":{file}"
    clock.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        clock.tzset()


def by_counting(window: Window, instant: datetime) -> bool:
    """Whether it is open: minutes of the week since any start of the window, fewer than it is long."""
    local = clock.localtime(instant.timestamp())
    today = date(local.tm_year, local.tm_mon, local.tm_mday)
    now = local.tm_wday * 1440 + local.tm_hour * 60 + local.tm_min
    start, end = (60 * t.hour + t.minute for t in (window.start, window.end))
    length = (end - start) % 1440 or 1440
    if length == 1440:
        start = 0
    for day in window.days:
        since = (now - day * 1440 - start) % WEEK_MIN
        if since < length:
            began = today - timedelta(days=(local.tm_wday - day) % 7)
            return not (window.first_day and began < window.first_day) and not (window.last_day and began > window.last_day)
    return False


TIMES = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 59]))
DAYS = st.lists(st.integers(0, 6), min_size=1, max_size=7, unique=True).map(lambda days: tuple(sorted(days)))
DATES = st.none() | st.dates(date(2019, 1, 1), date(2025, 1, 1))
WINDOWS = st.builds(Window, DAYS, TIMES, TIMES, DATES, DATES)


@settings(max_examples=400)
@given(st.sampled_from(ZONES), WINDOWS, st.integers(0, int((LAST - FIRST).total_seconds())))
def test_any_window_at_any_second(zone, window, second):
    instant = FIRST + timedelta(seconds=second)
    with c_library(zone):
        assert active_at(window, instant, zone) == by_counting(window, instant)


def changes() -> list[datetime]:
    """The instants of the last ten years, to a quarter of an hour, at which the local clock of the C library jumps."""
    step, day = timedelta(minutes=15), timedelta(days=1)
    found, at, offset = [], FIRST, clock.localtime(FIRST.timestamp()).tm_gmtoff
    while at < LAST:
        if clock.localtime((at + day).timestamp()).tm_gmtoff != offset:
            while clock.localtime(at.timestamp()).tm_gmtoff == offset:
                at += step
            found.append(at)
            offset = clock.localtime(at.timestamp()).tm_gmtoff
        else:
            at += day
    return found


AROUND = (
    Window(start=time(0), end=time(2, 30)),
    Window(start=time(2), end=time(3)),
    Window(start=time(23, 30), end=time(0, 30)),
    Window(days=(5,), start=time(22), end=time(2)),
    Window(days=(6,)),
    Window(days=(0, 1, 2, 3, 4), start=time(1, 30), end=time(1, 45)),
)


@pytest.mark.parametrize("zone", ZONES)
def test_around_every_change_of_the_clock(zone):
    with c_library(zone):
        for change in changes():
            for quarter in range(-16, 17):
                instant = change + timedelta(minutes=15 * quarter)
                for window in AROUND:
                    assert active_at(window, instant, zone) == by_counting(window, instant), (zone, window, instant)


def test_the_oracle_sees_changes():
    """Else the test above would hold for nothing."""
    with c_library("Australia/Lord_Howe"):
        found = changes()
        assert len(found) == 20, "two a year"
        jumps = {clock.localtime(c.timestamp()).tm_gmtoff - clock.localtime(c.timestamp() - 60).tm_gmtoff for c in found}
        assert jumps == {1800, -1800}
    with c_library("Asia/Kolkata"):
        assert changes() == []


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_begins_where_its_date_begins(zone):
    with c_library(zone):
        for change in [*changes(), FIRST]:
            for days in (-1, 0, 1):
                day = local_day(change, zone) + timedelta(days=days)
                begins = day_begins(day, zone)
                before, after = (clock.localtime(begins.timestamp() + s) for s in (-1, 0))
                assert date(after.tm_year, after.tm_mon, after.tm_mday) == day
                assert date(before.tm_year, before.tm_mon, before.tm_mday) < day


@pytest.mark.parametrize("zone", ZONES)
def test_openings_and_closings_are_where_a_second_makes_the_difference(zone):
    """Around the last changes of the clock, against counting every minute."""
    with c_library(zone):
        for change in [*changes()[-3:], LAST - timedelta(days=40)]:
            first, minutes = change - timedelta(hours=14), 26 * 60
            for window in AROUND:
                now = [by_counting(window, first + timedelta(minutes=m)) for m in range(minutes + 1)]
                counted = [first + timedelta(minutes=m) for m in range(1, minutes + 1) if now[m] != now[m - 1]]
                assert edges(window, first, first + timedelta(minutes=minutes), zone) == counted, window
