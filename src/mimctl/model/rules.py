"""Rules of a site: when they hold, on what condition, where, and what each of the restraining kinds takes away.

A balance rule wants something and is in `model/site.py`; every rule here only takes from what a plan may do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time
from enum import StrEnum
from typing import ClassVar

_DAY_S = 86_400.0
_WHOLE_PCT = 100.0


@dataclass(frozen=True, slots=True)
class Window:
    """When a rule is in force, in the site's time zone. Start after end means over midnight; equal means all day.

    Args:
        days: 0 = Monday … 6 = Sunday; the day on which the window starts.
        first_day, last_day: the window starts on no day before or after; None = whenever.
    """

    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    start: time = time(0, 0)
    end: time = time(0, 0)
    first_day: date | None = None
    last_day: date | None = None


#: no window named
ALWAYS = Window()


class Watched(StrEnum):
    """What a condition looks at. Of several phases the fullest counts; of voltages the one that is furthest out."""

    CURRENT = "current"
    NEUTRAL_CURRENT = "neutral_current"
    ACTIVE_POWER = "active_power"
    VOLTAGE = "voltage"
    THD_V = "thd_v"
    THD_I = "thd_i"
    SOC = "soc"
    IMBALANCE = "imbalance"
    LOAD = "load"


@dataclass(frozen=True, slots=True)
class Condition:
    """A measured quantity past a threshold, with hysteresis.

    Args:
        node: where it is measured; None for the charge of a battery, and for the reported J of the zone.
        battery: whose charge.
        threshold: in the unit of the quantity: A, W, V or %; J of the objective has none.
        above: True: it holds above the threshold; False: below.
        clear_at: it ends when the quantity comes back past this.
        for_s: the quantity must be past the threshold for so long [s].
    """

    quantity: Watched
    threshold: float
    above: bool
    clear_at: float
    node: str | None = None
    battery: str | None = None
    for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rule acts; nothing named = everywhere. A node means itself and all below it; a feed is named by its head."""

    nodes: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    mims: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.nodes, *self.zones, *self.mims)


#: no place named
EVERYWHERE = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class Restraint:
    """A rule that only takes away.

    Args:
        when: None = no condition. Where its quantity is not known the rule counts as in force.
    """

    kind: ClassVar[str] = ""
    id: str
    place: Place = EVERYWHERE
    window: Window = ALWAYS
    when: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRule(Restraint):
    """Less than the ratings permit at the nodes named, at the heads of the zones named.

    Args:
        max_a: per phase [A].
        max_pct: per phase, of the breaker's rating [%].
        max_neutral_a: [A]
        min_import_w: least net import of each phase, at heads of zones only [W per phase].
        max_import_w: greatest net import of each phase, vars included [W per phase].
    """

    kind: ClassVar[str] = "limit"
    max_a: float | None = None
    max_pct: float | None = None
    max_neutral_a: float | None = None
    min_import_w: float | None = None
    max_import_w: float | None = None

    def __str__(self) -> str:
        return "at most " + _joined(
            (self.max_a, "{:g} A a phase"),
            (self.max_pct, "{:g} % of the rating a phase"),
            (self.max_neutral_a, "{:g} A in the neutral"),
            (self.max_import_w, "{:g} W into each phase"),
            (None if self.min_import_w is None else -self.min_import_w, "{:g} W out of each phase"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveRule(Restraint):
    """Something is kept free.

    Args:
        rating_pct: of the rating of every MIM reached, its neutral's too [%].
        soc_pct: charge below which no battery reached is discharged [%]; None = as each battery says.
        spare_mims: so many MIMs reached rest in each zone, and step in where others fail.
    """

    kind: ClassVar[str] = "reserve"
    rating_pct: float = 0.0
    soc_pct: float | None = None
    spare_mims: int = 0

    def __str__(self) -> str:
        return "kept free: " + _joined(
            (self.rating_pct or None, "{:g} % of the ratings"),
            (self.soc_pct, "{:g} % of the charge"),
            (self.spare_mims or None, "{} MIM of each zone" if self.spare_mims == 1 else "{} MIMs of each zone"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RampRule(Restraint):
    """Setpoints move no faster: each port of the MIMs and zones named; at nodes named what all MIMs do to each phase together.

    Args:
        max_w_per_s: [W/s], vars likewise.
        max_a_per_s: [A/s]
    """

    kind: ClassVar[str] = "ramp"
    max_w_per_s: float | None = None
    max_a_per_s: float | None = None

    def __str__(self) -> str:
        return "setpoints move by at most " + _joined((self.max_w_per_s, "{:g} W/s"), (self.max_a_per_s, "{:g} A/s"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRule(Restraint):
    """The MIMs reached are at their safe state."""

    kind: ClassVar[str] = "lock"

    def __str__(self) -> str:
        return "MIMs are at their safe state"


@dataclass(frozen=True, slots=True, kw_only=True)
class HarmonicRule(Restraint):
    """What the harmonic filters reached may do, and what they are asked for.

    Args:
        max_share_pct: greatest part of the harmonic current that a port compensates [%].
        reserve_pct: greatest part of a port's rating that is kept from the fundamental for it [%]; None = as each MIM says.
        thd_v_pct, tdd_pct: limits at the nodes, where they are tighter than the nodes' own [%].
    """

    kind: ClassVar[str] = "harmonic"
    max_share_pct: float = _WHOLE_PCT
    reserve_pct: float | None = None
    thd_v_pct: float | None = None
    tdd_pct: float | None = None

    def __str__(self) -> str:
        return "filters: " + _joined(
            (None if self.max_share_pct == _WHOLE_PCT else self.max_share_pct, "at most {:g} % of the harmonics"),
            (self.reserve_pct, "at most {:g} % of the ratings kept for them"),
            (self.thd_v_pct, "THD-V up to {:g} %"),
            (self.tdd_pct, "TDD up to {:g} %"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RelianceRule(Restraint):
    """How much of a breaker's load may rest on MIMs: what flows with all of them at their expiry action is its firm load.

    Args:
        max_a: by so much the firm load of a phase may be over the limit for hours [A].
        max_s_per_day: for so long in a day of the site's time zone [s].
    """

    kind: ClassVar[str] = "reliance"
    max_a: float = 0.0
    max_s_per_day: float = _DAY_S

    def __str__(self) -> str:
        long = "" if self.max_s_per_day == _DAY_S else f" for {self.max_s_per_day / 60:g} min a day"
        return f"at most {self.max_a:g} A over the limit rest on MIMs{long}"


def _joined(*parts: tuple[float | None, str]) -> str:
    return ", ".join(form.format(value) for value, form in parts if value is not None)
