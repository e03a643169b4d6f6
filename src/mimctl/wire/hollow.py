"""Models that are there in name alone: header as it should be, and the same “not implemented” pattern in every register behind it.

Point by point some of it would pass for values: an enumeration has no 0x8000 among its patterns, a counter no all ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mimctl.model.layout import BoolArray, FloatArray
from mimctl.model.profile import Guard, PointSpec, ReadBlock

#: all ones, and the “not implemented” of a signed register; one of them must fill the whole stretch
_PATTERNS = (b"\xff\xff", b"\x80\x00")
#: fewer registers of one value may be chance
_LEAST = 8

#: (read, first byte, byte behind the last) of the part of a stretch that came with one read
_Piece = tuple[int, int, int]


class Stretches:
    """What each guard of a map vouches for, as far as it is read: where it stands in the replies, and which points are in it."""

    def __init__(self, guards: Sequence[Guard], points: Sequence[PointSpec], reads: Sequence[ReadBlock]) -> None:
        found = ((_pieces(g, reads), _inside(g, points)) for g in guards)
        self._stretches = [(p, inside) for p, inside in found if sum(b - a for _, a, b in p) >= 2 * _LEAST and inside.any()]

    def clear(self, values: FloatArray, blocks: Sequence[bytes | None]) -> None:
        """Set the values of hollow stretches to NaN.

        Args:
            values: (points,) changed in place.
            blocks: the replies, None = refused.
        """
        for pieces, inside in self._stretches:
            if _is_hollow(pieces, blocks):
                values[inside] = np.nan


def _pieces(guard: Guard, reads: Sequence[ReadBlock]) -> list[_Piece]:
    first = max(guard.start, guard.address + len(guard.values))
    found: list[_Piece] = []
    for index, read in enumerate(reads):
        start, end = max(first, read.address), min(guard.end, read.end)
        if read.function == guard.function and start < end:
            found.append((index, 2 * (start - read.address), 2 * (end - read.address)))
    return found


def _inside(guard: Guard, points: Sequence[PointSpec]) -> BoolArray:
    first = max(guard.start, guard.address + len(guard.values))
    return np.array([p.function == guard.function and first <= p.address < guard.end for p in points], dtype=np.bool_)


def _is_hollow(pieces: Sequence[_Piece], blocks: Sequence[bytes | None]) -> bool:
    pattern: bytes | None = None
    for index, start, end in pieces:
        data = blocks[index]
        if data is None:
            continue
        if pattern is None:
            pattern = data[start : start + 2]
            if pattern not in _PATTERNS:  # nearly always: nothing is compared in full
                return False
        if data[start:end] != pattern * ((end - start) // 2):
            return False
    return pattern is not None
