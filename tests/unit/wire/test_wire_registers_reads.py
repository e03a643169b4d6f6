"""Which registers are asked for."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.model.profile import DeviceClass, Guard, PointSpec, PointType, ReadBlock, RegisterMap
from mimctl.wire.reads import Span, cover, plan_reads


def plan(points, most=125, gap=0, **more):
    return plan_reads(RegisterMap(DeviceClass.METER, tuple(points), **more), tuple(points), most, gap)


def word(address, **more):
    return PointSpec(f"voltage.{address}", address, PointType.UINT16, **more)


def test_neighbours_are_read_together():
    assert plan([word(10), word(11), word(12)]) == (ReadBlock(10, 3),)


def test_holes_are_not_read_unless_the_map_allows_it():
    assert plan([word(10), word(14)]) == (ReadBlock(10, 1), ReadBlock(14, 1))
    assert plan([word(10), word(14)], gap=3) == (ReadBlock(10, 5),)


def test_a_wide_point_is_not_split_at_the_limit():
    points = [word(0), PointSpec("energy_import.total", 1, PointType.UINT64)]
    assert plan(points, most=4) == (ReadBlock(0, 1), ReadBlock(1, 4))


def test_a_point_comes_with_its_scale_factor_and_the_guard_of_its_model():
    point = word(41, scale_address=116)
    guard = Guard(0, (701, 153), 0, 155)
    assert plan([point], guards=(guard,)) == (ReadBlock(0, 117),)


def test_prescribed_blocks_are_taken_as_they_are():
    blocks = (ReadBlock(0, 20), ReadBlock(40, 20))
    assert plan([word(5)], blocks=blocks) == (ReadBlock(0, 20),)


def test_a_device_that_gives_little_at_once_is_asked_more_often():
    points = [word(n) for n in range(100)]
    assert plan(points, max_registers=50) == (ReadBlock(0, 50), ReadBlock(50, 50))


spans = st.lists(st.builds(lambda a, n: Span(a, a + n), st.integers(0, 300), st.integers(1, 8)), min_size=1, max_size=40)


@settings(max_examples=200, derandomize=True)
@given(spans, st.integers(8, 125), st.integers(0, 125))
def test_every_span_stands_whole_in_one_read_within_the_limit(wanted, most, gap):
    found = cover(wanted, most, gap)
    assert all(f.count <= most for f in found)
    assert all(any(f.start <= s.start and s.end <= f.end for f in found) for s in wanted)


@settings(max_examples=100, derandomize=True)
@given(st.sets(st.integers(0, 60), min_size=1, max_size=10), st.integers(1, 20))
def test_no_plan_has_fewer_reads(addresses, most):
    """Against the least number found by trying: single registers, any gap."""
    found = cover([Span(a, a + 1) for a in addresses], most, 1000)
    left, needed = sorted(addresses), 0
    while left:
        needed += 1
        left = [a for a in left if a >= left[0] + most]
    assert len(found) == needed
