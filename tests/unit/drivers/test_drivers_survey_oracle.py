"""Every standard SunSpec model out of a dump, point by point against pysunspec2."""

import random
import struct
from datetime import UTC, datetime

import pytest
import sunspec2.device

from mimctl.drivers.dump_reading import read_dump
from mimctl.model.clock import VirtualClock
from mimctl.wire.dump import RegisterDump, blocks_of
from mimctl.wire.sunspec_models import count_names, definition_of, leaves, model_directories

#: pysunspec2 writes IPv6 addresses in a way of its own, and cannot build 64411 without a table of counts
IDS = sorted({int(f.stem.removeprefix("model_")) for d in model_directories()[1:] for f in d.glob("model_*.json")} - {1, 64411})
COMMON = struct.pack(">HH", 1, 66) + b"AC" * 66


def registers(model, rng):
    """Plausible registers: no scale factor beyond ±2, no 64-bit number that a float could not hold, two of every group."""
    definition = definition_of(model)
    counts = dict.fromkeys(count_names(definition), 2)
    found = leaves(definition, 400, counts)
    words = [rng.randrange(0, 30000) for _ in range(found[-1].end)]
    words[:2] = model, len(words) - 2
    for leaf in found:
        kind = leaf.definition["type"]
        if kind == "sunssf":
            words[leaf.offset] = rng.choice([0, 1, 0xFFFF, 0xFFFE])
        elif leaf.path in counts:
            words[leaf.offset] = 2
        elif kind in ("uint64", "acc64", "int64"):
            words[leaf.offset : leaf.offset + 2] = 0, 0
        elif kind == "string":
            words[leaf.offset : leaf.end] = [0x4142] * leaf.size
    return words


def points_of(group, prefix=""):
    for name, point in group.points.items():
        if point.pdef["type"] not in ("pad", "ipv6addr"):
            yield prefix + name, point.get_value(computed=True)
    for name, inner in group.groups.items():
        many = isinstance(inner, list)
        repeated = [(f"{prefix}{name}[{n}].", g) for n, g in enumerate(inner)] if many else [(f"{prefix}{name}.", inner)]
        for path, one in repeated:
            yield from points_of(one, path)


@pytest.mark.parametrize("model", IDS)
async def test_a_model_decodes_as_the_oracle_does(model):
    words = registers(model, random.Random(model))
    image = struct.pack(f">{len(words)}H", *words)
    chain = b"SunS" + COMMON + image + b"\xff\xff\0\0"
    held = dict(enumerate(struct.unpack(f">{len(chain) // 2}H", chain), 40000))
    clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC))
    (reading,) = await read_dump(RegisterDump(blocks_of({(1, 3): held})), clock, every_point=True)
    found = {p.point: p.value for p in reading.points}
    oracle = sunspec2.device.Model(model, 40070, len(words) - 2, data=image)
    assert not oracle.error_info
    expected = {f"model{model}.{path}": value for path, value in points_of(oracle)}
    assert expected
    for key, value in expected.items():
        assert found[key] == (pytest.approx(value, rel=1e-12) if isinstance(value, int | float) else value), key
