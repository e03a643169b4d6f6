"""What people are told of breakers, in a closed loop: on what they rest, what to move, and whether one feed could carry all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.loop.closed_loop import ClosedLoop, uneven_site
from tests.loop.two_feeds import two_feed_site

from mimctl.control.feeds.headroom import HeadroomWatch
from mimctl.model.fault import Fault, FaultKind
from mimctl.model.rules import Place, RelianceRule
from mimctl.model.site import ControlSettings, Site, Zone
from mimctl.service.status import above_status
from mimctl.twin.faults import schedule

PAIRS = (("rack1-a", "rack1-b"), ("rack2-a", "rack2-b"))


def rated(site: Site, **rating_a: float) -> Site:
    """The same with other breakers; they may carry 80 % for hours."""
    return replace(site, nodes=tuple(replace(n, rating_a=rating_a.get(n.id.replace("-", "_"), n.rating_a)) for n in site.nodes))


def watch(loop: ClosedLoop) -> HeadroomWatch:
    return loop.controller.zones[0].headroom


def events(loop: ClosedLoop, code: str) -> dict[str, str]:
    return {event.where: event.text for event in loop.events.open() if event.code == code}


async def test_an_overload_that_mims_cannot_remove_names_the_fewest_racks_to_move():
    """7.1 kW on L1 of the PDU, 4.3 on L2, 3.0 on L3; three phases of 20 A carry 13.8 kW for hours, the load is 14.4 kW."""
    loop = ClosedLoop(rated(uneven_site(), pdu=25.0))
    await loop.run(25)
    assert not watch(loop).shifts, "it may still go by itself"
    await loop.run(15)
    shifts = {shift.phase: shift for shift in watch(loop).shifts if shift.node == "pdu"}
    assert shifts
    for phase, shift in shifts.items():
        assert shift.over_a == pytest.approx(np.abs(loop.plant.solve().current_a[1][int(phase[1]) - 1]) - 20, abs=0.3)
        assert len(shift.racks) == 1
        assert shift.enough
        assert shift.lasts_s is None
    # of the racks with enough on L1 the one with least: 1.5 kW at cos φ 0.97 are 6.7 A
    assert shifts["L1"].racks[0] == ("rack3", pytest.approx(1500 * abs(1 + 0.25j) / 230, rel=0.03))
    told = events(loop, "load.shift")
    assert "move at least" in told["pdu L1"]
    assert "rack3" in told["pdu L1"]
    loop.source.power_va = loop.source.power_va * 0.8
    await loop.run(70)
    assert not watch(loop).shifts
    assert not events(loop, "load.shift")


async def test_a_load_that_falls_says_for_how_long():
    loop = ClosedLoop(rated(uneven_site(), pdu=25.0), step_s=1.0)
    whole_va = loop.source.power_va * 1.5
    for step in range(180):
        loop.source.power_va = whole_va * (1 - 0.0005 * step)
        await loop.run(1)
    shift = next(shift for shift in watch(loop).shifts if (shift.node, shift.phase) == ("pdu", "L1"))
    falls_a_per_s = 0.0005 * np.abs(loop.plant.solve().current_a[1][0]) / (1 - 0.0005 * 179)
    assert shift.lasts_s == pytest.approx(shift.over_a / falls_a_per_s, rel=0.15)


async def test_what_rests_on_mims_is_counted_and_told():
    """L1 of the PDU has 31.8 A by itself, 28 A are permitted: balanced it is inside."""
    loop = ClosedLoop(rated(uneven_site(), pdu=35.0))
    await loop.run(60)
    meter, pdu = watch(loop).reliance, loop.layout.node_index["pdu"]
    assert np.abs(loop.plant.solve().current_a[pdu]).max() < 28
    alone_a = 7100 * abs(1 + 0.25j) / 230
    assert meter.firm_over_a[pdu] == pytest.approx([alone_a - 28, 0, 0], abs=0.4)
    assert meter.relied_on_s[pdu] == pytest.approx(58, abs=3)
    assert "without them L1" in events(loop, "breaker.reliance")["pdu"]
    report = loop.controller.zones[0].cycle.detailed_report()
    assert report.headroom_firm_a[pdu][0] == pytest.approx(28 - alone_a, abs=0.4)
    assert report.headroom_firm_a[pdu][0] < report.headroom_n1_a[pdu][0] < report.headroom_assisted_a[pdu][0]
    loop.source.power_va = loop.source.power_va * 0.7
    await loop.run(70)
    assert not events(loop, "breaker.reliance")
    assert meter.relied_on_s[pdu] < 70


async def test_the_minutes_of_a_rule_are_those_that_are_reported():
    """20 s a day: what is told of the day is what the rule goes by, and with it used up the load shows."""
    site = rated(uneven_site(), pdu=35.0)
    rule = RelianceRule(id="r", place=Place(nodes=("pdu",)), max_a=10.0, max_s_per_day=20.0)
    loop = ClosedLoop(replace(site, restraints=(rule,)))
    await loop.run(15)
    pdu, meter = loop.layout.node_index["pdu"], watch(loop).reliance
    assert np.abs(loop.plant.solve().current_a[pdu]).max() < 28
    await loop.run(30)
    assert "used up" in events(loop, "rule.reliance")["pdu"]
    assert np.abs(loop.plant.solve().current_a[pdu]).max() > 28
    assert meter.relied_on_s[pdu] == pytest.approx(21, abs=2)
    assert loop.controller.day.used_s(np.array([pdu]), loop.clock.utc()) == pytest.approx(meter.relied_on_s[pdu])


async def test_one_feed_that_could_not_carry_all_is_told_and_mims_make_the_room_there_is():
    """L1 of both racks is 6.8 kW, 30.5 A; PDU B may carry 25.6 A for hours. Its MIMs take 5.4 A off before power flows back."""
    loop = ClosedLoop(replace(rated(two_feed_site(bridges=False), pdu_b=32.0), redundant=PAIRS))
    assert failover_a(loop, "pdu-b", mims=False).max() > 30
    await loop.run(40)
    after_a = failover_a(loop, "pdu-b")
    assert after_a.max() <= 25.7
    assert not events(loop, "failover.short")
    told = loop.controller.zones[0].cycle.detailed_report().failover_headroom_a[loop.layout.node_index["pdu-b"]]
    assert told == pytest.approx(25.6 - after_a, abs=0.5)


async def test_room_that_nobody_can_make_is_told_with_its_amperes():
    loop = ClosedLoop(replace(rated(two_feed_site(bridges=False), pdu_b=20.0), redundant=PAIRS))
    await loop.run(45)
    text = events(loop, "failover.short")["pdu-b"]
    assert "with feed A lost" in text
    assert "16 A for hours" in text
    # all three phases share what there is
    after_a = failover_a(loop, "pdu-b")
    assert after_a.max() < failover_a(loop, "pdu-b", mims=False).max()


async def test_a_load_that_nobody_can_tell_keeps_its_room_and_is_told():
    """All meters of A are silent: its racks draw what they drew, and B must be able to take it. L1 of both racks is 30.5 A."""
    loop = ClosedLoop(replace(rated(two_feed_site(bridges=False), pdu_b=32.0), redundant=PAIRS))
    await loop.run(40)
    b, silent_s = loop.layout.node_index["pdu-b"], loop.plant.t_s
    before_a = loop.controller.zones[0].cycle.last.bounds.node_limit_a[b]
    assert not events(loop, "failover.unknown")
    dead = tuple(meter.id for meter in loop.site.meters if meter.node.endswith("-a"))
    schedule(loop.plant, [Fault(FaultKind.OFFLINE, dead, at_s=silent_s, until_s=silent_s + 100)])
    for _ in range(9):
        await loop.run(10)
        assert (loop.controller.zones[0].cycle.last.bounds.node_limit_a[b] <= before_a + 0.3).all()
    text = events(loop, "failover.unknown")["feed-a"]
    assert "feed A" in text
    assert all(name in text for name in dead if "rack" in name)
    await loop.run(30)
    assert not events(loop, "failover.unknown")


async def test_what_would_be_too_much_is_told_also_when_it_is_no_longer_read():
    loop = ClosedLoop(replace(rated(two_feed_site(bridges=False), pdu_b=20.0), redundant=PAIRS))
    await loop.run(10)
    dead = tuple(meter.id for meter in loop.site.meters if meter.node.endswith("-a"))
    schedule(loop.plant, [Fault(FaultKind.OFFLINE, dead, at_s=loop.plant.t_s)])
    await loop.run(45)
    assert "with feed A lost" in events(loop, "failover.short")["pdu-b"]


async def test_without_pairs_nothing_is_held_back_for_a_failover():
    loop = ClosedLoop(rated(two_feed_site(bridges=False), pdu_b=30.0))
    await loop.run(20)
    bounds = loop.controller.zones[0].cycle.last.bounds
    assert bounds.node_limit_a[loop.layout.node_index["pdu-b"]] == pytest.approx([24, 24, 24])


async def test_mims_between_feeds_take_an_overload_of_one_over_to_the_other_and_give_back_when_a_feed_is_lost():
    """PDU A may carry 12 A for hours, its load is 14.9 A a phase when even."""
    loop = ClosedLoop(rated(two_feed_site(), pdu_a=15.0))
    before_w = loop.plant.solve().flow_va[loop.layout.heads].real.sum(axis=1)
    await loop.run(15)
    now = loop.plant.solve()
    after_w = now.flow_va[loop.layout.heads].real.sum(axis=1)
    assert before_w[0] - after_w[0] > 1500
    assert after_w[1] - before_w[1] > 1500
    assert np.abs(now.current_a[loop.layout.node_index["pdu-a"]]).max() < 12.1
    schedule(loop.plant, [Fault(FaultKind.FEED_LOST, ("A",), at_s=loop.plant.t_s)])
    await loop.run(2)
    assert not loop.controller.zones[0].cycle.dispatcher.held.in_force.any()
    assert not loop.fleet.enabled.any()
    dead = loop.layout.below[loop.layout.node_index["feed-a"], loop.layout.port_node]
    await loop.run(5)
    assert np.abs(loop.fleet.inject_va[dead]).max() < 1
    assert np.abs(loop.setpoint_va()).max() == 0


async def test_mims_between_feeds_even_out_what_they_carry_where_the_site_asks_for_it():
    """10.3 kW on A and 4 kW on B. Without being asked they leave it: each kilowatt moved costs 30 W in two conversions."""
    spread_w, unbalance = [], []
    for even_feeds in (0.0, 0.2):
        loop = ClosedLoop(replace(two_feed_site(), control=ControlSettings(even_feeds=even_feeds)))
        before = loop.without_control()
        await loop.run(30)
        head_w = loop.plant.solve().flow_va[loop.layout.heads].real.sum(axis=1)
        spread_w.append(head_w[0] - head_w[1])
        unbalance.append(loop.objectives[-1] / before)
    assert spread_w[0] > 5500
    assert 0 < spread_w[1] < 1500
    assert max(unbalance) < 0.005, "the phases are balanced all the same"


def failover_a(loop: ClosedLoop, name: str, *, mims: bool = True) -> np.ndarray:
    """Currents of one node of B with the loads of both cords on B and A's MIMs gone, by the linear model."""
    layout, load = loop.layout, loop.loads.node_load(loop.plant.t_s)
    for a, b in PAIRS:
        load[layout.node_index[b]] += load[layout.node_index[a]]
        load[layout.node_index[a]] = 0
    output = loop.fleet.inject_va.copy() if mims else np.zeros(len(layout.ports), dtype=complex)
    output[layout.below[layout.node_index["feed-a"], layout.port_node]] = 0
    return np.abs(loop.operators.flow(load, output)[layout.node_index[name]]) / 230


