"""Where mimctl differs from pysunspec2 on purpose: each case shows both."""

import math
import struct
from dataclasses import replace

import numpy as np
import pytest
import sunspec2.device as oracle

from mimctl.model.errors import Unencodable
from mimctl.model.profile import PointType
from mimctl.wire.registers import CompiledMap, text_of
from mimctl.wire.sunspec import ModelBlock
from mimctl.wire.sunspec_image import ModelContent, build_chain
from mimctl.wire.sunspec_map import model_map, register_map_of
from mimctl.wire.writes import encode_setpoint


@pytest.fixture(autouse=True)
def _definitions():
    before = oracle.get_model_defs_path()
    oracle.set_model_defs_path([oracle.models_dir])
    yield
    oracle.set_model_defs_path(before)


def both(model_id, **registers):
    """(pysunspec2's model, our values) of one image; registers as raw bytes by point name."""
    image, chain = build_chain([ModelContent(model_id)], 0)
    block = chain.models[0]
    for point in model_map(block).points:
        if point.key in registers:
            image[2 * point.address : 2 * point.end] = registers[point.key]
    data = bytes(image[4 : 4 + 2 * (block.length + 2)])
    compiled = CompiledMap(model_map(block))
    values = compiled.decode([bytes(image[2 * r.address : 2 * r.end]) for r in compiled.reads])
    return oracle.Model(model_id=model_id, model_len=block.length, data=data), dict(zip(compiled.keys, values, strict=True))


def test_an_absent_scale_factor_makes_no_value_not_a_raw_one():
    theirs, ours = both(203, W=struct.pack(">h", 1234), W_SF=bytes.fromhex("8000"))
    assert theirs.W.cvalue == 1234
    assert math.isnan(ours["W"])


def test_a_senseless_scale_factor_makes_no_value():
    theirs, ours = both(203, W=struct.pack(">h", 1234), W_SF=struct.pack(">h", 20))
    assert theirs.W.cvalue > 1e22
    assert math.isnan(ours["W"])


def test_a_counter_at_zero_is_zero():
    theirs, ours = both(203, TotWhImp=bytes(4), TotWh_SF=bytes(2))
    assert theirs.TotWhImp.cvalue is None
    assert ours["TotWhImp"] == 0


def test_a_counter_of_all_ones_is_no_value():
    theirs, ours = both(203, TotWhImp=b"\xff\xff\xff\xff", TotWh_SF=bytes(2))
    assert theirs.TotWhImp.cvalue == 4294967295
    assert math.isnan(ours["TotWhImp"])


@pytest.mark.parametrize("model_id", [103, 113, 203, 213, 701])
@pytest.mark.parametrize("pattern", [b"\xff\xff", b"\x80\x00"])
def test_a_model_of_nothing_but_one_sentinel_has_no_value(pattern, model_id):
    """Among 0x8000 everywhere the oracle finds states, alarms and floats; of 0xFFFF scale factors of −1."""
    [block] = build_chain([ModelContent(model_id)], 0)[1].models
    header = struct.pack(">HH", model_id, block.length)
    body = pattern * block.length
    register_map = register_map_of([replace(block, address=0)], "device")
    compiled = CompiledMap(register_map)
    values = compiled.decode([(header + body)[2 * r.address : 2 * r.end] for r in compiled.reads])
    assert len(values) > 5
    assert np.isnan(values).all()
    assert compiled.mismatch([(header + body)[2 * r.address : 2 * r.end] for r in compiled.reads]) is None


def test_a_hollow_model_leaves_the_values_of_the_others():
    image, chain = build_chain([ModelContent(1), ModelContent(103, {"W": 500, "W_SF": 0}), ModelContent(701)], 0)
    hollow = chain.models[2]
    image[2 * (hollow.address + 2) : 2 * hollow.end] = b"\x80\x00" * hollow.length
    compiled = CompiledMap(register_map_of(chain.models, "inverter"))
    values = compiled.decode([bytes(image[2 * r.address : 2 * r.end]) for r in compiled.reads])
    assert {key: v for key, v in zip(compiled.keys, values, strict=True) if not math.isnan(v)} == {"active_power.total": 500}


def test_infinite_is_no_value():
    theirs, ours = both(213, W=bytes.fromhex("7f800000"))
    assert theirs.W.value == math.inf
    assert math.isnan(ours["W"])


def test_text_ends_at_its_first_nul_without_blanks():
    theirs, _ = both(1, Mn=b"ACME  \0gar".ljust(32, b"\0"))
    assert theirs.Mn.value == "ACME  \0gar"
    point = next(p for p in model_map(ModelBlock(1, 0, 66)).points if p.key == "Mn")
    assert text_of(point, b"ACME  \0gar".ljust(32, b"\0")) == "ACME"


def test_bytes_that_are_no_utf8_are_still_shown():
    theirs, _ = both(1, Mn=b"K\xf6ln".ljust(32, b"\0"))
    assert theirs.Mn.value is None
    point = next(p for p in model_map(ModelBlock(1, 0, 66)).points if p.key == "Mn")
    assert text_of(point, b"K\xf6ln".ljust(32, b"\0")) == "Köln"


def test_a_setpoint_is_never_encoded_as_the_pattern_for_no_value():
    theirs, _ = both(704, WMaxLimPct_SF=struct.pack(">h", -1))
    theirs.WMaxLimPct.cvalue = 6553.5
    assert theirs.WMaxLimPct.get_mb() == b"\xff\xff"
    point = next(p for p in model_map(ModelBlock(704, 0, 65)).points if p.key == "WMaxLimPct")
    with pytest.raises(Unencodable, match="no value"):
        encode_setpoint("inverter", point, 6553.5, -1)


def test_a_read_only_point_cannot_be_written():
    theirs, _ = both(203, W=bytes(2), W_SF=bytes(2))
    theirs.W.cvalue = 5
    assert theirs.W.dirty
    point = next(p for p in model_map(ModelBlock(203, 0, 105)).points if p.key == "W")
    with pytest.raises(Unencodable, match="not writable"):
        encode_setpoint("meter", point, 5.0, 0)


def test_a_legacy_model_of_odd_length_gives_the_groups_that_fit():
    with pytest.raises(oracle.ModelError):
        oracle.Model(model_id=160, model_len=47, data=bytes(98))
    assert [p.key for p in model_map(ModelBlock(160, 0, 47)).points if p.key.endswith(".DCW")] == ["module[0].DCW"]


def test_a_senseless_count_builds_no_more_groups_than_the_length_holds():
    counts = (("NCrv", 65534), ("NPt", 65534))
    points = model_map(ModelBlock(705, 0, 67, counts)).points
    assert max(p.end for p in points) <= 69
    assert all(p.type is not PointType.STRING for p in points)
