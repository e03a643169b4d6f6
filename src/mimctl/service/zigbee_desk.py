"""What people do with a Zigbee coordinator while the service has it: see who is there, let one device in, take a backup."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import structlog

from mimctl.drivers.zigbee_group import ZigbeeGroup
from mimctl.model.errors import UserError
from mimctl.model.protocols import DriverGroup
from mimctl.service.lease_desk import owner_of

if TYPE_CHECKING:
    from mimctl.wire.zigbee.bridge import ZigbeeBridge


class ZigbeeDesk:
    """Speaks for the coordinators of a running site."""

    def __init__(self, groups: Iterable[DriverGroup]) -> None:
        self._bridges = {group.link: group.bridge for group in groups if isinstance(group, ZigbeeGroup)}
        self._log = structlog.get_logger("mimctl.zigbee")

    async def answer(self, request: Mapping[str, Any]) -> Any:
        """A request that came through the door: `do` is `devices`, `map`, `permit` or `backup`.

        Raises:
            UserError: something in it is wrong.
            Unreachable: the coordinator is away.
        """
        bridge, what = self._bridge(str(request.get("link"))), request.get("do")
        from mimctl.wire.zigbee import hands

        match what:
            case "devices":
                return [hands.plain(found) for found in await bridge.by_hand(hands.listed)]
            case "map":
                return [hands.plain(found) for found in await bridge.by_hand(hands.neighbours)]
            case "permit":
                return await self._permit(bridge, request)
            case "backup":
                self._log.info("zigbee backup taken", link=bridge.link, by=owner_of(request))
                return await bridge.by_hand(hands.take_backup)
            case _:
                raise UserError(f"'{what}' needs the coordinator for itself: stop the service first")

    async def _permit(self, bridge: ZigbeeBridge, request: Mapping[str, Any]) -> dict[str, Any]:
        from mimctl.wire.zigbee import hands

        eui, code, seconds = request.get("eui"), request.get("install_code"), request.get("seconds")
        if not isinstance(eui, str) or not isinstance(code, str):
            raise UserError("a device is let in by its address and its install code")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise UserError("seconds is a number")
        self._log.info("zigbee network open for one device", link=bridge.link, eui=eui, seconds=seconds, by=owner_of(request))
        found = await bridge.by_hand(lambda app: hands.let_in(app, eui, code, float(seconds)))
        return hands.plain(found)

    def _bridge(self, link: str) -> ZigbeeBridge:
        if link not in self._bridges:
            there = ", ".join(self._bridges) or "none"
            raise UserError(f"the running service has no Zigbee link '{link}' (it has: {there})")
        return self._bridges[link]
