from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.simulation.quantile import HIGHEST, LOWEST, WIDTH, Histogram


def exact(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """Definition, by sorting: the least value at which the time spent at or below it reaches the share."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) >= share * weights.sum() * (1 - 1e-12)
    return float(values[order][np.argmax(reached)])


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.5, 0.95, 0.99]))
def test_quantile_is_right_to_half_a_bin(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    values, weights = rng.lognormal(-2, 1.5, (300, 2)), rng.uniform(0.5, 10, 300)
    histogram = Histogram(2)
    for block in np.split(np.arange(300), [7, 200]):
        histogram.add(values[block], weights[block])
    expected = [exact(values[:, i], weights, share) for i in range(2)]
    assert histogram.quantile(share) == pytest.approx(expected, rel=WIDTH / 2 + 1e-4)


def test_agrees_with_numpy_on_evenly_spaced_samples() -> None:
    values = np.random.default_rng(3).beta(2, 5, (20_000, 1))
    histogram = Histogram(1)
    histogram.add(values, np.ones(20_000))
    assert histogram.quantile(0.95)[0] == pytest.approx(np.quantile(values, 0.95, method="inverted_cdf"), rel=0.003)


def test_time_counts_and_not_the_number_of_samples() -> None:
    histogram = Histogram(1)
    histogram.add(np.array([[1.0], [2.0]]), np.array([94.0, 6.0]))
    histogram.add(np.array([[2.0], [0.5]]), np.array([0.0, 0.0]))
    assert histogram.quantile(0.95)[0] == pytest.approx(2, rel=0.003)
    assert histogram.quantile(0.94)[0] == pytest.approx(1, rel=0.003)


def test_a_constant_is_its_own_quantile_exactly() -> None:
    histogram = Histogram(1)
    histogram.add(np.full((10, 1), 0.123456), np.ones(10))
    assert histogram.quantile(0.95)[0] == 0.123456


def test_unknown_values_do_not_count() -> None:
    histogram = Histogram(2)
    histogram.add(np.array([[np.nan, np.nan], [3.0, np.nan]]), np.ones(2))
    assert histogram.quantile(0.5)[0] == pytest.approx(3)
    assert np.isnan(histogram.quantile(0.5)[1])


def test_values_off_the_scale_are_bounded_by_what_was_seen() -> None:
    histogram = Histogram(2)
    histogram.add(np.array([[0.0, HIGHEST * 7], [LOWEST / 10, HIGHEST * 7]]), np.ones(2))
    assert histogram.quantile(0.9)[0] <= LOWEST / 10
    assert histogram.quantile(0.9)[1] == HIGHEST * 7
