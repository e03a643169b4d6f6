"""MIMs of several latency classes, planned together."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from tests.builders import START, rack_site

from mimctl.balance.optimum import OptimumSolver
from mimctl.balance.problem import Balancer
from mimctl.control.delays.cascade import Cascade, Smoothed
from mimctl.control.limits import BoundsMaker
from mimctl.forecast.outputs import OutputModel
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds
from mimctl.model.forecast import LoadForecast
from mimctl.model.latency import TYPICAL, Latency, LatencyClass, integrator_gain_limit
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.plan import Plan, SolveStatus
from mimctl.model.site import Site

MEDIUM, SLOW = TYPICAL[LatencyClass.MEDIUM], TYPICAL[LatencyClass.SLOW]
FAST = TYPICAL[LatencyClass.FAST]


def mixed_site(*latencies: Latency) -> Site:
    """One rack and one MIM for each latency; outputs follow their commands at once but for the medium's delay."""
    site = rack_site(len(latencies))
    mims = tuple(replace(mim, latency=latency, response_s=1e-3) for mim, latency in zip(site.mims, latencies, strict=True))
    return replace(site, mims=mims)


def forecast_of(layout: SiteLayout, load_va: ComplexArray) -> LoadForecast:
    everywhere = np.ones(len(layout.nodes), dtype=bool)
    return LoadForecast(load_va.real.copy(), load_va.imag.copy(), everywhere, everywhere)


@dataclass
class Rig:
    """A site whose devices do what they are told, as late as their medium makes them; commands of every second are kept."""

    site: Site
    load_va: ComplexArray
    now_s: float = 1000.0
    plans: list[Plan] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.layout = SiteLayout(self.site)
        self.operators = TreeOperators(self.layout)
        self.outputs = OutputModel(self.layout)
        self.cascade = Cascade(self.operators, Balancer(self.operators), self.outputs, 1.0)
        self.maker = BoundsMaker(self.layout, "z")
        self.told = np.zeros(len(self.layout.ports), dtype=complex)
        delays = np.array([mim.latency.delay_s for mim in self.site.mims])[self.layout.port_mim]
        self.late = delays.astype(int)
        self.history = deque([self.told.copy()] * 200, maxlen=200)

    def bounds(self) -> Bounds:
        everybody = np.ones(len(self.layout.mims), dtype=bool)
        return self.maker.bounds(START, self.told, 1.0, obeying=everybody, reported=everybody)

    def output_va(self) -> ComplexArray:
        return np.array([self.history[-1 - late][k] for k, late in enumerate(self.late)])

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            anchor = self.plans[-1].inject_w + 1j * self.plans[-1].inject_var if self.plans else self.told
            plan = self.cascade.plan(forecast_of(self.layout, self.load_va), self.bounds(), anchor, self.told, now_s=self.now_s)
            self.plans.append(plan)
            self.told = plan.inject_w + 1j * plan.inject_var
            self.outputs.commanded(self.now_s, self.told)
            self.now_s += 1.0
            self.history.append(self.told.copy())

    def objective(self, output_va: ComplexArray) -> float:
        """Σ over nodes of the squared zero and negative sequence currents, per rating: worked out from phase currents here."""
        flow = self.operators.flow(self.load_va, output_va)
        a = np.exp(2j * np.pi / 3)
        current = np.conj(flow) / (230.0 * np.array([1, a**2, a])).conj()
        i0, i2 = current.sum(axis=1) / 3, (current @ np.array([1, a**2, a])) / 3
        rating = np.array([n.rating_a for n in self.layout.nodes])
        return float(np.mean(3 * (np.abs(i0) ** 2 + np.abs(i2) ** 2) / rating**2))


def uneven(layout: SiteLayout, scale: float = 1.0) -> ComplexArray:
    load = np.zeros((len(layout.nodes), 3), dtype=complex)
    load[2:] = scale * np.array([2400.0 + 600j, 900.0 + 200j, 600.0 + 100j])
    return load


