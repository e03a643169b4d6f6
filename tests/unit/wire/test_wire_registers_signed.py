"""Values whose register holds a size, while a sign or a bit stands elsewhere."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.model.profile import DeviceClass, PointSpec, PointType, RegisterMap, Signed, WordOrder
from mimctl.wire.registers import CompiledMap
from mimctl.wire.writes import write_image

SIZE = PointSpec("battery_power", 0, PointType.UINT16)
WORD = PointSpec("word", 1, PointType.BITFIELD32, word_order=WordOrder.LSW)
BY_BIT = RegisterMap(DeviceClass.INVERTER, (SIZE, WORD), signed=(Signed("battery_power", "word", 17),))
POWER = PointSpec("active_power.L1", 1, PointType.INT16, sentinels=(-32768,))
BY_POINT = RegisterMap(
    DeviceClass.METER, (PointSpec("current.L1", 0, PointType.UINT16), POWER), signed=(Signed("current.L1", "active_power.L1"),)
)


def decoded(register_map, data):
    compiled = CompiledMap(register_map)
    return dict(zip(compiled.keys, compiled.decode([data]).tolist(), strict=True))


@pytest.mark.parametrize(("registers", "value"), [("05dc 0000 0002", -1500), ("05dc 0000 fffd", 1500), ("0000 0000 0002", 0)])
def test_a_bit_of_a_wide_word_is_the_sign(registers, value):
    found = decoded(BY_BIT, bytes.fromhex(registers))
    assert found == {"battery_power": value}  # the word is a helper, and no value of its own


@pytest.mark.parametrize(
    ("registers", "value"), [("0050 ff85", -80), ("0050 007b", 80), ("0050 0000", 80), ("0050 8000", math.nan)]
)
def test_the_sign_of_another_point_is_the_sign(registers, value):
    assert decoded(BY_POINT, bytes.fromhex(registers))["current.L1"] == pytest.approx(value, nan_ok=True)


def test_a_sign_that_came_with_the_size_does_not_count_twice():
    signed = RegisterMap(DeviceClass.INVERTER, (PointSpec("battery_power", 0, PointType.INT16), WORD), signed=BY_BIT.signed)
    assert decoded(signed, struct.pack(">hHH", -1500, 0, 2)) == {"battery_power": -1500}


@settings(max_examples=60, derandomize=True)
@given(st.integers(-65535, 65535), st.integers(0, 2**32 - 1))
def test_what_is_put_into_an_image_reads_back_and_leaves_the_other_bits_alone(value, word):
    image = bytearray(2) + struct.pack(">HH", word & 0xFFFF, word >> 16)
    write_image(BY_BIT, image, 0, {"battery_power": float(value)})
    assert decoded(BY_BIT, bytes(image))["battery_power"] == value
    low, high = struct.unpack_from(">HH", image, 2)
    assert (low | high << 16) & ~(1 << 17) == word & ~(1 << 17)
