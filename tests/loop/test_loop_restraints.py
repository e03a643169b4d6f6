"""Rules that take away, in the closed loop: limits are kept, locks end, ramps show in the setpoints, noise switches nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.loop.closed_loop import ClosedLoop, uneven_site

from mimctl.model.plan import Verdict
from mimctl.model.rules import (
    Condition,
    LimitRule,
    LockRule,
    Place,
    RampRule,
    RelianceRule,
    ReserveRule,
    Watched,
    Window,
)

PDU = Place(nodes=("pdu",))
#: from 20 s after the start of the loop, which is midnight, to 40 s
SHORTLY = Window(start=time(0, 0, 20), end=time(0, 0, 40))


def loop_with(*rules, noise_pct=0.0, **more) -> ClosedLoop:
    site = uneven_site(meter_noise_pct=noise_pct)
    return ClosedLoop(replace(site, restraints=rules), **more)


def current_a(loop: ClosedLoop, node: str) -> np.ndarray:
    return np.abs(loop.plant.solve().current_a[loop.layout.node_index[node]])


def neutral_a(loop: ClosedLoop, node: str) -> float:
    return float(np.abs(loop.plant.solve().current_a[loop.layout.node_index[node]].sum()))


async def bare(site) -> ClosedLoop:
    """The same loads, and nobody who balances."""
    loop = ClosedLoop(replace(site, rules=(replace(site.rules[0], zones=()),), restraints=()))
    await loop.run(2)
    return loop


def judgements(loop: ClosedLoop) -> set[Verdict]:
    return {j.verdict for zone in loop.controller.zones for j in zone.cycle.last.safe_plan.judgements}


async def test_a_limit_keeps_a_pdu_below_its_amperes_with_the_mims_that_can():
    """Without weights nothing is balanced for its own sake: L1 has 7.1 kW, 32 A at a power factor of 0.97; even thirds are 22 A."""
    site = uneven_site()
    rules = (replace(site.rules[0], weights=tuple((n.id, 0.0) for n in site.nodes)),)
    free = ClosedLoop(replace(site, rules=rules))
    await free.run(10)
    assert current_a(free, "pdu").max() > 30
    loop = ClosedLoop(replace(site, rules=rules, restraints=(LimitRule(id="l", place=PDU, max_a=25.0),)))
    await loop.run(10)
    assert current_a(loop, "pdu").max() <= 25.0
    assert judgements(loop) <= {Verdict.ACCEPTED}
    await loop.run(10)
    assert current_a(loop, "pdu").max() <= 25.0


async def test_what_mims_cannot_do_they_do_not_make_worse():
    """20 A on each phase is less than the load of all three together: what is over is as little as it can be."""
    loop = loop_with(LimitRule(id="l", place=PDU, max_a=20.0))
    await loop.run(20)
    a = current_a(loop, "pdu")
    assert a.min() > 19.9, "no phase has room left"
    assert a.sum() < 1.02 * current_a(await bare(loop.site), "pdu").sum()


async def test_a_limit_of_the_neutral_is_kept():
    site = uneven_site()
    rules = (replace(site.rules[0], weights=tuple((n.id, 0.0) for n in site.nodes)),)
    loop = ClosedLoop(replace(site, rules=rules, restraints=(LimitRule(id="l", place=PDU, max_neutral_a=5.0),)))
    await loop.run(10)
    assert neutral_a(loop, "pdu") <= 5.0


async def test_a_lock_releases_its_mims_and_lets_them_go_when_it_ends():
    loop = loop_with(LockRule(id="l", place=Place(nodes=("rack1",)), window=SHORTLY))
    dispatcher = loop.controller.zones[0].cycle.dispatcher
    await loop.run(20)
    assert dispatcher.held.in_force.all()
    await loop.run(2)
    assert dispatcher.held.in_force.tolist() == [False, True, True]
    await loop.run(15)
    assert not loop.fleet.enabled[0]
    assert (loop.setpoint_va()[:3] == 0).all()
    codes = {r.reason.code for r in loop.controller.zones[0].cycle.last.bounds.restrictions}
    assert "rule.lock" in codes
    await loop.run(10)
    assert dispatcher.held.in_force.all(), "it ended by itself"
    assert loop.objectives[-1] < 1.1 * loop.best() + 0.05 * loop.without_control()


async def test_a_ramp_shows_in_every_setpoint():
    loop = loop_with(RampRule(id="r", max_w_per_s=50.0))
    await loop.run(40)
    steps = np.abs(np.diff(np.array(loop.setpoints), axis=0, prepend=0))
    assert steps.max() <= 50.0 + 1.5, "whole watts at both ends"
    assert steps.max() > 40.0
    assert loop.objectives[-1] < 0.2 * loop.without_control(), "it gets there"


async def test_a_ramp_of_a_node_bounds_what_all_mims_do_to_it_together():
    loop = loop_with(RampRule(id="r", place=PDU, max_a_per_s=1.0))
    await loop.run(40)
    shares = loop.operators.port_flow[3:6].toarray()
    flows_a = np.abs(np.diff(np.array(loop.setpoints) @ shares.T, axis=0, prepend=0)) / 230.0
    assert flows_a.max() <= 1.0 + 3 * 1.5 / 230
    assert flows_a.max() > 0.5


async def test_a_reserve_leaves_its_share_of_every_port():
    loop = loop_with(ReserveRule(id="r", rating_pct=70.0))
    await loop.run(15)
    assert np.abs(np.array(loop.setpoints)).max() <= 600.0
    assert np.abs(np.array(loop.setpoints)).max() > 500.0


async def test_a_condition_with_hysteresis_does_not_chatter_on_noise():
    """The load of the PDU's fullest phase without MIMs is 32.7 A; the threshold stands right there, with 1 % of meter noise."""
    site = uneven_site(meter_noise_pct=1.0)
    level = float(current_a(await bare(site), "pdu").max())

    async def switches(clear_at: float) -> int:
        when = Condition(Watched.CURRENT, level, True, clear_at, "pdu")
        rules = (replace(site.rules[0], zones=()),)  # nobody balances: the MIMs would change what is measured
        loop = ClosedLoop(replace(site, rules=rules, restraints=(LockRule(id="l", when=when),)))
        states = []
        for _ in range(100):
            await loop.run(1)
            states.append(next(s.in_force for s in loop.controller.zones[0].cycle.rules.states() if s.id == "l"))
        return int(np.abs(np.diff(np.array(states, dtype=int))).sum())

    assert await switches(level) > 20, "without hysteresis it would"
    assert await switches(0.95 * level) <= 1


