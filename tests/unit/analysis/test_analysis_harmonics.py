from __future__ import annotations

import math

import numpy as np
import pytest

from mimctl.analysis.harmonics import (
    current_limits_pct,
    fundamental_of_rms,
    k_factor,
    rms_with_thd,
    tdd_limit_pct,
    tdd_pct,
    thd_pct,
)


def test_thd_of_a_square_wave() -> None:
    # harmonics 1/h of all odd orders: THD = √(π²/8 − 1) = 48.3 %
    orders = np.arange(3, 20001, 2)
    assert thd_pct(1 / orders, np.array(1.0)) == pytest.approx(100 * math.sqrt(math.pi**2 / 8 - 1), abs=0.01)


def test_no_fundamental_no_thd() -> None:
    assert math.isnan(thd_pct(np.array([1.0]), np.array(0.0)))


def test_tdd_stays_small_where_thd_explodes() -> None:
    # 1 A with 80 % THD on a service of 100 A demand
    assert tdd_pct(np.array([80.0]), np.array([1.0]), np.array([100.0])) == pytest.approx([0.8])
    assert np.isnan(tdd_pct(np.array([80.0]), np.array([1.0]), np.array([0.0])))


def test_tdd_equals_thd_at_full_demand() -> None:
    assert tdd_pct(np.array([12.0]), np.array([50.0]), np.array([50.0])) == pytest.approx([12.0])


def test_rms_and_fundamental_are_each_other_undone() -> None:
    rms = rms_with_thd(np.array([10.0]), np.array([75.0]))
    assert rms == pytest.approx([12.5])
    assert fundamental_of_rms(rms, np.array([75.0])) == pytest.approx([10.0])


@pytest.mark.parametrize(
    ("ratio", "order", "limit"),
    [
        (10, 5, 4.0),
        (10, 11, 2.0),
        (20, 3, 7.0),
        (49.9, 17, 2.5),
        (60, 23, 1.5),
        (500, 35, 1.0),
        (5000, 50, 1.4),
        (10, 2, 2.0),
        (10, 6, 2.0),
        (10, 8, 4.0),
    ],
)
def test_ieee519_current_limits(ratio: float, order: int, limit: float) -> None:
    assert current_limits_pct(np.array([order]), ratio) == pytest.approx([limit])


def test_earlier_editions_quarter_every_even_order() -> None:
    assert current_limits_pct(np.array([2, 8, 5]), 10, edition=2014) == pytest.approx([1, 1, 4])


def test_orders_above_fifty_are_not_limited() -> None:
    assert np.isnan(current_limits_pct(np.array([53]), 10)).all()


@pytest.mark.parametrize(("ratio", "limit"), [(5, 5), (20, 8), (99, 12), (100, 15), (1000, 20), (1e5, 20)])
def test_ieee519_tdd_limits(ratio: float, limit: float) -> None:
    assert tdd_limit_pct(ratio) == limit


def test_k_factor_of_a_sine_is_one_and_grows_with_order() -> None:
    orders = np.array([3, 5])
    assert k_factor(orders, np.array([0.0, 0.0]), np.array(10.0)) == pytest.approx(1)
    # (1 + 9·0.25 + 25·0.04)/(1 + 0.25 + 0.04)
    assert k_factor(orders, np.array([0.5, 0.2]), np.array(1.0)) == pytest.approx(4.25 / 1.29)
    assert math.isnan(k_factor(orders, np.zeros(2), np.array(0.0)))
