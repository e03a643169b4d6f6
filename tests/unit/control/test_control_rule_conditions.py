"""Conditions of rules: thresholds, hysteresis, patience, and what is said while nothing is measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import rack_site, state_of

from mimctl.analysis.report import Analyst
from mimctl.control.rulebook.rule_conditions import Answer, Latch, measured
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import SiteLayout
from mimctl.model.rules import Condition, Watched
from mimctl.model.site import Battery
from mimctl.model.state import BatteryState

NAN = float("nan")
YES, NO, UNKNOWN = Answer.HOLDS, Answer.NOT, Answer.UNKNOWN


def latch(above: bool = True, for_s: float = 0.0, max_age_s: float = 5.0) -> Latch:
    return Latch(Condition(Watched.CURRENT, 40.0, above, 38.0 if above else 42.0, "pdu", for_s=for_s), max_age_s)


def answers(of: Latch, *looks: tuple[float, float]) -> list[Answer]:
    return [of.look(value, now_s) for now_s, value in looks]


def test_it_holds_past_the_threshold_and_ends_past_the_mark():
    assert answers(latch(), (0, 40.0), (1, 40.1), (2, 38.1), (3, 38.0), (4, 39.9), (5, 41.0)) == [NO, YES, YES, NO, NO, YES]
    assert answers(latch(above=False), (0, 40.0), (1, 39.9), (2, 41.9), (3, 42.0), (4, 40.1)) == [NO, YES, YES, NO, NO]


def test_it_must_be_past_the_threshold_for_so_long_without_a_break():
    looks = ((0, 41.0), (29, 41.0), (30, 41.0), (31, 39.0))
    assert answers(latch(for_s=30), *looks) == [NO, NO, YES, YES], "then the hysteresis keeps it"
    assert answers(latch(for_s=30), (0, 41.0), (20, 39.9), (21, 41.0), (40, 41.0), (51, 41.0)) == [NO, NO, NO, NO, YES]


def test_without_measurement_the_last_answer_stands_for_a_while():
    assert answers(latch(), (0, 41.0), (5, NAN), (5.1, NAN), (6, 39.0)) == [YES, YES, UNKNOWN, YES], "it was never past the mark"
    assert answers(latch(), (0, 20.0), (5, NAN), (6, NAN), (7, 39.0)) == [NO, NO, UNKNOWN, NO]


def test_what_was_never_measured_is_not_known():
    assert answers(latch(), (0, NAN)) == [UNKNOWN]


def test_time_that_nobody_saw_does_not_count():
    assert answers(latch(for_s=30), (0, 41.0), (10, NAN), (31, 41.0), (60, 41.0), (61, 41.0)) == [NO, UNKNOWN, NO, NO, YES]
    assert answers(latch(for_s=30), (0, 41.0), (4, NAN), (8, 41.0), (30, 41.0)) == [NO, NO, NO, YES], "a short gap does"


@given(st.lists(st.floats(-0.99, 0.99), min_size=2, max_size=60), st.floats(30, 50))
def test_noise_smaller_than_the_hysteresis_switches_once_at_most(noise, level):
    """A constant quantity with noise of less than ±1 A around it, 2 A of hysteresis."""
    said = answers(latch(), *((n, level + e) for n, e in enumerate(noise)))
    assert sum(a != b for a, b in zip([NO, *said], said, strict=False)) <= 1


FLOW = np.array([[2300, 4600, 1150], [2300, 4600, 1150], [1150, 2300, 0], [1150, 2300, 1150]], dtype=complex)


def looked_at(**of) -> float:
    site = replace(rack_site(2), batteries=(Battery("b", "mim-rack1", 5000.0, 1000.0, 1000.0),))
    state = state_of(site, FLOW)
    thd = np.full((4, 3), NAN)
    thd[1] = 3.0, 7.0, NAN
    volts = state.nodes.voltage_ln_v.copy()
    volts[1] = 225.0, 231.0, 229.0
    state = replace(
        state,
        nodes=replace(state.nodes, thd_v_pct=thd, thd_i_pct=2 * thd, voltage_ln_v=volts, quality=np.array([2, 2, 0, 2])),
        batteries=BatteryState(np.array([61.0]), np.array([2])),
    )
    report = Analyst(TreeOperators(SiteLayout(site))).report(state, detail=False)
    return measured(Condition(**({"threshold": 0.0, "above": True, "clear_at": 0.0, "node": "pdu"} | of)), state, report)


@pytest.mark.parametrize(
    ("of", "value"),
    [
        ({"quantity": Watched.CURRENT}, 20.0),  # 4600 W at 230 V on L2
        ({"quantity": Watched.ACTIVE_POWER}, 8050.0),
        # |10∠0 + 20∠−120° + 5∠120°| by the law of cosines: √(100 + 400 + 25 − 200 − 50 − 100)
        ({"quantity": Watched.NEUTRAL_CURRENT}, np.sqrt(175.0)),
        ({"quantity": Watched.LOAD}, 12.5),  # 20 A of 0.8 · 200 A
        ({"quantity": Watched.VOLTAGE}, 231.0),
        ({"quantity": Watched.VOLTAGE, "above": False}, 225.0),
        ({"quantity": Watched.THD_V}, 7.0),
        ({"quantity": Watched.THD_I}, 14.0),
        ({"quantity": Watched.SOC, "node": None, "battery": "b"}, 61.0),
    ],
)
def test_what_each_quantity_is(of, value):
    assert looked_at(**of) == pytest.approx(value, rel=0.03 if of["quantity"] is not Watched.SOC else 1e-9)


def test_imbalance_is_j_of_the_node_or_of_the_zone():
    at_node, of_zone = looked_at(quantity=Watched.IMBALANCE), looked_at(quantity=Watched.IMBALANCE, node=None)
    assert at_node > 0
    assert 0 < of_zone != at_node


@pytest.mark.parametrize(
    "of",
    [
        {"quantity": Watched.CURRENT, "node": "rack1"},  # its meter is BAD
        {"quantity": Watched.CURRENT, "node": "elsewhere"},
        {"quantity": Watched.THD_V, "node": "rack2"},
        {"quantity": Watched.SOC, "node": None, "battery": "c"},
    ],
)
def test_what_nobody_measures_is_not_known(of):
    assert np.isnan(looked_at(**of))
