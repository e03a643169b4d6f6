"""A bare Modbus RTU device, on a pseudo-terminal or behind TCP, that does to each request what a script says, one after another.

Register `a` holds the value `a`, so that an answer to another question is always found out. The frames and their check sum are
computed here from the specification, bit by bit.
"""

from __future__ import annotations

import asyncio
import os
import random
import struct
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from tcp_served import TcpServed

from mimctl.model.clock import SystemClock
from mimctl.model.link import Link, LinkType, SerialLine
from mimctl.wire.modbus import LinkPolicy, ModbusLink

#: where an answer must come at once the timeout is far away
PATIENT_S, HASTY_S = 5.0, 0.08
FAST = LinkPolicy(
    reconnect_first_s=0.01, reconnect_max_s=0.05, connect_timeout_s=2.0, busy_first_s=0.005, max_silent=50, unit_tries=50
)
KINDS = ("tcp", "pty")


def crc(data: bytes) -> bytes:
    """MODBUS over Serial Line V1.02, appendix B: polynomial 0xA001, low byte first."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ 0xA001 if register & 1 else register >> 1
    return struct.pack("<H", register)


def frame(unit: int, pdu: bytes) -> bytes:
    body = bytes([unit]) + pdu
    return body + crc(body)


class Close:
    """In a script: end the connection, or take the port away."""


@dataclass(frozen=True)
class Request:
    unit: int
    function: int
    address: int
    count: int
    raw: bytes

    def registers(self, count: int | None = None) -> bytes:
        return b"".join(struct.pack(">H", self.address + i) for i in range(self.count if count is None else count))

    def good_pdu(self) -> bytes:
        if self.function in (6, 16):
            return self.raw[1:6]
        data = self.registers()
        return bytes([self.function, len(data)]) + data

    def frame(self, pdu: bytes, unit: int | None = None) -> bytes:
        return frame(self.unit if unit is None else unit, pdu)

    def good(self) -> bytes:
        return self.frame(self.good_pdu())

    def exception(self, code: int) -> bytes:
        return self.frame(bytes([self.function | 0x80, code]))


Step = bytes | float | type[Close]
Script = Callable[[Request], list[Step]]


@dataclass
class RtuDevice:
    """`scripts` are used up one per request; then every request is answered properly."""

    scripts: list[Script] = field(default_factory=list)
    seen: list[Request] = field(default_factory=list)
    accepted: int = 0
    #: what a two-wire adapter does: everything that is sent comes back first
    echoes: bool = False

    async def _live(self, read: Callable[[int], object], write: Callable[[bytes], None], close: Callable[[], None]) -> None:
        while True:
            head = await read(7)  # type: ignore[misc]
            more = await read(2 + head[6] if head[1] == 16 else 1)  # type: ignore[misc]
            raw = head + more
            assert crc(raw[:-2]) == raw[-2:]
            address, count = struct.unpack(">HH", raw[2:6])
            request = Request(raw[0], raw[1], address, count, raw)
            self.seen.append(request)
            if self.echoes:
                write(raw)
            for step in self.scripts.pop(0)(request) if self.scripts else [request.good()]:
                if isinstance(step, bytes):
                    write(step)
                    await asyncio.sleep(0)
                elif isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    close()
                    return


@dataclass
class TcpRtuDevice(TcpServed, RtuDevice):
    """RTU frames over TCP, as a device server in raw mode passes them on."""

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._live(reader.readexactly, writer.write, writer.transport.abort)


@dataclass
class PtyRtuDevice(RtuDevice):
    path: str = ""
    ours: int = -1
    theirs: int = -1
    task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.ours, self.theirs = os.openpty()
        tty.setraw(self.theirs)
        os.set_blocking(self.ours, False)
        self.path = os.ttyname(self.theirs)
        self.accepted += 1
        reader = asyncio.StreamReader()
        asyncio.get_running_loop().add_reader(self.ours, lambda: reader.feed_data(os.read(self.ours, 4096)))
        self.task = asyncio.create_task(self._live(reader.readexactly, self._write, self._take_away))

    def _write(self, data: bytes) -> None:
        os.write(self.ours, data)

    def _take_away(self) -> None:
        if self.ours >= 0:
            asyncio.get_running_loop().remove_reader(self.ours)
            os.close(self.theirs)
            os.close(self.ours)
            self.ours = -1

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        outcome = await asyncio.gather(self.task, return_exceptions=True)
        self._take_away()
        assert outcome in ([None], [outcome[0]])
        if isinstance(outcome[0], Exception):
            raise outcome[0]


def spec_of(device: RtuDevice, **options: object) -> Link:
    if isinstance(device, TcpRtuDevice):
        link = Link("link", LinkType.MODBUS_RTU_TCP, "127.0.0.1", device.port, timeout_s=PATIENT_S)
    else:
        assert isinstance(device, PtyRtuDevice)
        link = Link("link", LinkType.MODBUS_RTU, timeout_s=PATIENT_S, serial=SerialLine(device.path, baudrate=115200))
    return replace(link, **options)


@asynccontextmanager
async def linked(
    kind: str, *scripts: Script, policy: LinkPolicy = FAST, echoes: bool = False, **options: object
) -> AsyncIterator[tuple[ModbusLink, RtuDevice]]:
    device = (TcpRtuDevice if kind == "tcp" else PtyRtuDevice)(list(scripts), echoes=echoes)
    await device.start()
    link = ModbusLink(spec_of(device, **options), SystemClock(), policy=policy, rng=random.Random(1))
    await link.open()
    try:
        yield link, device
    finally:
        await link.close()
        await device.stop()


async def good_read(link: ModbusLink, address: int = 2000, count: int = 10, unit: int = 1) -> None:
    values = struct.unpack(f">{count}H", await link.read(unit, address, count))
    assert values == tuple(range(address, address + count))


def silence(request: Request) -> list:  # type: ignore[type-arg]
    return []
