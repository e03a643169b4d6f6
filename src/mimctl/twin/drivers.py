"""Drivers straight onto the plant: no codec and no link, but the same keys, signs, resolution and age as the real ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from mimctl.model.errors import LinkDown, LinkTimeout
from mimctl.model.harmonics import HarmonicShare
from mimctl.model.layout import FloatArray
from mimctl.model.protocols import Driver, ForeignWrite, FormCommand, HeldSetpoint, MimCommand
from mimctl.model.reason import Reason
from mimctl.model.sample import Sample
from mimctl.model.setpoints import MimMap
from mimctl.twin.firmware import SEQUENCE_MODULO, MimFleet
from mimctl.twin.metering import METER_KEYS, MeterBank, MimBank
from mimctl.twin.plant import Plant
from mimctl.twin.transfers import TRANSFER_KEYS, Switch


@dataclass(frozen=True, slots=True, eq=False)
class Capture:
    """What all devices measured at one instant."""

    taken_at_s: float
    meters: FloatArray
    mims: FloatArray
    transfers: Mapping[str, FloatArray] = field(default_factory=dict)


class PlantDriverGroup:
    """All devices of a site as one link. Implements `model.protocols.DriverGroup`.

    Readings are those of past captures: whoever moves time calls `capture` at each instant of measurement.

    Args:
        delay_cycles: how many captures old a reading is; 0 = the newest.
        seed: of the meter noise; the site's own where None.
    """

    def __init__(self, plant: Plant, *, delay_cycles: int = 0, seed: int | None = None, link: str = "twin") -> None:
        self._plant, self._link, self._delay = plant, link, delay_cycles
        self._extra: dict[str, int] = {}
        self._captures: deque[Capture] = deque()
        self.instruments = plant.instruments
        self.meters = MeterBank(plant, plant.layout.site.twin.seed if seed is None else seed)
        self._mims = MimBank(plant)
        found: dict[str, Driver] = {m.id: PlantMeter(self, row, m.id) for row, m in enumerate(self.meters.meters)}
        if plant.fleet is not None:
            found.update((mim.id, PlantMim(self, plant.fleet, m, mim.id)) for m, mim in enumerate(plant.layout.mims))
        for switch in plant.switches.devices:
            if switch.device.address is not None:
                found[switch.device.id] = PlantTransfer(self, switch)
        self._drivers = found

    @property
    def link(self) -> str:
        return self._link

    @property
    def drivers(self) -> Mapping[str, Driver]:
        return self._drivers

    async def open(self) -> None:
        """There is nothing to connect."""

    async def close(self) -> None:
        """There is nothing to disconnect."""

    def skew(self, device: str, cycles: int) -> None:
        """Let the readings of one device be this many captures older than those of the others."""
        self._extra[device] = cycles

    def capture(self, taken_at_s: float | None = None) -> None:
        """Let every device measure now.

        Args:
            taken_at_s: the reader's monotonic time; the plant's own where None.
        """
        state = self._plant.solve()
        at_s = self._plant.t_s if taken_at_s is None else taken_at_s
        self._captures.append(Capture(at_s, self.meters.read(state), self._mims.read(state), self._transfers()))
        self._forget()

    def _transfers(self) -> dict[str, FloatArray]:
        switches = self._plant.switches
        return {switch.device.id: np.array(switches.values(switch)) for switch in switches.devices}

    def _forget(self) -> None:
        """Let go of captures that no device shows any more."""
        kept = 1 + self._delay + max(self._extra.values(), default=0)
        if len(self._captures) <= kept:
            return
        oldest_s = self._captures[-kept].taken_at_s - float(self.instruments.late_s.max(initial=0.0))
        while len(self._captures) > kept and self._captures[1].taken_at_s <= oldest_s:
            self._captures.popleft()

    def captured(self, device: str) -> Capture:
        """The capture that a device's reading comes from; the oldest there is while there are too few."""
        if not self._captures:
            raise LinkTimeout(device, "nothing has been measured yet")
        back = self._delay + self._extra.get(device, 0)
        return self._captures[max(len(self._captures) - 1 - back, 0)]

    def shown(self, device: str) -> tuple[float, Capture]:
        """The instant that a device's reading claims to be of, and the capture that its values are from."""
        capture = self.captured(device)
        late_s = float(self.instruments.late_s[self.instruments.row[device]])
        if late_s == 0:
            return capture.taken_at_s, capture
        real_s = capture.taken_at_s - late_s
        older = [c for c in self._captures if c.taken_at_s <= real_s]
        return capture.taken_at_s, older[-1] if older else self._captures[0]

    def asked(self, device: str) -> tuple[float, Capture]:
        """The same over the way to the device, on which a request or its answer may be lost.

        Raises:
            LinkDown, LinkTimeout
        """
        self.instruments.ask(device)
        found = self.shown(device)
        self.instruments.answer(device)
        return found

    def replace(self, driver: Driver) -> None:
        """Have a device of the site reached in another way."""
        self._drivers[driver.device] = driver

    def mim_keys(self, m: int) -> tuple[str, ...]:
        """Of the readings of one MIM."""
        return self._mims.keys[m]

    def mim_sample(self, m: int, device: str) -> Sample:
        at_s, capture = self.shown(device)
        return Sample(device, at_s, self._mims.keys[m], capture.mims[self._mims.rows[m]])


class PlantMeter:
    """One meter on the plant. Implements `model.protocols.Driver`."""

    def __init__(self, group: PlantDriverGroup, row: int, device: str) -> None:
        self._group, self._row, self._device = group, row, device

    @property
    def device(self) -> str:
        return self._device

    async def read(self) -> Sample:
        at_s, capture = self._group.asked(self._device)
        return Sample(self._device, at_s, METER_KEYS, capture.meters[self._row])


