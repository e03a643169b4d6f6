"""Things that go wrong in the digital twin, as a file of faults names them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """What goes wrong."""

    OFFLINE = "offline"
    STUCK = "stuck"
    PRETENDING = "pretending"
    READ_ONLY = "read_only"
    REJECTING = "rejecting"
    CLIPPED = "clipped"
    DERATED = "derated"
    DELAYED = "delayed"
    REBOOTED = "rebooted"
    LYING = "lying"
    NOISY = "noisy"
    NO_VALUES = "no_values"
    SKEWED = "skewed"
    CT_SWAPPED = "ct_swapped"
    CT_REVERSED = "ct_reversed"
    LINK_LOSS = "link_loss"
    LINK_DOWN = "link_down"
    COORDINATOR = "coordinator"
    RACK_TRIPPED = "rack_tripped"
    FEED_LOST = "feed_lost"
    FREQUENCY = "frequency"
    SITE_PAUSED = "site_paused"
    ZONE_STOPPED = "zone_stopped"
    CLOCK_STEP = "clock_step"


#: these befall the controller itself, not its devices: only a run that has the controller inside can have them
OF_CONTROLLER = frozenset({FaultKind.SITE_PAUSED, FaultKind.ZONE_STOPPED, FaultKind.CLOCK_STEP})

FaultValue = float | str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of a file of faults.

    Args:
        targets: ids of what it befalls: MIMs, meters, links, nodes or zones, by kind; none where it is the whole site.
        at_s: when it begins, from the start of the run [s].
        until_s: when it ends, inf = it stays [s].
        values: the figures of its kind, by the names that the file has for them.
    """

    kind: FaultKind
    targets: tuple[str, ...] = ()
    at_s: float = 0.0
    until_s: float = math.inf
    values: tuple[tuple[str, FaultValue], ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.at_s < self.until_s:
            raise ValueError(f"a fault ends after it begins, not from {self.at_s} to {self.until_s} s")
