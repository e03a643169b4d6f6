from __future__ import annotations

import cmath
import math

import numpy as np
import pytest

from mimctl.analysis.sequence import components, voltage_unbalance_pct
from mimctl.analysis.unbalance import (
    current_nema_pct,
    gate_a,
    lvur_nema_pct,
    neutral_fundamental_a,
    neutral_rms_a,
    pvur_ieee112_pct,
    pvur_ieee936_pct,
    sequence_ratios,
)

TURN = np.exp(-2j * np.pi / 3 * np.arange(3))


def rotated(*currents: complex) -> np.ndarray:
    """Phase currents given relative to their own phase's voltage."""
    return np.array(currents) * TURN


@pytest.mark.parametrize(
    ("lines", "expected_pct"),
    [
        ((203, 210, 212), 100 * (625 / 3 - 203) / (625 / 3)),  # a relay maker's example: 2.5 %
        ((462, 463, 455), 1.09),  # a motor maker's example: 1.1 %
        ((480, 476, 472), 0.84),
        ((460, 467, 450), 1.96),  # the example of the NEMA guide
    ],
)
def test_nema_examples(lines: tuple[float, ...], expected_pct: float) -> None:
    assert lvur_nema_pct(np.array(lines, dtype=float)) == pytest.approx(expected_pct, abs=0.01)


def test_the_two_ieee_definitions_differ() -> None:
    voltages = np.array([220.0, 230, 240])
    assert pvur_ieee112_pct(voltages) == pytest.approx(100 * 10 / 230)
    assert pvur_ieee936_pct(voltages) == pytest.approx(100 * 20 / 230)


def test_angle_unbalance_is_invisible_to_magnitudes() -> None:
    voltages = 230 * TURN * np.exp(1j * np.radians([0, 2.0, -2.0]))
    assert pvur_ieee112_pct(np.abs(voltages)) == pytest.approx(0, abs=1e-9)
    vuf2, _ = voltage_unbalance_pct(voltages)
    # L2 and L3 turned by ±2°: U1 = V(1 + 2 cos 2°)/3, U2 = V(1 + 2 cos(120° + 2°))/3 in magnitude
    expected = (1 + 2 * math.cos(math.radians(122))) / (1 + 2 * math.cos(math.radians(2)))
    assert vuf2 == pytest.approx(100 * abs(expected))
    assert vuf2 > 1.9


def test_equal_rms_currents_at_different_power_factors_are_unbalanced() -> None:
    currents = rotated(10, cmath.rect(10, math.radians(-30)), cmath.rect(10, math.radians(30)))  # cos 30° = 0.87
    assert current_nema_pct(np.abs(currents), 0.2) == pytest.approx(0, abs=1e-9)
    i0, i1, i2 = np.abs(components(currents))
    # (1 + 2 cos(120° ± 30°)) / (1 + 2 cos 30°)
    assert sorted([i0 / i1, i2 / i1]) == pytest.approx([(math.sqrt(3) - 1) / (1 + math.sqrt(3)), 1 / (1 + math.sqrt(3))])
    assert neutral_fundamental_a(currents) == pytest.approx(3 * i0)


def test_the_neutral_of_one_loaded_phase_carries_it_all() -> None:
    assert neutral_fundamental_a(rotated(7, 0, 0)) == pytest.approx(7)
    assert neutral_fundamental_a(rotated(7, 7, 7)) == pytest.approx(0, abs=1e-12)


def test_line_to_line_load_leaves_the_neutral_empty_and_is_all_i2() -> None:
    i0, i1, i2 = np.abs(components(np.array([5, -5, 0], dtype=complex)))
    assert i0 == pytest.approx(0, abs=1e-12)
    assert i2 == pytest.approx(i1)


def test_triplens_add_up_in_the_neutral_of_a_balanced_load() -> None:
    # 10 A per phase with 70.7 % third harmonic: the neutral carries √3 of the phase rms, the classical extreme
    third = 10 * math.sqrt(0.5)
    neutral = neutral_rms_a(rotated(10, 10, 10), np.full((1, 3), third))
    assert neutral == pytest.approx(3 * third)
    assert neutral / math.hypot(10, third) == pytest.approx(math.sqrt(3))


def test_triplens_of_different_orders_and_the_fundamental_add_as_squares() -> None:
    assert neutral_rms_a(rotated(12, 0, 0), np.array([[1.0, 1, 1], [0, 4, 0]])) == pytest.approx(13)


def test_triplen_phasors_add_with_their_angles() -> None:
    assert neutral_rms_a(rotated(3, 3, 3), np.array([[2, -2, 1j]])) == pytest.approx(1)


def test_gate_is_two_percent_of_the_rating_and_at_least_a_fifth_of_an_ampere() -> None:
    assert gate_a(np.array([100.0, 16, 5])) == pytest.approx([2.0, 0.32, 0.2])


def test_ratios_are_silent_at_low_load() -> None:
    gate = np.array([0.5, 0.5])
    i2_i1, i0_i1 = sequence_ratios(np.array([0.2, 0.2]), np.array([0.4, 4.0]), np.array([0.39, 1.0]), gate)
    assert np.isnan([i2_i1[0], i0_i1[0]]).all()
    assert (i2_i1[1], i0_i1[1]) == (pytest.approx(0.25), pytest.approx(0.05))


def test_opposite_currents_have_no_ratio_though_they_are_large() -> None:
    i0, i1, i2 = np.abs(components(rotated(10, -10, 0)))[:, None]
    assert i2[0] > 5
    assert np.isnan(sequence_ratios(i0, i1 * 1e-3, i2, np.array([0.2]))[0]).all()


def test_phases_in_any_order_give_the_same_magnitude_unbalance() -> None:
    values = np.array([11.0, 7, 3])
    for order in ([0, 1, 2], [2, 0, 1], [1, 0, 2]):
        assert current_nema_pct(values[order], 0.2) == pytest.approx(100 * 4 / 7)
        assert pvur_ieee936_pct(values[order]) == pytest.approx(100 * 8 / 7)
