"""The registers of a virtual transfer device: its state, its frequency and what it can give, as its profile has them."""

from __future__ import annotations

import math

from mimctl.model.errors import DeviceRefusal
from mimctl.model.profile import DeviceProfile
from mimctl.twin.images import ILLEGAL_ADDRESS, Display, image_of_profiles
from mimctl.twin.picture import World
from mimctl.twin.transfers import TRANSFER_KEYS, Switch

#: of points with a scale register
_EXPONENTS = {"frequency": -2, "voltage": -1}


class TransferBank:
    """One unit as a `wire.modbus_server.RegisterBank`. What its profile has beside its state reads as 0."""

    def __init__(self, switch: Switch, world: World, profile: DeviceProfile) -> None:
        self._switch, self._world = switch, world
        self._image = image_of_profiles(switch.device.id, [profile], _EXPONENTS)
        points = {point.key for point in profile.register_map.points}
        self._keys = [(key, plain) for key in sorted(points) for plain in TRANSFER_KEYS if key.partition(".")[0] == plain]
        self._display = Display(self._image, profile.register_map, [key for key, _ in self._keys])

    def read(self, address: int, count: int) -> bytes:
        self._world.advance()
        values = dict(zip(TRANSFER_KEYS, self._world.plant.switches.values(self._switch), strict=True))
        # a state that its manual has no value for reads as 0, as on a device that has just started
        told = {key: 0.0 if plain == "status" and math.isnan(values[plain]) else values[plain] for key, plain in self._keys}
        self._display.show(told)
        return self._image.read(address, count)

    def write(self, address: int, data: bytes) -> None:
        raise DeviceRefusal(self._switch.device.id, f"register {address} cannot be written", ILLEGAL_ADDRESS)
