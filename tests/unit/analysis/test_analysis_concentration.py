"""Headroom without MIMs, against flows of the tree worked out anew with those MIMs taken away."""

from __future__ import annotations

import numpy as np
import pytest
from analysis_bench import SITE, Bench, make_bench, node, tie
from hypothesis import given
from hypothesis import strategies as st

from mimctl.analysis.concentration import Contingencies, fullest_phase_pct, loading_pct
from mimctl.grid.tree import TreeOperators
from mimctl.model.connection import Connection
from mimctl.model.layout import SiteLayout
from mimctl.model.node import Node, NodeKind, Transformer, Winding
from mimctl.model.site import Mim, PortSpec


@pytest.fixture
def bench() -> Bench:
    return Bench(TreeOperators(SiteLayout(SITE)))


def random_case(bench: Bench, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n, k = len(bench.layout.nodes), len(bench.layout.ports)
    load = rng.uniform(0, 3000, (n, 3)) * np.exp(1j * rng.uniform(-0.3, 0.3, (n, 3))) * bench.layout.phase_present
    return load, rng.uniform(-2000, 2000, k) + 1j * rng.uniform(-500, 500, k)


def without(bench: Bench, injection: np.ndarray, *mims: str) -> np.ndarray:
    """Port outputs with these MIMs at zero."""
    left = injection.copy()
    for mim in mims:
        left[bench.layout.ports_of_mim[bench.layout.mim_index[mim]]] = 0
    return left


@pytest.mark.parametrize("seed", range(3))
def test_firm_keeps_only_what_holds(bench: Bench, seed: int) -> None:
    load, injection = random_case(bench, seed)
    flow = bench.operators.flow(load, injection)
    firm = Contingencies(bench.operators).firm_flow(flow, injection)
    assert firm == pytest.approx(bench.operators.flow(load, without(bench, injection, "m1", "m2", "ab")))


@pytest.mark.parametrize("seed", range(3))
def test_worst_single_loss_tries_every_mim_and_none(bench: Bench, seed: int) -> None:
    load, injection = random_case(bench, seed)
    flow = bench.operators.flow(load, injection)
    tried = [flow] + [bench.operators.flow(load, without(bench, injection, m.id)) for m in bench.layout.mims]
    worst = Contingencies(bench.operators).worst_single_loss_va(flow, injection)
    assert worst == pytest.approx(np.abs(tried).max(axis=0))


@pytest.mark.parametrize("seed", range(3))
def test_failover_carries_the_other_feeds_load_and_keeps_only_its_own_mims(bench: Bench, seed: int) -> None:
    load, injection = random_case(bench, seed)
    carried = Contingencies(bench.operators).failover_flow(bench.operators.flow(load, injection), injection)
    on_a = bench.operators.flow(load, without(bench, injection, "ab"))[0] + load[[1, 5]].sum(axis=0)
    on_b = load.sum(axis=0)  # every MIM but the tie is under A
    assert carried == pytest.approx(np.array([on_a, on_b]))


def test_an_unknown_mim_makes_only_its_ancestors_unknown(bench: Bench) -> None:
    load, injection = random_case(bench, 1)
    flow = bench.operators.flow(load, injection)
    injection[bench.layout.ports_of_mim[3]] = np.nan  # the tie: L1 at r1 and r3
    contingencies = Contingencies(bench.operators)
    touched = np.zeros((6, 3), dtype=bool)
    touched[[0, 1, 2, 5], 0] = True
    assert (np.isnan(contingencies.firm_flow(flow, injection)) == touched).all()
    assert (np.isnan(contingencies.worst_single_loss_va(flow, injection)) == touched).all()
    assert np.isnan(contingencies.failover_flow(flow, injection)).tolist() == [[True, False, False]] * 2


def test_an_unknown_head_makes_every_failover_unknown(bench: Bench) -> None:
    load, injection = random_case(bench, 1)
    flow = bench.operators.flow(load, injection)
    flow[1] = np.nan
    assert np.isnan(Contingencies(bench.operators).failover_flow(flow, injection)).all()


def test_a_site_without_mims_has_one_headroom() -> None:
    bench = make_bench((node("A", None, 100), node("B", None, 100), node("r", "A", 32)))
    load, none = random_case(bench, 2)
    flow = bench.operators.flow(load)
    contingencies = Contingencies(bench.operators)
    assert contingencies.firm_flow(flow, none) is flow
    assert contingencies.worst_single_loss_va(flow, none) == pytest.approx(np.abs(flow))
    assert contingencies.failover_flow(flow, none) == pytest.approx(np.array([flow[[0, 1]].sum(axis=0)] * 2))


def test_losses_above_a_delta_arrive_as_line_to_line_load() -> None:
    dyn = Node("pdu", NodeKind.PDU, "A", 100, 230.0, transformer=Transformer(Winding.DYN, 75e3))
    bench = make_bench((node("A", None, 100), dyn), (tie("m", "pdu", "pdu"),))
    load = np.zeros((2, 3), dtype=complex)
    injection = np.array([1000 + 0j, 0])
    firm = Contingencies(bench.operators).firm_flow(bench.operators.flow(load, injection), injection)
    assert firm == pytest.approx(load, abs=1e-9)
    worst = Contingencies(bench.operators).worst_single_loss_va(bench.operators.flow(load, injection), injection)
    # winding a stands on L1L2: each of the two phases sees 1/√3 of the power, L3 nothing
    assert worst[0] == pytest.approx([1000 / np.sqrt(3), 1000 / np.sqrt(3), 0], abs=1e-9)


@given(st.lists(st.floats(0, 50), min_size=3, max_size=3), st.permutations([0, 1, 2]))
def test_fullest_phase_does_not_care_which_it_is(values: list[float], order: list[int]) -> None:
    row = np.array([values])
    gate = np.array([0.2])
    assert fullest_phase_pct(row[:, order], gate) == pytest.approx(fullest_phase_pct(row, gate), nan_ok=True)


def test_fullest_phase_and_loading() -> None:
    current = np.array([[10.0, 10, 10], [12, 0, 0], [0.1, 0.1, 0]])
    assert fullest_phase_pct(current, np.full(3, 0.2)) == pytest.approx([100 / 3, 100, np.nan], nan_ok=True)
    assert loading_pct(current, np.array([20.0, 12, 1])) == pytest.approx([50, 100, 10])


def test_line_to_line_ports_touch_two_phases() -> None:
    mim = Mim("m", tie("m", "A", "A").address, (PortSpec("A", Connection.L1L2, 1000.0),))
    operators = make_bench((node("A", None, 100),), (mim,)).operators
    flow = np.zeros((1, 3), dtype=complex)
    lost = Contingencies(operators).firm_flow(flow, np.array([600 + 0j]))
    assert lost.sum() == pytest.approx(600)
    assert abs(lost[0, 2]) == 0
