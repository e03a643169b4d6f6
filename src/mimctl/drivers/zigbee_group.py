"""The devices of one Zigbee link."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.model.event import LinkNews
from mimctl.model.protocols import Driver
from mimctl.model.zigbee_profile import ZigbeeProfile
from mimctl.wire.zigbee.radios import require_zigbee

#: as many as every coordinator takes
AT_A_TIME = 4

if TYPE_CHECKING:
    from mimctl.drivers.registry import LinkDevices
    from mimctl.wire.zigbee.bridge import ZigbeeBridge


@dataclass(eq=False)
class ZigbeeGroup:
    """Implements `model.protocols.DriverGroup`, `TellsNews`, `Tended` and `Wide`."""

    bridge: ZigbeeBridge
    drivers: Mapping[str, Driver] = field(default_factory=dict)
    _up: bool | None = None

    @property
    def link(self) -> str:
        return self.bridge.link

    @property
    def at_a_time(self) -> int:
        """Commands under way at a time: the others wait here, where the newest plan decides what becomes of them."""
        return AT_A_TIME

    async def open(self) -> None:
        await self.bridge.open()

    async def close(self) -> None:
        await self.bridge.close()

    def background(self) -> tuple[asyncio.Task[None], ...]:
        """What keeps the link up."""
        return self.bridge.background()

    def take_news(self) -> list[LinkNews]:
        """Whether the coordinator came or went since the last call."""
        up, before = self.bridge.connected, self._up
        self._up = up
        if before is None or up == before:
            return []
        text = "the coordinator is back" if up else f"its coordinator is away: {self.bridge.trouble}"
        return [LinkNews("zigbee.back" if up else "zigbee.away", self.link, text, bad=not up)]

    def status(self) -> dict[str, object]:
        """In plain values: no key, nothing of what devices sent."""
        bridge = self.bridge
        waiting = {name: d.trouble for name, d in bridge.devices.items() if not d.ready}
        return {
            "connected": bridge.connected,
            "trouble": bridge.trouble,
            "connections": bridge.starts,
            "messages": dict(sorted(bridge.gate.counts.items())),
            "waiting": waiting,
        }


def zigbee_group(
    devices: LinkDevices, profiles: Mapping[str, ZigbeeProfile], database: Path, clock: Clock, max_age_s: float
) -> ZigbeeGroup:
    """The drivers of a Zigbee link; nothing is connected yet.

    Args:
        profiles: every profile that its devices name, by id.
        database: of the link's coordinator; it will hold keys.
        max_age_s: nothing is decided on older measurements [s].

    Raises:
        MissingExtra: the packages are not installed.
        UserError: a profile was not loaded.
    """
    require_zigbee()
    from mimctl.drivers.zigbee_device import ZigbeeDevice, paced
    from mimctl.drivers.zigbee_mim import ZigbeeMim
    from mimctl.wire.zigbee.bridge import ZigbeeBridge

    radio = devices.link.zigbee
    if radio is None:
        raise UserError(f"link '{devices.link.id}' names no coordinator")
    bridge = ZigbeeBridge(devices.link.id, radio, database, clock)
    drivers: dict[str, Driver] = {}
    for meter in devices.meters:
        found = paced(_profile(meter.address.profile, profiles).map, max(1.0, max_age_s / 2))
        drivers[meter.id] = ZigbeeDevice(meter.id, meter.address.eui, found, bridge, clock)
    for mim in devices.mims:
        _profile(mim.address.profile, profiles)
        drivers[mim.id] = ZigbeeMim(mim, bridge, clock)
    return ZigbeeGroup(bridge, drivers)


def _profile(name: str, profiles: Mapping[str, ZigbeeProfile]) -> ZigbeeProfile:
    profile = profiles.get(name)
    if profile is None:
        raise UserError(f"the Zigbee profile '{name}' was not loaded")
    return profile
