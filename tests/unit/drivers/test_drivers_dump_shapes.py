"""Register dumps that are not as they should be: each row of the table in the reference page on the dump format."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from tests.builders import START

from mimctl.drivers.dump_reading import read_dump
from mimctl.drivers.reading import DeviceReading
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import MimctlError
from mimctl.wire.dump import DumpBlock, RegisterDump
from mimctl.wire.sunspec_image import ModelContent, build_chain

IMAGE, CHAIN = build_chain([ModelContent(1, {"Mn": "ACME"}), ModelContent(103, {"W": 1250.0, "W_SF": 0, "Hz": 50.0, "Hz_SF": -2})])
WORDS: list[Any] = list(struct.unpack(f">{len(IMAGE) // 2}H", IMAGE))
#: where the inverter model's number stands; its 50 registers and the end model follow
AT = WORDS.index(103, 60)
BASE = 40000


def block(words: list[Any], start: int = BASE, function: int = 3) -> DumpBlock:
    return DumpBlock(1, function, start, tuple(words))


async def read(*blocks: DumpBlock, every_point: bool = False) -> DeviceReading:
    (reading,) = await read_dump(RegisterDump(blocks), VirtualClock(START), every_point=every_point)
    return reading


def put(at: int, *words: Any) -> list[Any]:
    return [*WORDS[:at], *words, *WORDS[at + len(words) :]]


def value(reading: DeviceReading, point: str) -> Any:
    return next((p.value for p in reading.points if p.point == point), "no such point")


@pytest.mark.parametrize(
    ("words", "power_w", "warning"),
    [
        pytest.param(put(AT + 1, None), 1250.0, "sunspec.length", id="unknown length of a described model"),
        pytest.param([*WORDS[:AT], 64999, 2, 7, 8, *WORDS[AT:]], 1250.0, "sunspec.unknown_model", id="model that nobody described"),
        pytest.param([*WORDS[:AT], 64999, None, 7, 8, *WORDS[AT:]], "no such point", "sunspec.length", id="and of unknown length"),
        pytest.param(put(AT, None), "no such point", "sunspec.no_end", id="unknown number"),
        pytest.param(
            [*WORDS[: AT + 1], 53, *WORDS[AT + 2 : -2], 1, 2, 3, 0xFFFF, 0], 1250.0, None, id="longer than its definition"
        ),
        pytest.param([*WORDS[: AT + 1], 15, *WORDS[AT + 2 : AT + 17], 0xFFFF, 0], 1250.0, None, id="shorter than its definition"),
        pytest.param(put(AT + 1, 0xFFFF), "no such point", "sunspec.length", id="past the last register"),
        pytest.param(WORDS[:-2], 1250.0, "sunspec.no_end", id="no end model"),
        pytest.param([*WORDS[:-2], None, None], 1250.0, "sunspec.no_end", id="unknown end model"),
    ],
)
async def test_what_is_not_as_it_should_be_is_read_as_far_as_it_goes(words: list[Any], power_w: Any, warning: str | None) -> None:
    reading = await read(block(words))
    assert dict(reading.identity)["manufacturer"] == "ACME"
    assert value(reading, "active_power.total") == power_w
    codes = [code for code, _ in reading.warnings]
    assert (codes == []) if warning is None else (warning in codes)


async def test_a_model_shorter_than_its_definition_has_no_points_past_its_end() -> None:
    """W and its scale factor stand at offsets 14 and 15, Hz at 16, its scale factor at 17: where the next model begins already."""
    reading = await read(block([*WORDS[: AT + 1], 15, *WORDS[AT + 2 : AT + 17], 0xFFFF, 0]))
    assert value(reading, "active_power.total") == 1250.0
    assert value(reading, "frequency") == "no such point"


async def test_blocks_in_pieces_and_with_a_hole() -> None:
    pieces = block(WORDS[100:], BASE + 100), block(WORDS[:30]), block(WORDS[30:100], BASE + 30)
    assert value(await read(*pieces), "active_power.total") == 1250.0
    # without registers 30 to 59 there are some texts less
    holed = await read(block(WORDS[:30]), block(WORDS[60:], BASE + 60), every_point=True)
    assert value(holed, "active_power.total") == 1250.0
    assert (value(holed, "model1.Mn"), value(holed, "model1.Md")) == ("ACME", None)


async def test_a_chain_in_input_registers_is_found_and_told_as_such() -> None:
    reading = await read(block(WORDS, function=4), block([0] * 10, start=5))
    power = next(p for p in reading.points if p.point == "active_power.total")
    assert (power.value, power.unit, power.function, power.places[0].function) == (1250.0, "W", 4, 4)
    assert "sunspec.input_registers" in [code for code, _ in reading.warnings]


async def test_a_mark_with_nothing_behind_it_is_one_clear_error() -> None:
    with pytest.raises(MimctlError, match="40002 to 40003 are not in the dump"):
        await read(block(WORDS[:2]))


async def test_every_point_has_a_quality_and_every_quantity_a_unit() -> None:
    reading = await read(block(put(AT + 16, None)), every_point=True)
    assert {p.quality.name for p in reading.points} == {"GOOD", "BAD"}
    assert all((p.value is None) == (p.quality.name == "BAD") for p in reading.points)
    units = {p.point: p.unit for p in reading.points}
    assert (units["active_power.total"], units["model103.W"], units["frequency"]) == ("W", "W", "Hz")


async def test_a_unit_without_a_chain_beside_one_with_one_is_passed_over_and_named() -> None:
    other = DumpBlock(2, 3, 10, (1, 2, 3))
    reading = await read(other, block(WORDS))
    assert (reading.unit, value(reading, "active_power.total")) == (1, 1250.0)
    assert [text for code, text in reading.warnings if code == "dump.unit_passed_over"] == [
        "unit 2 holds no SunSpec chain; name its register map with --profile"
    ]
    with pytest.raises(MimctlError, match="unit 2 holds no SunSpec chain"):
        await read_dump(RegisterDump((other, block(WORDS))), VirtualClock(START), units=(2,))
