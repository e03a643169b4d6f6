"""The report of whole images: hand-computed values, what is unknown, and invariants."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from analysis_bench import SITE, Bench, make_bench, node
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.analysis.report import Analyst
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import SiteLayout
from mimctl.model.phases import Rotation
from mimctl.model.sample import Quality

NONE = np.zeros((6, 3), dtype=complex)


@pytest.fixture
def bench() -> Bench:
    return Bench(TreeOperators(SiteLayout(SITE)))


def loads(**rows: tuple[complex, complex, complex]) -> np.ndarray:
    table = NONE.copy()
    for i, n in enumerate(SITE.nodes):
        table[i] = rows.get(n.id, (0, 0, 0))
    return table


def test_one_loaded_phase_by_hand(bench: Bench) -> None:
    report = Analyst(bench.operators).report(bench.state(loads(r1=(2300, 0, 0))))
    r1 = 2
    assert report.current_a[r1] == pytest.approx([10, 0, 0])
    assert (report.i0_a[r1], report.i1_a[r1], report.i2_a[r1]) == pytest.approx((10 / 3,) * 3)
    assert (report.i2_i1[r1], report.i0_i1[r1]) == pytest.approx((1, 1))
    assert report.neutral_a[r1] == pytest.approx(10)
    assert report.unbalance_nema_pct[r1] == pytest.approx(200)
    assert report.concentration_pct[r1] == pytest.approx(100)
    assert report.loading_pct[r1] == pytest.approx(100 * 10 / 32)  # 40 A × 0.8
    assert report.headroom_assisted_a[r1] == pytest.approx([22, 32, 32])
    assert report.node_objective[r1] == pytest.approx(3 * 2 * (10 / 3) ** 2 / 40**2)
    # the same 10 A at r1 (ω 0.2, 40 A) and at the head A (ω 0.4, 100 A)
    assert report.objective == pytest.approx(600 / 9 * (0.2 / 1600 + 0.4 / 10000))


def test_measured_voltage_scales_the_current(bench: Bench) -> None:
    volts = np.full((6, 3), 207.0)
    report = Analyst(bench.operators).report(bench.state(loads(r2=(2300, 2300, 2300)), node_changes={"voltage_ln_v": volts}))
    assert report.current_a[3] == pytest.approx(np.full(3, 10 / 0.9))
    assert report.i2_i1[3] == pytest.approx(0, abs=1e-12)
    assert report.vuf2_pct[3] == pytest.approx(0, abs=1e-9)


def test_single_phase_branch_has_no_three_phase_figures(bench: Bench) -> None:
    report = Analyst(bench.operators).report(bench.state(loads(b1=(0, 1150, 0))))
    assert report.known[4]
    assert report.current_a[4] == pytest.approx([0, 5, 0])
    assert np.isnan(report.unbalance_nema_pct[4])
    assert np.isnan(report.vuf2_pct[4])
    assert report.headroom_assisted_a[4] == pytest.approx([np.nan, 12.8 - 5, np.nan], nan_ok=True)


def test_bad_and_silent_nodes_are_unknown_and_leave_with_their_weight(bench: Bench) -> None:
    load = loads(r1=(2300, 0, 0), r2=(2300, 0, 0))
    power = bench.operators.flow(load).real
    power[3, 1] = np.nan  # r2 gives no P on L2
    quality = np.full(6, int(Quality.GOOD))
    quality[0] = int(Quality.BAD)
    state = bench.state(load, node_changes={"import_w": power, "quality": quality})
    report = Analyst(bench.operators).report(state)
    assert report.known.tolist() == [False, True, True, False, True, True]
    assert np.isnan(report.current_a[0]).all()
    assert report.current_a[3] == pytest.approx([10, np.nan, 0], nan_ok=True)
    assert np.isnan([report.i2_a[3], report.i2_i1[3], report.node_objective[3], report.neutral_a[3]]).all()
    expected = 0.2 * 600 / 9 / 1600 / (0.2 + 0.2 + 0.1)  # r1 over the weights of B, r1, b1 (0), r3
    assert report.objective == pytest.approx(expected)


def test_nothing_known_nothing_said(bench: Bench) -> None:
    state = bench.state(NONE, node_changes={"quality": np.full(6, int(Quality.BAD))})
    report = Analyst(bench.operators).report(state)
    assert np.isnan(report.objective)
    assert not report.known.any()
    for field in fields(report):
        if field.name not in ("known", "objective"):
            assert np.isnan(getattr(report, field.name)).all(), field.name


def test_measured_rms_and_neutral_are_believed_over_the_fundamental(bench: Bench) -> None:
    current = np.full((6, 3), np.nan)
    current[2] = 12.5
    neutral = np.full(6, np.nan)
    neutral[2] = 9.0
    state = bench.state(loads(r1=(2300, 2300, 2300)), node_changes={"current_a": current, "neutral_a": neutral})
    report = Analyst(bench.operators).report(state)
    assert report.current_a[2] == pytest.approx(np.full(3, 12.5))
    assert report.neutral_a[2] == 9
    assert report.i1_a[2] == pytest.approx(10)  # sequences are of the fundamental
    assert report.headroom_firm_a[2] == pytest.approx(np.full(3, 32 - 12.5))


def test_thd_fills_in_for_an_rms_that_is_not_measured(bench: Bench) -> None:
    thd = np.full((6, 3), 75.0)
    report = Analyst(bench.operators).report(bench.state(loads(r1=(2300, 2300, 2300)), node_changes={"thd_i_pct": thd}))
    assert report.current_a[2] == pytest.approx(np.full(3, 12.5))
    assert report.tdd_pct[2] == pytest.approx(np.full(3, 75 * 10 / 32))


def test_tdd_refers_to_the_demand_that_is_given(bench: Bench) -> None:
    thd = np.full((6, 3), 20.0)
    analyst = Analyst(bench.operators, demand_a=np.full(6, 50.0))
    report = analyst.report(bench.state(loads(r1=(2300, 2300, 2300)), node_changes={"thd_i_pct": thd}))
    assert report.tdd_pct[2] == pytest.approx(np.full(3, 4.0))


def test_harmonic_current_stays_when_the_mims_are_lost(bench: Bench) -> None:
    injection = np.zeros(len(bench.layout.ports), dtype=complex)
    injection[0] = 1150  # m1 covers half of L1
    current = np.full((6, 3), np.nan)
    current[2] = [13, 10, 10]  # 5 A of fundamental and 12 A of harmonics on L1
    state = bench.state(loads(r1=(2300, 2300, 2300)), injection, node_changes={"current_a": current})
    report = Analyst(bench.operators).report(state)
    assert report.headroom_firm_a[2] == pytest.approx([32 - np.hypot(10, 12), 22, 22])


def test_headroom_of_an_assisted_rack(bench: Bench) -> None:
    """m1 and m2 take 5 A and 3 A off L1 and put them on L2; r1 would carry 34 A on L1 where 32 A are allowed."""
    injection = np.zeros(len(bench.layout.ports), dtype=complex)
    injection[:2] = [1150, -1150]
    injection[3:5] = [690, -690]
    report = Analyst(bench.operators).report(bench.state(loads(r1=(34 * 230, 10 * 230, 20 * 230)), injection))
    assert report.headroom_assisted_a[2] == pytest.approx([32 - 26, 32 - 18, 12])
    assert report.headroom_n1_a[2] == pytest.approx([32 - 31, 32 - 18, 12])  # on L2 the worst is that none is lost
    assert report.headroom_firm_a[2] == pytest.approx([-2, 22, 12])
    assert report.failover_headroom_a[1] == pytest.approx([40 - 34, 30, 20])
    assert np.isnan(report.failover_headroom_a[2:]).all()


def test_line_to_line_meters_show_the_angles(bench: Bench) -> None:
    """Phases pushed apart by angle alone: magnitudes to neutral show nothing, the line voltages do."""
    phasors = 230 * bench.operators.unit_voltages * np.exp(1j * np.radians([0, 2, -2]))
    lines = np.abs(phasors - np.roll(phasors, -1))
    expected = 100 * np.abs((1 + 2 * np.cos(np.radians(122))) / (1 + 2 * np.cos(np.radians(2))))
    analyst = Analyst(bench.operators)
    assert analyst.report(bench.state(NONE)).vuf2_pct[0] == pytest.approx(0, abs=1e-9)
    seen = np.full((6, 3), np.nan)
    seen[0] = lines
    report = analyst.report(bench.state(NONE, node_changes={"voltage_ll_v": seen}))
    assert report.vuf2_pct[0] == pytest.approx(expected)
    assert report.vuf0_pct[0] == pytest.approx(100 * abs(1 + 2 * np.cos(np.radians(118))) / (1 + 2 * np.cos(np.radians(2))))
    assert report.vuf2_pct[2] == pytest.approx(0, abs=1e-9)


def test_brief_report_agrees_where_it_speaks_and_is_silent_elsewhere(bench: Bench) -> None:
    state = bench.state(loads(r1=(2300, 500, 900), r3=(100, 900j, 800)))
    analyst = Analyst(bench.operators)
    full, brief = analyst.report(state), analyst.report(state, detail=False)
    silent = {"i2_i1", "i0_i1", "unbalance_nema_pct", "headroom_assisted_a"}
    silent |= {"vuf2_pct", "vuf0_pct", "concentration_pct", "headroom_firm_a", "headroom_n1_a", "failover_headroom_a"}
    silent |= {"thd_v_pct", "thd_i_pct", "tdd_pct", "thd_v_limit_pct", "tdd_limit_pct"}
    silent |= {"lvur_nema_pct", "pvur_ieee112_pct", "pvur_ieee936_pct"}
    for field in fields(full):
        ours, theirs = getattr(brief, field.name), getattr(full, field.name)
        if field.name in silent:
            assert np.isnan(ours).all(), field.name
        else:
            assert np.array_equal(ours, theirs, equal_nan=True), field.name


def test_the_state_is_left_as_it_was(bench: Bench) -> None:
    state = bench.state(loads(b1=(0, 500, 0)))
    before = state.nodes.import_w.copy()
    Analyst(bench.operators).report(state)
    assert np.array_equal(state.nodes.import_w, before)


def test_reversed_rotation_is_balanced_in_its_own_sense() -> None:
    bench = make_bench((node("A", None, 100, omega=1.0),), (), Rotation.NEGATIVE)
    report = Analyst(bench.operators).report(bench.state(np.full((1, 3), 2300 + 500j)))
    assert report.i2_a[0] == pytest.approx(0, abs=1e-9)
    assert report.i1_a[0] == pytest.approx(abs(2300 + 500j) / 230)
    assert report.vuf2_pct[0] == pytest.approx(0, abs=1e-9)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_headrooms_are_ordered_and_bounded(seed: int) -> None:
    bench = Bench(TreeOperators(SiteLayout(SITE)))
    rng = np.random.default_rng(seed)
    load = rng.uniform(0, 5000, (6, 3)) * np.exp(1j * rng.uniform(-0.5, 0.5, (6, 3))) * bench.layout.phase_present
    injection = rng.uniform(-1500, 1500, len(bench.layout.ports)) + 0j
    report = Analyst(bench.operators).report(bench.state(load, injection))
    present = bench.layout.phase_present
    assert (report.headroom_n1_a[present] <= report.headroom_assisted_a[present] + 1e-9).all()
    assert report.node_objective == pytest.approx(3 * (report.i0_a**2 + report.i2_a**2) / bench.layout.rating_a**2)
    assert report.objective == pytest.approx(bench.layout.omega @ report.node_objective)
    squares = (report.current_a**2).sum(axis=1)
    assert squares == pytest.approx(3 * (report.i0_a**2 + report.i1_a**2 + report.i2_a**2))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (1, 0, 2), (2, 1, 0)]))
def test_renaming_the_phases_changes_no_judgement(seed: int, order: tuple[int, int, int]) -> None:
    """Powers carried over to other phases keep every magnitude; an odd exchange may trade I2 for I0, their sum stays."""
    nodes = (node("A", None, 100, omega=0.5), node("r", "A", 32, omega=0.5))
    rng = np.random.default_rng(seed)
    load = rng.uniform(0, 5000, (2, 3)) + 1j * rng.uniform(-1000, 1000, (2, 3))
    bench = make_bench(nodes)
    analyst = Analyst(bench.operators)
    one, other = analyst.report(bench.state(load)), analyst.report(bench.state(load[:, list(order)]))
    assert other.current_a == pytest.approx(one.current_a[:, list(order)])
    assert other.objective == pytest.approx(one.objective)
    assert other.unbalance_nema_pct == pytest.approx(one.unbalance_nema_pct)
    if order in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        assert other.i2_a == pytest.approx(one.i2_a)
        assert other.i0_a == pytest.approx(one.i0_a)
