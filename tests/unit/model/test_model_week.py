"""Windows held against each other, against looking at every minute of two months."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.model.calendar import active_at
from mimctl.model.rules import Window
from mimctl.model.week import covered, opens, overlap, week_minutes

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
#: every quarter of an hour of six weeks around the dates below
LOOKS = [MONDAY + timedelta(minutes=15 * n - 20160) for n in range(4 * 24 * 42)]

TIMES = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))
DAYS = st.lists(st.integers(0, 6), min_size=1, max_size=3, unique=True).map(lambda days: tuple(sorted(days)))
NEAR = st.none() | st.dates(date(2026, 3, 1), date(2026, 3, 8))
WINDOWS = st.builds(Window, DAYS, TIMES, TIMES, NEAR, NEAR)


def open_at(window: Window) -> set[datetime]:
    return {at for at in LOOKS if active_at(window, at, "UTC")}


@settings(max_examples=60)
@given(WINDOWS, WINDOWS)
def test_two_windows_overlap_where_some_minute_has_both(a, b):
    assert overlap(a, b) == bool(open_at(a) & open_at(b))
    assert overlap(b, a) == overlap(a, b)


@settings(max_examples=60)
@given(WINDOWS)
def test_a_window_opens_where_some_minute_has_it(window):
    assert opens(window) == bool(open_at(window))


@settings(max_examples=60)
@given(st.builds(Window, DAYS, TIMES, TIMES), st.lists(st.builds(Window, DAYS, TIMES, TIMES), max_size=4))
def test_a_window_is_covered_where_every_minute_has_another(part, whole):
    assert covered(part, whole) == (open_at(part) <= set().union(*map(open_at, whole)))


def test_a_window_with_narrower_dates_covers_nothing():
    always, march = Window(), Window(first_day=date(2026, 3, 1), last_day=date(2026, 3, 31))
    assert covered(march, [always])
    assert not covered(always, [march])


@pytest.mark.parametrize(
    ("window", "minutes"),
    [
        (Window(), 7 * 1440),
        (Window(start=time(8), end=time(8)), 7 * 1440),
        (Window(days=(6,), start=time(22), end=time(6)), 480),
        (Window(days=(5, 6), start=time(12), end=time(11)), 2 * 23 * 60),
    ],
)
def test_minutes_of_a_week(window, minutes):
    assert week_minutes(window).bit_count() == minutes


def test_sunday_night_goes_on_on_monday():
    sunday = Window(days=(6,), start=time(22), end=time(6))
    assert overlap(sunday, Window(days=(0,), start=time(5), end=time(7)))
    assert not overlap(sunday, Window(days=(0,), start=time(6), end=time(7)))
