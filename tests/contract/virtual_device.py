"""A device made of registers and nothing else, behind every kind of link, that refuses, mumbles or loses writes when told to."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import modbus_device
import rtu_device

from mimctl.model.clock import SystemClock
from mimctl.model.command_vectors import ExpectedWrite
from mimctl.model.errors import BadReply, DeviceRefusal, LinkTimeout
from mimctl.model.link import Link, LinkType
from mimctl.wire.modbus import LinkPolicy, ModbusLink
from mimctl.wire.transport import Transport

#: after it a request is given up: where every answer comes, and where some do not
PATIENT_S, HASTY_S = 5.0, 0.15
POLICY = LinkPolicy(
    reconnect_first_s=0.01, reconnect_max_s=0.05, connect_timeout_s=2.0, busy_first_s=0.02, max_silent=50, unit_tries=50
)
WRITES = (6, 16)

#: what may happen to one write
LOST_REQUEST, LOST_ANSWER, SHORT_ECHO = "the request is lost", "the answer is lost", "the echo is short"


class Always(list[Any]):
    """A script that is never used up."""

    def pop(self, index: Any = -1) -> Any:
        return self[0]


@dataclass
class VirtualDevice:
    """Registers by wire address; all others hold 0.

    Args:
        frames: every write that arrived and was taken.
        refuses: the exception code of every write; None = taken.
        faults: what happens to the next writes, one after another; None = nothing. Afterwards all are taken.
    """

    registers: dict[int, int] = field(default_factory=dict)
    frames: list[ExpectedWrite] = field(default_factory=list)
    refuses: int | None = None
    faults: list[str | None] = field(default_factory=list)

    def put(self, image: Iterable[tuple[int, bytes]]) -> None:
        for address, data in image:
            words = struct.unpack(f">{len(data) // 2}H", data)
            self.registers.update((address + n, word) for n, word in enumerate(words))

    def get(self, address: int, count: int) -> bytes:
        return struct.pack(f">{count}H", *(self.registers.get(address + n, 0) for n in range(count)))

    def write(self, function: int, address: int, data: bytes) -> str | int | None:
        """Take a write; what goes wrong with it: an exception code or a fault."""
        if self.refuses is not None:
            return self.refuses
        fault = self.faults.pop(0) if self.faults else None
        if fault != LOST_REQUEST:
            self.frames.append(ExpectedWrite(address, data, function))
            self.put([(address, data)])
        return fault

    def answer(self, request: modbus_device.Request | rtu_device.Request) -> list[Any]:
        """As a script of the bare devices."""
        function = request.function
        if function not in WRITES:
            data = self.get(request.address, request.count)
            return [request.frame(bytes([function, len(data)]) + data)]
        body = request.raw[2:-2] if isinstance(request, rtu_device.Request) else request.body
        wrong = self.write(function, request.address, body[2:4] if function == 6 else body[5:])
        if isinstance(wrong, int):
            return [request.exception(wrong)]
        if wrong in (LOST_REQUEST, LOST_ANSWER):
            return []
        return [request.frame(bytes([function]) + body[: 2 if wrong == SHORT_ECHO else 4])]


@dataclass
class DirectLink:
    """The same device without a wire. Implements `Transport`."""

    device: VirtualDevice
    link: str = "gw"
    connected: bool = True

    async def open(self) -> None:
        """There is nothing to connect."""

    async def close(self) -> None:
        """There is nothing to disconnect."""

    async def read(self, unit: int, address: int, count: int, *, function: int = 3) -> bytes:
        return self.device.get(address, count)

    async def write(self, unit: int, address: int, data: bytes, *, function: int = 16) -> None:
        wrong = self.device.write(function, address, data)
        if isinstance(wrong, int):
            raise DeviceRefusal("gw", "not now", wrong)
        if wrong == SHORT_ECHO:
            raise BadReply("gw", "the echo is short")
        if wrong is not None:
            raise LinkTimeout("gw", "no answer")


@asynccontextmanager
async def in_memory(device: VirtualDevice, timeout_s: float) -> AsyncIterator[Transport]:
    yield DirectLink(device)


@asynccontextmanager
async def over_tcp(device: VirtualDevice, timeout_s: float) -> AsyncIterator[Transport]:
    bare = modbus_device.Device(Always([device.answer]))
    await bare.start()
    link = ModbusLink(Link("gw", LinkType.MODBUS_TCP, "127.0.0.1", bare.port, timeout_s=timeout_s), SystemClock(), policy=POLICY)
    await link.open()
    try:
        yield link
    finally:
        await link.close()
        await bare.stop()


def over_rtu(kind: str) -> Callable[[VirtualDevice, float], Any]:
    @asynccontextmanager
    async def served(device: VirtualDevice, timeout_s: float) -> AsyncIterator[Transport]:
        bare = (rtu_device.TcpRtuDevice if kind == "tcp" else rtu_device.PtyRtuDevice)(Always([device.answer]))
        await bare.start()
        link = ModbusLink(rtu_device.spec_of(bare, timeout_s=timeout_s), SystemClock(), policy=POLICY)
        await link.open()
        try:
            yield link
        finally:
            await link.close()
            await bare.stop()

    return served


LINKS = {"in memory": in_memory, "Modbus/TCP": over_tcp, "RTU over TCP": over_rtu("tcp"), "RTU, serial": over_rtu("pty")}
