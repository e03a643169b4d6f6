"""When a window is in force. The only place that knows about time zones."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mimctl.model.rules import ALWAYS, Window


def active_at(window: Window, instant: datetime, timezone: str) -> bool:
    """Whether `instant` (aware) falls into the window, by the local clock of `timezone`.

    A window over midnight belongs to the day it starts on. Across a clock change the local clock decides: an hour that is
    skipped is skipped, an hour that repeats counts twice.
    """
    if window == ALWAYS:
        return True
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


def changes(window: Window, after: datetime, until: datetime, timezone: str) -> list[datetime]:
    """The instants in (after, until], in UTC, at which a window opens or closes."""
    zone = ZoneInfo(timezone)
    found: set[datetime] = set()
    day, last = local_day(after, timezone), local_day(until, timezone)
    while day <= last:
        for clock in (window.start, window.end, time(0)):
            for fold in (0, 1):  # an hour that repeats has each edge twice
                found.add(datetime.combine(day, clock, zone).replace(fold=fold).astimezone(UTC))
        found.update(_jump(day, zone))
        day += timedelta(days=1)
    within = sorted(edge for edge in found if after < edge <= until)
    second = timedelta(seconds=1)
    return [edge for edge in within if active_at(window, edge, timezone) != active_at(window, edge - second, timezone)]


def _jump(day: date, zone: ZoneInfo) -> list[datetime]:
    """The change of the local clock on a day, to the minute; mostly none."""
    low = datetime.combine(day, time(0), zone).astimezone(UTC) - timedelta(minutes=1)
    high = low + timedelta(hours=27)
    before = low.astimezone(zone).utcoffset()
    if high.astimezone(zone).utcoffset() == before:
        return []
    while high - low > timedelta(minutes=1):
        middle = low + timedelta(minutes=(high - low) // timedelta(minutes=2))
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return [high]


def timezone_exists(name: str) -> bool:
    """Whether `name` is in the time zone database of this machine."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def instants_of(local: datetime, timezone: str) -> tuple[datetime, ...]:
    """Every instant (UTC) at which the clock shows `local` (naive): two in an hour that repeats, none in one that is skipped."""
    zone = ZoneInfo(timezone)
    both = {local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return tuple(sorted(instant for instant in both if instant.astimezone(zone).replace(tzinfo=None) == local))
