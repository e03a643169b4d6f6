"""Values of intervals and percentiles of the standards, by hand."""

from __future__ import annotations

import numpy as np

from mimctl.analysis.percentiles import Intervals, en50160_voltage, ieee519_current, ieee519_voltage, percentile


def test_an_interval_is_the_root_of_the_mean_square():
    ten = Intervals(600.0)
    for value in (3.0, 4.0):
        ten.add(np.array([value, np.nan]), 300.0)
    ten.add(np.array([9.0, 9.0]), 300.0)  # the next one, not whole yet
    np.testing.assert_allclose(ten.values(), [[np.sqrt(12.5), np.nan]])


def test_an_interval_of_which_less_than_half_is_known_does_not_count():
    ten = Intervals(10.0)
    for i in range(20):
        ten.add(np.array([2.0 if i >= 6 else np.nan]), 1.0)
    np.testing.assert_allclose(ten.values(), [[np.nan], [2.0]])


def test_percentiles_by_counting():
    """Of 1 … 100, 95 values are not above 95; unknown ones do not count."""
    values = np.arange(1.0, 101.0)
    assert percentile(values, 0.95) == 95
    assert percentile(np.concatenate([values, [np.nan] * 50]), 0.95) == 95
    assert percentile(np.array([7.0]), 0.95) == 7
    assert np.isnan(percentile(np.full(3, np.nan), 0.95))
    np.testing.assert_allclose(percentile(np.stack([values, 2 * values], axis=1), 0.5), [50, 100])


def test_a_week_with_a_bad_night():
    """1008 ten-minute values a week: 50 above the limit are 4.96 %, 51 are 5.06 %."""
    for bad, met in ((50, True), (51, False)):
        week = np.concatenate([np.full(1008 - bad, 5.0), np.full(bad, 12.0)])
        assert en50160_voltage(week, 8.0)[0].met is met


def test_short_peaks_have_their_own_limits():
    day = np.concatenate([np.full(990, 4.0), np.full(10, 30.0)])
    assert [v.met for v in ieee519_voltage(day, np.full(1008, 7.9), 8.0)] == [True, True]
    assert [v.met for v in ieee519_voltage(np.append(day, [30.0] * 5), np.full(1008, 8.1), 8.0)] == [False, False]
    # a tenth of the time at 1.6 times the limit: the 95th percentile and the 99th of 10 min are passed, that of 3 s is not
    short = np.concatenate([np.full(900, 4.0), np.full(108, 12.8)])
    assert [v.met for v in ieee519_current(short, short, 8.0)] == [True, False, False]
    assert [v.limit for v in ieee519_current(short, short, 8.0)] == [16.0, 12.0, 8.0]


def test_nothing_known_is_no_verdict():
    assert en50160_voltage(np.zeros(0), 8.0)[0].met is None
    assert Intervals().values().shape == (0,)
