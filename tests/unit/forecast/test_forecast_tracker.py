"""The load estimate: MIM output is taken out at the meter's own instant, and nothing unknown becomes zero silently."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import rack_site, state_of

from mimctl.forecast.outputs import OutputModel
from mimctl.forecast.tracker import LoadTracker
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import SiteLayout
from mimctl.model.node import NodeKind, Transformer, Winding

LOAD = np.array([[0, 0, 0], [0, 0, 0], [3000 + 500j, 1000 + 100j, 500 + 50j], [800 + 80j, 2500 + 400j, 1200 + 300j]], dtype=complex)


def tracker_of(site):
    operators = TreeOperators(SiteLayout(site))
    return operators, LoadTracker(operators, OutputModel(operators.layout))


def estimate(forecast):
    return forecast.load_w + 1j * forecast.load_var


def test_without_mims_the_load_is_what_each_meter_sees_less_the_meters_below():
    site = rack_site(mims=False)
    operators, tracker = tracker_of(site)
    forecast = tracker.forecast(state_of(site, operators.flow(LOAD)))
    np.testing.assert_allclose(estimate(forecast), LOAD, atol=1e-9)
    assert forecast.known.all()
    assert forecast.covered.all()


def test_mim_output_of_the_same_instant_is_taken_out():
    site = rack_site()
    operators, tracker = tracker_of(site)
    output = np.array([500, -200, -300, 100, 300, -400], dtype=complex) + 50j
    forecast = tracker.forecast(state_of(site, operators.flow(LOAD, output), output))
    np.testing.assert_allclose(estimate(forecast), LOAD, atol=1e-9)


@settings(max_examples=40)
@given(skew_s=st.floats(0.0, 2.0), step=st.floats(-1500, 1500))
def test_a_mim_that_moves_between_its_own_sample_and_the_meters_does_not_look_like_a_load(skew_s, step):
    """Meters read `skew_s` before the MIMs while these are still moving: a first-order response, 95 % in 1 s."""
    site = rack_site()
    operators, tracker = tracker_of(site)
    target = np.array([step, -step, 0, -step, 0, step], dtype=complex)
    commanded_s, mim_s = 98.0, 99.0
    meter_s = mim_s - skew_s

    def truth(at_s):
        return target * (0 if at_s < commanded_s else 1 - math.exp(-3 * (at_s - commanded_s)))

    tracker.outputs.commanded(commanded_s, target)
    flow = operators.flow(LOAD, truth(meter_s))
    state = state_of(site, flow, truth(mim_s), node_taken_s=meter_s, mim_taken_s=mim_s)
    np.testing.assert_allclose(estimate(tracker.forecast(state)), LOAD, atol=1e-6)


def test_meters_and_mims_that_are_each_read_at_an_instant_of_their_own():
    """Two commands are on their way while the devices are read one after another; a first-order response, 95 % in 1 s."""
    site = rack_site()
    operators, tracker = tracker_of(site)
    first, second = np.array([900, -900, 0, 300, 0, -300], dtype=complex), np.array([-400, 100, 300, 50j, 200, -200], dtype=complex)
    tracker.outputs.commanded(97.0, first)
    tracker.outputs.commanded(98.5, second)

    def truth(at_s):
        before = first * (1 - math.exp(-3 * max(0.0, min(at_s, 98.5) - 97.0)))
        return second + (before - second) * math.exp(-3 * max(0.0, at_s - 98.5))

    meters_s, mims_s = np.array([98.0, 98.4, 98.8, 99.3]), np.array([98.2, 99.1])
    flow = np.array([operators.flow(LOAD, truth(at_s))[n] for n, at_s in enumerate(meters_s)])
    state = state_of(site, flow, np.concatenate([truth(mims_s[0])[:3], truth(mims_s[1])[3:]]))
    nodes, mims = replace(state.nodes, taken_at_s=meters_s), replace(state.mims, taken_at_s=mims_s)
    found = estimate(tracker.forecast(replace(state, nodes=nodes, mims=mims)))
    np.testing.assert_allclose(found, LOAD, atol=1e-6)


def test_readings_under_a_delta_add_up_whatever_else_looks_at_the_matrices_of_the_tree_meanwhile():
    """A product of sparse matrices has its entries in any order, until somebody asks for them in order."""
    plain = rack_site()
    winding = Transformer(Winding.DYN, 1e5)
    site = replace(plain, nodes=tuple(replace(n, transformer=winding) if n.kind is NodeKind.PDU else n for n in plain.nodes))
    operators, tracker = tracker_of(site)
    output = np.array([500, -200, -300, 100, 300, -400], dtype=complex) + 50j
    assert not operators.port_flow.has_sorted_indices
    for _ in range(2):
        state = state_of(site, operators.flow(LOAD, output), output, node_taken_s=np.array([99.0, 99.2, 99.4, 99.6]))
        np.testing.assert_allclose(estimate(tracker.forecast(state)), LOAD, atol=1e-9)
        operators.port_flow.sort_indices()


def test_a_device_that_ignores_its_setpoint_is_taken_at_its_own_word():
    site = rack_site()
    operators, tracker = tracker_of(site)
    tracker.outputs.commanded(90.0, np.full(6, 1000 + 0j))
    stuck = np.zeros(6, dtype=complex)
    forecast = tracker.forecast(state_of(site, operators.flow(LOAD, stuck), stuck))
    np.testing.assert_allclose(estimate(forecast), LOAD, atol=1e-6)


def test_a_node_without_a_meter_counts_at_the_next_metered_one_above():
    site = rack_site(unmetered=("rack2",))
    operators, tracker = tracker_of(site)
    good = np.array([True, True, True, False])
    forecast = tracker.forecast(state_of(site, operators.flow(LOAD), good_nodes=good))
    expected = LOAD.copy()
    expected[1], expected[3] = LOAD[3], 0
    np.testing.assert_allclose(estimate(forecast), expected, atol=1e-9)
    assert forecast.known.tolist() == [True, True, True, False]
    assert forecast.covered.all()


def test_nothing_is_covered_when_no_meter_answers():
    site = rack_site()
    operators, tracker = tracker_of(site)
    forecast = tracker.forecast(state_of(site, operators.flow(LOAD), good_nodes=np.zeros(4, dtype=bool)))
    assert not forecast.known.any()
    assert not forecast.covered.any()


def test_a_meter_lost_and_found_changes_the_picture_at_once():
    site = rack_site()
    operators, tracker = tracker_of(site)
    flow = operators.flow(LOAD)
    lost = np.array([True, True, False, True])
    assert not tracker.forecast(state_of(site, flow, good_nodes=lost)).known[2]
    np.testing.assert_allclose(estimate(tracker.forecast(state_of(site, flow))), LOAD, atol=1e-9)


def test_the_model_follows_a_chain_of_commands():
    layout = SiteLayout(rack_site())
    model = OutputModel(layout)
    model.commanded(0.0, np.full(6, 300 + 0j))
    model.commanded(0.5, np.full(6, -300 + 0j))
    before = 300 * (1 - math.exp(-3 * 0.5))
    assert model.at(0.5)[0].real == pytest.approx(before)
    assert model.at(0.25)[0].real == pytest.approx(300 * (1 - math.exp(-3 * 0.25)))
    assert model.at(1.0)[0].real == pytest.approx(-300 + (before + 300) * math.exp(-3 * 0.5))
    assert model.at(-1.0)[0] == 0
