"""The codec by hand-packed registers: types, orders, scales, sentinels."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.model.profile import (
    ByteOrder,
    DeviceClass,
    Difference,
    Guard,
    PointSpec,
    PointType,
    ReadBlock,
    RegisterMap,
    WordOrder,
)
from mimctl.wire.registers import CompiledMap, text_of
from mimctl.wire.writes import write_image


def compiled(*points, **more):
    return CompiledMap(RegisterMap(DeviceClass.METER, points, **more))


def decode_one(point, registers):
    [block] = compiled(point).reads
    assert (block.address, block.count) == (point.address, len(registers) // 2)
    return compiled(point).decode([registers])[0]


@pytest.mark.parametrize(
    ("kind", "registers", "value"),
    [
        (PointType.INT16, bytes.fromhex("FFFE"), -2.0),
        (PointType.UINT16, bytes.fromhex("FFFE"), 65534.0),
        (PointType.INT32, bytes.fromhex("FFFFFFFE"), -2.0),
        (PointType.UINT32, bytes.fromhex("00010000"), 65536.0),
        (PointType.INT64, bytes.fromhex("FFFFFFFFFFFFFFFE"), -2.0),
        (PointType.UINT64, bytes.fromhex("0000000100000000"), 4294967296.0),
        (PointType.FLOAT32, bytes.fromhex("41480000"), 12.5),
        (PointType.FLOAT64, bytes.fromhex("4029000000000000"), 12.5),
        (PointType.ENUM16, bytes.fromhex("0003"), 3.0),
        (PointType.BITFIELD32, bytes.fromhex("80000001"), 2147483649.0),
    ],
)
def test_every_type_reads_its_big_endian_registers(kind, registers, value):
    assert decode_one(PointSpec("voltage.L1", 10, kind), registers) == value


@pytest.mark.parametrize(
    ("word", "byte", "registers"),
    [
        (WordOrder.MSW, ByteOrder.BIG, "11223344"),
        (WordOrder.LSW, ByteOrder.BIG, "33441122"),
        (WordOrder.MSW, ByteOrder.LITTLE, "22114433"),
        (WordOrder.LSW, ByteOrder.LITTLE, "44332211"),
    ],
)
def test_all_four_orders_of_a_wide_value(word, byte, registers):
    point = PointSpec("energy_import.total", 0, PointType.UINT32, word_order=word, byte_order=byte)
    assert decode_one(point, bytes.fromhex(registers)) == 0x11223344


def test_orders_may_differ_between_the_points_of_one_read():
    swapped = PointSpec("current.L1", 0, PointType.UINT32, word_order=WordOrder.LSW)
    plain = PointSpec("current.L2", 2, PointType.UINT32)
    values = compiled(swapped, plain).decode([bytes.fromhex("0002000100010002")])
    assert values.tolist() == [65538.0, 65538.0]


def scaled(**more):
    return PointSpec("active_power.L1", 0, PointType.INT16, scale_address=1, sentinels=(-32768,), **more)


@pytest.mark.parametrize(("exponent", "value"), [(0, 1234.0), (-1, 123.4), (2, 123400.0), (-10, 1.234e-7), (10, 1.234e13)])
def test_a_scale_register_holds_the_power_of_ten(exponent, value):
    assert decode_one(scaled(), struct.pack(">hh", 1234, exponent)) == value


@pytest.mark.parametrize("exponent", [-32768, 11, -11, 20])
def test_a_point_with_an_absent_or_senseless_scale_has_no_value(exponent):
    assert math.isnan(decode_one(scaled(), struct.pack(">hh", 1234, exponent)))


def test_tenths_are_exact():
    """Multiplying 2307 by 0.1 gives 230.70000000000002."""
    assert decode_one(scaled(), struct.pack(">hh", 2307, -1)) == 230.7


def test_a_scale_that_changes_at_run_time_counts_in_the_frame_it_came_in():
    codec = compiled(scaled())
    found = [codec.decode([struct.pack(">hh", 5, e)])[0] for e in (0, -1, 0, 1)]
    assert found == [5.0, 0.5, 5.0, 50.0]


def test_sign_and_scale_are_applied_once():
    point = PointSpec("active_power.L1", 0, PointType.FLOAT32, scale=1000.0, sign=-1)
    assert decode_one(point, struct.pack(">f", 1.5)) == -1500.0


@pytest.mark.parametrize("raw", [0x7FFF, 0x8000])
def test_any_of_several_sentinels_means_no_value(raw):
    point = PointSpec("current.L1", 0, PointType.UINT16, sentinels=(0x7FFF, 0x8000), scale=0.1)
    assert math.isnan(decode_one(point, struct.pack(">H", raw)))
    assert decode_one(point, struct.pack(">H", 0x7FFE)) == pytest.approx(3276.6)


def test_a_neighbour_of_a_sentinel_is_a_value():
    points = [
        PointSpec("current.L1", 0, PointType.UINT16, sentinels=(0xFFFF,)),
        PointSpec("current.L2", 1, PointType.UINT16),
    ]
    values = compiled(*points).decode([bytes.fromhex("FFFFFFFF")])
    assert math.isnan(values[0])
    assert values[1] == 65535.0


@pytest.mark.parametrize("registers", ["7FC00000", "FFC00000", "7F800001", "7F800000", "FF800000"])
def test_floats_that_are_no_numbers_have_no_value(registers):
    """Quiet, negative and signalling NaN, and both infinities (IEEE 754)."""
    assert math.isnan(decode_one(PointSpec("voltage.L1", 0, PointType.FLOAT32), bytes.fromhex(registers)))


def test_an_accumulator_at_zero_is_zero():
    assert decode_one(PointSpec("energy_import.total", 0, PointType.UINT32), bytes(4)) == 0.0


def test_import_and_export_registers_make_one_signed_value():
    points = [
        PointSpec("active_power.L2", 4, PointType.UINT16),
        PointSpec("from_grid", 0, PointType.UINT16, sentinels=(0xFFFF,), scale=10.0),
        PointSpec("to_grid", 1, PointType.UINT16, scale=10.0),
    ]
    codec = compiled(*points, differences=(Difference("active_power.L1", "from_grid", "to_grid"),), max_gap=9)
    assert codec.keys == ("active_power.L2", "active_power.L1")
    assert codec.decode([struct.pack(">5H", 3, 8, 0, 0, 77)]).tolist() == [77.0, -50.0]
    assert np.isnan(codec.decode([struct.pack(">5H", 0xFFFF, 8, 0, 0, 77)])).tolist() == [False, True]


def test_a_refused_read_leaves_the_values_of_the_others():
    points = [PointSpec("voltage.L1", 0, PointType.UINT16), PointSpec("voltage.L2", 100, PointType.UINT16)]
    codec = compiled(*points)
    assert codec.reads == (ReadBlock(0, 1), ReadBlock(100, 1))
    values = codec.decode([None, struct.pack(">H", 230)])
    assert math.isnan(values[0])
    assert values[1] == 230.0


def test_a_value_whose_scale_was_refused_is_unknown():
    point = PointSpec("voltage.L1", 0, PointType.UINT16, scale_address=50)
    codec = CompiledMap(RegisterMap(DeviceClass.METER, (point,)), max_registers=10)
    assert codec.reads == (ReadBlock(0, 1), ReadBlock(50, 1))
    assert math.isnan(codec.decode([struct.pack(">H", 230), None])[0])
    assert codec.decode([struct.pack(">H", 230), struct.pack(">h", -1)])[0] == 23.0


@pytest.mark.parametrize("blocks", [[b"\0"], [b"\0\0\0\0"], [], [b"\0\0", b"\0\0"]])
def test_replies_of_the_wrong_length_are_an_error(blocks):
    with pytest.raises(ValueError, match="repl"):
        compiled(PointSpec("voltage.L1", 0, PointType.UINT16)).decode(blocks)


def test_input_registers_are_another_address_space():
    points = [PointSpec("voltage.L1", 0, PointType.UINT16, function=4), PointSpec("voltage.L2", 0, PointType.UINT16)]
    codec = compiled(*points)
    assert codec.reads == (ReadBlock(0, 1, 3), ReadBlock(0, 1, 4))
    assert codec.decode([struct.pack(">H", 2), struct.pack(">H", 1)]).tolist() == [1.0, 2.0]


def test_a_guard_notices_a_shifted_answer():
    guard = Guard(0, (203, 105), 0, 107)
    codec = compiled(PointSpec("voltage.L1", 2, PointType.UINT16), guards=(guard,))
    assert codec.reads == (ReadBlock(0, 3),)
    assert codec.mismatch([struct.pack(">3H", 203, 105, 7)]) is None
    assert "203" in (codec.mismatch([struct.pack(">3H", 105, 7, 9)]) or "")
    assert codec.mismatch([None]) is None


def test_static_points_are_not_polled():
    points = (PointSpec("rating_active_power", 0, PointType.UINT16, static=True), PointSpec("voltage.L1", 9, PointType.UINT16))
    register_map = RegisterMap(DeviceClass.METER, points)
    assert CompiledMap(register_map).keys == ("voltage.L1",)
    assert CompiledMap(register_map, static=True).keys == ("rating_active_power",)


def test_decoded_values_cannot_be_changed():
    values = compiled(PointSpec("voltage.L1", 0, PointType.UINT16)).decode([b"\0\1"])
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 2.0


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"ACME  \0gar", "ACME"),
        (b"  MIM-3   ", "MIM-3"),
        (bytes(10), None),
        (b"\xff" * 10, None),
        (b"K\xf6ln\0\0\0\0\0\0", "Köln"),
        ("Köln".encode().ljust(10, b"\0"), "Köln"),
        (b"          ", None),
    ],
)
def test_texts_end_at_the_first_nul(data, text):
    assert text_of(PointSpec("identity.model", 0, PointType.STRING, count=5), data) == text


def test_a_number_can_be_shown_as_text():
    point = PointSpec("identity.serial", 129, PointType.UINT32, word_order=WordOrder.LSW)
    assert text_of(point, bytes.fromhex("00020001")) == "65538"


NUMBERS = [t for t in PointType if not t.is_text]


@st.composite
def pictured_points(draw):
    """A point in a map, and a raw value that is none of its sentinels."""
    kind = draw(st.sampled_from(NUMBERS))
    exponent = draw(st.none() | st.integers(-10, 10))
    sentinels = () if kind.is_float else draw(st.sampled_from([(), (kind.bounds[0],), (kind.bounds[1],)]))
    point = PointSpec(
        key="active_power.L1",
        address=1,
        type=kind,
        scale=draw(st.sampled_from([1.0, 0.1, 10.0, 1000.0, 0.01])),
        scale_address=None if exponent is None else 0,
        word_order=draw(st.sampled_from(WordOrder)),
        byte_order=draw(st.sampled_from(ByteOrder)),
        sentinels=sentinels,
        sign=draw(st.sampled_from([1, -1])),
    )
    if kind.is_float:
        raw = draw(st.floats(-1e6, 1e6, width=32))
    else:
        low, high = (max(kind.bounds[0], -(2**52)), min(kind.bounds[1], 2**52))
        raw = draw(st.integers(low, high).filter(lambda n: n not in sentinels))
    return point, exponent, raw


@settings(max_examples=300, derandomize=True, deadline=None)
@given(pictured_points())
def test_decoding_an_image_gives_back_what_was_written(example):
    point, exponent, raw = example
    value = raw * point.scale * point.sign * 10.0 ** (exponent or 0)
    register_map = RegisterMap(DeviceClass.METER, (point,))
    image = bytearray(2 * point.end)
    struct.pack_into(">h", image, 0, exponent or 0)
    write_image(register_map, image, 0, {"active_power.L1": value})
    codec = CompiledMap(register_map)
    blocks = [bytes(image[2 * r.address : 2 * r.end]) for r in codec.reads]
    assert codec.decode(blocks)[0] == pytest.approx(value, rel=1e-6 if point.type is PointType.FLOAT32 else 1e-12, abs=1e-300)
