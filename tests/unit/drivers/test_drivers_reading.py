"""Where the raw registers of a value stand: one point, two halves of a difference, a size and the register that turns it."""

from __future__ import annotations

import pytest
from tests.builders import START

from mimctl.drivers.dump_reading import read_dump
from mimctl.drivers.reading import Place, PointReading
from mimctl.model.clock import VirtualClock
from mimctl.model.profile import (
    DeviceClass,
    DeviceProfile,
    Difference,
    PointSpec,
    PointType,
    Provenance,
    RegisterMap,
    Signed,
)
from mimctl.wire.dump import RegisterDump, blocks_of

POINTS = (
    PointSpec("frequency", 5, PointType.UINT16, scale=0.01),
    PointSpec("import_w", 10, PointType.UINT32),
    PointSpec("export_w", 20, PointType.UINT32, function=4),
    PointSpec("battery_power", 30, PointType.UINT16, unit="W"),
    PointSpec("flow", 31, PointType.BITFIELD16),
)
MAP = RegisterMap(
    DeviceClass.METER,
    POINTS,
    differences=(Difference("active_power.total", "import_w", "export_w"),),
    signed=(Signed("battery_power", "flow", bit=1, sign=1),),
)
PROFILE = DeviceProfile("acme/x", "ACME", ("X",), Provenance("test", "high"), MAP)
WORDS = {5: 5000, 10: 0, 11: 300, 30: 1200, 31: 0b10}


async def points(words: dict[int, int], fours: dict[int, int]) -> dict[str, PointReading]:
    dump = RegisterDump(blocks_of({(1, 3): dict(words), (1, 4): dict(fours)}))
    (reading,) = await read_dump(dump, VirtualClock(START), profile=PROFILE)
    return {p.point: p for p in reading.points}


async def test_every_value_tells_the_registers_that_it_rests_on() -> None:
    """50 Hz; 300 − 4 W; 1200 W, turned round by bit 1."""
    found = await points(WORDS, {20: 0, 21: 4})
    assert {k: (p.value, p.unit, p.registers) for k, p in found.items()} == {
        "frequency": (50.0, "Hz", (5000,)),
        "active_power.total": (296.0, "W", (0, 300, 0, 4)),
        "battery_power": (-1200.0, "W", (1200, 2)),
    }
    assert found["frequency"].address == 5
    assert found["active_power.total"].places == (Place(3, 10, 2), Place(4, 20, 2))
    assert found["battery_power"].places == (Place(3, 30, 1), Place(3, 31, 1))


@pytest.mark.parametrize(("gone", "point"), [(31, "battery_power"), (11, "active_power.total")])
async def test_a_value_without_one_of_its_registers_is_none(gone: int, point: str) -> None:
    found = await points({a: w for a, w in WORDS.items() if a != gone}, {20: 0, 21: 4})
    assert (found[point].value, found[point].quality.name) == (None, "BAD")
    assert None in found[point].registers
    assert found["frequency"].value == 50.0
