"""Who shares a harmonic current with whom, what neutrals leave, and when room is kept for a filter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders import rack_site, state_of
from mimctl.analysis.report import Analyst
from mimctl.control.filtering.filter_places import FilterPlaces
from mimctl.control.filtering.harmonics import HarmonicControl
from mimctl.control.limits import BoundsMaker
from mimctl.control.narrow import Situation
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds, HarmonicBounds
from mimctl.model.connection import Connection
from mimctl.model.forecast import LoadForecast
from mimctl.model.harmonics import HarmonicFilter, HarmonicLimits
from mimctl.model.layout import SiteLayout
from mimctl.model.plan import HarmonicShares, Plan, SolveStatus
from mimctl.model.site import Mim, PortSpec, Site

FILTER = HarmonicFilter((3, 5, 7), reserve=0.5)


def site_with(*ports: tuple[str, ...], limits: HarmonicLimits | None = None) -> Site:
    """One rack; a filtering MIM of 2300 VA a port for each tuple of connections."""
    site = rack_site(1)
    template = site.mims[0]

    def mim(i: int, connections: tuple[str, ...]) -> Mim:
        specs = tuple(PortSpec("rack1", Connection(c), 2300.0) for c in connections)
        return replace(template, id=f"mim{i}", ports=specs, harmonic_filter=FILTER, neutral_rating_a=10.0)

    nodes = tuple(replace(n, harmonic_limits=limits) if n.id == "pdu" else n for n in site.nodes)
    return replace(site, nodes=nodes, mims=tuple(mim(i, c) for i, c in enumerate(ports)))


class TestPlaces:
    def test_two_filters_of_one_current_never_take_more_than_there_is(self) -> None:
        places = FilterPlaces(SiteLayout(site_with(("L1", "L2"), ("L1",))))
        np.testing.assert_allclose(places.split(np.array([6.0, 6.0, 6.0]), np.array([10.0, 10.0, 2.0])), [4.0, 6.0, 2.0])

    def test_pairs_of_lines_are_apart_from_each_other_but_not_from_three(self) -> None:
        pairs = FilterPlaces(SiteLayout(site_with(("L1L2", "L2L3", "L3L1"))))
        assert sorted(pairs.groups) == [(0,), (1,), (2,)]
        mixed = FilterPlaces(SiteLayout(site_with(("L1L2",), ("3ph",))))
        assert mixed.groups == ((0, 1),)

    def test_between_lines_rests_beside_ports_against_the_neutral(self) -> None:
        places = FilterPlaces(SiteLayout(site_with(("L1", "L2", "L3"), ("L1L2",))))
        np.testing.assert_allclose(places.resting, [1, 1, 1, 0])

    def test_an_ampere_of_a_port_on_the_lines_above(self) -> None:
        places = FilterPlaces(SiteLayout(site_with(("L1", "L2L3"))))
        effect = places.effect.toarray().reshape(3, 3, 2)
        np.testing.assert_allclose(effect[0], [[1, 0], [0, 1], [0, 1]])

    def test_what_fits_into_a_neutral(self) -> None:
        """A fundamental of 1840 VA on L1 alone is 8 A; √(10² − 8²) = 6 A are left for 3 + 9 A of the two ports."""
        places = FilterPlaces(SiteLayout(site_with(("L1", "L2"))))
        power = np.array([1840.0 + 0j, 0.0])
        np.testing.assert_allclose(places.beside_neutral(np.array([3.0, 9.0]), (power, 0 * power), 1.0), [1.5, 4.5])


class Scene:
    """A rack at 10 A a phase with that THD, its MIM at zero."""

    def __init__(self, site: Site, thd_i_pct: float, *, thd_v_pct: float = 1.0, loading_pct: float = 20.0) -> None:
        layout = SiteLayout(site)
        operators = TreeOperators(layout)
        ports, nodes = len(layout.ports), len(layout.nodes)
        state = state_of(site, np.full((nodes, 3), 2300.0 + 0j))
        told = replace(state.ports, current_a=np.zeros(ports), harmonic_share=np.zeros(ports))
        thd = {"thd_i_pct": np.full((nodes, 3), thd_i_pct), "thd_v_pct": np.full((nodes, 3), thd_v_pct)}
        self.state = replace(state, nodes=replace(state.nodes, **thd), ports=told)
        report = replace(Analyst(operators).report(self.state, detail=False), loading_pct=np.full(nodes, loading_pct))
        known = np.ones(nodes, dtype=bool)
        forecast = LoadForecast(np.zeros((nodes, 3)), np.zeros((nodes, 3)), known, known)
        usable = np.ones(len(layout.mims), dtype=bool)
        self.situation = Situation(self.state, report, forecast, np.zeros(ports, complex), usable)
        self.bounds: Bounds = BoundsMaker(layout, "z").bounds(
            self.state.utc, np.zeros(ports, complex), 1.0, obeying=usable, reported=usable
        )
        self.control = HarmonicControl(layout, 10.0)
        self.silent = HarmonicShares(np.zeros(ports), np.zeros(ports, dtype=np.int64))

    def shares(self, power_va: tuple[float, ...] = (0.0, 0.0, 0.0)) -> np.ndarray:
        watts = np.array(power_va)
        plan = Plan(watts, np.zeros(len(watts)), SolveStatus.SOLVED, 0.0, 0.0, 1, 0.0)
        found = self.control.with_shares(plan, self.bounds, self.situation, self.silent).harmonics
        assert found is not None
        return found.share


THREE = ("L1", "L2", "L3")


def test_a_tdd_limit_is_aimed_at_with_a_margin():
    """10 A with 30 % are 3 A; 20 % of a demand of 10 A permit 2 A, 85 % of that are the aim: 1.3 of 3 A go."""
    scene = Scene(site_with(THREE, limits=HarmonicLimits(tdd_pct=20.0, demand_a=10.0)), 30.0)
    np.testing.assert_allclose(scene.shares(), 1.3 / 3.0, rtol=1e-6)


def test_a_limit_that_is_met_asks_for_nothing():
    scene = Scene(site_with(THREE, limits=HarmonicLimits(tdd_pct=40.0, demand_a=10.0)), 30.0)
    np.testing.assert_allclose(scene.shares(), 0.0)
    assert not scene.control.reserve_a.any()


def test_a_voltage_limit_asks_for_less_current_at_the_head():
    """THD-V 10 % where 8 % are permitted: 68 % of the 3 A may stay."""
    scene = Scene(site_with(THREE, limits=HarmonicLimits(thd_v_pct=8.0)), 30.0, thd_v_pct=10.0)
    np.testing.assert_allclose(scene.shares(), 0.32, rtol=1e-4)


def test_without_limits_everything_that_fits():
    scene = Scene(site_with(THREE), 30.0)
    np.testing.assert_allclose(scene.shares(), 1.0)


@pytest.mark.parametrize(("loading_pct", "kept"), [(50.0, True), (99.0, False)])
def test_room_is_kept_while_a_limit_is_passed_unless_a_breaker_needs_it(loading_pct: float, kept: bool):
    """95 % of 10 A are used of ports and neutral: 2.915 A a port leave √(9.5² − 2.915²) A; of the neutral half may be kept."""
    scene = Scene(site_with(THREE, limits=HarmonicLimits(tdd_pct=1.0, demand_a=10.0)), 30.0, loading_pct=loading_pct)
    scene.shares((2300.0, -2300.0, 0.0))
    bounds = scene.control.narrow(scene.bounds, scene.situation)
    needed_a = 3.0 - 0.85 * 0.1
    if kept:
        np.testing.assert_allclose(scene.control.reserve_a, needed_a)
        np.testing.assert_allclose(bounds.port_s_max_va, 230 * np.sqrt(9.5**2 - needed_a**2))
        np.testing.assert_allclose(bounds.mim_neutral_max_a, np.sqrt(9.5**2 - 4.75**2))
        assert [r.reason.code for r in bounds.restrictions] == ["harmonic.reserve"]
    else:
        assert bounds is scene.bounds


def test_a_mim_that_is_not_commanded_filters_nothing():
    scene = Scene(site_with(THREE), 30.0)
    scene.bounds = replace(scene.bounds, mim_enabled=np.zeros(1, dtype=bool))
    np.testing.assert_allclose(scene.shares(), 0.0)


def test_bounds_narrow_what_filters_may_do_and_tighten_what_they_are_asked_for():
    """A limit of 10 % of 10 A leaves 0.85 of 3 A; a greatest share of a half holds above it."""
    scene = Scene(site_with(THREE, limits=HarmonicLimits(tdd_pct=40.0, demand_a=10.0)), 30.0)
    np.testing.assert_allclose(scene.shares(), 0.0)
    tdd = np.array([np.nan, 10.0, np.nan])
    terms = HarmonicBounds(np.ones(3), np.zeros(3), np.full(3, np.nan), tdd)
    scene.bounds = replace(scene.bounds, harmonics=terms)
    np.testing.assert_allclose(scene.shares(), (3.0 - 0.85) / 3.0)
    assert not scene.control.reserve_a.any()  # a limit is passed, and nothing may be kept for it
    scene.bounds = replace(scene.bounds, harmonics=replace(terms, share_max=np.full(3, 0.5)))
    np.testing.assert_allclose(scene.shares(), 0.5)
    scene.bounds = replace(scene.bounds, harmonics=None)
    np.testing.assert_allclose(scene.shares(), 0.0)
