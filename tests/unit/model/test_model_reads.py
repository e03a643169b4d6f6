"""Which registers are asked for."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.model.profile import DeviceClass, Difference, Guard, PointSpec, PointType, ReadBlock, RegisterMap
from mimctl.model.reads import Span, cover, plan_polls, plan_reads, slow_points


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


def polls(points, most=125, gap=0, **more):
    found = plan_polls(RegisterMap(DeviceClass.METER, tuple(points), **more), tuple(points), most, gap)
    return [(b.address, b.count) for b in found.fast], [(b.address, b.count) for b in found.slow]


def energy(address, **more):
    return PointSpec(f"energy_import.{address}", address, PointType.UINT32, **more)


def test_slow_points_come_along_where_that_takes_no_further_read():
    assert polls([word(10), energy(11), word(13)]) == ([(10, 4)], [])


def test_slow_points_far_off_are_reads_of_their_own():
    assert polls([word(10), energy(200), word(11)]) == ([(10, 2)], [(200, 2)])


def test_slow_points_never_split_what_is_read_fast():
    # read from the left in pieces of four, the fast ones would take two reads; alone they take one
    assert polls([energy(0), word(2), word(3), word(4), word(5)], most=4) == ([(2, 4)], [(0, 2)])
    assert polls([energy(0), energy(2), word(4), word(5)], most=4) == ([(4, 2)], [(0, 4)])


def test_a_device_with_slow_points_alone_is_read_in_every_cycle():
    assert polls([energy(10)]) == ([(10, 2)], [])


def test_a_profile_decides_where_it_says_so():
    assert polls([word(10), energy(200, slow=False), word(300, slow=True)]) == ([(10, 1), (200, 2)], [(300, 1)])


def test_prescribed_blocks_are_slow_as_a_whole_or_not_at_all():
    blocks = (ReadBlock(0, 20), ReadBlock(40, 20), ReadBlock(80, 20))
    assert polls([word(5), energy(41), word(45), energy(80)], blocks=blocks) == ([(0, 20), (40, 20)], [(80, 20)])


def test_a_helper_is_as_slow_as_what_is_made_of_it():
    points = tuple(PointSpec(key, n, PointType.UINT16) for n, key in enumerate(("in", "out", "sent", "taken", "active_power.L1")))
    register_map = RegisterMap(
        DeviceClass.METER,
        points,
        differences=(Difference("energy_import.total", "in", "out"), Difference("active_power.total", "sent", "taken")),
    )
    assert slow_points(register_map) == {"in", "out"}


@settings(max_examples=100, derandomize=True)
@given(st.dictionaries(st.integers(0, 300), st.booleans(), min_size=1, max_size=30), st.integers(8, 60))
def test_every_point_is_read_and_a_cycle_takes_no_more_than_its_fast_points_need(places, most):
    points = [PointSpec(f"{'energy_import' if slow else 'voltage'}.{a}", a, PointType.UINT16) for a, slow in places.items()]
    fast, slow = polls(points, most)
    assert all(any(a <= p.address and p.end <= a + n for a, n in (*fast, *slow)) for p in points)
    quick = [p for p in points if p.key.startswith("voltage")]
    if quick:
        assert len(fast) == len(plan(quick, most))
