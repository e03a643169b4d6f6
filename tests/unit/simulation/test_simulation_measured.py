"""A real run scored by what its own meters say."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tests.builders import rack_site, state_of

from mimctl.model.layout import SiteLayout
from mimctl.model.site import Site, Zone
from mimctl.model.zoning import restrict
from mimctl.simulation.measured import MeasuredScore

#: feed, pdu, rack1, rack2: 10 A on L1, 20 A on L2 and L3 of rack 1, nothing in rack 2, 1 % lost on the way
RACK = np.array([2300, 4600, 4600], dtype=complex)
FLOW = np.array([1.01 * RACK, RACK, RACK, 0 * RACK])


def zones(site: Site, flow: np.ndarray, **more: object) -> list:
    """What `MeasuredScore` looks at in zone controllers."""
    return [SimpleNamespace(cycle=SimpleNamespace(last=SimpleNamespace(state=state_of(site, flow, **more))))]


def test_figures_follow_from_the_meters():
    """10, 20, 20 A at 120°: I1 = 50/3 A, |I0| = |I2| = 10/3 A."""
    site = rack_site()
    score = MeasuredScore(SiteLayout(site))
    score.add(zones(site, FLOW), 0.5)
    summary = score.summary()
    assert summary is not None
    rack = summary["nodes"]["rack1"]
    assert rack["i2_i1_mean"] == pytest.approx(0.2)
    assert rack["i0_i1_mean"] == pytest.approx(0.2)
    assert rack["neutral_a_mean"] == pytest.approx(10.0)
    assert rack["objective"] == pytest.approx(3 * 2 * (10 / 3 / 63) ** 2)
    assert summary["site"]["loss_kwh"] == pytest.approx(115 * 0.5 / 3.6e6)


def test_a_cycle_in_which_a_meter_says_nothing_is_left_out():
    site = rack_site()
    score = MeasuredScore(SiteLayout(site))
    score.add(zones(site, FLOW, good_nodes=np.array([True, True, False, True])), 0.5)
    assert score.cycles == 0
    assert score.summary() is None
    score.add([SimpleNamespace(cycle=SimpleNamespace(last=None))], 0.5)
    assert score.summary() is None


def test_a_node_without_a_meter_is_unknown_and_the_others_are_scored():
    site = rack_site(unmetered=("rack2",))
    score = MeasuredScore(SiteLayout(site))
    score.add(zones(site, FLOW, good_nodes=np.array([True, True, True, False])), 0.5)
    summary = score.summary()
    assert summary is not None
    assert summary["nodes"]["rack1"]["i2_i1_mean"] == pytest.approx(0.2)
    assert summary["nodes"]["rack2"]["neutral_a_mean"] is None
    assert summary["site"]["objective"] is None
    assert summary["site"]["loss_kwh"] is None
    assert summary["site"]["i2_i1_mean"] == pytest.approx(0.2)


def test_what_stands_above_the_zones_comes_from_its_own_meters():
    """The zone sees the PDU and below, another reader the feed; nothing is scored before both have spoken."""
    site = rack_site()
    pdu_down = restrict(site, Zone("z", ("pdu",)))
    score = MeasuredScore(SiteLayout(site))
    below = zones(pdu_down, FLOW[1:])
    score.add(below, 0.5)
    assert score.cycles == 0
    score.add(below, 0.5, state_of(site, FLOW, good_nodes=np.array([True, False, False, False])))
    summary = score.summary()
    assert summary is not None
    assert summary["nodes"]["feed"]["i2_i1_mean"] == pytest.approx(0.2)
    assert summary["nodes"]["rack1"]["neutral_a_mean"] == pytest.approx(10.0)
