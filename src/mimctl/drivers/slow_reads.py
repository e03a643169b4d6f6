"""Reads that are made now and then: each device at its own time, one a cycle, and what they gave is kept with its instant."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from mimctl.model.layout import FloatArray, frozen
from mimctl.wire.registers import CompiledMap

#: a value that is read now and then counts as unknown after so many periods without a new one
_KEPT_PERIODS = 3.0


@dataclass(slots=True)
class _Slow:
    """One slow read.

    Args:
        data: the registers as last read; None where there are none, or the device refused them.
    """

    due_s: float
    data: bytes | None = None
    taken_at_s: float = -np.inf
    refused: bool = False


class SlowReads:
    """When the slow reads of one device are due, and what they gave.

    All are made at first; then each comes round once a period, at an instant of its own that the device's name decides, so that
    those of many devices do not come together.

    Args:
        period_s: 0 = they belong to every reading [s].
    """

    def __init__(self, device: str, period_s: float) -> None:
        self._period_s = period_s
        self._phase = zlib.crc32(device.encode()) / 2**32
        self._compiled: CompiledMap | None = None
        self._reads: list[_Slow] = []

    def due(self, compiled: CompiledMap, now_s: float) -> list[int]:
        """Which of the slow reads (0 is the first slow one) belong to this cycle."""
        if compiled is not self._compiled:
            self._compiled = compiled
            self._reads = [_Slow(-np.inf) for _ in compiled.slow_keys]
        if self._period_s <= 0 or any(r.due_s == -np.inf for r in self._reads):
            return list(range(len(self._reads)))
        waiting = [n for n, r in enumerate(self._reads) if r.due_s <= now_s]
        return sorted(waiting, key=lambda n: self._reads[n].due_s)[:1]

    def took(self, n: int, data: bytes | None, at_s: float) -> None:
        """What a slow read gave, None where the device refused it."""
        self._reads[n].data, self._reads[n].taken_at_s, self._reads[n].refused = data, at_s, data is None
        self._next(n, at_s)

    def missed(self, n: int, at_s: float) -> None:
        """The device did not answer: what it said before stands until it is too old."""
        self._next(n, at_s)

    def blocks(self, now_s: float) -> list[bytes | None]:
        """The registers of each slow read, None where they are unknown or too old."""
        oldest_s = now_s - _KEPT_PERIODS * self._period_s if self._period_s > 0 else -np.inf
        return [r.data if r.taken_at_s >= oldest_s else None for r in self._reads]

    @property
    def refused(self) -> int:
        return sum(r.refused for r in self._reads)

    def older_s(self) -> FloatArray | None:
        """(len(keys),) the instant of each value that came with a slow read, NaN for the others; None where there is none [s]."""
        if self._compiled is None or not self._reads:
            return None
        older_s = np.full(len(self._compiled.keys), np.nan)
        for (_, keys), read in zip(self._compiled.slow_keys, self._reads, strict=True):
            older_s[keys] = np.fmin(older_s[keys], read.taken_at_s)
        return frozen(older_s)

    def _next(self, n: int, now_s: float) -> None:
        """The next instant of a grid that belongs to the device and the read."""
        if self._period_s > 0:
            offset_s = self._period_s * ((self._phase + n / len(self._reads)) % 1.0)
            self._reads[n].due_s = offset_s + self._period_s * (np.floor((now_s - offset_s) / self._period_s) + 1)
