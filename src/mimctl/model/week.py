"""Windows held against each other, exactly: as sets of minutes of a week by the local clock, and day by day where they have dates.

Minute 0 is Monday 00:00. A change of the clock skips or repeats minutes of every window alike, so it makes no two meet that do not
meet in an ordinary week.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, time, timedelta

from mimctl.model.rules import Window

DAY_MIN = 1440
WEEK_MIN = 7 * DAY_MIN
_DAY = timedelta(days=1)
#: in so many days every pair of neighbouring days of the week has come
_EVERY_PAIR_DAYS = 9


def week_minutes(window: Window) -> int:
    """The minutes of a week in which a window is open, as bits; its dates are not looked at."""
    bits = 0
    for day in window.days:
        start, length = _span(window)
        here = ((1 << length) - 1) << (day * DAY_MIN + start)
        bits |= (here & ((1 << WEEK_MIN) - 1)) | (here >> WEEK_MIN)
    return bits


def opens(window: Window) -> bool:
    """Whether it is open at all: a range of dates may hold none of its days."""
    first, last = window.first_day, window.last_day
    if first is None or last is None or (last - first).days >= 6:
        return True
    return any((first + n * _DAY).weekday() in window.days for n in range((last - first).days + 1))


def overlap(a: Window, b: Window) -> bool:
    """Whether both are open at some instant."""
    firsts = [w.first_day for w in (a, b) if w.first_day is not None]
    lasts = [w.last_day for w in (a, b) if w.last_day is not None]
    if not firsts or not lasts or (min(lasts) - max(firsts)).days > _EVERY_PAIR_DAYS:
        return bool(week_minutes(a) & week_minutes(b))
    first, last = max(firsts) - _DAY, min(lasts) + _DAY
    return any(_on_day(a, first + n * _DAY) & _on_day(b, first + n * _DAY) for n in range((last - first).days + 1))


def covered(part: Window, whole: Iterable[Window]) -> bool:
    """Whether at every instant of `part` at least one of the others is open; one whose dates are narrower does not count."""
    bits = 0
    for window in whole:
        if _dates_hold(window, part):
            bits |= week_minutes(window)
    return not week_minutes(part) & ~bits


def _dates_hold(wide: Window, narrow: Window) -> bool:
    early = wide.first_day is None or (narrow.first_day is not None and wide.first_day <= narrow.first_day)
    late = wide.last_day is None or (narrow.last_day is not None and wide.last_day >= narrow.last_day)
    return early and late


def _on_day(window: Window, day: date) -> int:
    """The open minutes of one day, as bits."""
    bits = 0
    for began in (day - _DAY, day):
        if began.weekday() in window.days and (window.first_day or began) <= began <= (window.last_day or began):
            start, length = _span(window)
            here = ((1 << length) - 1) << start
            bits |= here >> DAY_MIN if began < day else here & ((1 << DAY_MIN) - 1)
    return bits


def _span(window: Window) -> tuple[int, int]:
    """Start in its day, and length, in minutes; equal ends mean all of the day."""
    start, end = _minute(window.start), _minute(window.end)
    if start == end:
        return 0, DAY_MIN
    return start, (end - start) % DAY_MIN


def _minute(clock: time) -> int:
    return 60 * clock.hour + clock.minute
