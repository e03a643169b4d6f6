"""The reduced tree says the same as the whole tree."""

from __future__ import annotations

import numpy as np
import pytest
from balance_cases import forecast, node_flows, random_load, random_site, rated_bounds
from scipy import sparse

from mimctl.balance.frame import Frame
from mimctl.balance.objective import pairs_of_rows
from mimctl.balance.problem import Balancer
from mimctl.balance.reduction import kept_nodes, real_stacked, reduce_tree
from mimctl.balance.settings import BalanceSettings
from mimctl.grid.tree import TreeOperators


@pytest.mark.parametrize("most_terms", [0, 6, 12, 24, 10_000])
def test_every_form_gives_the_flows_of_the_tree(most_terms):
    rng = np.random.default_rng(2)
    layout = random_site(rng)
    operators = TreeOperators(layout)
    reduction = reduce_tree(operators, most_terms)
    power = rng.normal(size=len(layout.ports)) + 1j * rng.normal(size=len(layout.ports))
    flows = np.array(node_flows(layout, np.zeros((len(layout.nodes), 3), complex), power))
    kept = np.ascontiguousarray(flows[reduction.kept]).reshape(-1).view(np.float64)
    z = np.concatenate([power.view(np.float64), kept])
    assert reduction.defining @ z == pytest.approx(np.zeros(len(kept)), abs=1e-9)
    assert (reduction.response @ z).view(np.complex128).reshape(-1, 3) == pytest.approx(flows, abs=1e-9)


def test_few_nodes_are_kept():
    """Racks under one MIM, chains and nodes without ports need no variables."""
    layout = random_site(np.random.default_rng(0))
    names = {layout.nodes[n].id for n in np.flatnonzero(kept_nodes(TreeOperators(layout), 12))}
    assert names <= {"r0", "r3", "busbar", "pduA", "pduB"}
    assert not kept_nodes(TreeOperators(layout), 10_000).any()


def test_objective_rows_are_the_reported_objective():
    rng = np.random.default_rng(6)
    layout = random_site(rng)
    frame = Frame(TreeOperators(layout), BalanceSettings(concentration=0.0))
    flow = random_load(layout, rng)
    sequence = frame.operators.sequence_currents(frame.operators.currents(flow))
    j = layout.omega * 3 * (np.abs(sequence[:, 0]) ** 2 + np.abs(sequence[:, 2]) ** 2) / layout.rating_a**2
    assert 0.5 * np.vdot(flow, frame.flow_gradient(flow, layout.omega)).real == pytest.approx(j.sum())


def test_pairs_of_rows_are_the_gram_matrix():
    rng = np.random.default_rng(8)
    matrix = sparse.csr_array(sparse.random_array((12, 7), density=0.4, rng=rng))
    matrix.sort_indices()
    _, i, j, value = pairs_of_rows(matrix)
    upper = sparse.coo_array((value, (i, j)), shape=(7, 7)).toarray()
    assert upper == pytest.approx(np.triu((matrix.T @ matrix).toarray()))


def test_real_stacking_acts_like_the_complex_matrix():
    rng = np.random.default_rng(9)
    matrix = rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))
    vector = rng.normal(size=4) + 1j * rng.normal(size=4)
    stacked = real_stacked(sparse.coo_array(matrix)) @ vector.view(np.float64)
    assert stacked.view(np.complex128) == pytest.approx(matrix @ vector)


def test_the_form_does_not_change_the_answer():
    rng = np.random.default_rng(11)
    layout = random_site(rng)
    operators = TreeOperators(layout)
    load, nothing = random_load(layout, rng), np.zeros(len(layout.ports), complex)
    objectives = []
    for most_terms in (0, 12, 10_000):
        balancer = Balancer(operators, BalanceSettings(tolerance=1e-9))
        balancer._program.frame = Frame(operators, BalanceSettings(tolerance=1e-9), most_terms)
        objectives.append(balancer.solve(forecast(layout, load), rated_bounds(layout), nothing, nothing).objective)
    assert objectives == pytest.approx([objectives[0]] * 3, rel=1e-6)
