"""What one device has reported: raw numbers with the instant they came, by place. No zigpy here: drivers read it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mimctl.wire.zigbee import mim_layout, zcl

#: endpoint, cluster, manufacturer code, attribute
Spot = tuple[int, int, int | None, int]

#: ElectricalMeasurement, and those of its attributes that are no numbers of a quantity: what it measures, and two masks of alarms.
#: Reference: Zigbee Cluster Library Specification, revision 8, section 4.9.2.2.
_METER, _NO_QUANTITIES = 0x0B04, (0x0000, 0x0700, 0x0800)
#: so many reports in a row of one other data type: it is the first one that was wrong
_RELEARN = 3


def may_be(spot: Spot, kind: int) -> bool:
    """Whether an attribute may have a data type: a number, and of the kind that its cluster has, where that is known."""
    try:
        zcl.size_of(kind)
    except ValueError:
        return False
    _, cluster, maker, attribute = spot
    if (cluster, maker) == (mim_layout.CLUSTER, mim_layout.MANUFACTURER):
        return mim_layout.kind_of(attribute) in (None, kind)
    return (cluster, maker) != (_METER, None) or attribute in _NO_QUANTITIES or zcl.is_analog(kind)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One attribute that is to be reported.

    Args:
        change: least change that is told at once, in the unit of the value: raw × scale × multiplier / divisor.
        fixed: a scale that does not change: read once, never reported.
    """

    spot: Spot
    least_s: float = 1.0
    most_s: float = 60.0
    change: float = 0.0
    scale: float = 1.0
    multiplier: Spot | None = None
    divisor: Spot | None = None
    fixed: bool = False


@dataclass(slots=True)
class Reported:
    """The last of one attribute. `raw` None: the device has no value.

    Args:
        other, others: another data type that came since, and how often in a row.
    """

    kind: int
    raw: int | None
    at_s: float
    other: int = 0
    others: int = 0

    def is_of(self, kind: int, *, anew: bool) -> bool:
        """Whether a report of a data type may be of this attribute: of the type learnt, or of one that proves that to be wrong.

        Args:
            anew: the device came back since, and may be another than it was.
        """
        if kind == self.kind or anew:
            self.kind, self.others = kind, 0
            return True
        self.others = self.others + 1 if kind == self.other else 1
        self.other = kind
        if self.others < _RELEARN:
            return False
        self.kind, self.others = kind, 0
        return True


@dataclass(eq=False)
class Watched:
    """One device that somebody wants to hear.

    Args:
        eui: sixteen hexadecimal digits.
        refuse: counts what was not believed: why, who.
    """

    eui: str
    wanted: tuple[Wanted, ...]
    refuse: Callable[[str, str], None] = field(default=lambda _why, _who: None)
    values: dict[Spot, Reported] = field(default_factory=dict)
    #: attributes that the device does not have
    absent: set[Spot] = field(default_factory=set)
    #: attributes that it does not report: they are asked for, as often as they should have been reported
    unreported: set[Spot] = field(default_factory=set)
    #: its reporting is set up
    ready: bool = False
    #: everything was read once since the coordinator came up
    complete: bool = False
    #: what keeps it from being set up, for people
    trouble: str = "not on the network yet"
    heard_at_s: float = float("-inf")
    reports: int = 0
    tries: int = 0
    retry_at_s: float = float("-inf")
    #: when what it does not report is asked for again
    ask_at_s: float = float("-inf")
    #: how often it came (back) on to the network
    joins: int = 0
    _spots: frozenset[Spot] = frozenset()
    #: heard before it came back, and not since
    _before: set[Spot] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._spots = frozenset(w.spot for w in self.wanted)

    def forget(self, why: str) -> None:
        """Nothing that was heard is believed any more: the link is gone or the device has left."""
        self.values.clear()
        self.unreported.clear()
        self.ready = self.complete = False
        self.trouble, self.tries, self.retry_at_s = why, 0, float("-inf")

    def came(self) -> None:
        """It is (back) on the network, and may have forgotten what it was to report."""
        self.joins += 1
        self._before = set(self.values)
        self.ready, self.trouble = False, "it joined again"
        self.retry_at_s = float("-inf")

    def take(self, spot: Spot, kind: int, value: object, at_s: float) -> bool:
        """One attribute as it came off the air; False where it is not wanted or not believed."""
        if spot not in self._spots:
            return False
        known = self.values.get(spot)
        if (
            not isinstance(value, int)
            or not may_be(spot, kind)
            or (known is not None and not known.is_of(kind, anew=spot in self._before))
        ):
            self.refuse("wrong data type", self.eui)
            return False
        self._before.discard(spot)
        raw = None if value == zcl.no_value(kind) else int(value)
        if known is None:
            self.values[spot] = Reported(kind, raw, at_s)
        else:
            known.raw, known.at_s = raw, at_s
        self.heard_at_s = at_s
        self.reports += 1
        return True

    def unit(self, wanted: Wanted) -> float:
        """What one raw count of a value stands for; NaN where its scale is not known or makes no sense.

        A scale that the device does not have is 1, as the cluster library says.
        """
        factors = [1.0, 1.0]
        for n, spot in enumerate((wanted.multiplier, wanted.divisor)):
            if spot is None or spot in self.absent:
                continue
            known = self.values.get(spot)
            if known is None or not known.raw:
                return math.nan
            factors[n] = float(known.raw)
        return wanted.scale * factors[0] / factors[1]

    def places(self) -> Iterable[tuple[tuple[int, int, int | None], list[Wanted]]]:
        """What is wanted, by endpoint, cluster and manufacturer code."""
        found: dict[tuple[int, int, int | None], list[Wanted]] = {}
        for wanted in self.wanted:
            found.setdefault(wanted.spot[:3], []).append(wanted)
        return found.items()

    def silent_s(self, now_s: float) -> float:
        """How long it has said nothing [s]."""
        return now_s - self.heard_at_s

    @property
    def patience_s(self) -> float:
        """A device that reports says something at least so often, three misses allowed [s]."""
        regular = [w.most_s for w in self.wanted if not w.fixed and w.spot not in self.absent]
        return 3 * min(regular, default=60.0)

    @property
    def ask_every_s(self) -> float:
        """How often what it does not report is asked for [s]."""
        return max(1.0, min((w.most_s for w in self.wanted if w.spot in self.unreported), default=60.0))
