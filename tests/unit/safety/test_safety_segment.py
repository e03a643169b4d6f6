"""Exact intervals along a line, against hand figures and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimctl.model.layout import joined
from mimctl.safety.segment import band_interval, disc_interval, furthest, narrower, whole

size = st.floats(-100, 100).map(lambda x: round(x, 2))
points = st.builds(complex, size, size)


def one(function, *values):
    lower, upper = function(*(np.array([v]) for v in values))
    return float(lower[0]), float(upper[0])


def test_disc_by_hand() -> None:
    """From −2 along 1: inside the unit disc between 1 and 3; along the chord at height 0.6 for ±0.8."""
    assert one(disc_interval, -2 + 0j, 1 + 0j, 1.0) == pytest.approx((1, 3))
    assert one(disc_interval, 0.6j, 1 + 0j, 1.0) == pytest.approx((-0.8, 0.8))


def test_disc_that_is_missed_or_never_left() -> None:
    assert one(disc_interval, 2j, 1 + 0j, 1.0) == (math.inf, -math.inf)
    assert one(disc_interval, 0.5 + 0j, 0j, 1.0) == (-math.inf, math.inf)
    assert one(disc_interval, 2 + 0j, 0j, 1.0) == (math.inf, -math.inf)
    lower, upper = one(disc_interval, 3 + 0j, 1 + 0j, math.inf)
    assert lower < 0
    assert upper > 1


def test_band_by_hand() -> None:
    assert one(band_interval, 1.0, 2.0, 5.0) == (-math.inf, 2.0)
    assert one(band_interval, 7.0, -2.0, 5.0) == (1.0, math.inf)
    assert one(band_interval, 7.0, 0.0, 5.0) == (math.inf, -math.inf)


@given(points, points, st.floats(0.1, 100))
def test_disc_against_brute_force(start: complex, move: complex, radius: float) -> None:
    best = furthest(*disc_interval(np.array([start]), np.array([move]), np.array([radius])))[0]
    inside = [t for t in np.linspace(0, 1, 201) if abs(start + t * move) <= radius]
    if math.isnan(best):
        assert not [t for t in inside if abs(start + t * move) < radius - 1e-6]
    else:
        assert abs(start + best * move) <= radius + 1e-6
        assert all(t <= best + 1e-9 for t in inside)


@given(points, st.sampled_from([0.5, 1.0, 10.0]))
def test_whole_never_grows(power: complex, unit: float) -> None:
    rounded = complex(whole(np.array([power]), unit)[0])
    for before, after in ((power.real, rounded.real), (power.imag, rounded.imag)):
        assert abs(after) <= abs(before) + 1e-9
        assert abs(before - after) < unit
        assert after / unit == pytest.approx(round(after / unit), abs=1e-9)


def test_whole_keeps_what_is_whole() -> None:
    """0.1 × 3 is a little more than 0.3, 0.7/0.1 a little less than 7."""
    kept = whole(np.array([0.7 + 0.3j, -300 + 12j]), 0.1)
    assert kept == pytest.approx(np.array([0.7 + 0.3j, -300 + 12j]))


def test_joined_keeps_the_good_part() -> None:
    value = joined(np.array([1.0]), np.array([np.inf]))[0]
    assert value.real == 1.0
    assert value.imag == math.inf


def test_a_bound_that_is_no_number_permits_nothing() -> None:
    limit, bound = np.array([5.0, 5.0, 5.0, 5.0]), np.array([3.0, np.inf, np.nan, -1.0])
    assert narrower(limit, bound).tolist() == [3.0, 5.0, 0.0, 0.0]
