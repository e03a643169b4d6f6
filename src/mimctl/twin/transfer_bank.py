"""The registers of a virtual transfer device: its state, what it measures, and what it can give, as its profile has them."""

from __future__ import annotations

import math

import numpy as np

from mimctl.model.address import DeviceAddress
from mimctl.model.errors import DeviceRefusal
from mimctl.model.instances import instance_of, plain_key
from mimctl.model.profile import DeviceProfile
from mimctl.model.site import Meter
from mimctl.model.transfer import TransferState
from mimctl.twin.images import ILLEGAL_ADDRESS, Display, image_of_profiles
from mimctl.twin.meter_values import MeterValues
from mimctl.twin.meters import exponents_of
from mimctl.twin.picture import Picture, World
from mimctl.twin.transfers import TRANSFER_KEYS, Switch

#: these run only while they feed
_STARTED = (TransferState.GENERATOR, TransferState.BATTERY)
_LINE = math.sqrt(3)


class TransferBank:
    """One unit as a `wire.modbus_server.RegisterBank`.

    It measures what flows through it into its node. Of its sources (`source1`, `source2`) the one that feeds has that, the other
    its voltage at most. What is not modelled, such as alarms, stays 0.
    """

    def __init__(
        self, switch: Switch, address: DeviceAddress, world: World, profile: DeviceProfile, rng: np.random.Generator
    ) -> None:
        layout = world.plant.layout
        node = layout.nodes[switch.node]
        self._switch, self._world, self._volts = switch, world, node.voltage_ln_v
        self._image = image_of_profiles(switch.device.id, [profile], exponents_of(node))
        self._values = MeterValues(Meter(switch.device.id, node.id, address), layout, rng)
        points = profile.register_map.points
        self._keys = tuple(p.key for p in points if not p.static and not p.type.is_text)
        self._display = Display(self._image, profile.register_map, self._keys)
        self._seen: tuple[Picture, tuple[float, float, float]] | None = None

    def read(self, address: int, count: int) -> bytes:
        picture, own = self._world.look(), self._world.plant.switches.values(self._switch)
        if self._seen is None or picture is not self._seen[0] or not np.array_equal(own, self._seen[1], equal_nan=True):
            measured, told = self._values.measured(picture), dict(zip(TRANSFER_KEYS, own, strict=True))
            # a state that its manual has no value for reads as 0, as on a device that has just started
            told["status"] = np.nan_to_num(told["status"])
            self._display.show({key: self._value(key, measured, told) for key in self._keys})
            self._seen = picture, own
        return self._image.read(address, count)

    def write(self, address: int, data: bytes) -> None:
        raise DeviceRefusal(self._switch.device.id, f"register {address} cannot be written", ILLEGAL_ADDRESS)

    def _value(self, key: str, measured: dict[str, float], told: dict[str, float]) -> float:
        """What one point shows; NaN where the device has no such value."""
        source, plain = instance_of(key), plain_key(key, {})
        quantity = plain.partition(".")[0]
        if source is None:
            return told[plain] if plain in told else measured.get(plain, math.nan)
        feeds, live = self._source(int(source.removeprefix(source.rstrip("0123456789"))))
        if feeds:
            return measured.get(plain, math.nan)
        if quantity == "voltage" and live:
            return self._volts * (_LINE if plain.count("L") > 1 else 1.0)
        return measured["frequency"] if quantity == "frequency" and live else 0.0

    def _source(self, number: int) -> tuple[bool, bool]:
        """Whether one of its sources, counted from 1, feeds now, and whether it has voltage."""
        switch = self._switch
        if number == 1:
            return switch.state is TransferState.NORMAL, not switch.lost
        feeds = number == 2 and switch.state in (TransferState.ALTERNATE, *_STARTED)
        return feeds, feeds or (number == 2 and switch.device.backup is TransferState.ALTERNATE)
