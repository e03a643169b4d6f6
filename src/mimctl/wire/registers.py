"""The codec: a register map compiled once into one struct, index tables and vectors, then used for every reply.

Nothing here knows where a register map came from; there is no other decoder.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from mimctl.model.layout import BoolArray, FloatArray, frozen
from mimctl.model.profile import Guard, PointSpec, PointType, ReadBlock, RegisterMap
from mimctl.model.quantity import quantity_of
from mimctl.model.reads import guard_of, plan_polls
from mimctl.wire.hollow import Stretches
from mimctl.wire.register_fields import CODES, Field, Places, big_endian_order, picker, raw_identity, unpacker

#: a scale factor outside ±10 is garbage, and 0x8000 means that the device has none: the point then has no value
MAX_EXPONENT = 10

_MAX_CACHED_SCALES = 64


class CompiledMap:
    """Decodes the replies of one device.

    Integers wider than 53 bits are rounded to the nearest float; a 64-bit value within that distance of its sentinel counts as
    the sentinel.

    Args:
        register_map: its text points are left out (see `text_of`).
        max_registers: most registers in one read, beside the map's own limit.
        max_gap: registers without a point that one read may run over; None = what the map says.
        static: compile the points that are read once instead of those that are polled.
    """

    def __init__(
        self, register_map: RegisterMap, max_registers: int = 125, max_gap: int | None = None, *, static: bool = False
    ) -> None:
        points = tuple(p for p in register_map.points if not p.type.is_text and p.static == static)
        differences = register_map.differences if not static else ()
        signed = register_map.signed if not static else ()
        helpers = helper_keys(register_map)
        direct = [p for p in points if p.key not in helpers]
        self._points = (*direct, *(p for p in points if p.key in helpers))
        self._direct = len(direct)
        at = {p.key: i for i, p in enumerate(self._points)}
        self._plus = np.array([at[d.plus] for d in differences], dtype=np.int64)
        self._minus = np.array([at[d.minus] for d in differences], dtype=np.int64)
        self._signed = [(at[s.key], at[s.by], s.bit, s.sign) for s in signed]
        self.register_map = register_map
        #: keys of the decoded values; the same object for the life of the map
        self.keys: tuple[str, ...] = (*(p.key for p in direct), *(d.key for d in differences))
        gap = register_map.max_gap if max_gap is None else max_gap
        polls = plan_polls(register_map, self._points, max_registers, gap)
        #: what to read for `decode`, in this order
        self.reads: tuple[ReadBlock, ...] = (*polls.fast, *polls.slow)
        #: so many of them belong to every cycle, the rest is slow
        self.fast_reads = len(polls.fast)
        self._sizes = [2 * r.count for r in self.reads]
        self._place = Places(self.reads)
        self._compile_fields()
        self._compile_vectors()
        #: (read, (len(keys),) which keys have no value without it) of every slow read
        self.slow_keys = [(n, self._of_keys(self._needs[n])) for n in range(self.fast_reads, len(self.reads))]
        self._stretches = Stretches(register_map.guards, self._points, self.reads)
        self._guards = [self._guard_check(g) for g in register_map.guards if self._guard_is_read(g)]

    def decode(self, blocks: Sequence[bytes | None]) -> FloatArray:
        """Values of one set of replies.

        Args:
            blocks: register bytes of each of `reads`; None where the device refused that one.

        Returns:
            (len(keys),) read-only, in the units and signs of the model; NaN where the device gave no value.

        Raises:
            ValueError: a block is not as long as was asked for.
        """
        raw = self._unpack(self._joined(blocks))
        values = np.array(self._pick(raw), dtype=np.float64) if len(self._points) else np.empty(0)
        for sentinel in self._sentinels:
            values[values == sentinel] = np.nan
        if self._has_floats:
            values[np.isinf(values)] = np.nan
        multiplier, divisor = self._scales(self._pick_exponents(raw))
        values *= multiplier
        if divisor is not None:
            values /= divisor
        for index, block in enumerate(blocks):
            if block is None:
                values[self._needs[index]] = np.nan
        self._stretches.clear(values, blocks)
        for at, by, bit, sign in self._signed:
            values[at] = abs(values[at]) * sign * _direction(values[by], bit)
        if len(self._plus):
            values = np.concatenate([values[: self._direct], values[self._plus] - values[self._minus]])
        elif self._direct < len(values):
            values = values[: self._direct]
        return frozen(values)

    def _of_keys(self, points: BoolArray) -> BoolArray:
        """From points to keys: a difference needs what its halves need."""
        return np.concatenate([points[: self._direct], points[self._plus] | points[self._minus]])

    def mismatch(self, blocks: Sequence[bytes | None]) -> str | None:
        """What is wrong with the identifying registers that came with the values; None if nothing is."""
        for unpack, index, at, guard in self._guards:
            data = blocks[index]
            if data is not None and (found := unpack(data, at)) != guard.values:
                return f"registers {guard.address}… hold {found}, the map was made for {guard.values}"
        return None

    def _joined(self, blocks: Sequence[bytes | None]) -> bytes:
        if len(blocks) == 1 == len(self._sizes) and (only := blocks[0]) is not None and len(only) == self._sizes[0]:
            return only
        if len(blocks) != len(self.reads):
            raise ValueError(f"{len(blocks)} replies to {len(self.reads)} reads")
        whole = [bytes(size) if b is None else b for size, b in zip(self._sizes, blocks, strict=True)]
        if [len(data) for data in whole] != self._sizes:
            raise ValueError(f"replies of {[len(d) for d in whole]} bytes where {self._sizes} were asked for")
        return whole[0] if len(whole) == 1 else b"".join(whole)

    def _compile_fields(self) -> None:
        """One struct over all replies; where registers are swapped or shared, bytes are gathered into its order first.

        What is read twice in one way (a scale factor that is a point as well) is one field.
        """
        exponents = sorted({(p.function, p.scale_address) for p in self._points if p.scale_address is not None})
        fields: list[Field] = [(self._place.byte(p.address, p.function), CODES[p.type], p) for p in self._points]
        fields += [(self._place.byte(address, function), "h", None) for function, address in exponents]
        ordered = sorted({raw_identity(field): field for field in reversed(fields)}.values(), key=lambda field: field[0])
        places = {raw_identity(field): n for n, field in enumerate(ordered)}
        position = [places[raw_identity(field)] for field in fields]
        self._unpack = unpacker(ordered, self._place.size)
        count = len(self._points)
        self._pick = picker([position[i] for i in range(count)])
        self._pick_exponents = picker([position[i] for i in range(count, len(fields))])
        self._exponent_of = np.array(
            [exponents.index((p.function, p.scale_address)) if p.scale_address is not None else -1 for p in self._points],
            dtype=np.int64,
        )

    def _compile_vectors(self) -> None:
        points = self._points
        self._has_floats = any(p.type.is_float for p in points)
        depth = max((len(p.sentinels) for p in points), default=0)
        self._sentinels = [
            np.array([float(p.sentinels[n]) if n < len(p.sentinels) else np.nan for p in points]) for n in range(depth)
        ]
        self._factor = np.array([p.scale * p.sign for p in points], dtype=np.float64)
        self._scale_cache: dict[tuple[int, ...], tuple[FloatArray, FloatArray | None]] = {}
        self._needs: list[BoolArray] = [np.array([self._uses(p, read) for p in points], dtype=np.bool_) for read in self.reads]

    def _scales(self, exponents: tuple[int, ...]) -> tuple[FloatArray, FloatArray | None]:
        """Factors and divisors of every point. Tenths are divided by ten: multiplying by 0.1 is not exact."""
        cached = self._scale_cache.get(exponents)
        if cached is not None:
            return cached
        up = [10.0 ** max(e, 0) if abs(e) <= MAX_EXPONENT else np.nan for e in exponents]
        down = [10.0 ** max(-e, 0) if abs(e) <= MAX_EXPONENT else 1.0 for e in exponents]
        multiplier = self._factor * np.array([*up, 1.0])[self._exponent_of]
        divisor = np.array([*down, 1.0])[self._exponent_of]
        if len(self._scale_cache) >= _MAX_CACHED_SCALES:
            self._scale_cache.clear()
        made = multiplier, None if (divisor == 1.0).all() else divisor
        self._scale_cache[exponents] = made
        return made

    def _uses(self, point: PointSpec, read: ReadBlock) -> bool:
        """Whether a point has no value without this read."""
        addresses = [point.address] if point.scale_address is None else [point.address, point.scale_address]
        return any(self.reads[self._place.block(a, point.function)] is read for a in addresses)

    def _guard_check(self, guard: Guard) -> tuple[Callable[[bytes, int], tuple[Any, ...]], int, int, Guard]:
        """Unpacker, block and byte offset in the block of a guard's registers."""
        index = self._place.block(guard.address, guard.function)
        at = 2 * (guard.address - self.reads[index].address)
        return struct.Struct(f">{len(guard.values)}H").unpack_from, index, at, guard

    def _guard_is_read(self, guard: Guard) -> bool:
        used = any(guard_of(p, (guard,)) for p in self._points)
        return used and self._place.holds(guard.address, len(guard.values), guard.function)


