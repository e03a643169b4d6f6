"""What the command registers of a device hold, as read or as last written."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from mimctl.model.harmonics import HarmonicShare
from mimctl.model.points import PointSpec, ReadBlock
from mimctl.model.profile import DeviceClass, RegisterMap
from mimctl.model.setpoints import CommandPoint, MimMap, Role
from mimctl.wire.registers import CompiledMap

#: a power of ten beyond it is none: the pattern for “not implemented”
_MOST_EXPONENT = 10


@dataclass(frozen=True, slots=True)
class CommandState:
    """Registers of `MimMap.state`, and what was written to registers that cannot be read.

    Args:
        data: one per state block: what mimctl does not command is sent back as it stands.
        written: (address, bytes) of registers outside the blocks, as last written.
    """

    map: MimMap
    data: tuple[bytes, ...]
    written: tuple[tuple[int, bytes], ...] = ()

    def registers(self, address: int, count: int, function: int = 3) -> bytes:
        """Registers that a state block holds whole.

        Raises:
            ValueError: none does.
        """
        for block, data in zip(self.map.state, self.data, strict=True):
            if block.function == function and block.address <= address and address + count <= block.end:
                at = 2 * (address - block.address)
                return data[at : at + 2 * count]
        raise ValueError(f"registers {address} to {address + count - 1} are in no state block")

    def raw(self, point: PointSpec) -> bytes | None:
        """The registers of a command point as last read or written; None where neither ever was."""
        if _block_of(self.map.state, point) is not None:
            return self.registers(point.address, point.registers, point.function)
        return dict(self.written).get(point.address)

    def exponent(self, point: PointSpec) -> int | None:
        if point.scale_address is None:
            return None
        exponent: int = struct.unpack(">h", self.registers(point.scale_address, 1, point.function))[0]
        return exponent

    def number(self, point: PointSpec) -> float | None:
        """The value of a command point; None where it is not known."""
        raw = self.raw(point)
        if raw is None:
            return None
        exponent = self.exponent(point)
        value = float(_decoder(replace(point, address=0, scale_address=None)).decode([raw])[0])
        value *= 1.0 if exponent is None else 10.0**exponent
        return None if math.isnan(value) else value + 0.0  # no negative zero

    def whole(self, point: PointSpec | None) -> int | None:
        value = None if point is None else self.number(point)
        return None if value is None else int(value)

    @property
    def inject_w(self) -> tuple[float | None, ...]:
        """Setpoints per port, injection positive; None where the device shows none [W]."""
        return tuple(self._setpoint(Role.ACTIVE, port) for port in range(self.map.ports))

    @property
    def inject_var(self) -> tuple[float | None, ...]:
        """[var]"""
        return tuple(self._setpoint(Role.REACTIVE, port) for port in range(self.map.ports))

    def can_filter(self, port: int) -> bool:
        """Whether the device shows a harmonic share there: a value, in a scale that is one."""
        return any(
            command.port == port
            and self.number(command.point) is not None
            and abs(self.exponent(command.point) or 0) <= _MOST_EXPONENT
            for command in self.map.of(Role.HARMONIC_SHARE)
        )

    @property
    def harmonics(self) -> tuple[HarmonicShare | None, ...]:
        """Shares per port; None where the port has no filter."""
        return tuple(self._share(port) if self.can_filter(port) else None for port in range(self.map.ports))

    def _share(self, port: int) -> HarmonicShare:
        number = {c.role: self.number(c.point) for c in self.map.of(Role.HARMONIC_SHARE, Role.HARMONIC_ORDERS) if c.port == port}
        return HarmonicShare((number.get(Role.HARMONIC_SHARE) or 0.0) / 100, int(number.get(Role.HARMONIC_ORDERS) or 0))

    @property
    def enabled(self) -> bool:
        """Every switch of the device is on."""
        return all(self.whole(c.point) == c.codes[0] for c in self.map.of(Role.SWITCH))

    @property
    def heartbeat(self) -> int:
        return self.whole(self.map.heartbeat) or 0

    @property
    def sequence(self) -> int:
        return self.whole(self.map.sequence) or 0

    def patched(self, address: int, data: bytes) -> CommandState:
        """The state after `data` was written at `address`."""
        blocks = list(self.data)
        held = False
        for index, block in enumerate(self.map.state):
            if block.address <= address and address + len(data) // 2 <= block.end:
                at = 2 * (address - block.address)
                blocks[index] = blocks[index][:at] + data + blocks[index][at + len(data) :]
                held = True
        if held:
            return replace(self, data=tuple(blocks))
        kept = tuple((a, d) for a, d in self.written if a != address)
        return replace(self, written=(*kept, (address, data)))

    def _setpoint(self, role: Role, port: int) -> float | None:
        command = next((c for c in self.map.of(role) if c.port == port), None)
        value = None if command is None else self.number(command.point)
        if value is None or command is None or not command.magnitude:
            return value
        direction = next((c for c in self.map.of(Role.DIRECTION) if c.port == port), None)
        return None if direction is None else value * _sign(direction, self.whole(direction.point))


@lru_cache(maxsize=1024)
def _decoder(point: PointSpec) -> CompiledMap:
    """Of one point at register 0."""
    return CompiledMap(RegisterMap(DeviceClass.OTHER, (replace(point, static=False),)))


def _block_of(blocks: Sequence[ReadBlock], point: PointSpec) -> ReadBlock | None:
    return next((b for b in blocks if b.function == point.function and b.address <= point.address and point.end <= b.end), None)


def _sign(direction: CommandPoint, word: int | None) -> float:
    inject, absorb, _ = direction.codes
    return 1.0 if word == inject else -1.0 if word == absorb else 0.0
