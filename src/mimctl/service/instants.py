"""Instants as people at a site say them: by their own clock, by UTC, or as a time ago."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from mimctl.config.units import DURATION
from mimctl.model.calendar import instants_of, local_day
from mimctl.model.errors import UserError

_FORMS = "like 14:30:05, 2026-03-01T14:30:05 (both by the site's clock), 2026-03-01T13:30:05Z or -5min"


def instant_of(text: str, now: datetime, timezone: str) -> datetime:
    """The instant in UTC that a text means.

    Args:
        text: a time of day (the last one that has been), a date with a time, either with `Z` or an offset for UTC, or `-5min`.
        now: aware.
        timezone: of the site.

    Raises:
        UserError: it means none, or two.
    """
    text = text.strip()
    if text.startswith("-"):
        try:
            return now - timedelta(seconds=DURATION.parse(text[1:]))
        except (ValueError, OverflowError):
            raise UserError(f"'{text}' is no time ago: say one {_FORMS}") from None
    try:
        moment = datetime.fromisoformat(text) if _has_date(text) else _today(text, now, timezone)
    except (ValueError, OverflowError):
        raise UserError(f"'{text}' is no instant: say one {_FORMS}") from None
    return moment.astimezone(UTC) if moment.tzinfo is not None else _by_the_clock(moment, text, timezone)


def _has_date(text: str) -> bool:
    return "-" in text.split("T", maxsplit=1)[0].split(" ", maxsplit=1)[0]


def _today(text: str, now: datetime, timezone: str) -> datetime:
    """A time of day, on the last day on which it has been."""
    at = time.fromisoformat(text)
    if at.tzinfo is not None:
        moment = datetime.combine(now.astimezone(at.tzinfo).date(), at)
        return moment if moment <= now else moment - timedelta(days=1)
    today: date = local_day(now, timezone)
    moment = datetime.combine(today, at)
    found = instants_of(moment, timezone)
    return moment if found and found[0] <= now else moment - timedelta(days=1)


def _by_the_clock(moment: datetime, text: str, timezone: str) -> datetime:
    found = instants_of(moment, timezone)
    if not found:
        raise UserError(f"the clocks of {timezone} jumped over {text}")
    if len(found) > 1:
        both = " or ".join(f"{instant:%Y-%m-%dT%H:%M:%SZ}" for instant in found)
        raise UserError(f"the clocks of {timezone} showed {text} twice that day: say {both}")
    return found[0]