async def test_reliance_shows_what_must_not_be_hidden():
    """A breaker of 36 A, 28.8 A for hours: the load has 3 A more on L1; 2 A may rest on MIMs."""
    site = uneven_site()
    nodes = tuple(replace(n, rating_a=36.0) if n.id == "pdu" else n for n in site.nodes)
    firm_a = float(current_a(await bare(site), "pdu").max())
    assert 28.8 + 2.5 < firm_a < 28.8 + 3.5
    free = ClosedLoop(replace(site, nodes=nodes))
    await free.run(15)
    assert current_a(free, "pdu").max() <= 28.8
    loop = ClosedLoop(replace(site, nodes=nodes, restraints=(RelianceRule(id="r", place=PDU, max_a=2.0),)))
    await loop.run(15)
    assert firm_a - 2.05 <= current_a(loop, "pdu").max() <= 36.0
    assert "rule.reliance" in {event.code for event in loop.events.open()}


FIGURES = st.floats(0.1, 60)
PLACES = st.sampled_from([Place(), PDU, Place(nodes=("rack1",)), Place(mims=("mim-rack2",)), Place(zones=("z",))])
RULES = st.lists(
    st.one_of(
        st.builds(LimitRule, id=st.just(""), place=PLACES, max_a=FIGURES, max_neutral_a=st.none() | FIGURES),
        st.builds(ReserveRule, id=st.just(""), place=PLACES, rating_pct=st.floats(0, 99), spare_mims=st.integers(0, 2)),
        st.builds(RampRule, id=st.just(""), place=PLACES, max_w_per_s=st.floats(20, 2000)),
        st.builds(LockRule, id=st.just(""), place=PLACES, window=st.just(Window(start=time(0, 0, 4), end=time(0, 0, 8)))),
        st.builds(RelianceRule, id=st.just(""), place=PLACES, max_a=FIGURES),
    ),
    min_size=1,
    max_size=4,
).map(lambda rules: tuple(replace(rule, id=f"r{n}") for n, rule in enumerate(rules)))


@settings(max_examples=12)
@given(RULES)
def test_under_any_set_of_rules_setpoints_are_inside_the_bounds_and_no_breaker_is_worse_off(rules):
    asyncio.run(under(rules))


async def under(rules) -> None:
    loop = loop_with(*rules)
    before = np.zeros(9, dtype=complex)
    for _ in range(10):
        await loop.run(1)
        record, told = loop.controller.zones[0].cycle.last, loop.setpoint_va()
        bounds = record.bounds
        commanded = bounds.mim_enabled[loop.layout.port_mim]
        assert (np.abs(told) <= bounds.port_s_max_va + 1e-6).all()
        assert (told[~commanded] == 0).all(), "what rests is at its safe state"
        grown = commanded & (np.abs(told) > np.abs(before))
        assert (np.abs(told - before)[grown] <= bounds.step_max_va[grown] + 1.5).all()
        assert Verdict.REFUSED not in {j.verdict for j in record.safe_plan.judgements}
        before = told
    limit = loop.layout.limit_a
    for node in ("feed", "pdu", "rack1", "rack2", "rack3"):
        assert current_a(loop, node).max() <= limit[loop.layout.node_index[node]]


@pytest.mark.parametrize("delay_cycles", [0, 1])
async def test_after_the_window_everything_is_as_without_the_rule(delay_cycles):
    rules = (
        LimitRule(id="l", place=PDU, max_a=18.0, window=SHORTLY),
        ReserveRule(id="r", rating_pct=80.0, window=SHORTLY),
        RampRule(id="p", max_w_per_s=20.0, window=SHORTLY),
    )
    loop, free = loop_with(*rules, delay_cycles=delay_cycles), loop_with(delay_cycles=delay_cycles)
    await loop.run(60)
    await free.run(60)
    assert loop.objectives[30] > 1.5 * free.objectives[30]
    assert loop.objectives[-1] < 1.1 * free.objectives[-1]
