"""Prices: the zones' own problems lie above the site's objective and touch it at the snapshot (majorisation)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import rack_site

from mimctl.control.partition import nodes_under, restrict
from mimctl.control.site_level import SiteLevel, as_six, outside_zones
from mimctl.grid.tree import TreeOperators, node_objective
from mimctl.model.layout import SiteLayout
from mimctl.model.node import Transformer, Winding
from mimctl.model.site import Zone


def zoned_site(*, delta: bool = False):
    """Two racks, each a zone of its own; feed and PDU stand above them."""
    site = rack_site()
    nodes = site.nodes
    if delta:
        nodes = (nodes[0], replace(nodes[1], transformer=Transformer(Winding.DYN, 1e5)), *nodes[2:])
    return replace(site, nodes=nodes, zones=(Zone("z1", ("rack1",)), Zone("z2", ("rack2",))))


def upper_objective(site, load) -> float:
    """Σ ω J over the nodes that belong to no zone, computed from currents."""
    operators = TreeOperators(SiteLayout(site))
    sequence = operators.sequence_currents(operators.currents(operators.flow(load)))
    terms = node_objective(sequence, operators.layout.rating_a) * operators.layout.omega
    above = outside_zones(site)
    return float(sum(t for t, n in zip(terms, site.nodes, strict=True) if n.id in above))


def zone_terms(site, prices, load) -> float:
    """What the two zones add to their own problems for the grid above."""
    operators = TreeOperators(SiteLayout(site))
    flow = operators.flow(load)
    total = 0.0
    for zone, node in (("z1", "rack1"), ("z2", "rack2")):
        (price,) = prices[zone]
        move = as_six(flow[operators.layout.node_index[node]]) - price.at
        total += float(price.gradient @ move + 0.5 * move @ price.curvature @ move)
    return total


powers = st.floats(-3000, 3000)


@given(seed=st.integers(0, 10_000), delta=st.booleans())
def test_the_zones_models_touch_the_objective_at_the_snapshot_and_never_run_below_it(seed, delta):
    site, random = zoned_site(delta=delta), np.random.default_rng(seed)
    operators = TreeOperators(SiteLayout(site))
    load = random.normal(0, 1500, (4, 3)) + 1j * random.normal(0, 500, (4, 3))
    moved = load.copy()
    moved[2:] += random.normal(0, 1000, (2, 3)) + 1j * random.normal(0, 400, (2, 3))
    prices = SiteLevel(site).prices(operators.flow(load), 0.0)
    start = upper_objective(site, load)
    assert zone_terms(site, prices, load) == pytest.approx(0.0, abs=1e-12)
    assert start + zone_terms(site, prices, moved) >= upper_objective(site, moved) - 1e-9


def test_the_gradient_is_that_of_the_objective():
    """Central difference on one phase of one zone head."""
    site = zoned_site()
    operators = TreeOperators(SiteLayout(site))
    load = np.array([[0, 0, 0], [0, 0, 0], [3000, 1000, 500], [800, 2500, 1200]], dtype=complex)
    (price,) = SiteLevel(site).prices(operators.flow(load), 0.0)["z1"]
    step = np.zeros((4, 3), dtype=complex)
    step[2, 0] = 1.0
    slope = (upper_objective(site, load + step) - upper_objective(site, load - step)) / 2
    assert price.gradient[0] == pytest.approx(slope, rel=1e-6)


def test_prices_never_live_longer_than_a_minute():
    site = zoned_site()
    flow = np.zeros((4, 3), dtype=complex)
    assert SiteLevel(site, life_s=600).prices(flow, 100.0)["z1"][0].expires_at_s == 160.0
    assert SiteLevel(site, life_s=20).prices(flow, 100.0)["z1"][0].expires_at_s == 120.0


def test_a_zone_that_starts_at_a_feed_needs_no_price():
    site = rack_site()
    assert not SiteLevel(site).needed()
    assert SiteLevel(site).prices(np.zeros((4, 3), dtype=complex), 0.0)["z"] == (None,)
    assert SiteLevel(zoned_site()).needed()


def test_a_zone_is_a_site_of_its_own():
    site = zoned_site()
    part = restrict(site, site.zones[0])
    assert [n.id for n in part.nodes] == ["rack1"]
    assert part.nodes[0].parent is None
    assert part.nodes[0].omega == site.nodes[2].omega
    assert [m.id for m in part.mims] == ["mim-rack1"]
    assert [m.id for m in part.meters] == ["m-rack1"]
    assert nodes_under(site, ["pdu"]) == {"pdu", "rack1", "rack2"}
    assert outside_zones(site) == {"feed", "pdu"}
