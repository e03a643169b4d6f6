"""Cutting a byte stream into frames, and frames into answers: whatever comes in, only known errors come out."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.pdu import ExceptionResponse

from mimctl.wire.modbus_connection import reason_of
from mimctl.wire.modbus_frames import (
    Frame,
    LostFraming,
    ReadHolding,
    WriteMultiple,
    WriteSingle,
    WrongAnswer,
    decode_answer,
    next_frame,
)

PDUS = st.binary(min_size=1, max_size=253)
FRAMES = st.tuples(st.integers(0, 65535), st.integers(0, 255), PDUS)


def encoded(tid: int, unit: int, pdu: bytes) -> bytes:
    return struct.pack(">HHHB", tid, 0, len(pdu) + 1, unit) + pdu


@given(st.lists(FRAMES, max_size=5), st.integers(0, 400))
def test_frames_come_out_as_they_went_in_and_the_rest_waits(frames: list[tuple[int, int, bytes]], cut: int) -> None:
    whole = b"".join(encoded(*f) for f in frames)
    data, found, at = whole[: max(len(whole) - cut, 0)], [], 0
    while (frame := next_frame(data, at)) is not None:
        found.append((frame.tid, frame.unit, frame.pdu))
        at = frame.end
    assert found == frames[: len(found)]
    missing = b"".join(encoded(*f) for f in frames[len(found) :])
    assert missing.startswith(data[at:])
    assert missing == b"" or len(data) - at < len(encoded(*frames[len(found)]))


@given(st.binary(max_size=600), st.integers(0, 255), st.booleans())
def test_any_bytes_give_answers_or_known_errors(data: bytes, unit: int, any_unit: bool) -> None:
    at = 0
    with contextlib.suppress(LostFraming, WrongAnswer):
        while (frame := next_frame(data, at)) is not None:
            assert at < frame.end <= len(data)
            at = frame.end
            decode_answer(frame, unit, any_unit=any_unit)


@given(FRAMES)
def test_answer_of_another_unit_is_never_taken_but_for_exceptions(frame: tuple[int, int, bytes]) -> None:
    tid, unit, pdu = frame
    asked = unit % 255 + 1 if unit % 255 + 1 != unit else 1
    if pdu[0] > 0x80 or asked == unit:
        return
    with pytest.raises(WrongAnswer):
        decode_answer(Frame(tid, unit, pdu, 0), asked, any_unit=False)


@pytest.mark.parametrize("header", ["0001 0001 0006 01", "0001 0000 0000 01", "0001 0000 0001 01", "0001 0000 00FF 01"])
def test_impossible_headers_lose_the_framing(header: str) -> None:
    """Protocol id 0, and a length from unit and function code up to unit and a PDU of 253 bytes."""
    with pytest.raises(LostFraming):
        next_frame(bytes.fromhex(header))


def test_requests_are_encoded_as_the_protocol_says() -> None:
    """The examples of the application protocol, sections 6.3, 6.6 and 6.12."""
    assert ReadHolding(1, 0x6B, 3).encode() == bytes.fromhex("006B 0003")
    assert WriteSingle(1, 1, 1, b"\x00\x03").encode() == bytes.fromhex("0001 0003")
    write = WriteMultiple(1, 1, 2, b"\x00\x0a\x01\x02")
    assert write.encode() == bytes.fromhex("0001 0002 04 000A 0102")
    assert write.expected_echo() == bytes.fromhex("0001 0002")


def test_answers_of_the_protocols_examples() -> None:
    read = decode_answer(Frame(7, 1, bytes.fromhex("03 06 022B 0000 0064"), 0), 1, any_unit=False)
    assert isinstance(read, ReadHolding)
    assert (read.data, read.transaction_id) == (bytes.fromhex("022B 0000 0064"), 7)
    refused = decode_answer(Frame(7, 1, bytes.fromhex("83 02"), 0), 1, any_unit=False)
    assert isinstance(refused, ExceptionResponse)
    assert refused.exception_code == 2


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('10.0.0.1', 502)"), "connection refused"),
        (TimeoutError(), "no answer to the connection request"),
        (OSError("multiple exceptions"), "multiple exceptions"),
        (ValueError(), "ValueError"),
    ],
)
def test_reason_is_one_line_for_a_person(error: Exception, said: str) -> None:
    assert reason_of(error) == said
