"""Answers that may still come to requests that nobody waits for any more.

RTU answers carry no number. After a timeout the late answer to one request would be taken for the answer to the next one, and from
then on every answer would be that of the request before: right check sums, wrong values, for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mimctl.wire.modbus_frames import Frame
from mimctl.wire.rtu_frames import Expected

#: so long after its request an answer is believed never to come [s]
_FORGET_S = 30.0
_MOST = 64


@dataclass(frozen=True, slots=True)
class _Ghost:
    answer: Expected
    until_s: float


@dataclass(slots=True)
class Ghosts:
    """What may still come. Instants are those of the event loop [s]."""

    _waiting: list[_Ghost] = field(default_factory=list)

    def add(self, answer: Expected, now_s: float) -> None:
        self._waiting.append(_Ghost(answer, now_s + _FORGET_S))
        del self._waiting[:-_MOST]

    def any(self, now_s: float) -> bool:
        self._waiting = [ghost for ghost in self._waiting if ghost.until_s > now_s]
        return bool(self._waiting)

    def like(self, answer: Expected, now_s: float) -> list[Expected]:
        """Those that have the unit and the function of `answer`: their exceptions at least look the same."""
        return [g.answer for g in self._waiting if g.until_s > now_s and _alike(g.answer, answer)]

    def came(self, frame: Frame) -> bool:
        """Whether a frame is one of them; it is none any more then, nor are those asked before it of the same unit."""
        for i, ghost in enumerate(self._waiting):
            if ghost.answer.fits(frame):
                self._waiting = [g for j, g in enumerate(self._waiting) if j > i or g.answer.unit != ghost.answer.unit]
                return True
        return False

    def exorcise(self, data: bytes) -> int:
        """Count and forget those found in bytes that came while nobody waited."""
        found = 0
        for ghost in tuple(self._waiting):
            if ghost in self._waiting and (frame := ghost.answer.found(data)) is not None:
                found += self.came(frame)
        return found

    def begins(self, data: bytes) -> bool:
        """Whether the bytes may be the beginning of one of them, whose rest is still to come."""
        return any(g.answer.begins(data, 0) and len(data) < g.answer.size for g in self._waiting)

    def refused(self, answer: Expected) -> None:
        """An exception came that may belong to the first one alike."""
        alike = [g for g in self._waiting if _alike(g.answer, answer)]
        self._waiting = [g for g in self._waiting if g not in alike[:1]]

    def outlived(self, unit: int | None) -> None:
        """A device has answered a later request, and answers come in order: its earlier ones never will."""
        self._waiting = [g for g in self._waiting if unit is not None and g.answer.unit not in (unit, None)]


def _alike(one: Expected, other: Expected) -> bool:
    return one.function == other.function and (one.unit is None or other.unit is None or one.unit == other.unit)
