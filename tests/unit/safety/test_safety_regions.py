"""Load that no meter places: wherever it stands, the plan must be safe there. Racks: 20 A × 0.8 = 16 A at 230 V."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safety_cases import Scene, at, codes, node, power, rack_site, site, three
from test_safety_invariants import random_setpoints, random_site

from mimctl.forecast.outputs import OutputModel
from mimctl.forecast.tracker import LoadTracker
from mimctl.model.node import Transformer, Winding
from mimctl.model.site import Site

REST = np.zeros(6, dtype=complex)


def seen(where: Site, load, plan, accepted=None) -> Scene:
    """A scene whose forecast is what the meters alone can tell of the true loads (N, 3)."""
    wanted = np.array(plan, complex)
    s = Scene(where, np.array(load, complex), REST if accepted is None else np.array(accepted, complex), wanted)
    missing = np.array([m is None for m in s.layout.meter_of_node])
    s.nodes(import_w=at(s.state.nodes.import_w, missing, np.nan), import_var=at(s.state.nodes.import_var, missing, np.nan))
    s.nodes(current_a=at(s.state.nodes.current_a, missing, np.nan), neutral_a=at(s.state.nodes.neutral_a, missing, np.nan))
    s.nodes(voltage_ln_v=at(s.state.nodes.voltage_ln_v, missing, np.nan))
    s.forecast = LoadTracker(s.operators, OutputModel(s.layout)).forecast(s.state)
    return s


def currents(s: Scene, setpoints: np.ndarray) -> np.ndarray:
    return np.abs(s.operators.flow(s.load_va, setpoints)) / s.layout.voltage_ln_v[:, None]


def test_load_that_may_be_behind_the_same_breaker_is_left_room() -> None:
    """Rack 2 has no meter and 12 A on L1; 4.26 A more asked there: 4 A of the 16 A are left."""
    load = np.zeros((4, 3))
    load[2], load[3] = [100, 2300, 2300], [12 * 230, 2000, 2000]
    s = seen(rack_site(unmetered=frozenset({"r2"})), load, [0, 0, 0, -980, 490, 490])
    plan = s.run()
    assert currents(s, power(plan))[3, 0] == pytest.approx(16, abs=0.05)
    assert codes(plan, "m2") == ["limit.node_current"]
    assert "unmetered" in plan.judgements[0].reason.text


def test_a_region_with_more_load_than_the_breaker_takes_leaves_nothing() -> None:
    """Which way would help cannot be told: the load may all be at the pdu."""
    load = np.zeros((4, 3))
    load[1] = 6000
    for plan_va in ([300, 0, -300, 0, 0, 0], [-300, 0, 300, 0, 0, 0]):
        s = seen(rack_site(unmetered=frozenset({"r1"})), load, plan_va)
        assert np.array_equal(power(s.run())[:3], REST[:3])
    s = seen(rack_site(unmetered=frozenset({"r1"})), load, [600, 0, -600, 0, 0, 0], accepted=[600, 0, -600, 0, 0, 0])
    assert s.run().release[0]


def test_nor_in_a_neutral() -> None:
    """Rack 1: 20 A of neutral. 9 A, 8 A and 2 A may return through it, 17 A of them at once: 3 A are left."""
    load = np.zeros((4, 3))
    load[2], load[3] = [9 * 230, 8 * 230, 2 * 230], [2300, 2300, 2300]
    s = seen(rack_site(unmetered=frozenset({"r1"})), load, [-690, 690, 0, 0, 0, 0])
    moved = power(s.run())[:2] / 230
    assert abs(moved[0] + moved[1] * np.exp(2j * np.pi / 3)) == pytest.approx(2.97, abs=0.04)


def test_what_the_meters_below_show_is_known_and_takes_no_room() -> None:
    """head → pdu (no meter, 40 A) → racks with meters: 20 A pass through the pdu, nothing is unplaced."""
    load = np.zeros((4, 3))
    load[2:] = 2300
    wanted = [-990, 495, 495, -990, 495, 495]
    s = seen(rack_site(unmetered=frozenset({"pdu"})), load, wanted)
    assert np.array_equal(power(s.run()), wanted)
    load[1, 0] = 13 * 230
    s = seen(rack_site(unmetered=frozenset({"pdu"})), load, wanted)
    assert currents(s, power(s.run()))[1, 0] == pytest.approx(40, abs=0.1)


def test_behind_a_delta_every_phase_may_have_all_of_it() -> None:
    """12 A on L1 of the secondary are two phases at the primary: 2 × 6.93 A, which leave 2.14 A on any phase."""
    nodes = (
        node("head", None, 100.0),
        node("pdu", "head", 20.0, transformer=Transformer(Winding.DYN, 20e3)),
    )
    load = np.zeros((2, 3))
    load[1, 0] = 12 * 230
    where = site(nodes, (three("m1", "pdu"),), unmetered=frozenset({"pdu"}))
    s = seen(where, load, [0, 1150, -1150], accepted=np.zeros(3))
    plan = s.run()
    assert plan.inject_w[1] / 230 == pytest.approx(16 - 2 * 12 / np.sqrt(3), abs=0.05)


def test_a_region_whose_load_is_unknown_lets_mims_only_shrink() -> None:
    load = np.zeros((4, 3))
    load[2:] = 2000
    move = np.array([300, 0, -300, 0, 0, 0], complex)
    s = seen(rack_site(unmetered=frozenset({"r1"})), load, move, accepted=move / 2)
    assert np.array_equal(power(s.run()), move)
    s.forecast = replace(s.forecast, known=at(s.forecast.known, s.node_of("pdu"), False))
    plan = s.run()
    assert np.array_equal(power(plan), move / 2)
    assert "data.flow_unknown" in codes(plan, "m1")


@settings(max_examples=150)
@given(st.integers(0, 2**32 - 1))
def test_wherever_the_load_stands_no_breaker_is_overloaded(seed: int) -> None:
    """True currents at the unmetered nodes, which the judge never sees: inside the limit, or no more than without MIMs."""
    r = random.Random(seed)
    where = random_site(r)
    blank = frozenset(n.id for n in where.nodes if n.parent is not None and r.random() < 0.6)
    where = replace(where, meters=tuple(m for m in where.meters if m.node not in blank))
    load = np.array([[r.choice([0, 1]) * r.uniform(0, 2000) for _ in range(3)] for _ in where.nodes])
    accepted = random_setpoints(r, where, r.choice([0.0, 0.3])).real.astype(complex)
    s = seen(where, load, random_setpoints(r, where, r.choice([0.3, 1.0])).real, accepted=accepted)
    plan = s.run()
    true_a, without_a = currents(s, power(plan)), currents(s, np.zeros_like(accepted))
    assert (true_a <= np.maximum(s.layout.limit_a[:, None], without_a) * 1.006 + 0.02).all(), plan.judgements
