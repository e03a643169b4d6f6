"""One scenario's figures, against values worked out by hand and against plain loops."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from score_site import LAYOUT, OPERATORS, UNIT, truth

from mimctl.simulation.score import METRICS, ScenarioScore


def nodes_of(score: ScenarioScore) -> dict[str, dict[str, float | None]]:
    return score.summary()["nodes"]  # type: ignore[return-value]


def site_of(score: ScenarioScore) -> dict[str, float | None]:
    return score.summary()["site"]  # type: ignore[return-value]


def test_one_instant_by_hand() -> None:
    score = ScenarioScore(OPERATORS, 1)
    j = score.add(truth(r=(10, 0, 0)), 60.0)
    expected = 600 / 9 / 400  # 3(|I0|² + |I2|²)/I_rated² with I0 = I2 = 10/3 A and 20 A
    assert j == pytest.approx(0.1 * expected)
    rack = nodes_of(score)["r"]
    assert rack == {
        "i2_i1_mean": pytest.approx(1),
        "i2_i1_p95": pytest.approx(1),
        "i0_i1_mean": pytest.approx(1),
        "i0_i1_p95": pytest.approx(1),
        "neutral_a_mean": pytest.approx(10),
        "vuf2_p95": pytest.approx(0, abs=1e-9),
        "unbalance_nema_mean": pytest.approx(200),
        "max_phase_load_pct": pytest.approx(100 * 10 / 16),
        "overload_min": 0,
        "loss_kwh": None,
        "objective": pytest.approx(expected),
    }


def test_every_place_has_every_key_and_the_result_is_json() -> None:
    score = ScenarioScore(OPERATORS, 1)
    score.add(truth(), 1.0)
    summary = score.summary()
    for place in (summary["site"], *nodes_of(score).values()):
        assert tuple(place) == METRICS
    json.dumps(summary, allow_nan=False)


def test_nothing_scored_nothing_said() -> None:
    site = site_of(ScenarioScore(OPERATORS, 0))
    assert site["i2_i1_mean"] is None
    assert site["objective"] is None
    assert site["loss_kwh"] == 0


def test_means_are_over_time_and_ratios_over_the_time_above_the_gate() -> None:
    score = ScenarioScore(OPERATORS, 3)
    score.add(truth(r=(6, 0, 0)), 30.0)  # ratios 1, neutral 6 A
    score.add(truth(r=(6, 6, 6)), 10.0)  # ratios 0, neutral 0
    score.add(truth(r=(1.1, 0, 0)), 60.0)  # I1 is 0.37 A, below the gate of 0.4 A
    rack = nodes_of(score)["r"]
    assert rack["i2_i1_mean"] == pytest.approx(0.75)
    assert rack["i0_i1_p95"] == pytest.approx(1)
    assert rack["neutral_a_mean"] == pytest.approx((6 * 30 + 1.1 * 60) / 100)


def test_a_place_that_is_never_above_the_gate_has_no_ratio() -> None:
    score = ScenarioScore(OPERATORS, 1)
    score.add(truth(r=(0.5, 0, 0)), 1.0)
    rack = nodes_of(score)["r"]
    assert [rack[k] for k in ("i2_i1_mean", "i2_i1_p95", "i0_i1_mean", "unbalance_nema_mean")] == [None] * 4
    assert rack["neutral_a_mean"] == pytest.approx(0.5)


def test_a_single_phase_branch_has_no_three_phase_figures() -> None:
    score = ScenarioScore(OPERATORS, 1)
    score.add(truth(b=(0, 9, 0)), 60.0)
    branch = nodes_of(score)["b"]
    assert branch["vuf2_p95"] is None
    assert branch["unbalance_nema_mean"] is None
    assert branch["max_phase_load_pct"] == pytest.approx(100 * 9 / 8)
    assert branch["overload_min"] == pytest.approx(1)


def test_unknown_neutral_is_none() -> None:
    score = ScenarioScore(OPERATORS, 1)
    score.add(truth(neutral_a=np.full(5, np.nan)), 1.0)
    assert nodes_of(score)["r"]["neutral_a_mean"] is None
    assert site_of(score)["neutral_a_mean"] is None


def test_an_instant_that_is_not_wholly_known_counts_where_it_is() -> None:
    score = ScenarioScore(OPERATORS, 2)
    first = score.add(truth(A=(30, 0, 0), r=(10, 0, 0)), 1.0)
    assert math.isnan(score.add(truth(A=(np.nan,) * 3, r=(2, 2, 2)), 1.0))
    nodes = nodes_of(score)
    assert nodes["A"]["i2_i1_mean"] == pytest.approx(1)
    assert nodes["A"]["max_phase_load_pct"] == pytest.approx(100 * 30 / 80)
    assert nodes["r"]["i2_i1_mean"] == pytest.approx(0.5)
    assert site_of(score)["objective"] == pytest.approx(first)


def test_voltage_unbalance_by_negative_sequence() -> None:
    voltages = np.tile(230 * UNIT + 4.6 * UNIT.conj(), (5, 1))
    score = ScenarioScore(OPERATORS, 1)
    score.add(truth(voltage_v=voltages), 1.0)
    assert nodes_of(score)["p"]["vuf2_p95"] == pytest.approx(2)


def test_a_dead_feed_raises_no_warning_and_has_no_ratios() -> None:
    score = ScenarioScore(OPERATORS, 1)
    score.add(truth(voltage_v=np.zeros((5, 3), dtype=complex)), 1.0)
    assert nodes_of(score)["A"]["vuf2_p95"] is None


def test_the_site_adds_what_can_be_added_and_takes_the_worst_feed_of_ratios() -> None:
    score = ScenarioScore(OPERATORS, 1)
    score.add(truth(A=(90, 0, 0), B=(45, 30, 30)), 120.0)
    site, nodes = site_of(score), nodes_of(score)
    assert site["neutral_a_mean"] == pytest.approx(90 + 15)
    assert site["overload_min"] == pytest.approx(4)  # both feeds, 2 min each
    assert site["i2_i1_mean"] == nodes["A"]["i2_i1_mean"]
    assert site["max_phase_load_pct"] == pytest.approx(max(100 * 90 / 80, 100 * 45 / 40))
    by_hand = 0.5 * 3 * 2 * 30**2 / 100**2 + 0.2 * 3 * 2 * 5**2 / 50**2
    assert site["objective"] == pytest.approx(by_hand)


def test_losses_of_a_node_are_those_below_it() -> None:
    score = ScenarioScore(OPERATORS, 1)
    branches = np.array([0.0, 0, 100, 40, 10])
    each = np.array([60.0, 8.0])  # the tie has three quarters of its rating at r, one at B
    score.add(truth(network_loss_w=150.0, mim_loss_w=68.0, branch_losses_w=branches, mim_losses_w=each), 3600.0)
    nodes = nodes_of(score)
    kwh = {name: place["loss_kwh"] for name, place in nodes.items()}
    assert kwh == {
        "A": pytest.approx(0.216),
        "B": pytest.approx(0.002),
        "p": pytest.approx(0.216),
        "r": pytest.approx(0.106),
        "b": pytest.approx(0.010),
    }
    assert site_of(score)["loss_kwh"] == pytest.approx(0.218)


def test_harmonics_load_the_breakers_where_they_are_given() -> None:
    rms = np.zeros((5, 3))
    rms[3] = [17, 3, 3]
    score = ScenarioScore(OPERATORS, 1)
    score.add(truth(r=(10, 3, 3), rms_a=rms), 60.0)
    rack = nodes_of(score)["r"]
    assert rack["max_phase_load_pct"] == pytest.approx(100 * 17 / 16)
    assert rack["overload_min"] == pytest.approx(1)


def test_many_steps_agree_with_plain_statistics() -> None:
    """More steps than a block and than the hint, steps of different length, random currents."""
    rng = np.random.default_rng(5)
    steps = 700
    currents = (rng.uniform(0.5, 12, (steps, 5, 3)) * np.exp(1j * rng.uniform(-0.4, 0.4, (steps, 5, 3)))) * UNIT
    dt = rng.choice([1.0, 2.0, 10.0], steps)
    score = ScenarioScore(OPERATORS, 10)
    objectives = np.array([score.add(truth(current_a=c), float(t)) for c, t in zip(currents, dt, strict=True)])
    a = np.exp(2j * np.pi / 3)
    i0, i1, i2 = (np.abs(currents @ np.array(row)) / 3 for row in ([1, 1, 1], [1, a, a * a], [1, a * a, a]))
    per_node = 3 * (i0**2 + i2**2) / LAYOUT.rating_a**2
    assert objectives == pytest.approx(per_node @ LAYOUT.omega)
    assert score.objectives == pytest.approx(objectives)
    assert score.steps_s.tolist() == dt.tolist()
    nodes = nodes_of(score)
    for n, node in enumerate(LAYOUT.nodes):
        gate = max(0.02 * node.rating_a, 0.2)
        loud = i1[:, n] >= gate
        share = i2[loud, n] / i1[loud, n]
        assert nodes[node.id]["i2_i1_mean"] == pytest.approx(np.average(share, weights=dt[loud]))
        repeated = np.repeat(share, dt[loud].astype(int))
        p95 = np.quantile(repeated, 0.95, method="inverted_cdf")
        assert nodes[node.id]["i2_i1_p95"] == pytest.approx(p95, rel=0.003)
        assert nodes[node.id]["objective"] == pytest.approx(np.average(per_node[:, n], weights=dt))
        size = np.abs(currents[:, n]).max(axis=1)
        assert nodes[node.id]["overload_min"] == pytest.approx(dt[size > node.limit_a].sum() / 60)
    assert site_of(score)["objective"] == pytest.approx(np.average(objectives, weights=dt))


def test_a_summary_in_between_changes_nothing() -> None:
    one, other = ScenarioScore(OPERATORS, 4), ScenarioScore(OPERATORS, 4)
    for i, r in enumerate([(3, 4, 5), (6, 2, 2), (1, 1, 9)]):
        one.add(truth(r=r), 1.0)
        other.add(truth(r=r), 1.0)
        if i == 1:
            other.summary()
    assert one.summary() == other.summary()
    assert not math.isnan(site_of(one)["objective"] or math.nan)
