"""RTU frames: the check sum, and finding an answer or a request among other bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimctl.wire.modbus_frames import READS, WRITES
from mimctl.wire.rtu_frames import Expected, check_sum, next_request, rtu_frame, whole_answer

READ = Expected.of(READS[3](1, 1000, 3))
ANSWER = rtu_frame(1, b"\x03\x06" + struct.pack(">3H", 7, 8, 9))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # MODBUS over Serial Line V1.02, section 6.2.2 (appendix B): 02 07 gives 0x1241, sent as 41 12
        (b"\x02\x07", b"\x41\x12"),
        # the check value of CRC-16/MODBUS in the catalogue of parametrised CRC algorithms is 0x4B37
        (b"123456789", b"\x37\x4b"),
    ],
)
def test_check_sum(data: bytes, expected: bytes) -> None:
    assert check_sum(data) == expected


def test_expected_answers() -> None:
    assert (READ.unit, READ.function, READ.head, READ.size) == (1, 3, b"\x06", 11)
    many = Expected.of(WRITES[16](7, 40, 2, bytes(4)))
    assert (many.unit, many.function, many.head, many.size) == (7, 16, b"\x00\x28\x00\x02", 8)
    one = Expected.of(WRITES[6](7, 40, 1, b"\x12\x34"), any_unit=True)
    assert (one.unit, one.function, one.head, one.size) == (None, 6, b"\x00\x28\x12\x34", 8)


@given(noise=st.binary(max_size=40).filter(lambda noise: 1 not in noise), after=st.binary(max_size=20))
def test_answer_is_found_behind_noise_and_before_it(noise: bytes, after: bytes) -> None:
    frame = READ.found(noise + ANSWER + after)
    assert frame is not None
    assert (frame.unit, frame.pdu, frame.end) == (1, ANSWER[1:-2], len(noise) + len(ANSWER))


@given(cut=st.integers(0, len(ANSWER) - 1))
def test_nothing_is_found_before_it_is_whole(cut: int) -> None:
    assert READ.found(ANSWER[:cut]) is None


@given(bit=st.integers(0, 8 * len(ANSWER) - 1))
def test_one_bit_is_enough_to_spoil_it(bit: int) -> None:
    spoilt = bytearray(ANSWER)
    spoilt[bit // 8] ^= 1 << bit % 8
    assert READ.found(bytes(spoilt)) is None


def test_exception_inside_an_answer_that_is_still_coming_is_data() -> None:
    """Register values may look like a frame."""
    refusal = rtu_frame(1, b"\x83\x02")
    answer = rtu_frame(1, b"\x03\x06" + refusal + b"\0")
    assert len(refusal) == 5
    for cut in range(len(answer)):
        assert READ.found(answer[:cut]) is None
    assert READ.found(answer) is not None
    assert READ.found(refusal) is not None, "by itself it is one"


@given(data=st.binary(max_size=60))
def test_any_bytes_are_judged_without_an_error(data: bytes) -> None:
    for expected in (READ, Expected.of(WRITES[16](1, 0, 1, b"\0\0"), any_unit=True)):
        found = expected.found(data)
        assert found is None or check_sum(data[: found.end - 2][-len(found.pdu) - 1 :]) == data[found.end - 2 : found.end]
    request = next_request(data)
    assert request is None or 4 <= request.end <= len(data)
    whole = whole_answer(data)
    assert whole is None or whole.end <= len(data)


def test_whole_answer_goes_by_its_own_length() -> None:
    other = rtu_frame(9, b"\x04\x02\x00\x01")
    frame = whole_answer(other + ANSWER)
    assert frame is not None
    assert (frame.unit, frame.pdu, frame.end) == (9, b"\x04\x02\x00\x01", len(other))
    assert whole_answer(other[:-1]) is None
    assert whole_answer(rtu_frame(9, b"\x63\x00\x00\x00")) is None, "nobody knows how long that is"


@pytest.mark.parametrize(
    "pdu",
    [
        b"\x03\0\0\0\x01",
        b"\x06\0\0\0\x01",
        b"\x10\0\0\0\x01\x02\0\x07",
        b"\x16\0\0\0\0\0\0",
        b"\x17\0\0\0\x01\0\0\0\x01\x02\0\x09",
        b"\x2b\x0e\x01\0",
    ],
)
def test_request_is_found_behind_noise(pdu: bytes) -> None:
    request = rtu_frame(5, pdu)
    frame = next_request(b"\xfe\xfd" + request)
    assert frame is not None
    assert (frame.unit, frame.pdu, frame.end) == (5, pdu, 2 + len(request))
    assert next_request(request[:-1]) is None
