"""A coordinator without a stick: zigpy's controller over the air of `air.Air`, in this process or behind a loopback socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import zigpy.config as conf
import zigpy.state
import zigpy.types as t
from zigpy.application import ControllerApplication
from zigpy.exceptions import DeliveryError, NetworkNotFormed
from zigpy.zdo import types as zdo_t

from mimctl.wire.zigbee.air import COORDINATOR, Air, Frame, Stick, Trouble
from mimctl.wire.zigbee.guard import plain_eui

#: longest wait for a sign of life, and how often it is asked for [s]
_PING_S, WATCH_S = 5.0, 30.0
_LOOK_S = 0.05


class Port(Protocol):
    """Where the coordinator's frames go and come from."""

    async def connect(self, receive: Callable[[Frame], None], lost: Callable[[Exception], None]) -> Stick:
        """Raises OSError where nothing is there."""
        ...

    async def close(self) -> None: ...

    def send(self, frame: Frame) -> bool:
        """False where the receiver does not acknowledge it. Raises OSError where the connection is gone."""
        ...

    async def keep(self, stick: Stick) -> None:
        """Store what the stick remembers."""
        ...

    async def permit(self, eui: str, key: bytes | None) -> None:
        """Let a device in under its link key, or nobody any more (None)."""
        ...

    async def ping(self) -> None:
        """Returns once the stick has answered; never, where it is silent. Raises OSError where the connection is gone."""
        ...


class AirPort:
    """An air in this process."""

    def __init__(self, air: Air) -> None:
        self._air = air
        self.present = True

    async def connect(self, receive: Callable[[Frame], None], lost: Callable[[Exception], None]) -> Stick:
        if not self.present or self._air.trouble is Trouble.UNPLUGGED:
            raise ConnectionError("the radio is not there")
        async with asyncio.timeout(_PING_S):
            await self.ping()
        self._air.attach(receive, lambda: lost(ConnectionError("the radio was unplugged")))
        return self._air.stick

    async def close(self) -> None:
        self._air.detach()

    def send(self, frame: Frame) -> bool:
        if not self._air.attached:
            raise ConnectionError("the radio is not there")
        if self._air.trouble is Trouble.SILENT:
            return True
        self._air.carry(frame)
        return frame.dst >= 0xFFF8 or self._air.hears(frame.dst)

    async def keep(self, stick: Stick) -> None:
        self._air.stick = stick

    async def permit(self, eui: str, key: bytes | None) -> None:
        if key is None:
            self._air.open_to.clear()
        else:
            self._air.open_to[eui] = key

    async def ping(self) -> None:
        while self._air.trouble is Trouble.SILENT:  # noqa: ASYNC110 - it goes by itself; whoever asks has a bound
            await asyncio.sleep(_LOOK_S)


