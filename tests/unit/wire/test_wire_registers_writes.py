"""Setpoints: checked first, rounded towards zero, never a pattern that means 'no value'."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.model.errors import Unencodable
from mimctl.model.profile import DeviceClass, Difference, PointSpec, PointType, RegisterMap, WordOrder
from mimctl.wire.writes import encode_reading, encode_setpoint, encode_text, write_image


def point(kind=PointType.INT16, **more):
    return PointSpec("setpoint_active_power.port1", 0, kind, writable=True, **more)


@pytest.mark.parametrize(("value", "counts"), [(1999.9, 19), (-1999.9, -19), (99.0, 0), (2000.0, 20), (-0.5, 0)])
def test_rounds_towards_zero_in_register_units(value, counts):
    assert encode_setpoint("m", point(scale=100.0), value) == struct.pack(">h", counts)


def test_a_value_on_a_count_stays_on_it():
    """3.3 / 0.1 is 32.99999999999999 in binary floating point."""
    assert encode_setpoint("m", point(scale=0.1), 3.3) == struct.pack(">h", 33)


def test_the_scale_register_of_the_device_counts():
    assert encode_setpoint("m", point(scale_address=5), -250.0, 1) == struct.pack(">h", -25)
    assert encode_setpoint("m", point(scale_address=5), -2.5, -2) == struct.pack(">h", -250)


def test_word_order_is_the_devices():
    swapped = point(PointType.INT32, word_order=WordOrder.LSW)
    assert encode_setpoint("m", swapped, 0x11223344) == bytes.fromhex("33441122")


@pytest.mark.parametrize(
    ("spec", "value", "exponent", "words"),
    [
        (point(PointType.UINT16, scale=0.1, sentinels=(0xFFFF,)), 6553.5, None, "no value"),
        (point(sentinels=(-32768,)), -32768.0, None, "no value"),
        (point(PointType.UINT16), -1.0, None, "does not fit"),
        (point(), 32768.0, None, "does not fit"),
        (point(PointType.FLOAT32), 1e39, None, "does not fit"),
        (point(minimum=-100.0), -101.0, None, "minimum"),
        (point(maximum=100.0), 100.1, None, "maximum"),
        (point(), math.nan, None, "not a number"),
        (point(), math.inf, None, "not a number"),
        (point(scale_address=5), 1.0, -32768, "scale factor"),
        (point(scale_address=5), 1.0, None, "scale factor"),
        (PointSpec("active_power.L1", 0, PointType.INT16), 1.0, None, "not writable"),
    ],
)
def test_what_must_not_be_written_is_refused_with_a_reason(spec, value, exponent, words):
    with pytest.raises(Unencodable, match=words):
        encode_setpoint("mim7", spec, value, exponent)


@settings(max_examples=200, derandomize=True)
@given(st.floats(-30000, 30000), st.sampled_from([1.0, 0.1, 10.0, 0.25]))
def test_what_is_written_never_exceeds_what_was_asked(value, scale):
    [counts] = struct.unpack(">i", encode_setpoint("m", point(PointType.INT32, scale=scale), value))
    assert abs(counts * scale) <= abs(value) * (1 + 1e-9) + 1e-9 * scale
    assert abs(value - counts * scale) < scale * (1 + 1e-6)


@settings(max_examples=200, derandomize=True)
@given(st.floats(-1e30, 1e30))
def test_a_float_setpoint_is_rounded_towards_zero_as_well(value):
    [written] = struct.unpack(">f", encode_setpoint("m", point(PointType.FLOAT32), value))
    assert abs(written) <= abs(value)


def test_readings_are_rounded_to_the_nearest_and_unknown_is_the_sentinel():
    spec = PointSpec("active_power.L1", 0, PointType.INT16, scale=0.1, sentinels=(-32768,))
    assert encode_reading(spec, 1.26) == struct.pack(">h", 13)
    for value in (math.nan, 4000.0, -3276.8):
        assert encode_reading(spec, value) == bytes.fromhex("8000")


def test_a_reading_without_a_pattern_for_no_value_is_an_error():
    with pytest.raises(ValueError, match="no pattern"):
        encode_reading(PointSpec("energy_import.total", 0, PointType.UINT32), math.nan)


@pytest.mark.parametrize(("value", "registers"), [(-50.0, (0, 5)), (30.0, (3, 0)), (0.0, (0, 0)), (math.nan, (0xFFFF, 0xFFFF))])
def test_an_image_splits_a_signed_value_as_the_device_does(value, registers):
    points = tuple(PointSpec(k, n, PointType.UINT16, scale=10.0, sentinels=(0xFFFF,)) for n, k in enumerate(("plus", "minus")))
    register_map = RegisterMap(DeviceClass.METER, points, differences=(Difference("active_power.L1", "plus", "minus"),))
    image = bytearray(4)
    write_image(register_map, image, 0, {"active_power.L1": value})
    assert struct.unpack(">2H", image) == registers


def test_texts_are_filled_with_nuls_and_must_fit():
    spec = PointSpec("identity.model", 0, PointType.STRING, count=3)
    assert encode_text(spec, "MIM") == b"MIM\0\0\0"
    with pytest.raises(ValueError, match="does not fit"):
        encode_text(spec, "MIM-3000")
