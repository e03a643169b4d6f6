"""A link without wires: units that are register images in this process. For tests, and wherever a socket would only cost time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mimctl.model.errors import DeviceRefusal, LinkDown, LinkTimeout
from mimctl.wire.transport import READ_HOLDING, WRITE_MULTIPLE

_ILLEGAL_ADDRESS = 2


@dataclass(slots=True)
class MemoryUnit:
    """Registers from `origin` on, two bytes each. `on_write` is told (address, data) after each write."""

    origin: int
    registers: bytearray
    on_write: Callable[[int, bytes], None] | None = None

    def slice_of(self, address: int, count: int) -> slice | None:
        start = 2 * (address - self.origin)
        return slice(start, start + 2 * count) if start >= 0 and start + 2 * count <= len(self.registers) else None


@dataclass(slots=True)
class MemoryTransport:
    """Implements `Transport`. A unit that is not there times out.

    Args:
        log: every request as (kind, unit, address, registers).
        before: called ahead of every request with the same; may raise a link error, and thereby be any fault.
    """

    link: str
    units: dict[int, MemoryUnit] = field(default_factory=dict)
    log: list[tuple[str, int, int, int]] = field(default_factory=list)
    before: Callable[[str, int, int, int], None] | None = None
    connected: bool = True

    async def open(self) -> None:
        self.connected = True

    async def close(self) -> None:
        self.connected = False

    async def read(self, unit: int, address: int, count: int, *, function: int = READ_HOLDING) -> bytes:
        memory, part = self._ask("read", unit, address, count)
        return bytes(memory.registers[part])

    async def write(self, unit: int, address: int, data: bytes, *, function: int = WRITE_MULTIPLE) -> None:
        memory, part = self._ask("write", unit, address, len(data) // 2)
        memory.registers[part] = data
        if memory.on_write is not None:
            memory.on_write(address, data)

    def _ask(self, kind: str, unit: int, address: int, count: int) -> tuple[MemoryUnit, slice]:
        if not self.connected:
            raise LinkDown(self.link, "the link is closed")
        self.log.append((kind, unit, address, count))
        if self.before is not None:
            self.before(kind, unit, address, count)
        memory = self.units.get(unit)
        if memory is None:
            raise LinkTimeout(self.link, f"unit {unit} does not answer")
        part = memory.slice_of(address, count)
        if part is None:
            raise DeviceRefusal(self.link, f"unit {unit} has no registers {address}…{address + count - 1}", _ILLEGAL_ADDRESS)
        return memory, part
