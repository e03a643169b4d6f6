"""The site level: what it tells leads every zone, by itself, to its share of the optimum of the whole tree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import START, rack_site
from tests.unit.control.levels import known_load, rack_load, zoned_site

from mimctl.balance.optimum import OptimumSolver
from mimctl.balance.problem import Balancer
from mimctl.control.levels.above import Above
from mimctl.control.levels.site_level import SiteLevel
from mimctl.control.levels.site_picture import PictureMaker, SitePicture
from mimctl.control.limits import BoundsMaker
from mimctl.grid.tree import TreeOperators, node_objective
from mimctl.model.bounds import UpstreamPrice
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.plan import SolveStatus
from mimctl.model.site import Site
from mimctl.model.zoning import nodes_under, outside_zones, restrict


def level_of(site: Site, life_s: float = 60.0) -> SiteLevel:
    return SiteLevel(Above(TreeOperators(SiteLayout(site))), life_s)


def picture(level: SiteLevel, load: ComplexArray, now_s: float = 0.0) -> SitePicture:
    """Everybody answers, and every MIM may be used."""
    layout = level.above.layout
    nothing = PictureMaker(level.above, ()).picture(None, now_s)
    bounds = replace(nothing.bounds, mim_enabled=np.ones(len(layout.mims), dtype=np.bool_), port_s_max_va=layout.port_rating_va)
    everybody = np.ones(len(level.above.ways), dtype=np.bool_)
    return SitePicture(known_load(load), bounds, np.zeros(len(layout.ports), dtype=np.complex128), everybody, now_s)


def upper_objective(site: Site, flow: ComplexArray) -> float:
    """Σ ω J over the nodes that belong to no zone, from currents."""
    operators = TreeOperators(SiteLayout(site))
    terms = (
        node_objective(operators.sequence_currents(operators.currents(flow)), operators.layout.rating_a) * operators.layout.omega
    )
    above = outside_zones(site)
    return float(sum(t for t, n in zip(terms, site.nodes, strict=True) if n.id in above))


def objective(operators: TreeOperators, load: ComplexArray, power: ComplexArray) -> float:
    sequence = operators.sequence_currents(operators.currents(operators.flow(load, power)))
    return float(node_objective(sequence, operators.layout.rating_a) @ operators.layout.omega)


def zone_answer(site: Site, load: ComplexArray, prices: dict[str, UpstreamPrice | None]) -> ComplexArray:
    """(K,) what the zones plan, each for itself, all at once."""
    whole = SiteLayout(site)
    power = np.zeros(len(whole.ports), dtype=np.complex128)
    for zone in site.zones:
        layout = SiteLayout(restrict(site, zone))
        nothing = np.zeros(len(layout.ports), dtype=np.complex128)
        fine = np.ones(len(layout.mims), dtype=np.bool_)
        bounds = BoundsMaker(layout, zone.id).bounds(START, nothing, 60.0, obeying=fine, reported=fine)
        bounds = replace(bounds, upstream=(prices[zone.id],), mim_dc_w=np.zeros(len(layout.mims)))
        rows = [whole.node_index[node.id] for node in layout.nodes]
        plan = Balancer(TreeOperators(layout)).solve(known_load(load[rows]), bounds, nothing, nothing)
        for mim, ports in zip(layout.mims, layout.ports_of_mim, strict=True):
            power[whole.ports_of_mim[whole.mim_index[mim.id]]] = (plan.inject_w + 1j * plan.inject_var)[ports]
    return power


@given(seed=st.integers(0, 10_000), delta=st.booleans())
@settings(max_examples=20)
def test_the_price_is_the_slope_and_the_curvature_of_the_objective_above(seed, delta):
    """Moving one head by itself changes the objective above it by gᵀd + ½dᵀCd, as differences of currents say."""
    random = np.random.default_rng(seed)
    site = zoned_site(delta=delta)
    level = level_of(site)
    load = rack_load(site, random)
    orders = level.solve(picture(level, load))
    assert level.last is not None
    assert level.last.status is SolveStatus.SOLVED
    operators = level.above.operators
    flow = operators.flow(load, level.last.inject_w + 1j * level.last.inject_var)
    move = np.zeros_like(load)
    move[2] = random.normal(0, 1000, 3) + 1j * random.normal(0, 400, 3)
    told = orders["z1"][0].price
    assert told is not None
    away = move[2].view(np.float64)
    expected = told.price.gradient @ away + 0.5 * away @ told.price.curvature @ away
    measured = upper_objective(site, flow + operators.flow(move)) - upper_objective(site, flow)
    # the control's own objective has a small term for load concentration beside J
    assert expected == pytest.approx(measured, rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("racks", [2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_zones_that_answer_at_once_reach_the_optimum_of_the_whole_tree(racks, seed):
    site = zoned_site(racks)
    site = replace(site, mims=tuple(replace(m, ports=tuple(replace(p, rating_va=500.0) for p in m.ports)) for m in site.mims))
    level, load = level_of(site), rack_load(site, np.random.default_rng(seed))
    orders = level.solve(picture(level, load))
    prices = {zone: told[0].price.price for zone, told in orders.items() if told[0].price is not None}
    operators = level.above.operators
    best = objective(operators, load, OptimumSolver(operators).solve(load, np.zeros(len(site.mims))))
    none = objective(operators, load, np.zeros(len(operators.layout.ports), dtype=np.complex128))
    together = objective(operators, load, zone_answer(site, load, prices))
    alone = objective(operators, load, zone_answer(site, load, {zone.id: None for zone in site.zones}))
    assert (none - together) / (none - best) >= 0.999
    assert together <= alone + 1e-3 * (none - best)


def test_without_prices_weak_zones_miss_what_only_the_whole_tree_shows():
    """The first rack cannot be balanced by its own small MIM; the second one's could help it, but only at the PDU is it seen."""
    site = zoned_site()
    small = replace(site.mims[0], ports=tuple(replace(p, rating_va=100.0) for p in site.mims[0].ports))
    heavy = tuple(replace(n, omega=0.45 if n.id in ("feed", "pdu") else 0.05) for n in site.nodes)
    site = replace(site, mims=(small, site.mims[1]), nodes=heavy)
    load = np.zeros((4, 3), dtype=complex)
    load[2], load[3] = [3000, 500, 500], [1000, 1000, 1000]
    level = level_of(site)
    orders = level.solve(picture(level, load))
    operators = level.above.operators
    best = objective(operators, load, OptimumSolver(operators).solve(load, np.zeros(2)))
    none = objective(operators, load, np.zeros(6, dtype=complex))
    told = {zone: heads[0].price.price for zone, heads in orders.items() if heads[0].price is not None}
    shares = {
        name: (none - objective(operators, load, zone_answer(site, load, prices))) / (none - best)
        for name, prices in (("told", told), ("alone", {"z1": None, "z2": None}))
    }
    assert shares["told"] > 0.99
    assert shares["alone"] < 0.5


def test_orders_never_live_longer_than_a_minute():
    site = zoned_site()
    load = rack_load(site, np.random.default_rng(1))
    for life_s, until_s in ((600.0, 160.0), (20.0, 120.0)):
        level = level_of(site, life_s)
        (told,) = level.solve(picture(level, load, now_s=100.0))["z1"]
        assert told.price is not None
        assert told.limit is not None
        assert told.price.price.expires_at_s == told.limit.until_s == until_s


def test_a_zone_that_starts_at_a_feed_needs_nobody():
    level = level_of(rack_site())
    assert not level.needed()
    (stands,) = level.standing("z")
    assert (stands.price, stands.limit) == (None, None)
    assert level_of(zoned_site()).needed()


def test_a_solve_that_fails_tells_nothing():
    site = zoned_site()
    level = level_of(site)
    broken = picture(level, rack_load(site, np.random.default_rng(1)))
    assert level.solve(replace(broken, bounds=replace(broken.bounds, mim_dc_w=np.full(2, np.inf)))) != {}
    assert level.solve(replace(broken, bounds=replace(broken.bounds, weights=np.full(4, np.nan)))) == {}


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
