"""A transport that remembers what it was answered: raw registers beside decoded values, and register dumps."""

from __future__ import annotations

import struct

from mimctl.wire.transport import READ_HOLDING, WRITE_MULTIPLE, Transport


class Recorder:
    """Passes everything on to another transport and keeps every register it read. Implements `Transport`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        #: by (unit, function), then by address; the latest reading
        self.words: dict[tuple[int, int], dict[int, int]] = {}

    @property
    def link(self) -> str:
        return self._transport.link

    @property
    def connected(self) -> bool:
        return self._transport.connected

    async def open(self) -> None:
        """The owner of the transport opens it."""

    async def close(self) -> None:
        """The owner of the transport closes it."""

    async def read(self, unit: int, address: int, count: int, *, function: int = READ_HOLDING) -> bytes:
        data = await self._transport.read(unit, address, count, function=function)
        space = self.words.setdefault((unit, function), {})
        space.update(enumerate(struct.unpack(f">{count}H", data), address))
        return data

    async def write(self, unit: int, address: int, data: bytes, *, function: int = WRITE_MULTIPLE) -> None:
        await self._transport.write(unit, address, data, function=function)

    def word(self, unit: int, function: int, address: int) -> int | None:
        """One register as last read, None where it was not."""
        return self.words.get((unit, function), {}).get(address)
