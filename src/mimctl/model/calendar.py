"""When a window is in force. The only place that knows about time zones."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mimctl.model.rules import Window


def active_at(window: Window, instant: datetime, timezone: str) -> bool:
    """Whether `instant` (aware) falls into the window, by the local clock of `timezone`.

    A window over midnight belongs to the day it starts on. Across a clock change the local clock decides: an hour that is
    skipped is skipped, an hour that repeats counts twice.
    """
    local = instant.astimezone(ZoneInfo(timezone))
    now, began = local.time(), local.date()
    if window.start < window.end:
        if not window.start <= now < window.end:
            return False
    elif window.start > window.end and now < window.start:
        if now >= window.end:
            return False
        began -= timedelta(days=1)
    return began.weekday() in window.days and (window.first_day or began) <= began <= (window.last_day or began)


def local_day(instant: datetime, timezone: str) -> date:
    """The date that a calendar on the wall shows."""
    return instant.astimezone(ZoneInfo(timezone)).date()


def local_time(instant: datetime, timezone: str) -> datetime:
    """The same instant by the local clock."""
    return instant.astimezone(ZoneInfo(timezone))


def day_begins(day: date, timezone: str) -> datetime:
    """The first instant of a day by the local clock, in UTC; where midnight is skipped, the instant of the change."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone))
    return midnight.astimezone(UTC)


def timezone_exists(name: str) -> bool:
    """Whether `name` is in the time zone database of this machine."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
