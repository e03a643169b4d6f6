"""A bare Modbus/TCP device that does to each request what a script says, and answers properly when the scripts are used up.

Register `a` holds the value `a`, so that an answer to another question is always found out.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from tcp_served import TcpServed


async def until(condition: Callable[[], object]) -> None:
    """Return when the condition holds; the bound of the test bounds it."""
    while not condition():  # noqa: ASYNC110 the other side has no event to wait for
        await asyncio.sleep(0.005)


class Close:
    """In a script: end the connection."""


class Reset(Close):
    """In a script: end it without good-byes."""


@dataclass(frozen=True)
class Request:
    tid: int
    unit: int
    function: int
    address: int
    count: int
    body: bytes

    def frame(self, pdu: bytes, *, tid: int | None = None, unit: int | None = None, protocol: int = 0) -> bytes:
        header = struct.pack(">HHHB", self.tid if tid is None else tid, protocol, len(pdu) + 1, self.unit if unit is None else unit)
        return header + pdu

    def registers(self, count: int | None = None) -> bytes:
        return b"".join(struct.pack(">H", self.address + i) for i in range(self.count if count is None else count))

    def good_pdu(self) -> bytes:
        if self.function in (6, 16):
            return bytes([self.function]) + self.body[:4]
        data = self.registers()
        return bytes([self.function, len(data)]) + data

    def good(self) -> bytes:
        return self.frame(self.good_pdu())

    def short(self) -> bytes:
        data = self.registers(self.count // 2)
        return self.frame(bytes([self.function, len(data)]) + data)

    def long(self) -> bytes:
        data = self.registers(self.count + 2)
        return self.frame(bytes([self.function, len(data)]) + data)

    def exception(self, code: int, unit: int | None = None) -> bytes:
        return self.frame(bytes([self.function | 0x80, code]), unit=unit)


Step = bytes | float | Close | type[Close]
Script = Callable[[Request], list[Step]]


@dataclass
class Device(TcpServed):
    """The device under the link. `scripts` are used up one per request."""

    scripts: list[Script] = field(default_factory=list)
    seen: list[Request] = field(default_factory=list)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._one(reader, writer)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tid, _, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
        pdu = await reader.readexactly(length - 1)
        address, count = struct.unpack(">HH", pdu[1:5])
        request = Request(tid, unit, pdu[0], address, count, pdu[1:])
        self.seen.append(request)
        for step in self.scripts.pop(0)(request) if self.scripts else [request.good()]:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, float):
                await asyncio.sleep(step)
            else:
                if step is Reset:
                    writer.transport.abort()
                raise ConnectionResetError
