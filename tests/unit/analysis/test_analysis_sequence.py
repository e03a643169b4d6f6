from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimctl.analysis.sequence import (
    components,
    current_phasors,
    magnitude,
    phasors_from_magnitudes,
    ratio,
    voltage_unbalance_pct,
    vuf2_from_line_to_line_pct,
    working_voltage_v,
)
from mimctl.model.phases import Rotation

A = cmath.exp(2j * math.pi / 3)
parts = st.floats(-100, 100, allow_nan=False)
phasor = st.builds(complex, parts, parts)
three = st.tuples(phasor, phasor, phasor).map(np.array)


def from_components(u0: complex, u1: complex, u2: complex) -> np.ndarray:
    """Synthesis, written out: L2 lags L1 by 120° in the positive sequence."""
    return np.array([u0 + u1 + u2, u0 + A**2 * u1 + A * u2, u0 + A * u1 + A**2 * u2])


def lines(u: np.ndarray) -> np.ndarray:
    return np.abs(np.array([u[0] - u[1], u[1] - u[2], u[2] - u[0]]))


def test_balanced_currents_have_only_a_positive_sequence() -> None:
    assert components(np.array([10, 10 * A**2, 10 * A])) == pytest.approx([0, 10, 0], abs=1e-12)


def test_the_other_rotation_swaps_positive_and_negative() -> None:
    reversed_order = np.array([10, 10 * A, 10 * A**2])
    assert components(reversed_order) == pytest.approx([0, 0, 10], abs=1e-12)
    assert components(reversed_order, Rotation.NEGATIVE) == pytest.approx([0, 10, 0], abs=1e-12)


def test_one_loaded_phase_splits_evenly_into_the_three_sequences() -> None:
    assert components(np.array([9, 0, 0])) == pytest.approx([3, 3, 3])


@given(phasor, phasor, phasor)
def test_analysis_undoes_synthesis(u0: complex, u1: complex, u2: complex) -> None:
    assert components(from_components(u0, u1, u2)) == pytest.approx([u0, u1, u2], abs=1e-9)


@given(three)
def test_squares_of_zero_and_negative_are_the_spread_of_the_rotated_currents(currents: np.ndarray) -> None:
    i0, _, i2 = np.abs(components(currents))
    rotated = currents * np.array([1, A, A**2])
    spread = float((np.abs(rotated - rotated.mean()) ** 2).sum())
    assert 3 * (i0**2 + i2**2) == pytest.approx(spread, abs=1e-8)


@given(three)
def test_exchanging_two_phases_exchanges_positive_and_negative(currents: np.ndarray) -> None:
    i0, i1, i2 = np.abs(components(currents))
    assert np.abs(components(currents[[0, 2, 1]])) == pytest.approx([i0, i2, i1], abs=1e-9)


@given(three)
def test_moving_every_phase_on_by_one_changes_no_magnitude(currents: np.ndarray) -> None:
    assert np.abs(components(np.roll(currents, 1))) == pytest.approx(np.abs(components(currents)), abs=1e-9)


def test_voltage_unbalance_is_what_was_put_in() -> None:
    voltages = from_components(1.15, 230, cmath.rect(4.6, 0.7))
    vuf2, vuf0 = voltage_unbalance_pct(voltages)
    assert (vuf2, vuf0) == (pytest.approx(2.0), pytest.approx(0.5))


def test_a_dead_bus_has_no_unbalance_factor() -> None:
    vuf2, vuf0 = voltage_unbalance_pct(np.zeros(3, dtype=complex))
    assert math.isnan(vuf2)
    assert math.isnan(vuf0)


@given(st.floats(0, 0.2), st.floats(-math.pi, math.pi), st.floats(0, 0.2))
def test_line_magnitudes_give_the_negative_sequence_whatever_the_zero_sequence(share: float, angle: float, zero: float) -> None:
    voltages = from_components(230 * zero, 230, cmath.rect(230 * share, angle))
    assert vuf2_from_line_to_line_pct(lines(voltages)) == pytest.approx(100 * share, abs=2e-4)


def test_balanced_lines_have_no_unbalance_even_when_rounding_overshoots() -> None:
    assert vuf2_from_line_to_line_pct(np.array([[400.0, 400, 400], [0.1, 0.1, 0.1]])) == pytest.approx([0, 0], abs=1e-4)


@pytest.mark.parametrize("sides", [(400, 400, 1000), (0, 0, 0), (400, math.nan, 400)])
def test_lines_that_make_no_triangle_give_no_factor(sides: tuple[float, ...]) -> None:
    assert math.isnan(vuf2_from_line_to_line_pct(np.array(sides, dtype=float)))


@given(st.floats(0, 0.05), st.floats(-math.pi, math.pi), st.floats(0, 0.05), st.floats(-math.pi, math.pi))
def test_six_magnitudes_hold_both_unbalance_factors(u2: float, angle2: float, u0: float, angle0: float) -> None:
    voltages = from_components(cmath.rect(230 * u0, angle0), 230, cmath.rect(230 * u2, angle2))
    for rotation, order in ((Rotation.POSITIVE, [0, 1, 2]), (Rotation.NEGATIVE, [0, 2, 1])):
        seen = phasors_from_magnitudes(np.abs(voltages[order]), lines(voltages[order]), rotation)
        vuf2, vuf0 = voltage_unbalance_pct(seen, rotation)
        assert vuf2 == pytest.approx(100 * u2, abs=1e-6)
        assert vuf0 == pytest.approx(100 * u0, abs=1e-6)


def test_magnitudes_that_contradict_each_other_give_no_phasors() -> None:
    assert np.isnan(phasors_from_magnitudes(np.full(3, 230.0), np.array([500.0, 400, 400]))).any()


def test_current_lags_the_voltage_of_an_inductive_load() -> None:
    unit = np.array([1, A**2, A])
    currents = current_phasors(np.full((1, 3), 2300 + 0j) * (1 + 1j), np.full((1, 3), 230.0), unit)
    assert currents[0, 0] == pytest.approx(10 - 10j)
    assert currents[0, 1] == pytest.approx((10 - 10j) * A**2)


def test_nominal_voltage_stands_in_where_there_is_no_believable_one() -> None:
    assert working_voltage_v(np.array([[math.nan, 0.0, 228.0]]), np.array([230.0])) == pytest.approx(np.array([[230, 230, 228]]))


def test_ratio_is_unknown_below_its_floor_and_at_zero() -> None:
    got = ratio(np.array([1.0, 1.0, 0.0, np.nan]), np.array([2.0, 0.5, 0.0, 2.0]), 1.0)
    assert got[0] == 0.5
    assert np.isnan(got[1:]).all()


def test_magnitude_agrees_with_abs() -> None:
    assert magnitude(np.array([3 + 4j, -5, 0])) == pytest.approx([5, 5, 0])
