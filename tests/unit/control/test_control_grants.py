"""Limits at the heads: whatever the zones make of them, no ancestor leaves its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.control.levels import rack_load, zoned_site

from mimctl.control.levels.above import Above
from mimctl.control.levels.grants import Grants, HeadLimit
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.site import Site, Zone

#: nodes of `zoned_site`: feed, PDU, racks
FEED, PDU, FIRST = 0, 1, 2


def operators_of(site: Site) -> TreeOperators:
    return TreeOperators(SiteLayout(site))


def granted(site: Site, load: ComplexArray, answering: list[bool] | None = None) -> list[HeadLimit | None]:
    operators = operators_of(site)
    heads = len(site.zones)
    tells = np.array([True] * heads if answering is None else answering)
    gross = operators.flow(load)
    known = np.ones(len(site.nodes), dtype=np.bool_)
    return list(Grants(Above(operators)).granted(gross, gross, tells, known, 60.0))


def worst_flow(site: Site, limits: list[HeadLimit | None], load: ComplexArray, random: np.random.Generator) -> ComplexArray:
    """(N, 3) with every head as far as it may go: at its limit or where its load alone is, angles as loads have them."""
    operators = operators_of(site)
    flow = np.zeros_like(load)
    for rack, limit in enumerate(limits, start=FIRST):
        assert limit is not None
        alone = load[rack]
        turn = np.exp(1j * random.uniform(0.0, 0.3, 3))
        flow[rack] = np.maximum(230.0 * limit.phase_a, np.abs(alone)) * turn
    flow[:FIRST] = load[:FIRST]
    return operators.flow(flow)


@given(seed=st.integers(0, 100_000), delta=st.booleans(), heads=st.integers(2, 6))
@settings(max_examples=60)
def test_all_heads_at_their_limits_together_overload_nothing_above_them(seed, delta, heads):
    random = np.random.default_rng(seed)
    site = zoned_site(heads, delta=delta)
    load = rack_load(site, random, mean_w=random.uniform(500, 9000))
    load[PDU] = random.uniform(0, 2000, 3)
    operators = operators_of(site)
    layout = operators.layout
    limit_va = (layout.voltage_ln_v * layout.limit_a)[:FIRST, None]
    alone = np.abs(load[FIRST:]).sum(axis=0)[None] + np.abs(load[PDU])
    found = granted(site, load)
    now = np.abs(worst_flow(site, found, load, random))[:FIRST]
    if delta:
        assert ((now <= limit_va) | (np.abs(operators.flow(np.abs(load)))[:FIRST] > 0.97 * limit_va)).all()
    else:
        assert (now <= np.maximum(limit_va, alone) * (1 + 1e-9)).all()


def test_what_is_free_is_shared_out_and_some_of_it_is_kept():
    """Two racks of 63 A under a PDU of 160 A for hours; 20 A and 40 A drawn: 0.97·160 − 60 = 95.2 A free.

    To go on as they are under a plan that keeps 3 % below its limit they need 20/0.97 and 40/0.97;
    half of the other 93.34 A for each.
    """
    site = zoned_site()
    load = np.zeros((4, 3), dtype=complex)
    load[2], load[3] = 230.0 * 20, 230.0 * 40
    first, second = granted(site, load)
    assert first is not None
    assert second is not None
    left = 95.2 - 60 * (1 / 0.97 - 1)
    assert first.phase_a == pytest.approx([20 / 0.97 + left / 2] * 3)
    assert second.phase_a == pytest.approx([40 / 0.97 + left / 2] * 3)
    assert first.until_s == 60.0


def test_where_nothing_is_free_every_head_is_to_draw_less_than_its_load():
    """100 A and 140 A where 155.2 A may flow: both scaled alike, so that the solve relieves the breaker above."""
    site = zoned_site()
    load = np.zeros((4, 3), dtype=complex)
    load[2], load[3] = 230.0 * 100, 230.0 * 140
    first, second = granted(site, load)
    assert first is not None
    assert second is not None
    assert first.phase_a == pytest.approx([100 * 155.2 / 240] * 3)
    assert second.phase_a == pytest.approx([140 * 155.2 / 240] * 3)


def test_load_beside_the_zones_and_of_silent_zones_is_taken_off_first():
    site = zoned_site(3)
    load = np.zeros((5, 3), dtype=complex)
    load[1] = 230.0 * 30  # at the PDU itself
    load[2:5] = 230.0 * 20
    told = granted(site, load, [True, True, False])
    assert told[2] is None
    # 155.2 − 30 beside − 20 of the silent zone − 40 = 65.2 A free; thirds of what is not needed, the silent zone keeps its own
    assert told[0] is not None
    assert told[0].phase_a == pytest.approx([20 / 0.97 + (65.2 - 40 * (1 / 0.97 - 1)) / 3] * 3)


def test_what_the_solution_wants_comes_before_the_shares_by_ratings():
    """80 A of the 115.2 A that are free for the first rack, to give the other what it has too much of: half would not be enough."""
    site = zoned_site()
    operators = operators_of(site)
    load, plan = np.zeros((4, 3), dtype=complex), np.zeros((4, 3), dtype=complex)
    load[2], load[3] = 230.0 * 20, 230.0 * 20
    plan[2], plan[3] = 230.0 * 100, 230.0 * 5
    known = np.ones(4, dtype=np.bool_)
    first, second = Grants(Above(operators)).granted(
        operators.flow(load), operators.flow(plan), np.ones(2, dtype=bool), known, 60.0
    )
    assert first is not None
    assert second is not None
    left = 115.2 - (100 / 0.97 - 20)
    assert first.phase_a == pytest.approx([100 / 0.97 + left / 2] * 3)
    assert second.phase_a == pytest.approx([20 + left / 2] * 3)


def test_neutrals_are_shared_like_phases():
    """12 A and 6 A of neutral current under a PDU neutral of 200 A: 194 − 18 = 176 A free."""
    site = zoned_site()
    load = np.zeros((4, 3), dtype=complex)
    load[2], load[3] = 230.0 * np.array([22, 10, 10]), 230.0 * np.array([10, 16, 10])
    first, second = granted(site, load)
    assert first is not None
    assert second is not None
    assert first.neutral_a == pytest.approx(12 + 88)
    assert second.neutral_a == pytest.approx(6 + 88)


def test_feedback_is_shared_and_none_is_granted_by_default():
    site = zoned_site()
    load = np.zeros((4, 3), dtype=complex)
    load[2:] = 2000.0
    none = granted(site, load)
    assert [limit.min_import_w for limit in none if limit is not None] == [0.0, 0.0]
    utility = replace(site, feeds=(replace(site.feeds[0], reverse_power_limit_w=1000.0),))
    some = granted(utility, load)
    assert [limit.min_import_w for limit in some if limit is not None] == pytest.approx([-485.0, -485.0])
    # a source at the PDU feeds 600 W back already
    load[1] = -600.0
    less = granted(utility, load)
    assert [limit.min_import_w for limit in less if limit is not None] == pytest.approx([-185.0, -185.0])


def test_what_stands_without_a_site_level_fits_together():
    site = zoned_site(5)
    standing = Grants(Above(operators_of(site))).standing()
    assert all(limit is not None for limit in standing)
    total = sum(limit.phase_a for limit in standing if limit is not None)
    assert total == pytest.approx([0.97 * 160] * 3)
    assert {limit.min_import_w for limit in standing if limit is not None} == {0.0}
    assert {limit.until_s for limit in standing if limit is not None} == {np.inf}


def test_a_branch_without_a_zone_keeps_its_share():
    site = zoned_site(4)
    site = replace(site, zones=site.zones[:3])
    total = sum(limit.phase_a for limit in Grants(Above(operators_of(site))).standing() if limit is not None)
    assert total == pytest.approx([0.97 * 160 * 3 / 4] * 3)


def test_nothing_is_granted_under_a_node_of_unknown_flow():
    site = zoned_site()
    operators = operators_of(site)
    gross = operators.flow(rack_load(site, np.random.default_rng(1)))
    known = np.array([False, True, True, True])
    assert Grants(Above(operators)).granted(gross, gross, np.array([True, True]), known, 60.0) == (None, None)


def test_the_head_of_a_feed_gets_no_limit():
    site = replace(zoned_site(), zones=(Zone("z1", ("feed",)),))
    assert Grants(Above(operators_of(site))).standing() == (None,)
