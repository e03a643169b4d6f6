"""The yardstick against hand cases and against the control's own program."""

from __future__ import annotations

import numpy as np
import pytest
from balance_cases import (
    SINGLE,
    free_bounds,
    least_objective,
    mim,
    random_load,
    random_site,
    rated_bounds,
    reported_objective,
    site,
)

from mimctl.balance.optimum import Given, OptimumSolver
from mimctl.balance.settings import YARDSTICK
from mimctl.grid.tree import TreeOperators
from mimctl.model.node import Node, NodeKind
from mimctl.model.site import LossModel


def test_losses_are_drawn_from_the_ports():
    """Σp = dc − (standby + linear·Σ|s| + quadratic·Σ|s|²), to a milliwatt."""
    head = Node("head", NodeKind.FEED, None, 32.0, 230.0)
    layout = site((head,), [mim("m", "head", SINGLE, 5000.0, LossModel(20.0, 0.02, 1e-6))])
    power = OptimumSolver(TreeOperators(layout)).solve(np.array([[3000.0, 2000.0, 1000.0]], complex), np.array([100.0]))
    size = np.abs(power)
    assert power.real.sum() == pytest.approx(100 - (20 + 0.02 * size.sum() + 1e-6 * (size**2).sum()), abs=0.05)
    left = np.array([3000.0, 2000.0, 1000.0]) - power
    assert left == pytest.approx(np.full(3, left[0]), abs=0.5)


def test_mims_that_cannot_be_commanded_are_part_of_the_load():
    """Two like MIMs at one node, one of them stuck at (600, −600, 0) W: the other evens out what is left, 1400, 1600, 1000."""
    head = Node("head", NodeKind.FEED, None, 32.0, 230.0)
    layout = site((head,), [mim("m", "head", SINGLE, 5000.0), mim("n", "head", SINGLE, 5000.0)])
    stuck = np.array([0, 0, 0, 600, -600, 0], complex)
    solver = OptimumSolver(TreeOperators(layout))
    load = np.array([[2000.0, 1000.0, 1000.0]], complex)
    power = solver.solve(load, np.zeros(2), Given(np.array([1.0, 0.0]), stuck))
    assert power[3:] == pytest.approx(stuck[3:])
    assert power[:3] == pytest.approx(np.array([1400, 1600, 1000]) - 4000 / 3, abs=0.5)
    assert solver.solve(load, np.zeros(2))[3:] != pytest.approx(stuck[3:]), "and all of them again afterwards"


def test_a_derated_mim_has_the_rest_of_its_rating():
    head = Node("head", NodeKind.FEED, None, 32.0, 230.0)
    layout = site((head,), [mim("m", "head", SINGLE, 1000.0)])
    load = np.array([[5000.0, 1000.0, 1000.0]], complex)
    power = OptimumSolver(TreeOperators(layout)).solve(load, np.zeros(1), Given(np.array([0.3]), np.zeros(3, complex)))
    assert np.abs(power).max() == pytest.approx(300.0, abs=0.5)


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_minimum_of_the_reported_objective(seed):
    rng = np.random.default_rng(seed)
    layout = random_site(rng)
    load = random_load(layout, rng, 0.2)
    power = OptimumSolver(TreeOperators(layout)).solve(load, np.zeros(len(layout.mims)))
    nothing = np.zeros(len(layout.ports))
    largest = np.array(
        [max([p.rating_va / 230.0 for p in m.ports if p.connection.uses_neutral], default=np.inf) for m in layout.mims]
    )
    bounds = rated_bounds(layout, mim_neutral_max_a=largest)
    best, _ = least_objective(layout, load, bounds, YARDSTICK, accepted=nothing, curvature=nothing)
    assert reported_objective(layout, load, power) == pytest.approx(best, rel=1e-5)


def test_the_same_input_costs_nothing_and_a_new_one_is_answered():
    rng = np.random.default_rng(1)
    layout = random_site(rng)
    solver = OptimumSolver(TreeOperators(layout))
    load, dc = random_load(layout, rng, 0.2), np.zeros(len(layout.mims))
    first = solver.solve(load, dc)
    assert solver.solve(load, dc) is first
    other = solver.solve(load * 0.5, dc)
    fresh = OptimumSolver(TreeOperators(layout)).solve(load * 0.5, dc)
    assert reported_objective(layout, load * 0.5, other) == pytest.approx(reported_objective(layout, load * 0.5, fresh), rel=1e-4)
    assert solver.failures == 0


def test_nothing_feasible_is_better():
    rng = np.random.default_rng(4)
    layout = random_site(rng)
    load = random_load(layout, rng, 0.2)
    best = reported_objective(layout, load, OptimumSolver(TreeOperators(layout)).solve(load, np.zeros(len(layout.mims))))
    limit = free_bounds(layout).port_s_max_va
    for _ in range(100):
        guess = 1j * rng.uniform(-1, 1, size=len(layout.ports)) * limit * 0.2
        assert reported_objective(layout, load, guess) >= best
