"""Profile files: found, judged with lines, turned into register maps."""

import struct
from functools import partial
from pathlib import Path

import pytest

from mimctl.config.profiles.registers_profile import check_profile, find_profile, load_profile
from mimctl.model.errors import ConfigError
from mimctl.model.profile import ByteOrder, Difference, PointType, ReadBlock, WordOrder
from mimctl.model.resources import data_root
from profile_files import write_profile

PROFILES = sorted((data_root() / "device_profiles").glob("*/*.yaml"))

GOOD = """\
schema: 1
id: acme/m1
vendor: ACME
models: [M1]
class: meter
provenance: {source: by hand, confidence: high}
conventions: {active_power: load_positive}
points:
  voltage.L1: {address: 10, type: uint16, scale: 0.1, unit: V, nan: [0xFFFF]}
  active_power.L1: {address: 12, type: int16, unit: W, nan: [0x8000]}
"""
#: said of a profile without golden vectors, once nothing else is wrong with its registers
UNPROVED = ("profile.vector", "tests", 2)


@pytest.fixture
def write(tmp_path):
    return partial(write_profile, tmp_path)


def problems(path):
    return [(p.code, p.path, p.line) for p in check_profile(path)]


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_profile_that_comes_with_mimctl_is_right(path):
    assert [str(p) for p in check_profile(path)] == []
    assert load_profile(path).vectors


def test_a_good_profile_becomes_a_register_map(write):
    profile = load_profile(write(GOOD))
    assert (profile.id, profile.models, profile.provenance.confidence) == ("acme/m1", ("M1",), "high")
    voltage, power = profile.register_map.points
    assert (voltage.key, voltage.address, voltage.type, voltage.scale) == ("voltage.L1", 10, PointType.UINT16, 0.1)
    assert voltage.sentinels == (0xFFFF,)
    assert power.sentinels == (-32768,)
    assert not power.writable


def test_a_profile_that_nothing_proves_is_told_so(write):
    assert problems(write(GOOD)) == [UNPROVED]
    proved = GOOD + 'tests: [{name: x, image: [{address: 10, hex: "0001"}], expect: {voltage.L1: 0.1}}]\n'
    assert problems(write(proved)) == []


def test_vendor_numbering_is_turned_into_wire_addresses_once(write):
    text = GOOD.replace("points:", "transport: {addressing: one_based}\nblocks: [{address: 10, count: 3}]\npoints:")
    register_map = load_profile(write(text)).register_map
    assert [p.address for p in register_map.points] == [9, 11]
    assert register_map.blocks == (ReadBlock(9, 3),)


def test_orders_are_inherited_and_overridden(write):
    text = GOOD.replace("points:", "defaults: {word_order: lsw, byte_order: little, function: 4}\npoints:")
    text += "  energy_import.total: {address: 20, type: uint32, word_order: msw, function: 3}\n"
    points = load_profile(write(text)).register_map.points
    assert (points[0].word_order, points[0].byte_order, points[0].function) == (WordOrder.LSW, ByteOrder.LITTLE, 4)
    assert (points[2].word_order, points[2].byte_order, points[2].function) == (WordOrder.MSW, ByteOrder.LITTLE, 3)


def test_conventions_decide_the_sign_and_a_point_may_run_against_them(write):
    text = GOOD.replace("load_positive}", "generation_positive, reactive_power: capacitive_load_positive}")
    text += "  reactive_power.L1: {address: 14, type: int16}\n  active_power.L2: {address: 15, type: int16, sign: -1}\n"
    signs = {p.key: p.sign for p in load_profile(write(text)).register_map.points}
    assert signs == {"voltage.L1": 1, "active_power.L1": -1, "reactive_power.L1": -1, "active_power.L2": 1}


def test_a_difference_takes_helpers_that_are_no_quantities(write):
    text = GOOD + "  active_power.L2: {difference: [taken, given], unit: W}\n"
    text += "  taken: {address: 20, type: uint16}\n  given: {address: 21, type: uint16}\n"
    assert load_profile(write(text)).register_map.differences == (Difference("active_power.L2", "taken", "given"),)
    turned = text.replace("load_positive", "generation_positive")
    assert load_profile(write(turned)).register_map.differences == (Difference("active_power.L2", "given", "taken"),)


