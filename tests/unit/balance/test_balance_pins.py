"""Setpoints that somebody wants at single ports."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import START, rack_site

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
