"""A bare Modbus/TCP device that does to each request what a script says, and answers properly when the scripts are used up.

Register `a` holds the value `a`, so that an answer to another question is always found out.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass, field


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
class Device:
    """The device under the link. `scripts` are used up one per request."""

    scripts: list[Script] = field(default_factory=list)
    seen: list[Request] = field(default_factory=list)
    accepted: int = 0
    most_at_once: int = 0
    port: int = 0
    tls: ssl.SSLContext | None = None
    server: asyncio.Server | None = None
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self.server.sockets[0].getsockname()[1]

    async def vanish(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in tuple(self.writers):
            writer.transport.abort()
        for task in tuple(self.tasks):
            task.cancel()
        await self.server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.accepted += 1
        self.writers.add(writer)
        self.most_at_once = max(self.most_at_once, len(self.writers))
        try:
            while True:
                await self._one(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the end of this connection, by either side; asyncio's streams would log a cancelled task as an error
        finally:
            self.tasks.discard(task)
            self.writers.discard(writer)
            writer.close()

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