class MemoryRadio(ControllerApplication):
    """zigpy's view of the air: real bytes both ways; what a stick does in its firmware is done here.

    Subclasses, made by `memory_radio`, have the `port`.
    """

    port: Port

    async def connect(self) -> None:
        self._stick = await self.port.connect(self._receive, self.connection_lost)

    async def disconnect(self) -> None:
        await self.port.close()

    async def _watchdog_feed(self) -> None:
        async with asyncio.timeout(_PING_S):
            await self.port.ping()

    async def load_network_info(self, *, load_devices: bool = False) -> None:
        network, node = self._stick.network, self._stick.node
        if network is None or node is None:
            raise NetworkNotFormed
        self.state.network_info = zigpy.state.NetworkInfo.from_dict(network)
        self.state.node_info = zigpy.state.NodeInfo.from_dict(node)

    async def write_network_info(self, *, network_info: zigpy.state.NetworkInfo, node_info: zigpy.state.NodeInfo) -> None:
        own = t.EUI64.convert(self._stick.eui) if node_info.ieee == t.EUI64.UNKNOWN else node_info.ieee
        # the address comes as a plain number where a network is formed; stored so, no database would load again
        node = node_info.replace(ieee=own, nwk=t.NWK(node_info.nwk))
        partner = network_info.tc_link_key
        network = network_info.replace(pan_id=t.PanId(network_info.pan_id), tc_link_key=partner.replace(partner_ieee=own))
        self._stick.network, self._stick.node = network.as_dict() | {"metadata": {}, "source": "mimctl"}, node.as_dict()
        await self.port.keep(self._stick)

    async def reset_network_info(self) -> None:
        self._stick.network = self._stick.node = None
        await self.port.keep(self._stick)

    async def start_network(self) -> None:
        await self.load_network_info()
        info = self.state.node_info
        device = self.devices.get(info.ieee) or self.add_device(info.ieee, info.nwk)
        device.node_desc = zdo_t.NodeDescriptor(0x00, 0x40, 0x8F, 0x0000, 82, 82, 0x2C00, 82, 0)
        endpoint = device.add_endpoint(1)
        endpoint.profile_id, endpoint.device_type = 0x0104, 0x0005
        endpoint.status = 1
        endpoint.add_input_cluster(0x0000)
        device.manufacturer, device.model = "mimctl", "in-memory coordinator"
        await self.register_endpoints()

    async def add_endpoint(self, descriptor: zdo_t.SimpleDescriptor) -> None:
        """The air delivers to every endpoint."""

    async def force_remove(self, dev: Any) -> None:
        """The device's own leave request says enough."""

    async def permit_ncp(self, time_s: int = 60) -> None:
        if time_s == 0:
            await self.port.permit("", None)

    async def permit_with_link_key(self, node: t.EUI64, link_key: t.KeyData, time_s: int = 60) -> None:
        await self.port.permit(plain_eui(node), link_key.serialize())
        await super().permit(time_s)

    async def send_packet(self, packet: t.ZigbeePacket) -> None:
        async with self._room(packet):
            dst = packet.dst
            assert dst is not None
            if dst.addr_mode == t.AddrMode.IEEE:
                dst = t.AddrModeAddress(t.AddrMode.NWK, self.devices[dst.address].nwk)
            if dst.addr_mode == t.AddrMode.NWK and dst.address == COORDINATOR:
                raise DeliveryError("the in-memory coordinator does not talk to itself")
            frame = Frame(
                COORDINATOR,
                packet.src_ep or 0,
                int(dst.address),
                packet.dst_ep or 0,
                packet.profile_id,
                packet.cluster_id,
                packet.data.serialize(),
            )
            try:
                acknowledged = self.port.send(frame)
            except OSError as error:
                raise DeliveryError("the radio is gone") from error
            if not acknowledged:
                raise DeliveryError("not acknowledged")

    @contextlib.asynccontextmanager
    async def _room(self, packet: t.ZigbeePacket) -> AsyncIterator[None]:
        async with self._limit_concurrency(priority=packet.priority):
            yield

    def _receive(self, frame: Frame) -> None:
        """A frame from the air, handed up as a stick's driver does."""
        self.packet_received(
            t.ZigbeePacket(
                src=t.AddrModeAddress(t.AddrMode.NWK, t.NWK(frame.src)),
                src_ep=t.uint8_t(frame.src_ep),
                dst=t.AddrModeAddress(t.AddrMode.NWK, t.NWK(frame.dst)),
                dst_ep=t.uint8_t(frame.dst_ep),
                tsn=t.uint8_t(frame.data[0] if frame.data else 0),
                profile_id=t.uint16_t(frame.profile),
                cluster_id=t.uint16_t(frame.cluster),
                data=t.SerializableBytes(frame.data),
                lqi=t.uint8_t(frame.lqi),
                rssi=t.int8s(-50),
            )
        )


def memory_radio(port: Port, watch_s: float | None = None) -> type[ControllerApplication]:
    """A radio class whose instances use this port, as zigpy makes its radios from a class and a configuration.

    Args:
        watch_s: how often the stick is asked for a sign of life [s]; None = as often as others are.
    """
    return type("PortRadio", (MemoryRadio,), {"port": port, "_watchdog_period": WATCH_S if watch_s is None else watch_s})


#: of the configuration that zigpy checks; a radio without a device needs a path all the same
MEMORY_DEVICE = {conf.CONF_DEVICE_PATH: "memory"}
