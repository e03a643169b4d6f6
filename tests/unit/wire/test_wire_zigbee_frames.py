"""Bytes of the cluster library and of the MIM's own cluster, against frames written out by hand and against zigpy."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zigpy.zcl import foundation

from mimctl.model.harmonics import HarmonicShare
from mimctl.model.site import ExpiryAction
from mimctl.wire.zigbee import mim_layout as layout
from mimctl.wire.zigbee import zcl
from mimctl.wire.zigbee.zcl import Attribute, Header


def test_a_report_of_a_maker_s_own_attribute_byte_by_byte():
    # frame control: manufacturer specific, from the server, no default response; code 0x1F4D, transaction 7, report
    header = Header(zcl.REPORT, 7, manufacturer=0x1F4D, from_server=True)
    assert header.encode().hex() == "1c4d1f070a"
    assert zcl.decode_header(bytes.fromhex("1c4d1f070a0100")) == (header, b"\x01\x00")


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x18\x01", b"\x1c\x4d\x1f\x07"])
def test_a_frame_shorter_than_its_header_is_refused(data):
    with pytest.raises(ValueError, match="shorter"):
        zcl.decode_header(data)


@pytest.mark.parametrize("kind", [k for k in range(0x18, 0x32) if k not in (0x27, 0x2F, 0x31)])  # zigpy's are a byte short
def test_sizes_and_missing_values_are_those_of_zigpy(kind):
    theirs = foundation.DataType.from_type_id(kind)
    assert len(theirs.python_type(1).serialize()) == zcl.size_of(kind)
    expected = None if 0x18 <= kind < 0x20 else theirs.non_value
    assert zcl.no_value(kind) == (None if expected is None else int(expected))


@pytest.mark.parametrize(
    ("kind", "raw"), [(zcl.UINT16, 2301), (zcl.INT16, -150), (zcl.INT24, -8388607), (zcl.BITMAP32, 0x80000001)]
)
def test_attributes_are_read_by_zigpy(kind, raw):
    value, rest = foundation.TypeValue.deserialize(Attribute(kind, raw).encode())
    assert (value.type, int(value.value), rest) == (kind, raw, b"")


@pytest.mark.parametrize(
    ("kind", "value", "raw"),
    [
        (zcl.UINT16, math.nan, 0xFFFF),
        (zcl.INT16, None, -0x8000),
        (zcl.UINT16, 70000.0, 0xFFFE),
        (zcl.UINT16, -3.0, 0),
        (zcl.INT16, -40000.0, -0x7FFF),
        (zcl.BITMAP32, 2.0**32 - 1, 0xFFFFFFFF),
        (zcl.BITMAP32, None, 0),
    ],
)
def test_a_number_never_turns_into_the_pattern_for_no_value(kind, value, raw):
    assert zcl.number(kind, value) == raw


def test_records_that_do_not_fit_go_into_more_frames():
    records = [bytes(30)] * 5
    assert [len(payload) for payload in zcl.split(records)] == [60, 60, 30]


def test_a_command_byte_by_byte():
    told = layout.SetPower(3, 30, ExpiryAction.ZERO, True, (500, -1), (-60, 0), None)
    expected = "031e00010102" + "f40100c4ffff" + "ff00000000" + "ffffff000000" + "ff00000000"
    assert told.encode().hex() == expected
    assert layout.decode_set_power(bytes.fromhex(expected)) == told


def test_shares_go_in_half_percents():
    shares = (HarmonicShare(0.5, 0b10100),)
    told = layout.SetPower(1, 5, ExpiryAction.REVERT, False, (0,), (0,), shares)
    assert told.encode().hex() == "010500020001" + "000000000000" + "64" + "14000000"
    assert layout.decode_set_power(told.encode()) == told


def test_the_longest_command_fits_into_one_frame():
    ports = layout.MOST_PORTS
    told = layout.SetPower(255, 100, ExpiryAction.ZERO, True, (layout.MOST_W,) * ports, (-layout.MOST_W,) * ports)
    assert len(told.encode()) <= zcl.LONGEST
    assert layout.decode_set_power(told.encode()) == told


@pytest.mark.parametrize(
    "data",
    ["", "031e000101", "031e00010100", "031e00010101", "031e000901010000000000000000000000", "0300000101010000000000000000000000"],
    ids=["empty", "half a head", "no port", "no record", "expiry action 9", "validity 0"],
)
def test_what_is_no_command_is_refused(data):
    with pytest.raises(ValueError, match="set_power"):
        layout.decode_set_power(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("sequence", "in_force", "later"),
    [(1, 0, True), (0, 255, True), (127, 0, True), (128, 0, False), (0, 0, False), (255, 0, False)],
)
def test_a_sequence_counts_modulo_256(sequence, in_force, later):
    assert layout.is_later(sequence, in_force) is later


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.binary(max_size=80))
def test_no_bytes_break_the_decoders(data):
    for decode in (zcl.decode_header, layout.decode_set_power):
        try:
            decode(data)
        except ValueError:
            continue
