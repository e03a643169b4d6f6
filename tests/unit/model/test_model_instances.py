"""Keys of repeated parts, and meters that are made of them."""

import pytest

from mimctl.model.instances import instance_names, instance_of, keep_instances, select_instances
from mimctl.model.points import PointSpec, PointType
from mimctl.model.profile import DeviceClass, Difference, RegisterMap, Signed


def register_map(*keys, differences=(), signed=()):
    points = tuple(PointSpec(key, n, PointType.INT16) for n, key in enumerate(keys))
    return RegisterMap(DeviceClass.BRANCH_MONITOR, points, differences=differences, signed=signed)


@pytest.mark.parametrize(
    ("key", "instance"),
    [
        ("current.circuit7", "circuit7"),
        ("active_power.group2.L1", "group2"),
        ("current.L1", None),
        ("voltage.L1L2", None),
        ("active_power.port3", None),
        ("current.N", None),
        ("active_power.total", None),
        ("frequency", None),
    ],
)
def test_the_instance_in_a_key(key, instance):
    assert instance_of(key) == instance


def test_directions_and_differences_follow_their_part():
    whole = register_map(
        "taken.b1", "given.b1", "current.b1", "word.b1", "taken.b2", "given.b2", "current.b2", "word.b2",
        differences=(Difference("active_power.b1", "taken.b1", "given.b1"), Difference("active_power.b2", "taken.b2", "given.b2")),
        signed=(Signed("current.b1", "word.b1", 2), Signed("current.b2", "word.b2", 2)),
    )  # fmt: skip
    assert instance_names(whole) == ("b1", "b2")
    chosen = select_instances(whole, ["b2"])
    assert chosen.differences == (Difference("active_power.L1", "taken.L1", "given.L1"),)
    assert chosen.signed == (Signed("current.L1", "word.L1", 2),)
    assert [p.address for p in chosen.points] == [4, 5, 6, 7]
    assert keep_instances(whole, {"b": 1}).differences == whole.differences[:1]
    assert keep_instances(whole, {}) == whole


def test_a_part_tells_its_frequency_once():
    chosen = select_instances(register_map("frequency.group1", "current.group1.L2"), ["group1"])
    assert [p.key for p in chosen.points] == ["frequency", "current.L2"]


def test_a_meter_has_three_phases():
    whole = register_map(*(f"current.c{n}" for n in range(1, 6)))
    with pytest.raises(ValueError, match="4 parts"):
        select_instances(whole, ["c1", "c2", "c3", "c4"])
    with pytest.raises(KeyError):
        select_instances(whole, ["c9"])
