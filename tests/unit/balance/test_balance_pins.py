"""Setpoints that somebody wants at single ports."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import START, rack_site

from mimctl.balance.pins import PinnedMim, neutrals_of, reach
from mimctl.balance.problem import Balancer
from mimctl.control.limits import BoundsMaker
from mimctl.grid.tree import TreeOperators
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import SiteLayout


@pytest.mark.parametrize(("wanted_va", "share", "expected_va"), [(800 + 300j, 1.0, 800 + 300j), (1600 + 1200j, 0.5, 800 + 600j)])
def test_a_wish_is_met_as_far_as_the_port_may_go_now(wanted_va, share, expected_va):
    """|1600 + j1200| = 2000 VA at a port that may do half of its 2000 VA: the same direction, half as far."""
    layout = SiteLayout(rack_site(1))
    everybody, nowhere = np.ones(1, dtype=bool), np.zeros((3, 3))
    maker = BoundsMaker(layout, "z")
    bounds = maker.bounds(START, np.zeros(3, complex), 1.0, obeying=everybody, reported=everybody, authority=np.array([share]))
    bounds = replace(bounds, port_pinned_va=np.array([wanted_va, np.nan, np.nan]))
    known = np.ones(3, dtype=bool)
    plan = Balancer(TreeOperators(layout)).solve(
        LoadForecast(nowhere, nowhere, known, known), bounds, np.zeros(3, complex), np.zeros(3, complex)
    )
    assert plan.inject_w[0] + 1j * plan.inject_var[0] == pytest.approx(expected_va, abs=1e-6)
    assert plan.inject_w.sum() == pytest.approx(0.0, abs=2.0)


LAYOUT = SiteLayout(rack_site(1))
#: neutral current per VA of ports on L1, L2, L3 at 230 V, up to conjugation: phasors 120° apart
PER_VA = np.exp(2j * np.pi / 3 * np.arange(3)) / 230


def pinned(wanted_va, *, start_va=(0, 0, 0), neutral_a=2000 / 230, step_va=np.inf, sum_w=(0.0, 0.0)):
    """A MIM of three ports of 2 kVA on L1, L2, L3."""
    return PinnedMim(
        start_va=np.array(start_va, complex),
        wanted_va=np.array([np.nan if w is None else w for w in wanted_va], complex),
        radius_va=np.full(3, 2000.0),
        step_va=np.full(3, step_va),
        neutral_per_va=neutrals_of(LAYOUT, 0),
        neutral_a=np.array([neutral_a]),
        sum_w=sum_w,
    )


def test_the_neutral_of_three_ports_on_three_phases():
    found = neutrals_of(LAYOUT, 0)
    assert found.shape == (1, 3)
    turned = found[0] / found[0, 0] / 230
    assert np.allclose(turned, PER_VA) or np.allclose(turned, PER_VA.conj())


def best_of_a_scan(wanted_va, free, neutral_a):
    """The largest share of two wanted ports that the third balances: its active power follows, its vars are tried one by one."""
    vars_ = np.linspace(-2000, 2000, 4001)
    for share in np.linspace(1, 0, 1001):
        power = -share * sum(w.real for w in wanted_va if w is not None) + 1j * vars_
        neutral = power * PER_VA[free] + sum(share * w * PER_VA[k] for k, w in enumerate(wanted_va) if w is not None)
        if ((np.abs(power) <= 2000) & (np.abs(neutral) <= neutral_a)).any():
            return share
    return np.nan


@pytest.mark.parametrize(
    ("wanted_va", "neutral_a"),
    [((1900 + 0j, 1900 + 0j, None), 2000 / 230), ((1500 + 500j, None, 200 - 900j), 3.0), ((None, 2000 + 0j, -2000 + 0j), 2.0)],
)
def test_one_free_port_balances_as_much_as_a_scan_over_its_vars_finds(wanted_va, neutral_a):
    free = wanted_va.index(None)
    assert reach(pinned(wanted_va, neutral_a=neutral_a)) == pytest.approx(best_of_a_scan(wanted_va, free, neutral_a), abs=4e-3)


def test_vars_of_the_other_ports_relieve_the_neutral():
    """Active power alone: 1900 W on L1 against 950 W on each of the others put (1900 + 950) W / 230 V = 12.4 A on the neutral."""
    assert reach(pinned((1900, None, None))) == 1.0


def test_a_wish_that_leaves_no_port_is_met_where_it_sums_to_what_the_dc_side_gives():
    assert reach(pinned((600, -300, -300), sum_w=(-3.0, 3.0))) == 1.0
    assert reach(pinned((500, 500, 500), sum_w=(-3.0, 3.0))) == pytest.approx(3 / 1500, abs=1e-4)


def test_a_step_is_no_longer_than_the_other_ports_can_follow():
    """1000 W at one port in one step takes 1000 W off two others that may move by 300 W: 60 %."""
    assert reach(pinned((1000, None, None), step_va=300.0)) == pytest.approx(0.6, abs=2e-3)


def test_where_not_even_the_start_can_be_balanced_there_is_no_way():
    assert np.isnan(reach(pinned((100, None, None), sum_w=(7000.0, 7000.0))))


def solved(wanted_va, accepted_va=(0, 0, 0), **narrower):
    everybody, nowhere = np.ones(1, dtype=bool), np.zeros((3, 3))
    bounds = BoundsMaker(LAYOUT, "z").bounds(START, np.zeros(3, complex), 1.0, obeying=everybody, reported=everybody)
    wanted = np.array([np.nan if w is None else w for w in wanted_va], complex)
    bounds = replace(bounds, port_pinned_va=wanted, **narrower)
    known, accepted = np.ones(3, dtype=bool), np.array(accepted_va, complex)
    return Balancer(TreeOperators(LAYOUT)).solve(LoadForecast(nowhere, nowhere, known, known), bounds, accepted, accepted)


def test_a_plan_keeps_the_neutral_of_a_mim_with_a_wish_inside_its_rating():
    plan = solved((1900, None, None))
    assert plan.inject_w[0] == pytest.approx(1900.0)
    assert plan.inject_w.sum() == pytest.approx(0.0, abs=1.0)
    assert np.abs(PER_VA @ (plan.inject_w + 1j * plan.inject_var)) <= 2000 / 230 * 1.0001


@pytest.mark.parametrize("wanted_va", [(1900, None, None), (1900, 1900, None), (900, 900, 900)])
def test_a_wish_that_cannot_be_balanced_now_is_met_as_far_as_it_can(wanted_va):
    plan = solved(wanted_va, mim_neutral_max_a=np.array([2.0]))
    assert plan.inject_w.sum() == pytest.approx(0.0, abs=6.1)
    assert np.abs(PER_VA @ (plan.inject_w + 1j * plan.inject_var)) <= 2.0 * 1.0001
    expected = reach(pinned(wanted_va, neutral_a=2.0, sum_w=(0, 0) if None in wanted_va else (-6, 6)))
    assert plan.inject_w[0] / wanted_va[0] == pytest.approx(expected, abs=2e-3)


def test_a_mim_that_stands_where_no_wish_can_be_balanced_is_left_to_the_solve():
    """Its neutral has just been narrowed and its step is short: what was set can only come in, wish or no wish."""
    stands = (1000, -500, -500)
    plan = solved((1900, None, None), stands, mim_neutral_max_a=np.array([1.0]), step_max_va=np.full(3, 50.0))
    assert plan.inject_w[0] < 1000
    assert plan.inject_w.sum() == pytest.approx(0.0, abs=1.0)
