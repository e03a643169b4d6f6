"""Are the limits of distortion kept, as the standards mean them: by percentiles of a day and of a week, not by single values?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mimctl.analysis.harmonic_limits import NodeLimits
from mimctl.analysis.percentiles import (
    SHORT_S,
    VERY_SHORT_S,
    Intervals,
    Verdict,
    en50160_voltage,
    ieee519_current,
    ieee519_voltage,
    percentile,
)
from mimctl.model.layout import FloatArray, SiteLayout

_DAY_S, _WEEK_S = 86_400.0, 604_800.0


class _WorstPeriod:
    """The interval values of the worst of all periods of one length, for each column on its own; a shorter run is one period.

    Args:
        share: of the intervals whose value decides which period is the worst.
    """

    def __init__(self, interval_s: float, period_s: float, share: float) -> None:
        self._interval_s, self._period_s, self._share = interval_s, period_s, share
        self._now = Intervals(interval_s)
        self._elapsed_s = 0.0
        self._kept: FloatArray | None = None

    def add(self, values: FloatArray, dt_s: float) -> None:
        """(C,) one instant; NaN = unknown."""
        self._now.add(values, dt_s)
        self._elapsed_s += dt_s
        if self._elapsed_s >= self._period_s * (1 - 1e-9):
            self._close()

    def _close(self) -> None:
        values = self._now.values()
        if self._kept is None:
            self._kept = values
        else:
            was, now = (np.nan_to_num(percentile(v, self._share), nan=-1.0) for v in (self._kept, values))
            # steps that do not divide a period make it an interval longer or shorter
            common = min(len(values), len(self._kept))
            self._kept = np.where(now > was, values[:common], self._kept[:common])
        self._now, self._elapsed_s = Intervals(self._interval_s), 0.0

    def column(self, c: int) -> FloatArray:
        """(I,) of one column; none before the first interval is whole."""
        values = self._now.values() if self._kept is None else self._kept
        return values[:, c] if values.ndim > 1 else np.zeros(0)


class LimitVerdicts:
    """Of the nodes with limits, the worst phase of each interval.

    Reference: EN 50160 (a week of 10 min values); IEEE Std 519-2022 (a day of 3 s values, a week of 10 min values).
    """

    def __init__(self, layout: SiteLayout, limits: NodeLimits) -> None:
        self._names = [node.id for node in layout.nodes]
        self._limits = limits
        self._rows = np.flatnonzero(~np.isnan(limits.thd_v_pct) | ~np.isnan(limits.tdd_pct))
        self._day = _WorstPeriod(VERY_SHORT_S, _DAY_S, 0.99)
        self._week = _WorstPeriod(SHORT_S, _WEEK_S, 0.95)

    def add(self, tdd_pct: FloatArray, thd_v_pct: FloatArray, dt_s: float) -> None:
        """One instant; it stands for `dt_s` [s].

        Args:
            tdd_pct, thd_v_pct: (N,) of the worst phase [%].
        """
        if len(self._rows):
            values = np.concatenate([tdd_pct[self._rows], thd_v_pct[self._rows]])
            self._day.add(values, dt_s)
            self._week.add(values, dt_s)

    def summary(self) -> dict[str, list[dict[str, Any]]]:
        """By node; `met` is None in a run too short for the interval."""
        return {self._names[row]: list(self._of(n, int(row))) for n, row in enumerate(self._rows)}

    def _of(self, n: int, row: int) -> Iterator[dict[str, Any]]:
        count = len(self._rows)
        current, voltage = (self._day.column(n), self._week.column(n)), (self._day.column(count + n), self._week.column(count + n))
        tdd, thd = float(self._limits.tdd_pct[row]), float(self._limits.thd_v_pct[row])
        if not np.isnan(tdd):
            yield from (_plain("IEEE 519", "TDD", verdict) for verdict in ieee519_current(*current, tdd))
        if not np.isnan(thd):
            yield from (_plain("IEEE 519", "THD-V", verdict) for verdict in ieee519_voltage(*voltage, thd))
            yield from (_plain("EN 50160", "THD-V", verdict) for verdict in en50160_voltage(voltage[1], thd))


def _plain(standard: str, quantity: str, verdict: Verdict) -> dict[str, Any]:
    value = None if np.isnan(verdict.value) else verdict.value
    return {
        "standard": standard,
        "quantity": quantity,
        "what": verdict.what,
        "value_pct": value,
        "limit_pct": verdict.limit,
        "met": verdict.met,
    }
