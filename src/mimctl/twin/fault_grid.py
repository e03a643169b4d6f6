"""Faults of the grid: breakers, feeds, the mains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mimctl.twin.fault_mims import fleet_of
from mimctl.twin.plant import Plant
from mimctl.twin.transfers import Switch


@dataclass(frozen=True, slots=True)
class DeadBus:
    """The breaker of a node opens: no voltage there and below, the loads are gone, MIMs with a port there trip."""

    def apply(self, plant: Plant, target: str) -> None:
        plant.cut(plant.layout.node_index[target])

    def undo(self, plant: Plant, target: str) -> None:
        plant.restore(plant.layout.node_index[target])


@dataclass(frozen=True, slots=True)
class FeedLost:
    """The source of a feed fails: the same, from its head down, unless a transfer device there has something to go to.

    Contactors of islands below it open, and close again when it is back.
    """

    def apply(self, plant: Plant, target: str) -> None:
        head = self._head(plant, target)
        switch = plant.switches.at(plant.layout.node_index[head])
        if switch is None:
            DeadBus().apply(plant, head)
        else:
            plant.switches.lose(switch, partial(_later, plant))
        for contactor in self._contactors(plant, head):
            plant.switches.lose(contactor, partial(_later, plant))

    def undo(self, plant: Plant, target: str) -> None:
        head = self._head(plant, target)
        switch = plant.switches.at(plant.layout.node_index[head])
        if switch is None:
            DeadBus().undo(plant, head)
        else:
            plant.switches.regain(switch, partial(_later, plant))
        for contactor in self._contactors(plant, head):
            plant.switches.regain(contactor, partial(_later, plant))

    def _contactors(self, plant: Plant, head: str) -> tuple[Switch, ...]:
        """Those of islands inside the feed: they see that it is gone, and that it is back."""
        return () if plant.islands is None else tuple(plant.islands.contactors_below(plant.layout.node_index[head]))

    def _head(self, plant: Plant, target: str) -> str:
        return next(feed.node for feed in plant.layout.site.feeds if feed.id == target)


@dataclass(frozen=True, slots=True)
class Frequency:
    """The mains runs at another frequency; there is one for the whole site."""

    frequency_hz: float

    def apply(self, plant: Plant, target: str) -> None:
        plant.frequency_hz = self.frequency_hz

    def undo(self, plant: Plant, target: str) -> None:
        plant.frequency_hz = plant.layout.site.frequency_hz


def _later(plant: Plant, seconds: float, action: Callable[[], None]) -> None:
    fleet = fleet_of(plant)
    fleet.at(fleet.now_s + seconds, action)
