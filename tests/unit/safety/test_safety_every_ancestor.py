"""Whichever breaker on the way from the rack to the feed is the tight one, it holds: phases for hours, neutrals for ever."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safety_cases import Scene, codes, node, power, site, three

from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import SiteLayout
from mimctl.model.node import NodeKind, Transformer, Winding

WAY = ("feed", "trafo", "pdu", "rack")
#: W on L1, L2, L3 of the rack
LOAD = (2300.0, 1150.0, 1150.0)


def hall(winding: Winding = Winding.YNYN, **changed: dict):
    """feed → transformer → PDU → rack, wide breakers but for what is changed; a MIM of 1.5 kVA a port at the rack."""
    clock = 0 if winding is Winding.YNYN else 11
    kinds = {"trafo": {"kind": NodeKind.TRANSFORMER, "transformer": Transformer(winding, 100e3, clock=clock), "cable": None}}
    nodes = []
    for name, parent in zip(WAY, (None, *WAY), strict=False):
        settings = {"rating_a": 100.0, "neutral_rating_a": 100.0} | kinds.get(name, {}) | changed.get(name, {})
        nodes.append(node(name, parent, **settings))
    return site(tuple(nodes), (three("m", "rack", neutral_rating_a=30.0),))


def judged(made, plan_va: list[complex]):
    load_va = np.zeros((4, 3), dtype=complex)
    load_va[3] = LOAD
    scene = Scene(made, load_va, np.zeros(3, complex), np.array(plan_va, complex))
    plan = scene.run()
    flow = TreeOperators(SiteLayout(made)).flow(load_va, power(plan))
    return scene, plan, flow


@pytest.mark.parametrize("tight", WAY)
@pytest.mark.parametrize(("factor", "limit_a"), [(0.8, 12.0), (1.0, 15.0)])
def test_a_phase_is_held_at_its_continuous_rating(tight, factor, limit_a):
    """A breaker of 15 A; L1 has 10 A of load and the plan would add 6 A."""
    made = hall(**{tight: {"rating_a": 15.0, "continuous_factor": factor}})
    scene, plan, flow = judged(made, [-1380, 690, 690])
    row = scene.node_of(tight)
    assert abs(flow[row, 0]) / 230 == pytest.approx(limit_a, abs=0.05)
    assert abs(flow[row, 0]) / 230 <= limit_a
    assert codes(plan, "m") == ["limit.node_current"]
    assert f"{tight} L1" in plan.judgements[0].reason.text


@pytest.mark.parametrize("tight", WAY)
def test_a_neutral_is_held_at_its_rating(tight):
    """The neutral has 5 A, and the plan would make 10 A of it; 7 A are permitted, for ever: no factor."""
    made = hall(**{tight: {"neutral_rating_a": 7.0}})
    scene, plan, flow = judged(made, [-760, 380, 380])
    neutral_a = np.abs((flow / scene.operators.unit_voltages).sum(axis=1)) / 230
    assert neutral_a[scene.node_of(tight)] == pytest.approx(7.0, abs=0.05)
    assert neutral_a[scene.node_of(tight)] <= 7.0
    assert codes(plan, "m") == ["limit.node_neutral"]
    assert f"neutral of {tight}" in plan.judgements[0].reason.text


def test_the_primary_of_a_delta_is_held_in_its_own_phases():
    """Dyn11: winding a stands on L1L2 of the primary, so the load of L1 is on two phases there."""
    made = hall(Winding.DYN, feed={"rating_a": 10.0}, trafo={"rating_a": 100.0})
    made = replace(made, nodes=tuple(replace(n, neutral_rating_a=None) if n.id == "feed" else n for n in made.nodes))
    scene, plan, flow = judged(made, [-1380, 690, 690])
    at_feed_a = np.abs(flow[scene.node_of("feed")]) / 230
    assert at_feed_a.max() == pytest.approx(8.0, abs=0.05)
    assert at_feed_a.max() <= 8.0
    assert codes(plan, "m") == ["limit.node_current"]
