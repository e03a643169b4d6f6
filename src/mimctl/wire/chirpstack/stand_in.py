"""A stand-in for ChirpStack: its gRPC interface and its events, with the queues and timers of class C behind them.

It does what a server of version 4 does with downlinks: one frame at a time to a device, a lock between two of them, a tx-ack by the
gateway, an acknowledgement or a timeout where it is confirmed, and log entries for what expires, is too long or is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mimctl.model.clock import Clock
from mimctl.model.link import TlsFiles
from mimctl.model.tasks import end_tasks
from mimctl.wire.chirpstack.stand_in_api import device_info, device_servicer, group_servicer
from mimctl.wire.chirpstack.stream import connected
from mimctl.wire.tls import client_context

#: what a device does with a frame: True = it acknowledges
Receiver = Callable[[int, bytes], bool]


@dataclass(frozen=True, slots=True)
class Timing:
    """Of the server [s]."""

    scheduler_s: float = 1.0
    class_c_lock_s: float = 5.0
    class_c_timeout_s: float = 15.0
    airtime_s: float = 0.3


@dataclass(slots=True)
class _Item:
    id: str
    port: int
    payload: bytes
    confirmed: bool
    expires: datetime | None


@dataclass(slots=True)
class _Device:
    receive: Receiver
    name: str
    address: str = "00000001"
    up: int = 0
    down: int = 0
    queue: deque[_Item] = field(default_factory=deque)
    free_at_s: float = 0.0
    #: always, as in class C; else for a moment after its own frames
    listens: bool = True
    #: since it joined: until then nothing is sent to it
    heard: bool = True


@dataclass(slots=True)
class _Group:
    """A multicast group: no event tells what becomes of its frames."""

    euis: tuple[str, ...]
    counter: int = 0
    queue: deque[_Item] = field(default_factory=deque)
    free_at_s: float = 0.0


@dataclass(eq=False)
class ChirpStackStandIn:
    """One application with its devices.

    Args:
        token: that calls must carry.
        broker: host and port; `tls` for it.
        most_bytes: of a downlink, by the data rate.
    """

    application: str
    token: str
    broker: tuple[str, int]
    clock: Clock
    tls: TlsFiles | None = None
    marshalling: Literal["json", "protobuf"] = "json"
    timing: Timing = field(default_factory=Timing)
    most_bytes: int = 51
    #: a gateway refuses to send for this reason; None = it sends
    gateway_error: str | None = None
    #: asked for each frame on the air, either way: True = it is lost
    lost: Callable[[], bool] = lambda: False
    enqueued: int = 0
    _devices: dict[str, _Device] = field(default_factory=dict)
    _groups: dict[str, _Group] = field(default_factory=dict)
    _out: asyncio.Queue[tuple[str, bytes]] = field(default_factory=asyncio.Queue)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _server: Any = None
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def add(self, eui: str, name: str, receive: Receiver, *, listens: bool = True) -> None:
        """A device.

        Args:
            listens: always, as in class C; False: for a moment after its own frames, as in class A.
        """
        self._devices[eui] = _Device(receive, name, listens=listens)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Serve; returns the port of the gRPC interface."""
        import grpc
        from chirpstack_api import api

        server = grpc.aio.server()
        api.add_DeviceServiceServicer_to_server(device_servicer(self), server)
        api.add_MulticastGroupServiceServicer_to_server(group_servicer(self), server)
        bound: int = server.add_insecure_port(f"{host}:{port}")
        await server.start()
        self._server = server
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._publish(), name="events"),
                asyncio.create_task(self._schedule(), name="downlinks"),
            ]
        return bound

    async def stop_api(self) -> None:
        """The gRPC interface alone goes away."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)

    async def stop(self) -> None:
        """Everything goes away."""
        await self.stop_api()
        tasks, self._tasks = self._tasks, []
        await end_tasks(*tasks)

    def add_group(self, group: str, euis: Iterable[str]) -> None:
        """A multicast group of class C."""
        self._groups[group] = _Group(tuple(euis))

    def join(self, eui: str) -> None:
        """A device joins anew: new address, counters from 0."""
        from chirpstack_api import integration

        device = self._devices[eui]
        device.address, device.up, device.down = f"{int(device.address, 16) + 1:08x}", 0, 0
        device.queue.clear()
        device.heard = False
        self.tell(eui, "join", integration.JoinEvent(dev_addr=device.address))

    def uplink(self, eui: str, port: int, payload: bytes, *, counter: int | None = None, at: datetime | None = None) -> None:
        """A device sends a frame."""
        from chirpstack_api import gw, integration

        device = self._devices[eui]
        number = device.up if counter is None else counter
        device.up = max(device.up, number + 1)
        if self.lost():
            return
        event = integration.UplinkEvent(dev_addr=device.address, adr=True, dr=5, f_cnt=number, f_port=port, data=payload)
        event.time.FromDatetime((at or self.clock.utc()).replace(tzinfo=None))
        event.rx_info.append(gw.UplinkRxInfo(gateway_id="0016c001f153a14c", rssi=-70, snr=8.5))
        event.rx_info[0].ns_time.FromDatetime(self.clock.utc().replace(tzinfo=None))
        event.tx_info.frequency = 868_100_000
        self.tell(eui, "up", event)
        device.heard = True
        if not device.listens and device.queue:
            self._send_next(eui, device)

    def tell(self, eui: str, kind: str, event: Any) -> None:
        """Publish an event of a device."""
        from google.protobuf import json_format

        fields = event.DESCRIPTOR.fields_by_name
        if "deduplication_id" in fields:
            event.deduplication_id = event.deduplication_id or str(uuid.UUID(int=next(self._numbers)))
        if not event.HasField("time") if "time" in fields else False:
            event.time.FromDatetime(self.clock.utc().replace(tzinfo=None))
        name = self._devices[eui].name if eui in self._devices else ""
        listens = eui not in self._devices or self._devices[eui].listens
        event.device_info.CopyFrom(device_info(self.application, eui, name, listens=listens))
        body = (
            event.SerializeToString() if self.marshalling == "protobuf" else json_format.MessageToJson(event, indent=None).encode()
        )
        self._out.put_nowait((f"application/{self.application}/device/{eui}/event/{kind}", body))

    def put(self, item: Any, *, flush: bool) -> str:
        """Take a downlink into a queue; a frame that is on its way already stays there."""
        device = self._devices[item.dev_eui]
        if flush:
            device.queue.clear()
        number = str(uuid.UUID(int=next(self._numbers)))
        taken = _Item(number, item.f_port, item.data, item.confirmed, self._expiry(item))
        device.queue.append(taken)
        self.enqueued += 1
        return taken.id

    def drop(self, eui: str) -> None:
        """Empty the queue of a device."""
        self._devices[eui].queue.clear()

    def put_group(self, item: Any) -> int:
        """Take a frame into the queue of a group; its frame counter."""
        group = self._groups[item.multicast_group_id]
        group.queue.append(_Item("", item.f_port, item.data, False, self._expiry(item)))
        self.enqueued += 1
        group.counter += 1
        return group.counter - 1

    def drop_group(self, group: str) -> None:
        """Empty the queue of a group."""
        self._groups[group].queue.clear()

    def has(self, eui: str) -> bool:
        return eui in self._devices

    def has_group(self, group: str) -> bool:
        return group in self._groups

    def _expiry(self, item: Any) -> datetime | None:
        at: datetime | None = item.expires_at.ToDatetime(self.clock.utc().tzinfo) if item.HasField("expires_at") else None
        return at

    async def _publish(self) -> None:
        """Hand events to the broker, each until it has it."""
        import aiomqtt

        waiting: tuple[str, bytes] | None = None
        while self._tasks:  # a farewell that fails takes the place of a cancellation
            tls: dict[str, Any] = {} if self.tls is None else {"tls_context": client_context(self.tls)}
            with contextlib.suppress(aiomqtt.MqttError, OSError):
                async with connected(aiomqtt.Client(*self.broker, identifier="chirpstack", timeout=1.0, **tls)) as client:
                    while self._tasks:
                        waiting = waiting or await self._out.get()
                        await client.publish(waiting[0], waiting[1], qos=1)
                        waiting = None
            await asyncio.sleep(0.2)

    async def _schedule(self) -> None:
        while True:
            for eui, device in list(self._devices.items()):
                if device.queue and device.listens and device.heard and self.clock.monotonic_s() >= device.free_at_s:
                    self._send_next(eui, device)
            for group in self._groups.values():
                if group.queue and self.clock.monotonic_s() >= group.free_at_s:
                    self._send_to_group(group)
            await self.clock.sleep_until(self.clock.monotonic_s() + self.timing.scheduler_s)

    def _send_next(self, eui: str, device: _Device) -> None:
        from chirpstack_api import integration

        item = device.queue[0]
        if item.expires is not None and self.clock.utc() > item.expires:
            device.queue.popleft()
            self._log(eui, integration.EXPIRED, "queue item has expired", item.id)
        elif len(item.payload) > self.most_bytes:
            device.queue.popleft()
            self._log(eui, integration.DOWNLINK_PAYLOAD_SIZE, "payload exceeds the most for the data rate", item.id)
        elif self.gateway_error is not None:
            device.free_at_s = self.clock.monotonic_s() + self.timing.class_c_lock_s
            self._log(eui, integration.DOWNLINK_GATEWAY, self.gateway_error, "")
        else:
            device.queue.popleft()
            device.free_at_s = self.clock.monotonic_s() + self.timing.class_c_lock_s
            device.down += 1
            self.tell(eui, "txack", integration.TxAckEvent(downlink_id=device.down, queue_item_id=item.id, f_cnt_down=device.down))
            asyncio.get_running_loop().call_later(self.timing.airtime_s, self._arrive, eui, device, item)

    def _send_to_group(self, group: _Group) -> None:
        """What is late, too long or refused by the gateway is dropped without a word."""
        item = group.queue.popleft()
        late = item.expires is not None and self.clock.utc() > item.expires
        if late or len(item.payload) > self.most_bytes or self.gateway_error is not None:
            return
        group.free_at_s = self.clock.monotonic_s() + self.timing.class_c_lock_s
        loop = asyncio.get_running_loop()
        for eui in group.euis:
            loop.call_later(self.timing.airtime_s, self._arrive, eui, self._devices[eui], item)

    def _arrive(self, eui: str, device: _Device, item: _Item) -> None:
        acknowledged = not self.lost() and device.receive(item.port, item.payload)
        if not item.confirmed:
            return
        if acknowledged:  # an acknowledgement is a frame of its own, with nothing in it
            self.uplink(eui, 0, b"")
        wait_s = 0.0 if acknowledged else self.timing.class_c_timeout_s
        asyncio.get_running_loop().call_later(wait_s, self._answered, eui, item.id, acknowledged)

    def _answered(self, eui: str, item: str, acknowledged: bool) -> None:
        from chirpstack_api import integration

        self.tell(eui, "ack", integration.AckEvent(queue_item_id=item, acknowledged=acknowledged))

    def _log(self, eui: str, code: Any, text: str, item: str) -> None:
        from chirpstack_api import integration

        context = {"queue_item_id": item} if item else {}
        self.tell(eui, "log", integration.LogEvent(level=integration.ERROR, code=code, description=text, context=context))
