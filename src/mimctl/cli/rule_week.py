"""A week of rules as a picture: when their windows are open, by the local clock of the site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

from mimctl.model.calendar import active_at, changes, day_begins, local_day
from mimctl.model.rules import Window

_BARS = "·▁▂▃▄▅▆▇█"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
#: cells of a day, the best first
_CELLS = (12, 8, 6, 4)

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Week:
    """Seven days from a Monday, each from its first instant to that of the next."""

    timezone: str
    days: tuple[date, ...]
    edges: tuple[datetime, ...]

    def open_spans(self, window: Window) -> list[Span]:
        """When a window is open, cut to the week."""
        first, last = self.edges[0], self.edges[-1]
        marks = [first, *changes(window, first, last, self.timezone), last]
        return [(a, b) for a, b in pairwise(marks) if a < b and active_at(window, a, self.timezone)]


def week_of(instant: datetime, timezone: str) -> Week:
    """The week that an instant falls into."""
    today = local_day(instant, timezone)
    monday = today - timedelta(days=today.weekday())
    days = tuple(monday + timedelta(days=n) for n in range(8))
    return Week(timezone, days[:7], tuple(day_begins(day, timezone) for day in days))


def cells_for(names: Sequence[str], width: int) -> int:
    """How many cells of a day there is room for beside these names."""
    left = width - max(map(len, names), default=0) - 8
    return next((cells for cells in _CELLS if 7 * cells + 6 <= left), _CELLS[-1])


def headline(week: Week, cells: int) -> str:
    """Names of the days over their cells."""
    return " ".join(f"{name} {day:%d}".ljust(cells)[:cells] for name, day in zip(_DAYS, week.days, strict=True))


def bar(week: Week, window: Window, cells: int) -> str:
    """One line of the picture: how much of each cell the window is open."""
    spans = week.open_spans(window)
    days = []
    for start, end in pairwise(week.edges):
        length = (end - start) / cells  # a day of a clock change is longer or shorter
        days.append("".join(_cell(spans, start + n * length, length) for n in range(cells)))
    return " ".join(days)


def _cell(spans: Sequence[Span], start: datetime, length: timedelta) -> str:
    inside = sum((min(b, start + length) - max(a, start)).total_seconds() for a, b in spans if a < start + length and b > start)
    share = inside / length.total_seconds()
    if share <= 0:
        return _BARS[0]
    return _BARS[min(len(_BARS) - 1, max(1, round(share * (len(_BARS) - 1))))]
