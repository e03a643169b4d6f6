"""What stands between a source and the racks: transfer switches, UPS, generators, contactors, and the state they are in.

A device like any other: it has a sample, a quality and an age. What nobody can tell of it is `unknown`, and counts as the worst
that it may be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from mimctl.model.address import DeviceAddress


class TransferKind(StrEnum):
    STS = "sts"
    ATS = "ats"
    UPS = "ups"
    GENERATOR = "generator"
    CONTACTOR = "contactor"


class TransferState(IntEnum):
    """What feeds the place now."""

    UNKNOWN = 0
    NORMAL = 1
    ALTERNATE = 2
    BATTERY = 3
    GENERATOR = 4
    OPEN = 5
    FAULT = 6

    @property
    def word(self) -> str:
        """As site files and people write it."""
        return self.name.lower()

    @property
    def is_source(self) -> bool:
        """Whether it names a source; what is open feeds nothing, and what is faulty may be anything."""
        return self in SOURCES


#: states in which something feeds the place
SOURCES = (TransferState.NORMAL, TransferState.ALTERNATE, TransferState.BATTERY, TransferState.GENERATOR)


@dataclass(frozen=True, slots=True)
class TransferSource:
    """One of the sources that a transfer device can be on.

    Args:
        state: the state that means this source.
        available_va: what it can give in all; None = as much as the breakers permit [VA].
        reverse_power_limit_w: what may flow back into it out of each phase; None = as the feed permits [W per phase].
    """

    state: TransferState
    available_va: float | None = None
    reverse_power_limit_w: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer device.

    Args:
        node: whose supply it is: the head of a feed, or any node.
        sources: those that it can be on, `normal` among them.
        address: where it answers; None = it is no device that can be asked.
        fixed: its state then.
        codes: (value of its point `status`, state) pairs; any other value is unknown.
        transfer_s: how long a change takes in the twin, nothing being fed meanwhile [s].
        backup: the state that the twin's goes to when the normal source is lost; None = open.
        places: nodes that stand for `node` in a part of the site that begins below it, each with its share of what is available;
            none where the node itself is there.
    """

    id: str
    kind: TransferKind
    node: str
    sources: tuple[TransferSource, ...]
    address: DeviceAddress | None = None
    fixed: TransferState | None = None
    codes: tuple[tuple[int, TransferState], ...] = ()
    transfer_s: float = 0.0
    backup: TransferState | None = None
    places: tuple[tuple[str, float], ...] = ()

    @property
    def where(self) -> tuple[tuple[str, float], ...]:
        """The nodes that it limits here, each with its share of the available power."""
        return self.places or ((self.node, 1.0),)

    def state_of(self, code: float | None) -> TransferState:
        """The state that a value of its point `status` means."""
        if self.fixed is not None:
            return self.fixed
        if code is None or not math.isfinite(code):
            return TransferState.UNKNOWN
        return dict(self.codes).get(round(code), TransferState.UNKNOWN)

    def possible(self, state: TransferState) -> tuple[TransferSource, ...]:
        """The sources that may be feeding in a state: all of them where nobody can tell, none where it is open."""
        if state is TransferState.OPEN:
            return ()
        named = tuple(source for source in self.sources if source.state is state)
        return named if named else self.sources