def helper_keys(register_map: RegisterMap) -> set[str]:
    """Points that stand for nothing by themselves: halves of a difference, and words that only tell a direction."""
    halves = {k for d in register_map.differences for k in (d.plus, d.minus)}
    return halves | {s.by for s in register_map.signed if quantity_of(s.by) is None}


def _direction(told: float, bit: int | None) -> float:
    """+1 or −1 as a sign or a bit tells it; NaN where it tells nothing."""
    if math.isnan(told):
        return math.nan
    negative = told < 0 if bit is None else bool(int(told) >> bit & 1)
    return -1.0 if negative else 1.0


@lru_cache(maxsize=512)
def compiled_map(
    register_map: RegisterMap, max_registers: int = 125, max_gap: int | None = None, *, static: bool = False
) -> CompiledMap:
    """The codec of a map, one for all devices that have the same one: less memory, and warm where many are read in turn."""
    return CompiledMap(register_map, max_registers, max_gap, static=static)


def text_of(point: PointSpec, data: bytes) -> str | None:
    """A text point, or any other shown as text; None where the device left it empty.

    A text ends at its first NUL; bytes that are no UTF-8 are shown as Latin-1, so that a person can still read the rest.
    """
    if point.type is PointType.HEX:
        return ":".join(f"{b:02X}" for b in data) if any(data) else None
    if point.type is not PointType.STRING:
        (raw,) = struct.unpack(">" + CODES[point.type], bytes(data[i] for i in big_endian_order(0, len(data), point)))
        return None if raw in point.sentinels else str(raw)
    cut = bytes(data).partition(b"\0")[0]
    if set(cut) == {0xFF}:
        return None
    try:
        text = cut.decode("utf-8")
    except UnicodeDecodeError:
        text = cut.decode("latin-1")
    return text.strip() or None
