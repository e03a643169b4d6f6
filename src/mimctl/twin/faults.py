"""What each kind of fault does to the twin, and how it is undone. `schedule` puts faults on the plant's own time.

One small class for each kind: `apply` and `undo`, for one target; its fields are the figures that a file of faults gives. Of two
faults of one kind on one target the end of one would end both: files with such faults are refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from mimctl.model.fault import Fault, FaultKind
from mimctl.model.phases import PHASES, Phase
from mimctl.twin.defects import Obedience
from mimctl.twin.firmware import MimFleet
from mimctl.twin.instruments import QUANTITIES
from mimctl.twin.plant import Plant


class Effect(Protocol):
    """What a fault does to one target."""

    def apply(self, plant: Plant, target: str) -> None: ...

    def undo(self, plant: Plant, target: str) -> None: ...


def schedule(plant: Plant, faults: Iterable[Fault]) -> None:
    """Have the faults happen at their instants, counted from the plant's zero; those whose instant has passed begin at once.

    Raises:
        ValueError: a kind that befalls the controller, not the twin; a target that does not exist.
    """
    fleet = _fleet(plant)
    for fault in faults:
        if fault.kind not in EFFECTS:
            raise ValueError(f"{fault.kind} is no fault of devices or grid")
        effect = EFFECTS[fault.kind](**dict(fault.values))
        for target in fault.targets or (plant.layout.site.id,):
            fleet.at(fault.at_s, partial(effect.apply, plant, target))
            if fault.until_s < math.inf:
                fleet.at(fault.until_s, partial(effect.undo, plant, target))


def _fleet(plant: Plant) -> MimFleet:
    if plant.fleet is None:
        raise ValueError("a plant without MIMs has no faults")
    return plant.fleet


def _mim(plant: Plant, target: str) -> tuple[MimFleet, int]:
    return _fleet(plant), plant.layout.mim_index[target]


# the ways to devices


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
class LinkLoss:
    """A share of all frames of a link is lost, requests and answers alike."""

    loss_pct: float = 10.0

    def apply(self, plant: Plant, target: str) -> None:
        self._set(plant, target, self.loss_pct / 100)

    def undo(self, plant: Plant, target: str) -> None:
        self._set(plant, target, 0.0)

    def _set(self, plant: Plant, target: str, share: float) -> None:
        plant.instruments.loss[[plant.instruments.row[device] for device in plant.instruments.links[target]]] = share


# what MIMs do


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
class _Disobedient:
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


# what instruments tell


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


# what happens to the grid


@dataclass(frozen=True, slots=True)
class DeadBus:
    """The breaker of a node opens: no voltage there and below, the loads are gone, MIMs with a port there trip."""

    def apply(self, plant: Plant, target: str) -> None:
        plant.cut(plant.layout.node_index[target])

    def undo(self, plant: Plant, target: str) -> None:
        plant.restore(plant.layout.node_index[target])


@dataclass(frozen=True, slots=True)
class FeedLost:
    """The source of a feed fails: the same, from its head down, unless a transfer device there has something to go to."""

    def apply(self, plant: Plant, target: str) -> None:
        head = self._head(plant, target)
        switch = plant.switches.at(plant.layout.node_index[head])
        if switch is None:
            DeadBus().apply(plant, head)
        else:
            plant.switches.lose(switch, partial(_later, plant))

    def undo(self, plant: Plant, target: str) -> None:
        head = self._head(plant, target)
        switch = plant.switches.at(plant.layout.node_index[head])
        if switch is None:
            DeadBus().undo(plant, head)
        else:
            plant.switches.regain(switch, partial(_later, plant))

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
    fleet = _fleet(plant)
    fleet.at(fleet.now_s + seconds, action)


#: what each kind does; kinds that befall the controller are not among them
EFFECTS: Mapping[FaultKind, Callable[..., Effect]] = {
    FaultKind.OFFLINE: Offline,
    FaultKind.LINK_DOWN: LinkDown,
    FaultKind.LINK_LOSS: LinkLoss,
    FaultKind.STUCK: Stuck,
    FaultKind.PRETENDING: partial(_Disobedient, Obedience.PRETENDS),
    FaultKind.READ_ONLY: partial(_Disobedient, Obedience.READ_ONLY),
    FaultKind.REJECTING: partial(_Disobedient, Obedience.REJECTS),
    FaultKind.CLIPPED: Clipped,
    FaultKind.DERATED: Derated,
    FaultKind.DELAYED: Delayed,
    FaultKind.REBOOTED: Rebooted,
    FaultKind.LYING: Lying,
    FaultKind.NOISY: Noisy,
    FaultKind.NO_VALUES: NoValues,
    FaultKind.SKEWED: Skewed,
    FaultKind.CT_SWAPPED: CtSwapped,
    FaultKind.CT_REVERSED: CtReversed,
    FaultKind.RACK_TRIPPED: DeadBus,
    FaultKind.FEED_LOST: FeedLost,
    FaultKind.FREQUENCY: Frequency,
}
