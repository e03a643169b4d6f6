"""Time-weighted quantiles of many series at once, in memory that does not grow with their length."""

from __future__ import annotations

import numpy as np

from mimctl.model.layout import FloatArray

#: values up to LOWEST count as zero; what lies above HIGHEST is as large as the largest seen
LOWEST = 1e-5
HIGHEST = 1e2
#: relative width of a bin: a quantile is right to half of it, 0.25 %
WIDTH = 0.005


class Histogram:
    """Weighted histogram of R series of values ≥ 0, on bins of equal relative width.

    A week at 10 s is 60,480 values a series; kept as they are, three metrics of 40 nodes in four scenarios would take 230 MB
    in double precision. Here a series takes 26 kB however long it is, and a quantile is right to 0.25 % of its value.

    Args:
        series: R.
    """

    def __init__(self, series: int) -> None:
        self._step = np.log1p(WIDTH)
        self._bins = int(np.ceil(np.log(HIGHEST / LOWEST) / self._step)) + 2
        self._weight = np.zeros((series, self._bins))
        self._offset = np.arange(series) * self._bins
        self._least = np.full(series, np.inf)
        self._most = np.full(series, -np.inf)

    def add(self, values: FloatArray, weights: FloatArray) -> None:
        """Count a block of instants.

        Args:
            values: (T, R); NaN is not counted.
            weights: (T,) how long each instant stands for [s].
        """
        bins = np.log(np.clip(values, LOWEST, HIGHEST) / LOWEST) / self._step
        known = ~np.isnan(bins)
        place = np.ceil(np.where(known, bins, 0)).astype(np.int64) + self._offset
        weight = np.broadcast_to(weights[:, None], values.shape)
        np.add.at(self._weight.reshape(-1), place[known], weight[known])
        self._least = np.fmin(self._least, np.fmin.reduce(values, axis=0))
        self._most = np.fmax(self._most, np.fmax.reduce(values, axis=0))

    def quantile(self, share: float) -> FloatArray:
        """(R,) least value that is not passed during `share` of the time; NaN for a series without values."""
        total = np.cumsum(self._weight, axis=1)
        whole = total[:, -1]
        # a hair less, so that a sum of weights that is exactly the share is not missed by rounding
        place = (total < (share * whole * (1 - 1e-12))[:, None]).sum(axis=1)
        value = np.where(place == 0, 0.0, LOWEST * np.exp((place - 0.5) * self._step))
        value = np.clip(value, np.where(whole > 0, self._least, 0), np.where(whole > 0, self._most, 0))
        return np.where(whole > 0, value, np.nan)
