"""What one explanation starts from. It can be pickled: explaining is done beside the service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mimctl.control.past.light import LightRecord, SiteSolve
from mimctl.model.site import Site

#: a decision that is further from the instant asked for is said to be so; the site level decides less often
_NEAR, _NEAR_ABOVE = timedelta(seconds=5), timedelta(seconds=60)


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What somebody asks.

    Args:
        mim, node: by id; neither = a summary.
        asked: instant that was asked for; None = whenever that was.
    """

    mim: str | None = None
    node: str | None = None
    asked: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One decision of one zone.

    Args:
        site: as the zone sees it.
        following: the decision after it, where that is remembered: what the devices answered stands there.
        above: the solve of the site level that was the last at that time; None where there was none.
        dry_run: nothing is written.
        remembered: instants of the oldest and the newest decision that are kept, and how many there are.
    """

    site: Site
    record: LightRecord
    following: LightRecord | None
    above: SiteSolve | None
    dry_run: bool
    remembered: tuple[datetime, datetime, int]


@dataclass(frozen=True, slots=True, eq=False)
class AboveCase:
    """One solve of the site level, for what stands above the zones; `remembered` as in `Case`."""

    site: Site
    solve: SiteSolve
    remembered: tuple[datetime, datetime, int]


def near(case: Case | AboveCase) -> timedelta:
    """How far from the instant asked for a decision may be and still be taken for the one that was meant."""
    return _NEAR if isinstance(case, Case) else _NEAR_ABOVE
