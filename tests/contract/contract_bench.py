"""What the driver contract needs of any device on any medium: something to look at, something to break, and what arrived."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mimctl.model.protocols import Driver, MimDriver

#: a load on L1, one that feeds back on L2, and nothing known of L3
LOADS = {"active_power.L1": 1520.0, "active_power.L2": -340.0, "voltage.L1": 230.5, "current.L1": 7.25, "frequency": 50.25}
#: of a MIM: injection positive
PORTS = {"active_power.port1": -150.0, "reactive_power.port1": 25.0, "soc": 61.5, "temperature": 41.5}


class Firmware(Protocol):
    """What a MIM holds, by its own word."""

    @property
    def ports(self) -> int: ...

    @property
    def enabled(self) -> bool: ...

    @property
    def sequence(self) -> int: ...

    @property
    def validity_s(self) -> int: ...

    @property
    def signs_of_life(self) -> int:
        """Another number after each sign of life that it accepted."""
        ...

    def setpoints(self) -> tuple[Sequence[int], Sequence[int]]:
        """[W] and [var] per port."""
        ...


@dataclass
class Bench:
    """A driver, its device and the link between them.

    Args:
        shown: what the device shows at first.
        unknown: key of what it has, and has no value of.
        show: have it show something; the driver learns it soon.
        written: everything that was to change the device, one entry for each frame that carried it.
        another: a driver of another controller on the same link.
        firmware: of a MIM.
        report: have a device that reports by itself do it now; one that is asked has nothing to do.
        counts_all: a sign of life is a command like any other, with a number of its own.
        used_up: numbers that a command takes up which could not be sent, for nobody knows whether it was.
    """

    driver: Driver
    shown: Mapping[str, float]
    unknown: str
    show: Callable[[Mapping[str, float]], None]
    cut: Callable[[], Awaitable[None]]
    mend: Callable[[], Awaitable[None]]
    written: Callable[[], Sequence[object]]
    another: Callable[[], Driver]
    firmware: Firmware | None = None
    report: Callable[[], None] = lambda: None
    counts_all: bool = False
    used_up: int = 0

    @property
    def mim(self) -> MimDriver:
        assert isinstance(self.driver, MimDriver)
        return self.driver

    @property
    def holds(self) -> Firmware:
        assert self.firmware is not None
        return self.firmware


#: makes one, in a directory of its own, and takes it down again
MakeBench = Callable[[Path], AsyncIterator[Bench]]