def test_golden_vectors_are_bytes_at_wire_addresses(write):
    text = (
        GOOD
        + 'tests: [{name: one, image: [{address: 10, hex: "08fc 0000 ff38"}], expect: {voltage.L1: 230, active_power.L1: null}}]\n'
    )
    [vector] = load_profile(write(text)).vectors
    assert vector.image == ((10, struct.pack(">HHh", 2300, 0, -200)),)
    assert vector.expect == (("voltage.L1", 230), ("active_power.L1", None))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("vendor: ACME", "vendr: ACME", {("key.unknown", "vendr", 3)}),
        ("unit: V,", "unit: mV,", {("profile.unit", "points.voltage.L1.unit", 9)}),
        ("voltage.L1:", "volts.L1:", {("profile.quantity", "points.volts.L1", 9)}),
        ("voltage.L1:", "voltage.L4:", {("profile.place", "points.voltage.L4", 9)}),
        ("address: 12", "address: 10", {("profile.overlap", "points.voltage.L1.address", 9)}),
        ("address: 10", "address: 65536", {("profile.address", "points.voltage.L1.address", 9)}),
        ("address: 10, type: uint16", "type: uint16", {("profile.point", "points.voltage.L1", 9)}),
        ("type: uint16", "type: uint15", {("value.choice", "points.voltage.L1.type", 9)}),
        ("type: uint16", "type: string, count: 2", {("profile.point", "points.voltage.L1.type", 9)}),
        ("type: uint16", "type: uint16, count: 2", {("profile.point", "points.voltage.L1.count", 9)}),
        ("scale: 0.1", "scale: 0", {("profile.point", "points.voltage.L1.scale", 9)}),
        ("nan: [0xFFFF]", "nan: [0x1FFFF]", {("profile.point", "points.voltage.L1.nan[0]", 9)}),
        ("nan: [0xFFFF]", "nan: [-1]", {("profile.point", "points.voltage.L1.nan[0]", 9)}),
        ("nan: [0x8000]", "nan: [0x10000]", {("profile.point", "points.active_power.L1.nan[0]", 10)}),
        ("points:", "defaults: {nan: {int16: [1, 70000]}}\npoints:", {("profile.point", "defaults.nan.int16[1]", 8)}),
        ("class: meter", "class: meter\nzigbee: {}", {("key.unknown", "zigbee", 6)}),
        ("schema: 1", "schema: 2", {("value.choice", "schema", 1)}),
        ("id: acme/m1", "id: acme/m2", {("profile.id", "id", 2), UNPROVED}),
        ("points:", "blocks: [{address: 0, count: 12}]\npoints:", {("profile.block", "points.active_power.L1.address", 11)}),
        (
            "points:",
            "transport: {max_registers: 20}\nblocks: [{address: 0, count: 40}]\npoints:",
            {("profile.block", "blocks[0].count", 9)},
        ),
        (
            "  voltage.L1: {",
            "  active_power.L2: {difference: [taken, active_power.L1]}\n  voltage.L1: {",
            {("profile.reference", "points.active_power.L2.difference[0]", 9)},
        ),
        (
            "points:",
            'tests: [{name: x, image: [{address: 1, hex: "123"}], expect: {voltage.L2: 1}}]\npoints:',
            {("profile.vector", "tests[0].image[0].hex", 8), ("profile.vector", "tests[0].expect.voltage.L2", 8)},
        ),
    ],
)
def test_each_mistake_is_found_where_it_stands(write, old, new, expected):
    assert old in GOOD
    path = write(GOOD.replace(old, new, 1))
    found = set(problems(path))
    assert found == expected
    with pytest.raises(ConfigError):
        load_profile(path)


def test_a_draft_outside_device_profiles_is_judged_whole_and_told_where_it_belongs(tmp_path):
    draft = tmp_path / "draft.yaml"
    draft.write_text(GOOD)
    unproved, problem = check_profile(draft)
    assert (problem.code, problem.severity, problem.line) == ("profile.id", "warning", 2)
    assert (unproved.code, unproved.severity) == ("profile.vector", "warning")
    assert "device_profiles/acme/m1.yaml" in problem.message
    assert load_profile(draft).id == "acme/m1"


@pytest.mark.parametrize("text", ["", "[1, 2]", "id: [", "\0\1\2"])
def test_what_is_no_profile_at_all_is_a_problem_not_a_traceback(write, text):
    assert problems(write(text))


def test_a_profile_beside_the_site_file_wins(write, tmp_path):
    mine = write(GOOD.replace("acme/m1", "schneider/iem3155"), "schneider/iem3155")
    assert find_profile("schneider/iem3155", tmp_path) == mine
    packaged = find_profile("schneider/iem3155")
    assert packaged is not None
    assert packaged != mine


def test_the_state_directory_comes_behind_the_site_file_and_before_the_packaged_ones(write, tmp_path, monkeypatch):
    mine = write(GOOD.replace("acme/m1", "schneider/iem3155"), "schneider/iem3155")
    packaged = find_profile("schneider/iem3155")
    monkeypatch.setenv("MIMCTL_STATE_DIR", str(tmp_path))
    assert find_profile("schneider/iem3155", Path("/nowhere")) == mine != packaged
    nearer = tmp_path / "site" / "device_profiles" / "schneider" / "iem3155.yaml"
    nearer.parent.mkdir(parents=True)
    nearer.write_text(mine.read_text())
    assert find_profile("schneider/iem3155", tmp_path / "site") == nearer
    assert find_profile("acme/m1") is None


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "acme", "acme/../m1", "acme/m1.yaml", "sunspec", ""])
def test_only_ids_are_looked_up_never_paths(name):
    assert find_profile(name) is None
