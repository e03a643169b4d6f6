"""A link without wires: register banks in this process. For tests, and wherever a socket would only cost time."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mimctl.model.errors import DeviceRefusal, LinkDown, LinkTimeout
from mimctl.wire.transport import READ_HOLDING, WRITE_MULTIPLE

if TYPE_CHECKING:
    from mimctl.wire.modbus_answers import RegisterBank

_ILLEGAL_ADDRESS = 2


@dataclass(slots=True)
class MemoryBank:
    """Registers from `origin` on, two bytes each. Implements `RegisterBank`.

    Args:
        on_write: told (address, data) after each write.
    """

    origin: int
    registers: bytearray
    on_write: Callable[[int, bytes], None] | None = None

    def read(self, address: int, count: int) -> bytes:
        return bytes(self.registers[self._part(address, count)])

    def write(self, address: int, data: bytes) -> None:
        self.registers[self._part(address, len(data) // 2)] = data
        if self.on_write is not None:
            self.on_write(address, data)

    def _part(self, address: int, count: int) -> slice:
        start = 2 * (address - self.origin)
        if start < 0 or start + 2 * count > len(self.registers):
            last = address + count - 1
            raise DeviceRefusal("memory", f"there are no registers {address}…{last}", _ILLEGAL_ADDRESS)
        return slice(start, start + 2 * count)


@dataclass(slots=True)
class MemoryTransport:
    """Implements `Transport`. A unit that is not there times out.

    Args:
        log: every request as (kind, unit, address, registers).
        before: called ahead of every request with the same; may raise a link error, and thereby be any fault.
    """

    link: str
    units: MutableMapping[int, RegisterBank] = field(default_factory=dict)
    log: list[tuple[str, int, int, int]] = field(default_factory=list)
    before: Callable[[str, int, int, int], None] | None = None
    connected: bool = True

    async def open(self) -> None:
        self.connected = True

    async def close(self) -> None:
        self.connected = False

    async def read(self, unit: int, address: int, count: int, *, function: int = READ_HOLDING) -> bytes:
        return self._bank("read", unit, address, count).read(address, count)

    async def write(self, unit: int, address: int, data: bytes, *, function: int = WRITE_MULTIPLE) -> None:
        self._bank("write", unit, address, len(data) // 2).write(address, data)

    def _bank(self, kind: str, unit: int, address: int, count: int) -> RegisterBank:
        if not self.connected:
            raise LinkDown(self.link, "the link is closed")
        self.log.append((kind, unit, address, count))
        if self.before is not None:
            self.before(kind, unit, address, count)
        bank = self.units.get(unit)
        if bank is None:
            raise LinkTimeout(self.link, f"unit {unit} does not answer")
        return bank
