"""The devices of one LoRaWAN link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mimctl.model.address import DeviceAddress
from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.model.event import LinkNews
from mimctl.model.payload import PayloadProfile
from mimctl.model.protocols import Driver

if TYPE_CHECKING:
    from mimctl.drivers.registry import LinkDevices
    from mimctl.wire.chirpstack.bridge import LorawanBridge


@dataclass(frozen=True, eq=False)
class LorawanGroup:
    """Implements `model.protocols.DriverGroup`."""

    bridge: LorawanBridge
    drivers: Mapping[str, Driver] = field(default_factory=dict)

    @property
    def link(self) -> str:
        return self.bridge.link

    async def open(self) -> None:
        await self.bridge.open()

    async def close(self) -> None:
        await self.bridge.close()

    def take_news(self) -> list[LinkNews]:
        """What happened on the link since the last call."""
        return self.bridge.take_news()

    def status(self) -> dict[str, object]:
        """In plain values."""
        bridge = self.bridge
        return {"connected": bridge.connected, "connections": bridge.connections, "messages": dict(sorted(bridge.counts.items()))}


def lorawan_group(
    devices: LinkDevices, profiles: Mapping[str, PayloadProfile], clock: Clock, nominal_hz: float = 50.0
) -> LorawanGroup:
    """The drivers of a LoRaWAN link; nothing is connected yet.

    Args:
        profiles: every profile that its devices name, by id.

    Raises:
        UserError: the extra is missing, or a profile was not loaded.
    """
    # what they import is heavy, and only sites with such a link need it
    from mimctl.drivers.lorawan_device import LorawanDevice
    from mimctl.drivers.lorawan_mim import LorawanMim
    from mimctl.wire.chirpstack.bridge import LorawanBridge

    bridge = LorawanBridge(devices.link, clock)
    drivers: dict[str, Driver] = {}
    for meter in devices.meters:
        profile = _profile(meter.address, profiles)
        drivers[meter.id] = LorawanDevice(meter.id, meter.address.eui, bridge, profile, clock, nominal_hz=nominal_hz)
    for mim in devices.mims:
        drivers[mim.id] = LorawanMim(mim, bridge, _profile(mim.address, profiles), clock, nominal_hz=nominal_hz)
    return LorawanGroup(bridge, drivers)


def _profile(address: DeviceAddress, profiles: Mapping[str, PayloadProfile]) -> PayloadProfile:
    profile = profiles.get(address.profile)
    if profile is None:
        raise UserError(f"the profile '{address.profile}' of payloads was not loaded")
    return profile
