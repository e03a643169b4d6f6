"""Where each value stands in the bytes of some replies, and how a struct takes it out: bytes in, raw values out."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mimctl.model.profile import ByteOrder, PointSpec, PointType, ReadBlock, WordOrder

#: how `struct` calls a type
CODES = {
    PointType.INT16: "h",
    PointType.INT32: "i",
    PointType.INT64: "q",
    PointType.UINT16: "H",
    PointType.UINT32: "I",
    PointType.UINT64: "Q",
    PointType.ENUM16: "H",
    PointType.ENUM32: "I",
    PointType.BITFIELD16: "H",
    PointType.BITFIELD32: "I",
    PointType.BITFIELD64: "Q",
    PointType.FLOAT32: "f",
    PointType.FLOAT64: "d",
}


class Places:
    """Where each register stands in the joined replies."""

    def __init__(self, reads: Sequence[ReadBlock]) -> None:
        self._reads = reads
        self._starts = np.cumsum([0, *(2 * r.count for r in reads)]).tolist()
        self.size: int = self._starts[-1]

    def holds(self, address: int, count: int, function: int) -> bool:
        return any(r.function == function and r.address <= address and address + count <= r.end for r in self._reads)

    def block(self, address: int, function: int) -> int:
        for index, read in enumerate(self._reads):
            if read.function == function and read.address <= address < read.end:
                return index
        raise ValueError(f"register {address} (function {function}) is in none of the reads")

    def byte(self, address: int, function: int) -> int:
        index = self.block(address, function)
        return int(self._starts[index]) + 2 * (address - self._reads[index].address)


#: (first byte in the joined replies, code of the struct, the point that decides the order of its bytes; None = big-endian)
Field = tuple[int, str, PointSpec | None]
Unpack = Callable[[bytes], tuple[Any, ...]]


def raw_identity(field: Field) -> tuple[object, ...]:
    """Two fields of which this is the same give the same raw value."""
    at, code, point = field
    return (at, code, WordOrder.MSW, ByteOrder.BIG) if point is None else (at, code, point.word_order, point.byte_order)


def unpacker(fields: Sequence[Field], size: int) -> Unpack:
    """From joined replies of `size` bytes to the raw value of each field; fields in the order of their first bytes."""
    return _padded(fields, size) if _is_plain(fields) else _gathered(fields)


def _is_plain(fields: Sequence[Field]) -> bool:
    """Whether a struct with pad bytes reads the replies as they are: nothing swapped, nothing read twice."""
    end = 0
    for at, code, point in fields:
        swapped = point is not None and (point.word_order is WordOrder.LSW or point.byte_order is ByteOrder.LITTLE)
        if at < end or swapped:
            return False
        end = at + struct.calcsize(">" + code)
    return True


def _padded(fields: Sequence[Field], size: int) -> Unpack:
    text, end = ">", 0
    for at, code, _ in fields:
        text += f"{at - end}x{code}" if at > end else code
        end = at + struct.calcsize(">" + code)
    return struct.Struct(f"{text}{size - end}x" if size > end else text).unpack


def _gathered(fields: Sequence[Field]) -> Unpack:
    codes = struct.Struct(">" + "".join(code for _, code, _ in fields))
    order: list[int] = []
    for at, code, point in fields:
        order += big_endian_order(at, struct.calcsize(">" + code), point)
    index = np.array(order, dtype=np.int64)

    def unpack(data: bytes) -> tuple[Any, ...]:
        return codes.unpack(np.frombuffer(data, dtype=np.uint8)[index].tobytes())

    return unpack


def big_endian_order(at: int, size: int, point: PointSpec | None) -> list[int]:
    """Byte positions of a value that starts at byte `at`, most significant byte first."""
    words = [[w, w + 1] for w in range(at, at + size, 2)]
    if point is not None and point.word_order is WordOrder.LSW:
        words.reverse()
    if point is not None and point.byte_order is ByteOrder.LITTLE:
        words = [[b, a] for a, b in words]
    return [b for word in words for b in word]


def picker(positions: Sequence[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Like `operator.itemgetter`, but always a tuple."""
    if len(positions) > 1:
        return operator.itemgetter(*positions)
    return lambda raw: tuple(raw[p] for p in positions)
