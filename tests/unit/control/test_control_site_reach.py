"""The site level hands out nothing that a zone cannot follow: what stands inside the zones, sources, and what may flow back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.builders import state_of
from tests.loop.level_loop import LevelLoop, zoned_hall
from tests.unit.control.levels import known_load, rack_load, zoned_site

from mimctl.control.levels.above import Above
from mimctl.control.levels.orders import TakenFromHeads
from mimctl.control.levels.silent_zones import unsure_va
from mimctl.control.levels.site_level import SiteLevel
from mimctl.control.levels.site_picture import PictureMaker, SitePicture
from mimctl.grid.sources import newest_transfers
from mimctl.grid.tree import TreeOperators
from mimctl.model.address import DeviceAddress
from mimctl.model.fault import Fault, FaultKind
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.lease import Cap, LeaseSource
from mimctl.model.rules import LimitRule, Place
from mimctl.model.site import Site
from mimctl.model.state import TransferImage
from mimctl.model.transfer import Transfer, TransferKind, TransferSource, TransferState
from mimctl.twin.faults import schedule

#: of limits, kept by every plan
KEPT = 0.97


def level_of(site: Site) -> SiteLevel:
    heads = frozenset(head for zone in site.zones for head in zone.heads)
    return SiteLevel(Above(TreeOperators(SiteLayout(site, guards=heads))))


def picture(level: SiteLevel, load: ComplexArray) -> SitePicture:
    layout = level.above.layout
    nothing = PictureMaker(level.above, ()).picture(None, 0.0)
    free = replace(nothing.bounds, mim_enabled=np.ones(len(layout.mims), dtype=bool), port_s_max_va=layout.port_rating_va)
    everybody = np.ones(len(level.above.ways), dtype=bool)
    return SitePicture(known_load(load), free, np.zeros(len(layout.ports), dtype=complex), everybody, 0.0)


def missing(level: SiteLevel, load: ComplexArray, flow: ComplexArray) -> float:
    """What the heads may lack of what the solution wants: 0 as long as the sizes of all currents fit below the breakers above [VA].

    Zones are granted what fits whatever their angles; the solution counts with the angles that there are, and may want more.
    Through a delta a VA of a head is at least 1/√3 VA on some phase above.
    """
    layout, lack = level.above.layout, 0.0
    for a in level.above.nodes:
        ways = [(way, way.upward[int(np.flatnonzero(way.nodes == a)[0])]) for way in level.above.ways if a in way.nodes]
        sizes = sum(np.abs(up) @ np.maximum(np.abs(flow[way.head]) / KEPT, np.abs(load[way.head])) for way, up in ways)
        lack = max(lack, float((sizes - KEPT * layout.voltage_ln_v[a] * layout.limit_a[a]).max()))
    return lack * np.sqrt(3)


@given(seed=st.integers(0, 100_000), racks=st.integers(2, 5), pdu_a=st.sampled_from([60.0, 90.0, 200.0]), delta=st.booleans())
@settings(max_examples=40)
def test_what_the_solution_wants_of_a_head_is_inside_what_the_head_is_granted(seed, racks, pdu_a, delta):
    """However tight the breaker above, as long as it can be kept: nothing is wanted but what is granted or the load brings.

    And of that no more is missing than the breaker lacks for currents whose angles are not known to agree.
    """
    random = np.random.default_rng(seed)
    site = zoned_site(racks, delta=delta)
    site = replace(site, nodes=tuple(replace(n, rating_a=pdu_a) if n.id == "pdu" else n for n in site.nodes))
    level, load = level_of(site), rack_load(site, random, mean_w=random.uniform(500, 6000))
    orders = level.solve(picture(level, load))
    assert level.last is not None
    flow = level.above.operators.flow(load, level.last.inject_w + 1j * level.last.inject_var)
    layout = level.above.layout
    # of what nobody can keep inside its limit each takes off what it can: limits give way then, of heads too
    assume((np.abs(flow[:2]) <= 1.001 * KEPT * (layout.voltage_ln_v * layout.limit_a)[:2, None]).all())
    missing_va = missing(level, load, flow)
    for way in level.above.ways:
        (order,) = orders[way.zone]
        assert order.limit is not None
        most_va = np.maximum(KEPT * 230 * order.limit.phase_a, np.abs(load[way.head])) + missing_va
        assert (np.abs(flow[way.head]) <= 1.003 * most_va + 5).all()
        least_w = min(order.limit.min_import_w, float(load[way.head].real.min()))
        assert (flow[way.head].real >= least_w - 5).all()


def test_nobody_is_asked_to_feed_back_through_a_head():
    """The PDU would be best off if the one MIM gave its neighbour L1 out of L2 and L3; its own rack draws 600 W of each."""
    site = zoned_site()
    heavy = tuple(replace(n, omega=0.495 if n.id in ("feed", "pdu") else 0.005) for n in site.nodes)
    site = replace(site, nodes=heavy, mims=(replace(site.mims[0], neutral_rating_a=60.0),))
    load = np.zeros((4, 3), dtype=complex)
    load[2], load[3] = [600, 600, 600], [6000, 600, 600]
    free = SiteLevel(Above(TreeOperators(SiteLayout(site))))
    (wanted,), (told,) = (level.solve(picture(level, load))["z1"] for level in (free, level_of(site)))
    assert wanted.price is not None
    assert told.price is not None
    assert told.limit is not None
    assert told.limit.min_import_w == 0.0
    assert wanted.price.price.at[0] < -100
    assert told.price.price.at[[0, 2, 4]].min() >= -5


def loop_with(site: Site) -> LevelLoop:
    return LevelLoop(site, site_every=1)


def above_a(loop: LevelLoop, node: str) -> np.ndarray:
    control = loop.controller
    made = control.pictures.picture(control.upper_state, loop.clock.monotonic_s())
    return made.bounds.node_limit_a[loop.layout.node_index[node]]


async def test_a_rule_inside_a_zone_is_seen_and_what_was_told_its_head_is_not_told_back():
    rule = LimitRule(id="r", place=Place(nodes=("rack1",)), max_a=100.0)
    hall = zoned_hall(4)
    tight = tuple(replace(n, rating_a=450.0) if n.id == "pdu1" else n for n in hall.nodes)
    loop = loop_with(replace(hall, nodes=tight, restraints=(rule,)))
    for _ in range(4):
        await loop.run(1)
        assert above_a(loop, "rack1") == pytest.approx([100.0] * 3)
        assert above_a(loop, "rack2") == pytest.approx([256.0] * 3), "320 A for 80 %, and not what was granted"
    assert isinstance(loop.controller.zones[0].taken, TakenFromHeads)
    assert loop.controller.zones[0].taken.phase_a.max() > 0, "something was told"


STS = Transfer(
    "sts",
    TransferKind.STS,
    "feed",
    sources=(TransferSource(TransferState.NORMAL), TransferSource(TransferState.GENERATOR, available_va=60_000.0)),
    backup=TransferState.GENERATOR,
    address=DeviceAddress("gw", 250),
    codes=((1, TransferState.NORMAL), (2, TransferState.GENERATOR), (3, TransferState.OPEN)),
)


async def test_of_a_generator_the_zones_are_granted_what_it_can_give_and_no_more():
    """60 kVA are 87 A a phase; on the utility the breaker of the feed decides."""
    hall = zoned_hall(2)
    loop = loop_with(replace(hall, transfers=(STS,)))
    await loop.run(2)
    assert above_a(loop, "feed") == pytest.approx([loop.layout.limit_a[0]] * 3)
    schedule(loop.plant, [Fault(FaultKind.FEED_LOST, ("A",), at_s=loop.plant.t_s)])
    await loop.run(5)
    most_a = 60_000 / 3 / 230
    assert above_a(loop, "feed") == pytest.approx([most_a] * 3)
    granted = [zone.orders._orders[0].limit for zone in loop.controller.zones]
    assert all(limit is not None for limit in granted)
    assert (sum(limit.phase_a for limit in granted) <= most_a).all()


async def test_a_lease_that_caps_a_head_is_seen_beside_what_the_head_was_told():
    hall = zoned_hall(4)
    tight = tuple(replace(n, rating_a=450.0) if n.id == "pdu1" else n for n in hall.nodes)
    loop = loop_with(replace(hall, nodes=tight))
    book, solved = loop.controller.leases, []
    solve = loop.controller.level.solve
    loop.controller.level.solve = lambda made: solved.append(made) or solve(made)  # type: ignore[method-assign]
    await loop.run(3)
    book.put(book.draft(LeaseSource.OPERATOR, "ann", "rack1", Cap(max_a=90.0), seconds=600.0, reason="a hot whip"))
    await loop.run(3)
    limits_a = [made.bounds.node_limit_a[loop.layout.node_index["rack1"]] for made in solved]
    assert limits_a[1] == pytest.approx([256.0] * 3)
    for limit_a in limits_a[-2:]:
        assert limit_a == pytest.approx([90.0] * 3)


def image(state: TransferState, taken_s: float, quality: int = 2) -> TransferImage:
    one = np.array([float("nan")])
    return TransferImage(np.array([int(state)]), np.array([quality]), np.array([taken_s]), one, one)


def test_of_what_several_zones_have_read_of_a_device_the_newest_counts():
    site = replace(zoned_site(), transfers=(STS,))
    nothing = np.zeros((4, 3), dtype=complex)
    told = ((TransferState.NORMAL, 5.0), (TransferState.GENERATOR, 7.0))
    seen = [replace(state_of(site, nothing), transfers=image(*of)) for of in told]
    for states in (seen, seen[::-1]):
        newest = newest_transfers(site.transfers, states)
        assert newest.state.tolist() == [int(TransferState.GENERATOR)]
        assert newest.taken_at_s.tolist() == [7.0]
    never = newest_transfers(site.transfers, [replace(state_of(site, nothing), transfers=image(TransferState.NORMAL, np.nan))])
    assert never.quality.tolist() == [0]


def test_what_a_silent_zone_is_known_to_hold_counts_both_ways():
    """A head that draws 5 kW on L1; its MIM takes 1 kW off, or draws 1 kW more, until it lets go."""
    gross, response = np.array([5000, 0, 0], dtype=complex), np.eye(3, dtype=complex)
    rating = np.full(3, 2000.0)
    assert unsure_va(gross, response, np.array([1000, 0, 0], dtype=complex), rating) == pytest.approx([0, 0, 0])
    assert unsure_va(gross, response, np.array([-1000, 0, 0], dtype=complex), rating) == pytest.approx([1000, 0, 0])
    # 8 kW into 5 kW: 3 kW flow back, which is less than 5 kW; 12 kW are more
    assert unsure_va(gross, response, np.array([8000, 0, 0], dtype=complex), rating) == pytest.approx([0, 0, 0])
    assert unsure_va(gross, response, np.array([12_000, 0, 0], dtype=complex), rating) == pytest.approx([2000, 0, 0])


def test_what_nobody_knows_of_a_silent_zone_counts_at_its_worst():
    gross, response = np.array([5000, 0, 0], dtype=complex), np.eye(3, dtype=complex)
    unknown = np.array([np.nan, 0, np.nan], dtype=complex)
    assert unsure_va(gross, response, unknown, np.array([2000.0, 2000.0, 500.0])) == pytest.approx([2000, 0, 500])
