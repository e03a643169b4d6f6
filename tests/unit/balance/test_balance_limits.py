"""Which limits are in the solve, and what happens when the plain run does not finish."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from balance_cases import forecast, node_flows, random_load, random_site, rated_bounds

from mimctl.balance import limits, program
from mimctl.balance.frame import Frame
from mimctl.balance.inputs import control_values
from mimctl.balance.limits import LimitBook, reached
from mimctl.balance.problem import Balancer
from mimctl.balance.settings import BalanceSettings
from mimctl.grid.tree import TreeOperators
from mimctl.model.plan import SolveStatus


@pytest.fixture
def scene():
    rng = np.random.default_rng(21)
    layout = random_site(rng)
    frame = Frame(TreeOperators(layout), BalanceSettings())
    nothing = np.zeros(len(layout.ports), complex)
    bounds = rated_bounds(layout)
    values, _, flow = control_values(frame, forecast(layout, random_load(layout, rng, 0.05)), bounds, nothing, nothing)
    return frame, values, flow


def test_nothing_is_reached_far_from_every_limit(scene):
    frame, values, flow = scene
    assert not reached(frame, values, flow * 0.1, 0.99).any()


def test_the_book_grows_at_once_and_forgets_slowly(scene, monkeypatch):
    frame, values, flow = scene
    monkeypatch.setattr(limits, "_AGE", 4)
    book = LimitBook(frame)
    factor = float((values.limit_va / np.abs(np.where(flow == 0, 1e-9, flow)))[frame.limited].min())
    high, low = flow * factor * 1.01, flow * 0.01
    found = reached(frame, values, high, 1.0)
    assert found.phases.sum() >= 1
    assert not book.holds(found)
    first = book.members(values, high, found)
    assert book.holds(found)
    assert not book.missing(found, first)
    assert book.missing(found, None)
    quiet = reached(frame, values, low, 1.0)
    sizes = [book.members(values, low, quiet).phase_mask().sum() for _ in range(8)]
    assert sizes[0] == first.phase_mask().sum()
    assert sizes[-1] == 0


def test_a_day_of_changing_loads_is_solved_the_same_as_afresh():
    """History (built sets, kept variants) changes nothing but the time it takes."""
    rng = np.random.default_rng(22)
    layout = random_site(rng)
    settings = BalanceSettings(tolerance=1e-8)
    seasoned = Balancer(TreeOperators(layout), settings)
    bounds, power = rated_bounds(layout), np.zeros(len(layout.ports), complex)
    for step in range(12):
        load = random_load(layout, rng, 0.1 + 0.1 * (step % 6))
        plan = seasoned.solve(forecast(layout, load), bounds, power, power)
        fresh = Balancer(TreeOperators(layout), settings).solve(forecast(layout, load), bounds, power, power)
        assert plan.objective == pytest.approx(fresh.objective, rel=1e-5)
        power = plan.inject_w + 1j * plan.inject_var


def test_what_can_be_held_is_held():
    """Wherever the ports suffice, no controllable breaker ends above its limit."""
    rng = np.random.default_rng(23)
    held = 0
    for _ in range(12):
        layout = random_site(rng)
        load = random_load(layout, rng, 0.45)
        nothing = np.zeros(len(layout.ports), complex)
        bounds = rated_bounds(layout, mim_neutral_max_a=np.full(len(layout.mims), np.inf))
        plan = Balancer(TreeOperators(layout)).solve(forecast(layout, load), bounds, nothing, nothing)
        frame = Frame(TreeOperators(layout), BalanceSettings())
        limit = bounds.node_limit_a * layout.voltage_ln_v[:, None]
        before = np.abs(np.array(node_flows(layout, load, nothing)))[frame.limited]
        after = np.abs(np.array(node_flows(layout, load, plan.inject_w + 1j * plan.inject_var)))[frame.limited]
        worst = np.maximum(before - limit[frame.limited], 0).sum()
        left = np.maximum(after - limit[frame.limited], 0).sum()
        assert left <= worst + 1.0
        held += worst > left + 1.0
    assert held >= 3


def test_a_run_that_does_not_finish_is_repeated_with_care(monkeypatch):
    rng = np.random.default_rng(24)
    layout = random_site(rng)
    load, nothing = random_load(layout, rng, 0.2), np.zeros(len(layout.ports), complex)
    expected = Balancer(TreeOperators(layout)).solve(forecast(layout, load), rated_bounds(layout), nothing, nothing)
    plain, runs = program.ConeSolver.solve, []

    def first_fails(self, *values):
        answer = plain(self, *values)
        runs.append(answer)
        return answer if len(runs) % 2 == 0 else dataclasses.replace(answer, status=SolveStatus.FAILED)

    monkeypatch.setattr(program.ConeSolver, "solve", first_fails)
    plan = Balancer(TreeOperators(layout)).solve(forecast(layout, load), rated_bounds(layout), nothing, nothing)
    assert len(runs) >= 2
    assert plan.status is SolveStatus.SOLVED
    assert plan.objective == pytest.approx(expected.objective, rel=1e-5)
