"""Distortion over time: values of intervals, and the percentiles that the standards' limits are meant for.

One value above a limit is no breach: EN 50160 wants 95 % of the 10-minute values of a week inside, IEEE 519 gives a limit for each
of three percentiles.

Reference: IEC 61000-4-30 (aggregation: root of the mean square); EN 50160, clause on harmonic voltage; IEEE Std 519-2022 (as 2014),
clauses on recommended harmonic voltage and current limits, statistical evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimctl.model.layout import FloatArray

#: intervals of IEC 61000-4-30 as IEEE 519 uses them: “very short” and “short” time
VERY_SHORT_S, SHORT_S = 3.0, 600.0
#: part of an interval that must be known for it to count
_KNOWN = 0.5


class Intervals:
    """Means of squares over intervals of equal length, gathered step by step.

    Args:
        interval_s: length of an interval [s].
    """

    def __init__(self, interval_s: float = SHORT_S) -> None:
        self._interval_s = interval_s
        self._values: list[FloatArray] = []
        self._squares: FloatArray | None = None
        self._known_s: FloatArray | None = None
        self._filled_s = 0.0

    def add(self, values: FloatArray, dt_s: float) -> None:
        """One instant of any shape, the same each time; NaN = unknown. It belongs to the interval in which it ends."""
        if self._squares is None or self._known_s is None:
            self._squares, self._known_s = np.zeros(values.shape), np.zeros(values.shape)
        known = ~np.isnan(values)
        self._squares += np.where(known, values, 0.0) ** 2 * dt_s
        self._known_s += known * dt_s
        self._filled_s += dt_s
        if self._filled_s >= self._interval_s * (1 - 1e-9):
            enough = self._known_s >= _KNOWN * self._filled_s
            mean = self._squares / np.where(enough, self._known_s, 1.0)
            self._values.append(np.where(enough, np.sqrt(mean), np.nan))
            self._squares, self._known_s, self._filled_s = None, None, 0.0

    def values(self) -> FloatArray:
        """(I, …) of every whole interval so far."""
        return np.stack(self._values) if self._values else np.zeros((0,))


def percentile(values: FloatArray, share: float) -> FloatArray:
    """The value that `share` of the known intervals do not pass: the least of them that is so large.

    Args:
        values: (I, …), NaN = unknown.
        share: 0 to 1.

    Returns:
        (…) NaN where no interval is known.
    """
    ordered = np.sort(values, axis=0)  # NaN last
    known = (~np.isnan(values)).sum(axis=0)
    place = np.maximum(np.ceil(share * known * (1 - 1e-12)).astype(np.int64) - 1, 0)
    picked = np.take_along_axis(ordered, np.expand_dims(place, 0), axis=0)[0] if len(values) else np.full(values.shape[1:], np.nan)
    return np.asarray(np.where(known > 0, picked, np.nan))


@dataclass(frozen=True, slots=True)
class Verdict:
    """One percentile against its limit, in the unit of the values. `met` is None where nothing is known."""

    what: str
    value: float
    limit: float

    @property
    def met(self) -> bool | None:
        return None if np.isnan(self.value) else bool(self.value <= self.limit)


def en50160_voltage(short: FloatArray, limit_pct: float) -> tuple[Verdict, ...]:
    """THD of a voltage: 95 % of the 10-minute values of a week.

    Args:
        short: (I,) 10-minute values [%].
    """
    return (Verdict("95 % of 10 min", float(percentile(short, 0.95)), limit_pct),)


def ieee519_voltage(very_short: FloatArray, short: FloatArray, limit_pct: float) -> tuple[Verdict, ...]:
    """99 % of the 3 s values of a day below 1.5 times the limit, 95 % of the 10-minute values of a week below the limit."""
    return (
        Verdict("99 % of 3 s", float(percentile(very_short, 0.99)), 1.5 * limit_pct),
        Verdict("95 % of 10 min", float(percentile(short, 0.95)), limit_pct),
    )


def ieee519_current(very_short: FloatArray, short: FloatArray, limit_pct: float) -> tuple[Verdict, ...]:
    """99 % of a day's 3 s values below twice the limit; of a week's 10-minute values 99 % below 1.5 times it and 95 % below it."""
    return (
        Verdict("99 % of 3 s", float(percentile(very_short, 0.99)), 2.0 * limit_pct),
        Verdict("99 % of 10 min", float(percentile(short, 0.99)), 1.5 * limit_pct),
        Verdict("95 % of 10 min", float(percentile(short, 0.95)), limit_pct),
    )