def test_a_wired_site_is_one_solve():
    site = mixed_site(FAST, FAST)
    rig = Rig(site, uneven(SiteLayout(site)))
    alone = Balancer(rig.operators).solve(forecast_of(rig.layout, rig.load_va), rig.bounds(), rig.told, rig.told)
    rig.run(1)
    assert np.allclose(rig.plans[0].inject_w, alone.inject_w, atol=1e-3)


@pytest.mark.parametrize("latencies", [(FAST, SLOW), (MEDIUM, SLOW), (FAST, MEDIUM, SLOW)])
def test_constant_load_settles_at_the_optimum_with_finite_travel(latencies):
    site = mixed_site(*latencies)
    rig = Rig(site, uneven(SiteLayout(site)))
    rig.run(900)
    best = OptimumSolver(rig.operators).solve(rig.load_va, np.zeros(len(rig.layout.mims)))
    assert rig.objective(rig.output_va()) <= rig.objective(best) + 1e-3 * rig.objective(np.zeros_like(best))
    last = np.array([p.inject_w + 1j * p.inject_var for p in rig.plans[-120:]])
    assert np.abs(np.diff(last, axis=0)).sum() < 1.0  # VA in all, in two minutes


def test_a_load_step_is_never_answered_twice():
    """Fast MIMs take the step, slow ones take it over; at no instant is more corrected than there is."""
    site = mixed_site(FAST, SLOW)
    rig = Rig(site, uneven(SiteLayout(site), 0.2))
    rig.run(300)
    rig.load_va = uneven(rig.layout, 0.8)
    before = rig.objective(np.zeros(len(rig.layout.ports)))
    seen = []
    for _ in range(400):
        rig.run(1)
        seen.append(rig.objective(rig.output_va()))
    assert max(seen[2:]) < 0.6 * before
    best = OptimumSolver(rig.operators).solve(rig.load_va, np.zeros(len(rig.layout.mims)))
    assert seen[-1] == pytest.approx(rig.objective(best), abs=2e-3 * before)


def test_slow_mims_are_asked_at_their_own_pace():
    site = mixed_site(FAST, SLOW)
    rig = Rig(site, uneven(SiteLayout(site)))
    rig.run(5)
    rig.load_va = uneven(rig.layout, 0.5)
    rig.run(240)
    slow = rig.layout.ports_of_mim[1]
    told = np.array([p.inject_w[slow] for p in rig.plans])
    changes = np.flatnonzero(np.abs(np.diff(told, axis=0)).max(axis=1) > 1e-9) + 1
    assert len(changes) >= 3
    assert set(changes % 60) == {0}


def failing(cascade: Cascade, band: int) -> list[int]:
    """Let the solves of one class fail; the list grows by one with each of them, and ends the failures when it is cleared."""
    balancer, tried = cascade._bands[band].balancer, [0]
    solve = balancer.solve

    def fails(forecast, bounds, anchor, accepted):
        plan = solve(forecast, bounds, anchor, accepted)
        if not tried:
            return plan
        tried.append(0)
        return replace(plan, status=SolveStatus.FAILED, inject_w=accepted.real.copy(), inject_var=accepted.imag.copy())

    balancer.solve = fails  # type: ignore[method-assign]
    return tried


def test_a_class_that_cannot_be_solved_is_counted_by_itself_and_tried_again_in_the_next_cycle():
    """However well the others go on: their solves say nothing about it."""
    site = mixed_site(FAST, SLOW)
    rig = Rig(site, uneven(SiteLayout(site)))
    tried = failing(rig.cascade, 0)
    rig.run(4)
    assert rig.cascade.failures.tolist() == [0, 4]
    assert len(tried) == 5, "each cycle, and not each minute"
    for plan in rig.plans:
        assert plan.status is SolveStatus.SOLVED
        assert plan.failed is not None
        assert plan.failed.tolist() == [False, True]
    assert np.abs(rig.told[:3]).max() > 100
    assert not rig.told[3:].any()
    tried.clear()
    rig.run(1)
    assert rig.cascade.failures.tolist() == [0, 0]
    assert rig.plans[-1].failed is None