class PlantTransfer:
    """One transfer device on the plant. Implements `model.protocols.Driver`."""

    def __init__(self, group: PlantDriverGroup, switch: Switch) -> None:
        self._group, self._device = group, switch.device.id

    @property
    def device(self) -> str:
        return self._device

    async def read(self) -> Sample:
        at_s, capture = self._group.asked(self._device)
        return Sample(self._device, at_s, TRANSFER_KEYS, capture.transfers[self._device])


class PlantMim:
    """One MIM on the plant. Implements `model.protocols.MimDriver`, `Commanded` and `Former`."""

    def __init__(self, group: PlantDriverGroup, fleet: MimFleet, m: int, device: str) -> None:
        self._group, self._fleet, self._m, self._device = group, fleet, m, device
        self._action = fleet.layout.mims[m].expiry_action
        self._heartbeat, self._sequence = 0, int(fleet.sequence_ack[m])
        self._commands = False
        self._lost: ForeignWrite | None = None
        self._latency = fleet.layout.mims[m].latency
        self._told: Sample | None = None

    @property
    def device(self) -> str:
        return self._device

    @property
    def mim_map(self) -> MimMap | None:
        """None: it has no registers."""
        return None

    @property
    def foreign_write(self) -> ForeignWrite | None:
        """How our last command went out of force without our doing; None while it stands."""
        return self._lost

    async def read(self) -> Sample:
        self._ask()
        sample = self._group.mim_sample(self._m, self._device)
        if self._told is not None and sample.taken_at_s < self._told.taken_at_s + self._latency.report_every_s:
            return self._told
        self._told = sample
        self._look_for_loss(sample)
        self._answer()
        return sample

    def _look_for_loss(self, sample: Sample) -> None:
        if self._commands and self._lost is None and not self._fleet.enabled[self._m]:
            self._lost = ForeignWrite("found switched off: it restarted or fell back", sample.taken_at_s, sure=False, idle=True)

    def held(self) -> HeldSetpoint | None:
        if not self._fleet.enabled[self._m]:
            return None
        setpoint = self._fleet.setpoint_va[self._fleet.layout.ports_of_mim[self._m]]
        return HeldSetpoint(tuple(setpoint.real.tolist()), tuple(setpoint.imag.tolist()), harmonics=self._shares())

    async def apply(self, command: MimCommand) -> HeldSetpoint:
        self._ask()
        # setpoints travel in whole watts and vars, as in the registers
        shares = self._shares() if command.harmonics is None else command.harmonics
        held = HeldSetpoint(tuple(map(round, command.inject_w)), tuple(map(round, command.inject_var)), harmonics=shares)
        self._deliver(partial(self._obey, held, command.validity_s))
        self._answer()
        self._lost = None
        return held

    def _shares(self) -> tuple[HarmonicShare, ...] | None:
        """What the filters are told; None for a MIM without one."""
        fleet, ports = self._fleet, self._fleet.layout.ports_of_mim[self._m]
        if not fleet.filters.ports.able[ports].all():
            return None
        told = zip(fleet.filters.commanded[ports].tolist(), fleet.filters.orders[ports].tolist(), strict=True)
        return tuple(HarmonicShare(share, orders) for share, orders in told)

    async def refresh(self) -> None:
        self._ask()
        self._deliver(self._beat)
        self._answer()

    @property
    def can_form(self) -> bool:
        """See `Former.can_form`."""
        return bool(self._fleet.formers.able[self._m])

    async def form(self, command: FormCommand) -> None:
        self._ask()
        self._heartbeat += 1
        sequence = int(self._fleet.formers.sequence[self._m]) + 1
        self._fleet.form(self._m, command.voltage_ln_v, command.frequency_hz, command.validity_s, sequence)
        self._answer()

    async def keep_forming(self) -> None:
        self._ask()
        self._heartbeat += 1
        self._fleet.keep_forming(self._m, self._heartbeat)
        self._answer()

    async def release(self, reason: Reason) -> None:
        self._ask()
        self._commands, self._lost = False, None
        self._deliver(self._rest)
        self._answer()

    def _deliver(self, action: Callable[[], None]) -> None:
        """What was written arrives as late as the medium makes it."""
        if self._latency.delay_s > 0:
            self._fleet.at(self._fleet.now_s + self._latency.delay_s, action)
        else:
            action()

    def _obey(self, held: HeldSetpoint, validity_s: float) -> None:
        fleet, m = self._fleet, self._m
        fleet.set_watchdog(m, validity_s, self._action)
        fleet.enable(m, True)
        self._beat()
        fleet.apply(m, held.inject_w, held.inject_var, self._next(), held.harmonics)
        self._commands = True

    def _rest(self) -> None:
        ports = self._fleet.layout.ports_of_mim[self._m]
        zeros = (0.0,) * (ports.stop - ports.start)
        self._commands = False
        self._fleet.stop_forming(self._m)
        self._fleet.enable(self._m, False)
        self._fleet.apply(self._m, zeros, zeros, self._next())

    def _beat(self) -> None:
        self._heartbeat += 1
        self._fleet.heartbeat(self._m, self._heartbeat)

    def _next(self) -> int:
        self._sequence = (self._sequence + 1) % SEQUENCE_MODULO
        return self._sequence

    def _ask(self) -> None:
        self._require_online()
        self._group.instruments.ask(self._device)

    def _require_online(self) -> None:
        if not self._fleet.online[self._m]:
            raise LinkDown(self._device, "the MIM does not answer")

    def _answer(self) -> None:
        """What was asked for is done; the answer may still be lost."""
        self._group.instruments.answer(self._device)
