"""Faults of MIMs: how they take commands, and what they make of them."""

from __future__ import annotations

from dataclasses import dataclass

from mimctl.twin.defects import Obedience
from mimctl.twin.firmware import MimFleet
from mimctl.twin.plant import Plant


def fleet_of(plant: Plant) -> MimFleet:
    """The MIMs of a plant.

    Raises:
        ValueError: it has none.
    """
    if plant.fleet is None:
        raise ValueError("a plant without MIMs has no faults")
    return plant.fleet


def _mim(plant: Plant, target: str) -> tuple[MimFleet, int]:
    return fleet_of(plant), plant.layout.mim_index[target]


@dataclass(frozen=True, slots=True)
class Stuck:
    """The output stays as it is: setpoints are acknowledged, and neither they nor the watchdog nor switching off change it."""

    def apply(self, plant: Plant, target: str) -> None:
        fleet, m = _mim(plant, target)
        fleet.defects.obedience[m] = Obedience.PRETENDS
        fleet.freeze(m)

    def undo(self, plant: Plant, target: str) -> None:
        fleet, m = _mim(plant, target)
        fleet.defects.obedience[m] = Obedience.OBEYS
        fleet.thaw(m)


@dataclass(frozen=True, slots=True)
class Disobedient:
    """Commands are taken in another way than they should be."""

    obedience: Obedience

    def apply(self, plant: Plant, target: str) -> None:
        fleet, m = _mim(plant, target)
        fleet.defects.obedience[m] = self.obedience

    def undo(self, plant: Plant, target: str) -> None:
        fleet, m = _mim(plant, target)
        fleet.defects.obedience[m] = Obedience.OBEYS


@dataclass(frozen=True, slots=True)
class Clipped:
    """Only a share of every setpoint comes out, and nothing tells of it."""

    delivers_pct: float = 50.0

    def apply(self, plant: Plant, target: str) -> None:
        fleet, m = _mim(plant, target)
        fleet.deliver(m, self.delivers_pct / 100)

    def undo(self, plant: Plant, target: str) -> None:
        fleet, m = _mim(plant, target)
        fleet.deliver(m, 1.0)


@dataclass(frozen=True, slots=True)
class Derated:
    """The device has only a share of its rating, as when it is too hot, and says so."""

    rating_pct: float = 50.0

    def apply(self, plant: Plant, target: str) -> None:
        fleet, m = _mim(plant, target)
        fleet.derate(m, self.rating_pct / 100)

    def undo(self, plant: Plant, target: str) -> None:
        fleet, m = _mim(plant, target)
        fleet.derate(m, 1.0)


@dataclass(frozen=True, slots=True)
class Delayed:
    """Setpoints take effect so much later; heartbeats do not wait."""

    delay_s: float = 2.0

    def apply(self, plant: Plant, target: str) -> None:
        fleet, m = _mim(plant, target)
        fleet.defects.latency_s[m] = self.delay_s

    def undo(self, plant: Plant, target: str) -> None:
        fleet, m = _mim(plant, target)
        fleet.defects.latency_s[m] = 0.0


@dataclass(frozen=True, slots=True)
class Rebooted:
    """Power was lost: the output drops; when the fault ends the device answers again and has forgotten everything."""

    def apply(self, plant: Plant, target: str) -> None:
        fleet, m = _mim(plant, target)
        fleet.reboot(m)
        fleet.online[m] = False

    def undo(self, plant: Plant, target: str) -> None:
        fleet, m = _mim(plant, target)
        fleet.online[m] = True