def test_a_plan_has_failed_where_every_class_has():
    site = mixed_site(FAST, SLOW)
    rig = Rig(site, uneven(SiteLayout(site)))
    for band in (0, 1):
        failing(rig.cascade, band)
    rig.run(3)
    assert rig.cascade.failures.tolist() == [3, 3]
    assert {plan.status for plan in rig.plans} == {SolveStatus.FAILED}


def test_what_a_slow_mim_may_do_reaches_it_at_once():
    site = mixed_site(FAST, SLOW)
    rig = Rig(site, uneven(SiteLayout(site)))
    rig.run(3)
    bounds = rig.bounds()
    halved = replace(bounds, port_s_max_va=bounds.port_s_max_va / 10)
    plan = rig.cascade.plan(forecast_of(rig.layout, rig.load_va), halved, rig.told, rig.told, now_s=rig.now_s)
    power = np.abs(plan.inject_w + 1j * plan.inject_var)
    assert (power <= halved.port_s_max_va + 1e-3).all()


def test_nothing_due_is_a_plan_that_stands():
    site = mixed_site(SLOW, SLOW)
    rig = Rig(site, uneven(SiteLayout(site)))
    rig.run(2)
    assert rig.plans[1].status is SolveStatus.HELD
    assert (rig.plans[1].inject_w == rig.plans[0].inject_w).all()


def test_a_doubted_mim_moves_in_part_and_stays_balanced():
    site = mixed_site(FAST, FAST)
    rig = Rig(site, uneven(SiteLayout(site)))
    whole = rig.cascade.plan(forecast_of(rig.layout, rig.load_va), rig.bounds(), rig.told, rig.told, now_s=0.0)
    gain = np.array([1.0, 0.25])
    eased = rig.cascade.plan(forecast_of(rig.layout, rig.load_va), rig.bounds(), rig.told, rig.told, now_s=0.0, gain=gain)
    assert np.allclose(eased.inject_w[3:], 0.25 * whole.inject_w[3:], atol=1.0)
    assert abs(eased.inject_w[3:].sum()) < 1.0


def test_an_exponential_mean_is_63_percent_there_after_its_time_constant():
    site = mixed_site(FAST)
    layout = SiteLayout(site)
    smoothed = Smoothed(60.0)
    smoothed.follow(forecast_of(layout, np.zeros((3, 3), dtype=complex)), 0.0)
    for second in range(1, 61):
        seen = smoothed.follow(forecast_of(layout, np.full((3, 3), 100.0 + 0j)), float(second))
    assert seen.load_w[0, 0] == pytest.approx(63.212, abs=1e-3)  # 1 − 1/e


def test_another_picture_begins_the_mean_anew():
    layout = SiteLayout(mixed_site(FAST))
    smoothed = Smoothed(60.0)
    smoothed.follow(forecast_of(layout, np.zeros((3, 3), dtype=complex)), 0.0)
    fewer = replace(forecast_of(layout, np.full((3, 3), 100.0 + 0j)), known=np.array([True, True, False]))
    assert smoothed.follow(fewer, 1.0).load_w[0, 0] == 100.0


@pytest.mark.parametrize(("periods", "stable", "unstable"), [(0, 1.99, 2.01), (1, 0.99, 1.01), (2, 0.61, 0.63), (30, 0.051, 0.052)])
def test_gain_limit_is_where_the_loop_starts_to_ring(periods, stable, unstable):
    def radius(gain: float) -> float:
        polynomial = np.zeros(periods + 2)
        polynomial[0], polynomial[1] = 1.0, -1.0
        polynomial[-1] += gain
        return float(np.abs(np.roots(polynomial)).max())

    assert radius(stable) < 1 < radius(unstable)
    assert stable < integrator_gain_limit(periods) < unstable