async def test_what_stands_above_the_zones_is_looked_at_with_what_their_mims_put_out():
    """The feed may carry 20 A a phase for hours; the loads below are 14.4 kW, of which L1 has 7.1 kW or 31.8 A by itself."""
    site = rated(uneven_site(), feed=25.0)
    rules = tuple(replace(rule, zones=("z1", "z2")) for rule in site.rules)
    loop = ClosedLoop(replace(site, zones=(Zone("z1", ("rack1", "rack2")), Zone("z2", ("rack3",))), rules=rules))
    for step in range(45):
        await loop.run(1)
        if step % 10 == 0:
            await loop.controller.solve_site()
        else:
            await loop.controller.read_above()
    above = loop.controller.headroom
    shifts = {shift.phase: shift for shift in above.shifts if shift.node == "feed"}
    assert {shift.node for shift in above.shifts} == {"feed"}, "racks belong to their zones"
    amps = np.abs(loop.plant.solve().current_a[0])
    assert shifts["L1"].over_a == pytest.approx(amps[0] - 20, abs=0.5)
    assert {rack for rack, _ in shifts["L1"].racks} <= {"rack1", "rack2", "rack3"}
    assert "feed L1" in events(loop, "load.shift")
    alone_a = 7100 * abs(1 + 0.25j) / 230
    assert above.reliance.firm_a[0][0] == pytest.approx(alone_a, rel=0.03)
    status = above_status(loop.controller)
    assert status["load_shift"][0]["node"] == "feed"
    assert status["nodes"]["feed"]["headroom_firm_a"][0] == pytest.approx(20 - alone_a, abs=1.0)
