"""The Zigbee network of a twin: its air, its coordinator's stick, its virtual MIMs and meters. Needs no zigpy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

import numpy as np

from mimctl.model.errors import LinkError, UserError
from mimctl.model.layout import SiteLayout
from mimctl.model.link import Link
from mimctl.model.site import Meter, Mim
from mimctl.model.zigbee_profile import ZigbeeProfile
from mimctl.twin.instruments import Instruments
from mimctl.twin.picture import World
from mimctl.twin.wireless import WirelessDevice
from mimctl.twin.zigbee_meter import ZigbeeMeter
from mimctl.twin.zigbee_mim import ZigbeeMim
from mimctl.twin.zigbee_stick import formed_stick
from mimctl.wire.zigbee.air import Air, Frame, Trouble
from mimctl.wire.zigbee.node import Node

#: short addresses from here on
_MIMS, _METERS = 0x1000, 0x4000


class TwinAir:
    """Everything of one Zigbee link: its air, its coordinator's stick, its MIMs and meters.

    Args:
        profiles: those that its meters name, by id.
        seed: of the measurement noise.

    Raises:
        UserError: a profile is missing.
    """

    def __init__(
        self, link: Link, layout: SiteLayout, world: World, seed: int, profiles: Mapping[str, ZigbeeProfile] | None = None
    ) -> None:
        self._link, self._layout, self._world, self._profiles = link, layout, world, profiles or {}
        name = f"{layout.site.id} {link.id}"
        self.air, self._other = Air(stick=formed_stick(name)), formed_stick(f"not {name}")
        self._stations: list[ZigbeeMim | ZigbeeMeter] = []
        self.devices: list[WirelessDevice] = []
        for n, meter in enumerate(layout.site.meters):
            if meter.address.link == link.id:
                rng, nwk = np.random.default_rng([seed, 0, n]), _METERS + len(self._stations)
                self._add(self._meter(meter, rng, nwk), meter)
        for m, mim in enumerate(layout.mims):
            if mim.address.link == link.id:
                rng, nwk = np.random.default_rng([seed, 1, m]), _MIMS + len(self._stations)
                self._add(ZigbeeMim(m, layout, world, rng, nwk, self._sender(mim.id)), mim)

    def tick(self, now_s: float) -> None:
        """Have everything reported that is due."""
        instruments = self._world.plant.instruments
        self._befall(instruments.coordinators.get(self._link.id))
        for station, device in zip(self._stations, self.devices, strict=True):
            station.node.online = station.on and not instruments.mute[instruments.row[device.id]]
            if not station.node.online:
                continue
            picture = self._world.look()
            if picture is not station.shown:
                station.show(picture)
                station.shown = picture
            station.node.tick(now_s)

    def _befall(self, how: str | None) -> None:
        """What goes wrong with the coordinator from now on."""
        trouble = None if how is None else Trouble(how)
        if trouble is not self.air.trouble:
            self.air.befall(trouble, self._other)

    def _add(self, station: ZigbeeMim | ZigbeeMeter, device: Meter | Mim) -> None:
        self._stations.append(station)
        self.devices.append(WirelessDevice(device.id, device.address, station.kind))
        self.air.add(_Reached(station.node, device.id, self._world.plant.instruments))

    def _meter(self, meter: Meter, rng: np.random.Generator, nwk: int) -> ZigbeeMeter:
        profile = self._profiles.get(meter.address.profile)
        if profile is None:
            raise UserError(f"{meter.id} needs the Zigbee profile '{meter.address.profile}', which was not loaded")
        return ZigbeeMeter(meter, self._layout, rng, profile, nwk, self._sender(meter.id))

    def _sender(self, device: str) -> Callable[[Frame], None]:
        """The way from a device to the air, which may lose frames."""

        def send(frame: Frame) -> None:
            with contextlib.suppress(LinkError):  # nobody hears it
                self._world.plant.instruments.answer(device)
                self.air.carry(frame)

        return send


class _Reached:
    """A station at the end of a way that may lose frames."""

    def __init__(self, node: Node, device: str, instruments: Instruments) -> None:
        self._node, self._device, self._instruments = node, device, instruments
        self.eui = node.eui

    @property
    def nwk(self) -> int:
        return self._node.nwk

    @nwk.setter
    def nwk(self, nwk: int) -> None:
        self._node.nwk = nwk

    def receive(self, frame: Frame) -> None:
        with contextlib.suppress(LinkError):  # it does not hear it
            self._instruments.ask(self._device)
            self._node.receive(frame)
