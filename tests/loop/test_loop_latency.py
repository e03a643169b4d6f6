"""MIMs of several latency classes in a closed loop with the plant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.loop.closed_loop import ClosedLoop, uneven_site

from mimctl.control.delays.stability import loop_margins
from mimctl.model.latency import TYPICAL, Latency, LatencyClass
from mimctl.model.plan import SolveStatus
from mimctl.model.site import Site
from mimctl.service.status import zone_status

FAST, MEDIUM, SLOW = (TYPICAL[kind] for kind in LatencyClass)


def mixed_site(*latencies: Latency, meter_noise_pct: float = 0.0) -> Site:
    site = uneven_site(len(latencies), meter_noise_pct=meter_noise_pct)
    mims = tuple(replace(mim, latency=latency, validity_s=240.0) for mim, latency in zip(site.mims, latencies, strict=True))
    return replace(site, mims=mims)


def removed(loop: ClosedLoop, cycles: int) -> float:
    """Share of the unbalance removed over the last cycles, of what the optimum of the whole fleet removes."""
    without, best = loop.without_control(), loop.best()
    return (without - float(np.mean(loop.objectives[-cycles:]))) / (without - best)


@pytest.mark.parametrize("latencies", [(FAST, MEDIUM, SLOW), (MEDIUM, MEDIUM, SLOW), (SLOW, SLOW, SLOW)])
async def test_constant_load_settles_and_stays(latencies):
    loop = ClosedLoop(mixed_site(*latencies))
    await loop.run(600)
    assert removed(loop, 60) > 0.99
    assert loop.travel_va(last=120) < 120 * 9 * 1.5  # whole watts to and fro at most


@pytest.mark.parametrize(("late_cycles", "commanded"), [(5, True), (6, False)])
async def test_reports_of_the_fast_may_be_as_old_as_the_margin_says_and_no_older(late_cycles, commanded):
    site = mixed_site(FAST, FAST, FAST)
    (margin,) = loop_margins(site)
    assert margin.report_age_s == 5.0
    loop = ClosedLoop(site, delay_cycles=late_cycles)
    base = loop.source.power_va.copy()
    for share in (0.5, 1.5, 1.0):
        loop.source.power_va = base * np.where(np.arange(len(base)) % 2, share, 2 - share)
        await loop.run(25)
    assert (removed(loop, 10) > 0.99) is commanded
    assert bool(np.abs(np.diff(np.array(loop.setpoints), axis=0)).max() > 50) is commanded


async def test_nobody_commands_a_radio_more_often_than_it_can_carry():
    loop = ClosedLoop(mixed_site(FAST, MEDIUM, SLOW))
    await loop.run(400)
    told = np.array(loop.setpoints)
    for m, every_s in ((1, 5), (2, 60)):
        ports = loop.layout.ports_of_mim[m]
        changed = np.flatnonzero(np.abs(np.diff(told[:, ports], axis=0)).max(axis=1) > 0.5) + 1
        assert len(changed) > 1
        assert np.diff(changed).min() >= every_s


async def test_the_fast_take_a_step_and_the_slow_take_it_over():
    loop = ClosedLoop(mixed_site(FAST, MEDIUM, SLOW))
    await loop.run(300)
    loop.source.power_va = loop.source.power_va * np.array([0.7, 1, 1, 1.3, 1, 1, 1, 1.2, 1])
    await loop.run(6)
    worst = max(loop.objectives[-3:])
    await loop.run(400)
    assert worst < 0.5 * loop.without_control()
    assert removed(loop, 60) > 0.98
    # nothing rings on the way there
    assert max(loop.objectives[-395:]) <= 1.5 * worst


async def test_noise_is_not_handed_to_the_slow():
    quiet, noisy = (ClosedLoop(mixed_site(FAST, FAST, SLOW, meter_noise_pct=pct)) for pct in (0.0, 1.0))
    for loop in (quiet, noisy):
        await loop.run(600)
    assert removed(noisy, 120) > 0.95
    slow = noisy.layout.ports_of_mim[2]
    moves = np.abs(np.diff(np.array(noisy.setpoints)[-300:, slow], axis=0))
    fast_moves = np.abs(np.diff(np.array(noisy.setpoints)[-300:, : slow.start], axis=0))
    assert moves.sum() / 3 < 0.1 * fast_moves.sum() / 6


async def test_a_slow_device_that_is_later_than_declared_is_noticed_and_does_not_ring():
    loop = ClosedLoop(mixed_site(FAST, SLOW, SLOW))
    for m in (1, 2):
        loop.fleet.defects.latency_s[m] = 40.0
    rng = np.random.default_rng(3)
    base = loop.source.power_va.copy()
    for _ in range(8):
        loop.source.power_va = base * rng.uniform(0.4, 1.6, len(base))
        await loop.run(90)
    loop.source.power_va = base
    await loop.run(420)
    assert removed(loop, 60) > 0.98
    assert "mim.slower_than_declared" in {event.code for event in (*loop.events.open(), *loop.events.recent())}


async def test_status_holds_measured_delays_against_declared_ones():
    loop = ClosedLoop(mixed_site(FAST, MEDIUM, SLOW))
    loop.fleet.defects.latency_s[1] = 1.0  # a little late, which is in order
    rng, base = np.random.default_rng(5), loop.source.power_va.copy()
    for _ in range(30):
        loop.source.power_va = base * rng.uniform(0.4, 1.6, len(base))
        await loop.run(7)
    zone = loop.controller.zones[0]
    fast, medium, slow = zone_status(zone)["loops"]
    assert (fast["class"], fast["mims"], fast["declared_s"]) == ("fast", 1, 1.0)
    assert fast["measured_s"] == pytest.approx(1.0, abs=0.5)  # samples are one cycle old when they are acted on
    assert (medium["class"], medium["declared_s"]) == ("medium", 3.0)
    assert medium["measured_s"] == pytest.approx(4.0, abs=1.0)
    assert (slow["class"], slow["declared_s"]) == ("slow", 31.0)
    assert "mim.slower_than_declared" not in {event.code for event in loop.events.open()}


async def test_a_class_that_cannot_be_solved_falls_silent_and_the_others_go_on():
    loop = ClosedLoop(mixed_site(FAST, FAST, SLOW))
    await loop.run(65)
    cycle = loop.controller.zones[0].cycle
    assert cycle.dispatcher.held.in_force.all()
    slow = cycle.cascade._bands[0].balancer
    solve = slow.solve
    slow.solve = lambda *of: replace(solve(*of), status=SolveStatus.FAILED)  # type: ignore[method-assign]
    await loop.run(120)  # asked again at 120 s; at 180 s a sign of life would be due
    assert cycle.silenced.tolist() == [False, False, True]
    assert not cycle.silent
    written_at_s = cycle.dispatcher.held.written_at_s
    assert written_at_s[2] <= 120 + cycle.hold_cycles
    assert (written_at_s[:2] >= loop.clock.monotonic_s() - 2).all()
    (event,) = [event for event in loop.events.open() if event.code == "solve.failed"]
    assert event.text == "the solve for the slow MIMs failed; no heartbeats are sent"
    slow.solve = solve  # type: ignore[method-assign]
    await loop.run(2)
    assert not cycle.silenced.any()
    assert cycle.dispatcher.held.written_at_s[2] >= 185
