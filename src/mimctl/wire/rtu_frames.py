"""RTU frames: bytes with no beginning, no length and no number, only a check sum at the end.

A frame is found by what it must be: an answer by the request it belongs to, a request by the layout of its function code.

Reference: MODBUS over Serial Line Specification and Implementation Guide V1.02, section 2.5.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from pymodbus.framer import FramerRTU
from pymodbus.pdu import ModbusPDU

from mimctl.wire.modbus_frames import READS, Frame, WriteMultiple, WriteSingle

#: unit, function code, exception code, check sum
EXCEPTION_SIZE = 5
#: unit id and check sum around a PDU
_AROUND = 3
#: the longest frame
MAX_SIZE = 256


def check_sum(data: bytes) -> bytes:
    """CRC-16 of Modbus, low byte first."""
    return FramerRTU.compute_CRC(data).to_bytes(2, "big")


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    body = bytes((unit,)) + pdu
    return body + check_sum(body)


def is_whole(data: bytes, start: int, size: int) -> bool:
    """Whether `size` bytes from `start` are there and carry the right check sum."""
    end = start + size
    return len(data) >= end and check_sum(data[start : end - 2]) == data[end - 2 : end]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the answer to one request looks like.

    Args:
        unit: None where any unit may answer.
        head: the bytes behind the function code: the byte count of a read, the whole echo of a write.
        size: of the whole frame.
    """

    unit: int | None
    function: int
    head: bytes
    size: int

    @classmethod
    def of(cls, request: ModbusPDU, *, any_unit: bool = False) -> Expected:
        unit = None if any_unit else request.dev_id
        if isinstance(request, WriteMultiple | WriteSingle):
            return cls(unit, request.function_code, request.expected_echo(), 8)
        return cls(unit, request.function_code, bytes((2 * request.count,)), 5 + 2 * request.count)

    def begins(self, data: bytes, start: int) -> bool:
        """Whether the bytes from `start`, as far as they are there, can be the beginning of the answer."""
        given = data[start + 1 : start + 2 + len(self.head)]
        return self._from_unit(data, start) and (bytes((self.function,)) + self.head).startswith(given)

    def found(self, data: bytes) -> Frame | None:
        """The first answer or exception in the bytes, whatever noise stands before it. `Frame.end` is where it ends."""
        for start in range(len(data) - EXCEPTION_SIZE + 1):
            if not self._from_unit(data, start):
                continue
            code = data[start + 1]
            if code == self.function | 0x80 and is_whole(data, start, EXCEPTION_SIZE):
                return _frame(data, start, EXCEPTION_SIZE)
            if code == self.function and self.begins(data, start):
                if is_whole(data, start, self.size):
                    return _frame(data, start, self.size)
                if len(data) < start + self.size:
                    return None  # wait for the rest, and take nothing inside it for a frame
        return None

    def fits(self, frame: Frame) -> bool:
        """Whether a whole frame is the answer, or an exception to the request."""
        if self.unit not in (None, frame.unit):
            return False
        if frame.pdu[0] == self.function | 0x80:
            return len(frame.pdu) == EXCEPTION_SIZE - _AROUND
        return frame.pdu[0] == self.function and frame.pdu[1:].startswith(self.head) and len(frame.pdu) == self.size - _AROUND

    def _from_unit(self, data: bytes, start: int) -> bool:
        return self.unit is None or data[start : start + 1] == bytes((self.unit,))


def _frame(data: bytes, start: int, size: int) -> Frame:
    return Frame(0, data[start], data[start + 1 : start + size - 2], start + size)


def whole_answer(data: bytes) -> Frame | None:
    """The answer that the bytes begin with, by its own account of its length; None if there is none (yet)."""
    size = _answer_size(data)
    return _frame(data, 0, size) if size is not None and is_whole(data, 0, size) else None


def _answer_size(data: bytes) -> int | None:
    if len(data) < EXCEPTION_SIZE:
        return None
    code = data[1]
    if code > 0x80:
        return EXCEPTION_SIZE
    if code in READS or code in (1, 2, 23):
        return data[2] + EXCEPTION_SIZE
    return 8 if code in (5, 6, 15, 16) else None


def next_request(data: bytes, start: int = 0) -> Frame | None:
    """The next request from `start` on, noise before it left out; None while there is none."""
    for at in range(start, len(data) - EXCEPTION_SIZE + 2):
        size = _request_size(data, at)
        if size is None or size > MAX_SIZE:
            continue
        if len(data) < at + size:
            return None
        if is_whole(data, at, size):
            return _frame(data, at, size)
    return None


def _request_size(data: bytes, at: int) -> int | None:
    """How long a request that begins at `at` is; None if none can."""
    code = data[at + 1]
    if code in (1, 2, 3, 4, 5, 6):
        return 8
    if code == 22:
        return 10
    if code == 43:
        return 7
    counts_at = at + {15: 6, 16: 6, 23: 10}.get(code, len(data))
    if code in (15, 16, 23):
        return counts_at - at + 1 + 2 + (data[counts_at] if counts_at < len(data) else 0)
    return None
