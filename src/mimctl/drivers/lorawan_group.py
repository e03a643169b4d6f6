"""The devices of one LoRaWAN link."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mimctl.model.address import DeviceAddress
from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.model.event import LinkNews
from mimctl.model.payload import PayloadProfile
from mimctl.model.protocols import Driver

if TYPE_CHECKING:
    from mimctl.drivers.lorawan_multicast import GroupWriter
    from mimctl.drivers.registry import LinkDevices
    from mimctl.wire.chirpstack.bridge import LorawanBridge


@dataclass(frozen=True, eq=False)
class LorawanGroup:
    """Implements `model.protocols.DriverGroup`, `TellsNews`, `Tended` and `Wide`."""

    bridge: LorawanBridge
    drivers: Mapping[str, Driver] = field(default_factory=dict)
    writers: Sequence[GroupWriter] = ()

    @property
    def link(self) -> str:
        return self.bridge.link

    async def open(self) -> None:
        await self.bridge.open()

    @property
    def at_a_time(self) -> int:
        """A command is one call of the server, which takes many; those of a multicast group go together."""
        return max(1, len(self.drivers))

    async def close(self) -> None:
        for writer in self.writers:
            await writer.close()
        await self.bridge.close()

    def background(self) -> tuple[asyncio.Task[None], ...]:
        """What keeps the link up."""
        return self.bridge.background()

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
    writers = _writers(devices, profiles, bridge, clock)
    for mim in devices.mims:
        profile = _profile(mim.address, profiles)
        drivers[mim.id] = LorawanMim(mim, bridge, profile, clock, nominal_hz=nominal_hz, group=writers.get(mim.id))
    return LorawanGroup(bridge, drivers, tuple(dict.fromkeys(writers.values())))


def _writers(
    devices: LinkDevices, profiles: Mapping[str, PayloadProfile], bridge: LorawanBridge, clock: Clock
) -> dict[str, GroupWriter]:
    """By MIM, that of its multicast group."""
    from mimctl.drivers.lorawan_multicast import GroupWriter

    spec, here = devices.link.lorawan, {mim.id: mim for mim in devices.mims}
    found: dict[str, GroupWriter] = {}
    for group in () if spec is None else spec.multicast:
        own = [here[name] for name, _ in group.members if name in here]  # a command may look at a part of the site
        profile = _profile(own[0].address, profiles) if own else None
        if spec is None or profile is None or profile.group is None or profile.setpoint is None:
            continue
        most_bytes = spec.plan.rules.downlinks[group.downlink_dr].most_bytes
        writer = GroupWriter(group, profile.group, most_bytes, profile.most_number, bridge, clock)
        found |= {mim.id: writer for mim in own}
    return found


def _profile(address: DeviceAddress, profiles: Mapping[str, PayloadProfile]) -> PayloadProfile:
    profile = profiles.get(address.profile)
    if profile is None:
        raise UserError(f"the profile '{address.profile}' of payloads was not loaded")
    return profile
