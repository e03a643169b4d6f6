"""Every standard model, random bytes: our codec against pysunspec2's."""

import math
import random
from functools import cache
from pathlib import Path

import pytest
import sunspec2.device as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.model.profile import PointType
from mimctl.wire.registers import CompiledMap, text_of
from mimctl.wire.sunspec import ModelBlock
from mimctl.wire.sunspec_map import model_map
from mimctl.wire.sunspec_models import count_names, definition_of, leaves, model_directories

BUNDLED = Path(oracle.models_dir) / "json"
MODEL_IDS = sorted(int(p.stem.removeprefix("model_")) for p in BUNDLED.glob("model_*.json"))
#: how often each kind of repeated group is built, and L of the legacy models that repeat by length
COUNTS = {"NPt": 3, "NCrv": 2, "NCrvSet": 2, "NCtl": 2, "NPrt": 3, "NStr": 2, "NMod": 2, "NProf": 2, "IVLen": 4}


@pytest.fixture(autouse=True)
def _definitions():
    before = oracle.get_model_defs_path()
    oracle.set_model_defs_path([str(model_directories()[0]), oracle.models_dir])
    yield
    oracle.set_model_defs_path(before)


@cache
def block_of(model_id):
    """A model instance with some of every repeated group."""
    definition = definition_of(model_id)
    counts = {name: COUNTS[name] for name in count_names(definition)}
    legacy = any(g.get("count") == 0 for g in definition["group"].get("groups", []))
    length = leaves(definition, 60000, counts)[-1].end - 2
    if legacy:
        top = sum(p["size"] for p in definition["group"]["points"]) - 2
        length = top + 3 * sum(p["size"] for p in definition["group"]["groups"][0]["points"])
    return ModelBlock(model_id, 0, length, tuple(counts.items()))


def image_of(block, body):
    """Random registers with the true header, and the true counts."""
    data = bytearray(body.ljust(2 * block.length + 4, b"\0"))
    data[0:4] = block.id.to_bytes(2, "big") + block.length.to_bytes(2, "big")
    for leaf in leaves(definition_of(block.id), block.length, dict(block.counts)):
        if leaf.path in dict(block.counts):
            data[2 * leaf.offset : 2 * leaf.end] = dict(block.counts)[leaf.path].to_bytes(2, "big")
    return bytes(data)


def oracle_points(block, data):
    """(path, point) of pysunspec2's decode of the same bytes."""
    model = oracle.Model(model_id=block.id, model_len=block.length, data=data)
    errors = [line for line in model.error_info.splitlines() if "codec can't decode" not in line]
    assert not errors

    def points(group, prefix):
        for name, point in group.points.items():
            yield prefix + name, point
        for name, inner in group.groups.items():
            many = isinstance(inner, list)
            for index, one in enumerate(inner if many else [inner]):
                yield from points(one, f"{prefix}{name}[{index}]." if many else f"{prefix}{name}.")

    return dict(points(model, ""))


def expected(point):
    """What the oracle says, less its known traps, as mimctl means it; `...` where the two differ on purpose."""
    kind = point.pdef["type"]
    if kind.startswith("acc") and point.value is None:
        return 0.0
    if point.value is None or (kind in ("acc32", "acc64") and point.value == 2 ** int(kind[3:]) - 1):
        return math.nan
    if kind.startswith("float"):
        return point.value if math.isfinite(point.value) else math.nan
    scale = point.pdef.get("sf")
    if isinstance(scale, str):
        holder = point.group.points.get(scale) or point.model.points[scale]
        if holder.value is None or abs(holder.value) > 10:
            return math.nan
    return float(point.cvalue)


@cache
def decoder(block):
    compiled = CompiledMap(model_map(block))
    texts = [p for p in compiled.register_map.points if p.type.is_text]
    return compiled, texts


def decode(block, data):
    compiled, texts = decoder(block)
    blocks = [data[2 * r.address : 2 * r.end] for r in compiled.reads]
    values = dict(zip(compiled.keys, compiled.decode(blocks).tolist(), strict=True))
    return values, {p.key: text_of(p, data[2 * p.address : 2 * p.end]) for p in texts}, {p.key: p for p in texts}


def compare(block, data):
    points = oracle_points(block, data)
    values, texts, specs = decode(block, data)
    numbers = {path: p for path, p in points.items() if p.pdef["type"] != "pad" and path not in texts}
    assert set(values) == set(numbers)
    hollow = {data[n : n + 2] for n in range(4, len(data), 2)} in ({b"\xff\xff"}, {b"\x80\x00"})
    if hollow and all(math.isnan(value) for path, value in values.items() if path not in ("ID", "L")):
        return  # on purpose: see the traps
    for path, point in numbers.items():
        want, got = expected(point), values[path]
        wide = point.len == 4 and point.value is not None and abs(point.value) > 2**63 - 1025
        if not (wide and math.isnan(got)):
            assert got == pytest.approx(want, rel=1e-12, abs=0, nan_ok=True), (path, point.value)
    for path, text in texts.items():
        compare_text(specs[path].type, points[path].value, text)


def compare_text(kind, value, text):
    if kind is PointType.HEX:
        pairs = (text or "").replace(":", "")
        plain = (value or "").replace(":", "")
        assert pairs.endswith(plain) or plain in ("", "FFFFFFFFFFFF")
    elif value is not None and "\0" not in value:
        # the oracle keeps what follows a NUL and the blanks around; bytes that are no UTF-8 it drops
        assert (text or "") == value.strip()


def bodies(block):
    size = 2 * block.length + 4
    return random.Random(block.id).randbytes(size), b"\xff" * size, b"\x80\0" * (size // 2), b"\0" * size, b"\x7f\xff" * (size // 2)


@pytest.mark.parametrize("model_id", MODEL_IDS)
def test_every_standard_model_decodes_as_the_oracle_does(model_id):
    block = block_of(model_id)
    for body in bodies(block):
        compare(block, image_of(block, body))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.sampled_from(MODEL_IDS), st.binary(min_size=1, max_size=120), st.integers(0, 2**32))
def test_random_registers_of_any_model_decode_as_the_oracle_does(model_id, pattern, seed):
    block = block_of(model_id)
    size = 2 * block.length + 4
    body = bytearray((pattern * (size // len(pattern) + 1))[:size])
    # small exponents are rare in random registers; half of the scale factors get one
    chance = random.Random(seed)
    for leaf in leaves(definition_of(model_id), block.length, dict(block.counts)):
        if leaf.definition["type"] == "sunssf" and chance.random() < 0.5:
            body[2 * leaf.offset : 2 * leaf.end] = chance.randint(-11, 11).to_bytes(2, "big", signed=True)
    compare(block, image_of(block, bytes(body)))


def test_there_are_all_the_models_that_the_library_ships():
    assert len(MODEL_IDS) == 112
