"""What is kept free for flows that nobody is sure of, and how MIMs leave a place where readings contradict each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import START, rack_site, state_of

from mimctl.analysis.report import Analyst
from mimctl.balance.problem import Balancer
from mimctl.control.estimation.margin import EstimateMargin
from mimctl.control.limits import BoundsMaker
from mimctl.control.narrow import Situation
from mimctl.forecast.outputs import OutputModel
from mimctl.forecast.tracker import LoadTracker
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.safety.judge import Accepted, Judge

RAMP_W_PER_S = 300.0
SITE = rack_site(2)
SITE = replace(SITE, mims=tuple(replace(mim, ramp_w_per_s=RAMP_W_PER_S) for mim in SITE.mims))
LAYOUT = SiteLayout(SITE)
OPERATORS = TreeOperators(LAYOUT)
RACK = LAYOUT.node_index["rack1"]
EVERYBODY = np.ones(2, dtype=bool)
#: rack 1 moves 1,200 W from L2 and L3 to L1, rack 2 the half of it
TOLD_VA = np.array([1200, -600, -600, 600, -300, -300], dtype=complex)


def contradicted(told_va: ComplexArray, sigma_w: float) -> tuple[Bounds, Situation]:
    """The bounds while the reading of rack 1 contradicts others by twice this, and what they were made of."""
    flow = np.full((len(LAYOUT.nodes), 3), 4000 + 1000j)
    state = state_of(SITE, flow, told_va)
    doubted = np.arange(len(LAYOUT.nodes)) == RACK
    sigma = np.where(doubted[:, None], sigma_w, 10.0) * np.ones((1, 3))
    nodes = replace(state.nodes, doubted=doubted, estimated=doubted & False, sigma_w=sigma, sigma_var=0 * sigma)
    state = replace(state, nodes=nodes)
    forecast = LoadTracker(OPERATORS, OutputModel(LAYOUT)).forecast(state)
    situation = Situation(state, Analyst(OPERATORS).report(state, detail=False), forecast, told_va, EVERYBODY)
    bounds = BoundsMaker(LAYOUT, "z").bounds(START, told_va, 1.0, obeying=EVERYBODY, reported=EVERYBODY)
    return EstimateMargin(OPERATORS).narrow(bounds, situation), situation


def test_a_small_doubt_takes_from_the_limit_and_leaves_the_mims_alone() -> None:
    bounds, _ = contradicted(TOLD_VA, 230.0)
    assert bounds.node_limit_a[RACK] == pytest.approx(LAYOUT.limit_a[RACK] - 2.0)
    assert (bounds.port_s_max_va == LAYOUT.port_rating_va).all()


def test_a_large_doubt_leads_the_mims_there_back_no_faster_than_their_ramp() -> None:
    """1,200 W less 300 W is three quarters; the other two ports go with it."""
    bounds, _ = contradicted(TOLD_VA, 5000.0)
    assert bounds.port_s_max_va[:3] == pytest.approx([900, 450, 450])
    assert (bounds.port_s_max_va[3:] == 2000).all()


def test_on_the_way_back_solve_and_judge_move_by_the_ramp_and_stay_in_balance() -> None:
    told_va, judge = TOLD_VA, Judge(OPERATORS)
    seen = []
    for _ in range(6):
        bounds, situation = contradicted(told_va, 5000.0)
        plan = Balancer(OPERATORS).solve(situation.forecast, bounds, told_va, told_va)
        accepted = Accepted(told_va, np.full(2, 99.0), np.full(2, 99.0))
        safe = judge.judge(situation.state, situation.forecast, bounds, plan, accepted, now_s=100.0)
        now_va = safe.inject_w + 1j * safe.inject_var
        assert np.abs(now_va - told_va).max() <= RAMP_W_PER_S + 1.5
        assert abs(now_va[:3].real.sum()) <= 3
        seen.append(abs(now_va[0]))
        told_va = now_va
    assert seen == sorted(seen, reverse=True)
    assert seen[0] >= 850, "not at once"
    assert seen[-1] == 0


def test_what_nobody_knows_to_be_told_goes_to_zero() -> None:
    unknown = TOLD_VA.copy()
    unknown[:3] = np.nan
    bounds, _ = contradicted(unknown, 5000.0)
    assert (bounds.port_s_max_va[:3] == 0).all()


def test_without_a_ramp_the_way_back_is_one_step() -> None:
    free = replace(SITE, mims=tuple(replace(mim, ramp_w_per_s=float("inf")) for mim in SITE.mims))
    bounds = BoundsMaker(SiteLayout(free), "z").bounds(START, TOLD_VA, 1.0, obeying=EVERYBODY, reported=EVERYBODY)
    _, situation = contradicted(TOLD_VA, 5000.0)
    assert (EstimateMargin(OPERATORS).narrow(bounds, situation).port_s_max_va[:3] == 0).all()
