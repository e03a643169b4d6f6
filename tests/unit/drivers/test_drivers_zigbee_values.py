"""Golden vectors of Zigbee profiles: what a profile makes of attributes, against values worked out by hand."""

from dataclasses import replace

import pytest

from mimctl.config.profiles.zigbee_profile import find_zigbee_profile, known_zigbee_profiles, load_zigbee_profile
from mimctl.drivers.zigbee_values import zigbee_vector_problems
from mimctl.model.zigbee import ZCL_TYPES
from mimctl.wire.zigbee import zcl

PROFILES = {name: load_zigbee_profile(find_zigbee_profile(name)) for name in known_zigbee_profiles()}
PLUG = PROFILES["generic/plug"]


@pytest.mark.parametrize("name", PROFILES)
def test_shipped_profiles_give_what_was_worked_out(name):
    assert zigbee_vector_problems(PROFILES[name]) == []
    assert PROFILES[name].map.commands or PROFILES[name].vectors


@pytest.mark.parametrize("name", [n for n, p in PROFILES.items() if not p.map.commands])
def test_every_value_of_a_shipped_profile_is_proven_and_so_is_its_absence(name):
    expected = [pair for vector in PROFILES[name].vectors for pair in vector.expect]
    assert {key for key, value in expected if value is not None} == {point.key for point in PROFILES[name].map.points}
    assert any(value is None for _, value in expected)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scale": 2.0}, "gives 461.4, expected 230.7"),
        ({"sign": -1}, "gives -230.7, expected 230.7"),
        ({"divisor": None}, "gives 2307, expected 230.7"),
        ({"divisor": 0x0605}, None),
        ({"attribute": 0x0506}, "gives no value, expected 230.7"),
        ({"manufacturer": 0x1234}, "gives no value, expected 230.7"),
        ({"endpoint": 2}, "gives no value, expected 230.7"),
        ({"absent": (2307,)}, "gives no value, expected 230.7"),
    ],
)
def test_a_profile_that_reads_something_else_is_found_out(change, says):
    points = tuple(replace(p, **change) if p.key == "voltage.L1" else p for p in PLUG.map.points)
    wrong = zigbee_vector_problems(replace(PLUG, map=replace(PLUG.map, points=points)))
    told = [p for p in wrong if p.path == "tests[0].expect.voltage.L1"]
    assert [says in p.message for p in told] == ([] if says is None else [True])


@pytest.mark.parametrize(("kind", "raw"), [("uint16", -1), ("uint16", 65536), ("int24", 1 << 23), ("int16", -32769)])
def test_a_number_that_its_type_cannot_hold_is_found_out(kind, raw):
    first = PLUG.vectors[0]
    told = (replace(first.told[0], kind=ZCL_TYPES[kind], raw=raw), *first.told[1:])
    wrong = zigbee_vector_problems(replace(PLUG, vectors=(replace(first, told=told),)))
    assert any(p.path == "tests[0].told[0].raw" and "does not fit" in p.message for p in wrong)


def test_every_type_that_a_profile_may_name_is_a_number_of_the_cluster_library():
    sizes = {name: zcl.size_of(kind) for name, kind in ZCL_TYPES.items()}
    assert {sizes["boolean"], sizes["uint8"], sizes["int8"], sizes["bitmap8"], sizes["enum8"]} == {1}
    assert {sizes["uint48"], sizes["int48"], sizes["bitmap48"]} == {6}
    assert (sizes["int24"], sizes["enum16"], sizes["uint64"]) == (3, 2, 8)
    assert (ZCL_TYPES["uint16"], ZCL_TYPES["int16"], ZCL_TYPES["uint48"], ZCL_TYPES["bitmap32"]) == (0x21, 0x29, 0x25, 0x1B)
