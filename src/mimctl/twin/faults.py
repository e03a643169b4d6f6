"""Things that go wrong with MIMs. Each fault begins and ends at its instant; several may overlap on different MIMs.

`schedule(fleet, faults)` puts them on the fleet's own time, so that they happen to the second however the caller steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from mimctl.twin.firmware import MimFleet


class Fault(Protocol):
    """One thing that goes wrong with one MIM."""

    @property
    def mim(self) -> str:
        """Its id in the site file."""
        ...

    @property
    def from_s(self) -> float: ...

    @property
    def until_s(self) -> float:
        """inf = it stays."""
        ...

    def begin(self, fleet: MimFleet, m: int) -> None: ...

    def end(self, fleet: MimFleet, m: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Offline:
    """The link is gone: nothing can be read or written; the device runs on and its watchdog runs out."""

    mim: str
    from_s: float
    until_s: float = math.inf

    def begin(self, fleet: MimFleet, m: int) -> None:
        fleet.online[m] = False

    def end(self, fleet: MimFleet, m: int) -> None:
        fleet.online[m] = True


@dataclass(frozen=True, slots=True)
class Stuck:
    """Setpoints change nothing. `acknowledges`: the device echoes their number all the same."""

    mim: str
    from_s: float
    until_s: float = math.inf
    acknowledges: bool = True

    def begin(self, fleet: MimFleet, m: int) -> None:
        fleet.ignores_setpoints[m], fleet.acknowledges_ignored[m] = True, self.acknowledges

    def end(self, fleet: MimFleet, m: int) -> None:
        fleet.ignores_setpoints[m] = False


@dataclass(frozen=True, slots=True)
class Clipped:
    """The device has only a share of its rating, as when it is too hot."""

    mim: str
    from_s: float
    until_s: float = math.inf
    share: float = 0.5

    def begin(self, fleet: MimFleet, m: int) -> None:
        fleet.derate(m, self.share)

    def end(self, fleet: MimFleet, m: int) -> None:
        fleet.derate(m, 1.0)


@dataclass(frozen=True, slots=True)
class Rebooted:
    """Power was lost: output drops; after `boot_s` the device answers again and has forgotten everything."""

    mim: str
    from_s: float
    boot_s: float = 5.0

    @property
    def until_s(self) -> float:
        return self.from_s + self.boot_s

    def begin(self, fleet: MimFleet, m: int) -> None:
        fleet.reboot(m)
        fleet.online[m] = False

    def end(self, fleet: MimFleet, m: int) -> None:
        fleet.online[m] = True


@dataclass(frozen=True, slots=True)
class Late:
    """Setpoints take effect only after `delay_s`; heartbeats do not wait."""

    mim: str
    from_s: float
    until_s: float = math.inf
    delay_s: float = 2.0

    def begin(self, fleet: MimFleet, m: int) -> None:
        fleet.latency_s[m] = self.delay_s

    def end(self, fleet: MimFleet, m: int) -> None:
        fleet.latency_s[m] = 0.0


@dataclass(frozen=True, slots=True)
class Lying:
    """What the device tells of its powers is wrong by a factor; what it does is not."""

    mim: str
    from_s: float
    until_s: float = math.inf
    gain: float = 1.5

    def begin(self, fleet: MimFleet, m: int) -> None:
        fleet.telemetry_gain[m] = self.gain

    def end(self, fleet: MimFleet, m: int) -> None:
        fleet.telemetry_gain[m] = 1.0


def schedule(fleet: MimFleet, faults: Iterable[Fault]) -> None:
    """Have the faults happen; those whose instant has passed begin at once."""
    for fault in faults:
        m = fleet.layout.mim_index[fault.mim]
        fleet.at(fault.from_s, partial(fault.begin, fleet, m))
        if fault.until_s < math.inf:
            fleet.at(fault.until_s, partial(fault.end, fleet, m))
