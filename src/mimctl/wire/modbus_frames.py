"""Frames of Modbus/TCP: requests to bytes, and bytes to answers that fit what was asked.

The PDU classes are extensions of pymodbus's own: they keep register bytes as they are, and believe no length that contradicts
another.

Reference: MODBUS Application Protocol V1.1b3 and MODBUS Messaging on TCP/IP Implementation Guide V1.0b, Modbus Organization.
"""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass

from pymodbus.pdu import ExceptionResponse, ModbusPDU

from mimctl.wire.transport import READ_HOLDING, READ_INPUT, WRITE_MULTIPLE, WRITE_SINGLE

# What pymodbus logs is raised as an error with the same content; its raw lines are for its own developers.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

_MBAP = struct.Struct(">HHHB")
#: unit id and a PDU of 1 to 253 bytes
_MIN_LENGTH, _MAX_LENGTH = 2, 254
#: exceptions after which the true answer may still come: 5 acknowledge (the device is at work on it), 10 and 11 (a gateway that
#: gave up on its slave sooner than the slave on the request)
_UNSETTLED = (5, 10, 11)


class LostFraming(Exception):
    """Nobody can tell any more where the next frame begins: the connection is of no use."""


class WrongAnswer(Exception):
    """A whole frame that is not an answer to what was asked; the next one may be fine."""


class _Registers(ModbusPDU):
    """A PDU that keeps register bytes as they are: no list of integers on the way."""

    def __init__(self, dev_id: int = 1, address: int = 0, count: int = 0, data: bytes = b"") -> None:
        super().__init__(dev_id=dev_id, address=address, count=count)
        self.data = data

    def __str__(self) -> str:
        # pymodbus formats every PDU for a debug line, also when nobody logs
        return self.__class__.__name__


class ReadHolding(_Registers):
    """Request and answer of function 3."""

    function_code = READ_HOLDING

    def encode(self) -> bytes:
        return struct.pack(">HH", self.address, self.count)

    def decode(self, data: bytes) -> None:
        if len(data) < 1 or data[0] != len(data) - 1:
            raise LostFraming(f"byte count {data[0] if data else 'missing'} in an answer with {max(len(data) - 1, 0)} data bytes")
        self.data = data[1:]


class ReadInput(ReadHolding):
    """Request and answer of function 4."""

    function_code = READ_INPUT


class _Echo(_Registers):
    """A write, whose answer repeats address and count (or value)."""

    echo: bytes = b""

    def decode(self, data: bytes) -> None:
        self.echo = data


class WriteMultiple(_Echo):
    """Request and answer of function 16."""

    function_code = WRITE_MULTIPLE

    def encode(self) -> bytes:
        return struct.pack(">HHB", self.address, self.count, len(self.data)) + self.data

    def expected_echo(self) -> bytes:
        return struct.pack(">HH", self.address, self.count)


class WriteSingle(_Echo):
    """Request and answer of function 6."""

    function_code = WRITE_SINGLE

    def encode(self) -> bytes:
        return struct.pack(">H", self.address) + self.data

    def expected_echo(self) -> bytes:
        return self.encode()


def is_settled(answer: ModbusPDU) -> bool:
    """Whether an answer is the last word: no other one to the same request can follow it."""
    return not (isinstance(answer, ExceptionResponse) and answer.exception_code in _UNSETTLED)


READS: dict[int, type[ReadHolding]] = {READ_HOLDING: ReadHolding, READ_INPUT: ReadInput}
WRITES: dict[int, type[WriteMultiple | WriteSingle]] = {WRITE_MULTIPLE: WriteMultiple, WRITE_SINGLE: WriteSingle}


@dataclass(frozen=True, slots=True)
class Frame:
    """One MBAP frame. `pdu` has at least its function code; `end` is where the next one begins."""

    tid: int
    unit: int
    pdu: bytes
    end: int


def next_frame(data: bytes, start: int = 0) -> Frame | None:
    """The frame that begins at `start`, None while it is not complete.

    Raises:
        LostFraming: no frame can begin so.
    """
    if len(data) - start < _MBAP.size:
        return None
    tid, protocol, length, unit = _MBAP.unpack_from(data, start)
    if protocol != 0 or not _MIN_LENGTH <= length <= _MAX_LENGTH:
        raise LostFraming(f"not a Modbus frame: protocol id {protocol}, length {length}")
    end = start + _MBAP.size - 1 + length
    return Frame(tid, unit, data[start + _MBAP.size : end], end) if len(data) >= end else None


def decode_answer(frame: Frame, asked_unit: int, *, any_unit: bool) -> ModbusPDU:
    """The answer in a frame.

    Raises:
        WrongAnswer: another unit or an unknown function code.
        LostFraming: its lengths contradict each other.
    """
    code = frame.pdu[0]
    # an exception says what failed, whatever unit a gateway puts on it; a device asked as unit 0 answers as itself
    free = any_unit or code > 0x80 or asked_unit == 0
    if frame.unit != asked_unit and not free:
        raise WrongAnswer(f"the answer is from unit {frame.unit}")
    kind: type[ModbusPDU] | None = READS.get(code) or WRITES.get(code)
    if code > 0x80 and len(frame.pdu) == 2:
        pdu: ModbusPDU = ExceptionResponse(code & 0x7F)
    elif kind is not None:
        pdu = kind()
    else:
        raise WrongAnswer(f"an answer with function code {code} and {len(frame.pdu)} bytes")
    pdu.decode(frame.pdu[1:])
    pdu.dev_id, pdu.transaction_id = asked_unit, frame.tid
    return pdu
