"""What stands between the air and zigpy: nothing that somebody sends may raise, flood or join uninvited."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import structlog
import zigpy.types as t
from zigpy.application import ControllerApplication
from zigpy.zdo.types import ZDOCmd

#: an unknown sender is asked who it is so often at most, and so many of them [s]
_ASK_EVERY_S = 30.0
_ASK_MOST = 32
#: one device is taken seriously as joining so often at most [s]
_JOIN_EVERY_S = 5.0
_REMEMBERED = 1024
#: profile of devices without a battery, which have no install codes
_GREEN_POWER = 0xA1E0


@dataclass(eq=False)
class Gate:
    """Who may be on the network, and what was turned away. Counted always, told once.

    Args:
        expected: EUIs of the site file, as sixteen hexadecimal digits.
        invited: EUI of the device that may join now, until this instant.
    """

    expected: set[str] = field(default_factory=set)
    invited: dict[str, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    _told: set[tuple[str, str]] = field(default_factory=set)
    _asked_at_s: dict[str, float] = field(default_factory=dict)
    _log: Any = field(default_factory=lambda: structlog.get_logger("mimctl.zigbee"))

    def admits(self, eui: str, now_s: float) -> bool:
        """Whether a device is one of the site's, or was invited and its time is not over."""
        return eui in self.expected or now_s <= self.invited.get(eui, float("-inf"))

    def refuse(self, why: str, who: str, **more: Any) -> None:
        """Count something that was turned away; the first of each kind and sender is told."""
        self.counts[why] += 1
        if (why, who) not in self._told and len(self._told) < _REMEMBERED:
            self._told.add((why, who))
            self._log.warning(f"zigbee: {why}", sender=who, **more)

    def seldom(self, what: str, every_s: float, now_s: float, most: int) -> bool:
        """True so often at most, for so many different things at a time."""
        recent = self._asked_at_s
        if now_s - recent.get(what, float("-inf")) < every_s:
            return False
        if what not in recent and len(recent) >= most:
            for old in [name for name, at_s in recent.items() if now_s - at_s >= every_s]:
                del recent[old]
            if len(recent) >= most:
                return False
        recent[what] = now_s
        return True


def guarded(radio: type[ControllerApplication]) -> type[ControllerApplication]:
    """The radio, with a gate in front: what arrives goes through `gate` first, and never raises."""

    class Guarded(radio):
        gate: Gate

        def packet_received(self, packet: t.ZigbeePacket) -> None:
            try:
                if self._known(packet):
                    super().packet_received(packet)
            except Exception as error:  # noqa: BLE001 - whatever a sender wrote, the radio's task must live; counted and told
                self.gate.refuse("malformed frame", str(packet.src), error=type(error).__name__)

        def _known(self, packet: t.ZigbeePacket) -> bool:
            """Whether a frame is worth zigpy's while: a flood of strangers would have every frame answered by a broadcast."""
            self.gate.counts["frames"] += 1
            if packet.profile_id == _GREEN_POWER:
                self.gate.refuse("green power", str(packet.src))
                return False
            try:
                self.get_device_with_address(packet.src)
            except KeyError:
                names_itself = (ZDOCmd.Device_annce, ZDOCmd.IEEE_addr_rsp, ZDOCmd.NWK_addr_rsp)
                if packet.dst_ep == 0 and packet.cluster_id in names_itself:
                    return True
                self.gate.refuse("unknown sender", str(packet.src))
                return self.gate.seldom(f"ask {packet.src}", _ASK_EVERY_S, _now_s(), _ASK_MOST)
            return True

        def handle_join(self, nwk: t.NWK, ieee: t.EUI64, parent_nwk: t.NWK, *, handle_rejoin: bool = True) -> None:
            eui, now_s = plain_eui(ieee), _now_s()
            held = self.devices.get(t.EUI64(ieee))
            if held is None and not self.gate.admits(eui, now_s):
                self.gate.refuse("device that nobody invited", eui)
                return
            settled = held is not None and held.nwk == nwk
            how = "join" if handle_rejoin else "address"
            if settled and not self.gate.seldom(f"{how} {eui}", _JOIN_EVERY_S, now_s, _REMEMBERED):
                self.gate.counts["repeated announcement"] += 1
                return
            super().handle_join(nwk, ieee, parent_nwk, handle_rejoin=handle_rejoin)
            if held is not None and handle_rejoin:
                # zigpy says nothing of a known device that comes back under its old short address
                self.listener_event("device_came", held)

        async def permit_gp(self, time_s: int) -> None:
            """Green Power devices join without an install code: their window only ever closes."""
            await super().permit_gp(0)

    return Guarded


def plain_eui(ieee: Any) -> str:
    """An address as sixteen hexadecimal digits."""
    return str(ieee).replace(":", "").lower()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
