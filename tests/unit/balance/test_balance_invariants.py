"""What must hold whatever the input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from balance_cases import SINGLE, forecast, free_bounds, one_rack, random_load, random_site, rated_bounds, reported_objective
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.balance.problem import Balancer
from mimctl.balance.settings import BalanceSettings
from mimctl.grid.tree import TreeOperators
from mimctl.model.phases import Rotation
from mimctl.model.plan import SolveStatus

watts = st.floats(-3000, 6000)


def plan_of(layout, load, bounds, accepted=None, chosen=BalanceSettings(tolerance=1e-9)):  # noqa: B008
    accepted = np.zeros(len(layout.ports), complex) if accepted is None else accepted
    return Balancer(TreeOperators(layout), chosen).solve(forecast(layout, load), bounds, accepted, accepted)


@settings(max_examples=25)
@given(st.lists(st.tuples(watts, watts), min_size=3, max_size=3), st.integers(0, 1), st.floats(300, 4000))
def test_a_permutation_of_phases_permutes_the_answer(parts, turn, rating):
    """Turning the phases (L1 → L2 → L3) turns the setpoints; swapping two with the rotation of the field swaps them."""
    load = np.array([[p + 1j * q for p, q in parts]])
    order = [[2, 0, 1], [0, 2, 1]][turn]
    first = one_rack(SINGLE, rating)
    second = one_rack(SINGLE, rating, Rotation.POSITIVE if turn == 0 else Rotation.NEGATIVE)
    plain = plan_of(first, load, rated_bounds(first))
    turned = plan_of(second, load[:, order], rated_bounds(second))
    assert turned.objective == pytest.approx(plain.objective, rel=1e-6, abs=1e-9)
    assert turned.inject_w == pytest.approx(plain.inject_w[order], abs=2.0)
    assert turned.inject_var == pytest.approx(plain.inject_var[order], abs=2.0)


@pytest.mark.parametrize("seed", range(60))
def test_there_is_always_an_answer_inside_the_hard_limits(seed):
    """Overloads, dead MIMs, tiny breakers, ramps, storage beyond the ratings: solved, and no device limit is passed."""
    rng = np.random.default_rng(1000 + seed)
    layout = random_site(rng)
    ports, mims = len(layout.ports), len(layout.mims)
    accepted = rng.normal(size=ports) * 300 + 1j * rng.normal(size=ports) * 300
    s_max = layout.port_rating_va * rng.choice([0.0, 0.3, 1.0], size=ports, p=[0.1, 0.2, 0.7])
    ramped = rng.random() < 0.6
    bounds = rated_bounds(
        layout,
        mim_enabled=rng.random(mims) < 0.8,
        port_s_max_va=s_max,
        mim_dc_w=rng.normal(size=mims) * rng.choice([0, 300, 5000]),
        mim_neutral_max_a=rng.choice([0.5, 2.0, 10.0, np.inf], size=mims),
        step_max_va=np.where(rng.random(ports) < 0.7, rng.choice([0.0, 5.0, 100.0]), np.inf) if ramped else np.full(ports, np.inf),
        node_limit_a=np.repeat(layout.limit_a[:, None], 3, axis=1) * rng.choice([0.02, 0.5, 1.0]),
        head_min_import_w=rng.choice([-np.inf, 0.0, 2000.0], size=len(layout.heads)),
    )
    plan = plan_of(layout, random_load(layout, rng, rng.choice([0.1, 0.6, 2.0])), bounds, accepted, BalanceSettings())
    power = plan.inject_w + 1j * plan.inject_var
    assert plan.status in (SolveStatus.SOLVED, SolveStatus.ALMOST)
    enabled = bounds.mim_enabled[layout.port_mim]
    assert power[~enabled] == pytest.approx(accepted[~enabled])
    assert (np.abs(power) <= s_max * (1 + 1e-5) + 0.01)[enabled].all()
    radius = s_max.copy()
    for k, port in enumerate(layout.ports):
        rest = [j for j in range(ports) if layout.port_mim[j] == layout.port_mim[k] and layout.port_node[j] == layout.port_node[k]]
        if port.connection.uses_neutral and sum(layout.ports[j].connection.uses_neutral for j in rest) == 1:
            radius[k] = min(radius[k], 230.0 * bounds.mim_neutral_max_a[layout.port_mim[k]])
    inside = accepted * np.minimum(1, radius / np.abs(accepted))
    least = 2e-3 * layout.port_rating_va
    assert (np.abs(power - inside) <= bounds.step_max_va + least)[enabled & (s_max > 0)].all()


@pytest.mark.parametrize("seed", range(4))
def test_no_feasible_point_is_better(seed):
    rng = np.random.default_rng(seed)
    layout = random_site(rng)
    load = random_load(layout, rng)
    chosen = BalanceSettings(effort=1e-9, movement=0.0, concentration=0.0, tolerance=1e-9)
    plan = plan_of(layout, load, free_bounds(layout), chosen=chosen)
    best = reported_objective(layout, load, plan.inject_w + 1j * plan.inject_var)
    assert best == pytest.approx(plan.objective, rel=1e-5)
    for _ in range(200):
        guess = rng.normal(size=len(layout.ports)) + 1j * rng.normal(size=len(layout.ports))
        for ports in layout.ports_of_mim:
            guess[ports] -= guess[ports].real.mean()
        guess *= rng.random() * (layout.port_rating_va / np.maximum(np.abs(guess), 1e-9)).min()
        assert reported_objective(layout, load, guess) >= best * (1 - 1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_steady_state_is_the_optimum_of_the_reported_objective(seed):
    """Movement costs nothing at rest; effort and concentration give away less than a thousandth."""
    rng = np.random.default_rng(seed)
    layout = random_site(rng)
    load, bounds = random_load(layout, rng), free_bounds(layout)
    pure = BalanceSettings(effort=1e-9, movement=0.0, concentration=0.0, tolerance=1e-9)
    ideal = plan_of(layout, load, bounds, chosen=pure).objective
    balancer, power = Balancer(TreeOperators(layout)), np.zeros(len(layout.ports), complex)
    shares = []
    nothing = reported_objective(layout, load, power)
    for _ in range(4):
        plan = balancer.solve(forecast(layout, load), bounds, power, power)
        power = plan.inject_w + 1j * plan.inject_var
        shares.append((nothing - reported_objective(layout, load, power)) / (nothing - ideal))
    assert reported_objective(layout, load, power) <= ideal * 1.001
    assert shares[0] > 0.998


def test_what_is_not_known_carries_no_weight():
    rng = np.random.default_rng(3)
    layout = random_site(rng)
    load = random_load(layout, rng)
    index = layout.node_index
    known, covered = np.ones(len(load), dtype=np.bool_), np.ones(len(load), dtype=np.bool_)
    known[index["r0"]] = covered[index["r0"]] = False
    broken = load.copy()
    broken[index["r0"]] = np.nan
    bounds = free_bounds(layout)
    nothing = np.zeros(len(layout.ports), complex)
    balancer = Balancer(TreeOperators(layout), BalanceSettings(tolerance=1e-9))
    plan = balancer.solve(forecast(layout, broken, known, covered), bounds, nothing, nothing)
    weights = layout.omega.copy()
    for node in ("r0", "busbar", "pduA", "A"):
        weights[index[node]] = 0.0
    blank = load.copy()
    blank[index["r0"]] = 0.0
    same = balancer.solve(forecast(layout, blank), dataclasses.replace(bounds, weights=weights), nothing, nothing)
    assert plan.status is SolveStatus.SOLVED
    assert plan.inject_w == pytest.approx(same.inject_w, abs=0.5)


def test_numbers_that_make_no_sense_hold_the_accepted_setpoints():
    layout = one_rack()
    accepted = np.array([100.0, 50.0, -150.0], complex)
    bounds = free_bounds(layout, weights=np.array([np.nan]))
    plan = plan_of(layout, np.array([[3000.0, 2000.0, 1000.0]], complex), bounds, accepted)
    assert plan.status is SolveStatus.FAILED
    assert plan.inject_w == pytest.approx(accepted.real)


def test_the_same_input_gives_the_same_plan():
    rng = np.random.default_rng(9)
    layout = random_site(rng)
    load = random_load(layout, rng)
    first, second = plan_of(layout, load, rated_bounds(layout)), plan_of(layout, load, rated_bounds(layout))
    assert np.array_equal(first.inject_w, second.inject_w)
