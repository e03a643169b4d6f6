"""Harmonic filters in the closed loop: a limit is met and kept, the fundamental keeps its converter, silence ends the filter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.loop.closed_loop import ClosedLoop, uneven_site

from mimctl.model.harmonics import HarmonicFilter, HarmonicLimits
from mimctl.model.layout import SiteLayout
from mimctl.model.site import Site

SPECTRUM = ((3, 25.0), (5, 15.0), (7, 8.0))
#: TDD limit at the PDU, of a demand of 50 A a phase
LIMIT_PCT, DEMAND_A = 10.0, 50.0


def site(limits: HarmonicLimits | None = None, *, reserve: float = 0.5, meter_noise_pct: float = 0.0, **of_mims: object) -> Site:
    """Uneven racks with rectifiers, a filtering MIM in each, limits at the PDU."""
    base = uneven_site(3, meter_noise_pct=meter_noise_pct)
    loads = tuple(replace(load, harmonic_pct=SPECTRUM) for load in base.twin.loads)
    part = HarmonicFilter((3, 5, 7), timing_error_s=20e-6, reserve=reserve)
    mims = tuple(replace(m, harmonic_filter=part, **of_mims) for m in base.mims)  # type: ignore[arg-type]
    nodes = tuple(replace(n, harmonic_limits=limits) if n.id == "pdu" else n for n in base.nodes)
    control = replace(base.control, site_period_s=5.0)
    return replace(base, twin=replace(base.twin, loads=loads), mims=mims, nodes=nodes, control=control)


def tdd_pct(loop: ClosedLoop) -> float:
    """Of the worst phase of the PDU, by the plant."""
    return float(100 * np.linalg.norm(loop.plant.harmonics().current_a[1], axis=-1).max() / DEMAND_A)


def worst_use(loop: ClosedLoop) -> float:
    """rms current of the fullest port over its rating, by the plant at nominal voltage."""
    flow = loop.plant.harmonics()
    filter_a = np.zeros(len(loop.layout.ports)) if flow.filter_a is None else flow.filter_a
    rms_a = np.hypot(np.abs(loop.plant.solve().port_va) / loop.layout.port_voltage_v, filter_a)
    return float((rms_a * loop.layout.port_voltage_v / loop.layout.port_rating_va).max())


LIMITS = HarmonicLimits(tdd_pct=LIMIT_PCT, demand_a=DEMAND_A)


async def test_a_limit_is_met_while_the_converters_balance():
    loop = ClosedLoop(site(LIMITS))
    loop.plant.advance_to(0.0)
    assert tdd_pct(loop) > 1.5 * LIMIT_PCT
    for _ in range(60):
        await loop.run(1)
        assert worst_use(loop) <= 1.0 + 1e-6
    assert tdd_pct(loop) < LIMIT_PCT
    assert loop.objectives[-1] < 0.5 * loop.without_control()


async def test_no_more_than_the_limit_asks_for():
    """The filters stop at 85 % of the limit: filtering costs losses."""
    loop = ClosedLoop(site(LIMITS, meter_noise_pct=0.1))
    await loop.run(50)
    late = []
    for _ in range(20):
        await loop.run(1)
        late.append(tdd_pct(loop))
    assert 0.75 * LIMIT_PCT < min(late) <= max(late) < LIMIT_PCT


async def test_without_limits_the_filters_take_what_they_can_and_cost_no_balance():
    plain = ClosedLoop(uneven_site(3))
    loop = ClosedLoop(site())
    await plain.run(30)
    await loop.run(30)
    assert tdd_pct(loop) < 0.7 * 17
    assert loop.objectives[-1] == pytest.approx(plain.objectives[-1], rel=1e-3)
    assert worst_use(loop) <= 1.0 + 1e-6


async def test_room_is_kept_for_a_filter_only_where_a_limit_is_passed():
    tight = HarmonicLimits(tdd_pct=5.0, demand_a=DEMAND_A)
    greedy, modest = ClosedLoop(site(tight, reserve=0.0)), ClosedLoop(site(tight, reserve=0.6))
    for loop in (greedy, modest):
        await loop.run(40)
    assert tdd_pct(modest) < tdd_pct(greedy)
    record = modest.controller.zones[0].cycle.last
    assert record is not None
    assert any(r.reason.code == "harmonic.reserve" for r in record.bounds.restrictions)
    assert modest.objectives[-1] < 0.6 * modest.without_control()


async def test_shares_are_calm_under_noise():
    """At constant load and with noisy meters shares settle: no write for a share half a minute later."""
    loop = ClosedLoop(site(LIMITS, meter_noise_pct=0.1))
    await loop.run(40)
    zone = loop.controller.zones[0]
    seen = []
    for _ in range(30):
        await loop.run(1)
        told = zone.cycle.dispatcher.held.harmonics
        assert told is not None
        seen.append(told.share)
    assert np.ptp(np.array(seen), axis=0).max() <= 0.08


async def test_a_lost_link_ends_the_filters_with_the_setpoints():
    loop = ClosedLoop(site(LIMITS, validity_s=6.0))
    await loop.run(40)
    assert tdd_pct(loop) < LIMIT_PCT
    loop.plant.advance_to(loop.clock.monotonic_s() + 5.0)
    assert tdd_pct(loop) < LIMIT_PCT
    loop.plant.advance_to(loop.clock.monotonic_s() + 8.0)
    assert tdd_pct(loop) > 1.5 * LIMIT_PCT


async def test_an_orderly_stop_silences_every_filter():
    loop = ClosedLoop(site(LIMITS))
    await loop.run(20)
    assert await loop.controller.stop() == ()
    loop.plant.advance_to(loop.clock.monotonic_s() + 2.0)
    assert loop.fleet.filtering() is None
    told = loop.controller.zones[0].cycle.dispatcher.held.harmonics
    assert told is not None
    assert not told.share.any()


async def test_a_site_without_filters_never_hears_of_shares():
    loop = ClosedLoop(uneven_site(2))
    await loop.run(3)
    record = loop.controller.zones[0].cycle.last
    assert record is not None
    assert record.plan.harmonics is None
    assert record.safe_plan.harmonics is None
    assert SiteLayout(loop.site).ports
