"""When a window is in force. The only place that knows about time zones."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mimctl.model.site import Window


def active_at(window: Window, instant: datetime, timezone: str) -> bool:
    """Whether `instant` (aware) falls into the window, by the local clock of `timezone`.

    A window over midnight belongs to the day it starts on. Across a clock change the local clock decides: an hour that is
    skipped is skipped, an hour that repeats counts twice.
    """
    local = instant.astimezone(ZoneInfo(timezone))
    now = local.time()
    if window.start == window.end:
        return local.weekday() in window.days
    if window.start < window.end:
        return local.weekday() in window.days and window.start <= now < window.end
    if now >= window.start:
        return local.weekday() in window.days
    return now < window.end and (local.weekday() - 1) % 7 in window.days


def timezone_exists(name: str) -> bool:
    """Whether `name` is in the time zone database of this machine."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
