"""Faults of what devices tell, and of the ways to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mimctl.model.phases import PHASES, Phase
from mimctl.twin.instruments import QUANTITIES
from mimctl.twin.plant import Plant


@dataclass(frozen=True, slots=True)
class Offline:
    """The device cannot be read or written; it runs on by itself, and a MIM's watchdog runs out."""

    def apply(self, plant: Plant, target: str) -> None:
        plant.instruments.mute[plant.instruments.row[target]] += 1

    def undo(self, plant: Plant, target: str) -> None:
        plant.instruments.mute[plant.instruments.row[target]] -= 1


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The same for every device of a link."""

    def apply(self, plant: Plant, target: str) -> None:
        for device in plant.instruments.links[target]:
            Offline().apply(plant, device)

    def undo(self, plant: Plant, target: str) -> None:
        for device in plant.instruments.links[target]:
            Offline().undo(plant, device)


@dataclass(frozen=True, slots=True)
class Coordinator:
    """The coordinator of a radio link fails; its devices run on, and nobody reaches them."""

    how: str = "unplugged"

    def apply(self, plant: Plant, target: str) -> None:
        plant.instruments.coordinators[target] = self.how

    def undo(self, plant: Plant, target: str) -> None:
        plant.instruments.coordinators.pop(target, None)


@dataclass(frozen=True, slots=True)
class LinkLoss:
    """A share of all frames of a link is lost, requests and answers alike."""

    loss_pct: float = 10.0

    def apply(self, plant: Plant, target: str) -> None:
        self._set(plant, target, self.loss_pct / 100)

    def undo(self, plant: Plant, target: str) -> None:
        self._set(plant, target, 0.0)

    def _set(self, plant: Plant, target: str, share: float) -> None:
        plant.instruments.loss[[plant.instruments.row[device] for device in plant.instruments.links[target]]] = share


@dataclass(frozen=True, slots=True)
class Lying:
    """What the device tells of its currents and powers is wrong by a factor and by an offset; of a MIM, its powers."""

    gain: float = 1.0
    offset_w: float = 0.0
    phases: tuple[str, ...] = PHASES

    def apply(self, plant: Plant, target: str) -> None:
        self._set(plant, target, self.gain, self.offset_w)

    def undo(self, plant: Plant, target: str) -> None:
        self._set(plant, target, 1.0, 0.0)

    def _set(self, plant: Plant, target: str, gain: float, offset_w: float) -> None:
        instruments = plant.instruments
        row, columns = instruments.row[target], _columns(self.phases)
        instruments.gain[row, columns], instruments.offset_w[row, columns] = gain, offset_w
        instruments.touch()


@dataclass(frozen=True, slots=True)
class Noisy:
    """Its readings are noisier than those of the others: standard deviation, of the reading."""

    noise_pct: float = 5.0

    def apply(self, plant: Plant, target: str) -> None:
        self._set(plant, target, self.noise_pct / 100)

    def undo(self, plant: Plant, target: str) -> None:
        self._set(plant, target, 0.0)

    def _set(self, plant: Plant, target: str, sigma: float) -> None:
        plant.instruments.noise[plant.instruments.row[target]] = sigma
        plant.instruments.touch()


@dataclass(frozen=True, slots=True)
class NoValues:
    """The device answers, with the pattern that means “no value” instead of its voltages, currents or powers."""

    quantity: str = "all"

    def apply(self, plant: Plant, target: str) -> None:
        self._set(plant, target, on=True)

    def undo(self, plant: Plant, target: str) -> None:
        self._set(plant, target, on=False)

    def _set(self, plant: Plant, target: str, *, on: bool) -> None:
        columns = [i for i, name in enumerate(QUANTITIES) if self.quantity in (name, "all")]
        plant.instruments.blank[plant.instruments.row[target], columns] = on
        plant.instruments.touch()


@dataclass(frozen=True, slots=True)
class Skewed:
    """Its readings are so much older than they say, as behind a gateway that answers out of its memory."""

    late_s: float = 2.0

    def apply(self, plant: Plant, target: str) -> None:
        plant.instruments.late_s[plant.instruments.row[target]] = self.late_s

    def undo(self, plant: Plant, target: str) -> None:
        plant.instruments.late_s[plant.instruments.row[target]] = 0.0


@dataclass(frozen=True, slots=True)
class CtSwapped:
    """The current transformers of a meter are on each other's inputs: `order` says on which phase each of them really is."""

    order: tuple[str, ...] = ("L2", "L1", "L3")

    def apply(self, plant: Plant, target: str) -> None:
        self._set(plant, target, self.order)

    def undo(self, plant: Plant, target: str) -> None:
        self._set(plant, target, PHASES)

    def _set(self, plant: Plant, target: str, order: tuple[str, ...]) -> None:
        plant.instruments.order[plant.instruments.row[target]] = _columns(order)
        plant.instruments.touch()


@dataclass(frozen=True, slots=True)
class CtReversed:
    """Current transformers of a meter look the other way."""

    phases: tuple[str, ...] = PHASES

    def apply(self, plant: Plant, target: str) -> None:
        self._set(plant, target, -1.0)

    def undo(self, plant: Plant, target: str) -> None:
        self._set(plant, target, 1.0)

    def _set(self, plant: Plant, target: str, turn: float) -> None:
        plant.instruments.turn[plant.instruments.row[target], _columns(self.phases)] = turn
        plant.instruments.touch()


def _columns(phases: Iterable[str]) -> list[int]:
    return [Phase(phase).column for phase in phases]
