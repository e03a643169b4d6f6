"""Conditions of rules: what is measured, held against a threshold with hysteresis, and what is said while nothing is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mimctl.model.layout import FloatArray
from mimctl.model.report import SiteReport
from mimctl.model.rules import Condition, Watched
from mimctl.model.sample import Quality
from mimctl.model.state import SiteState


class Answer(StrEnum):
    HOLDS = "holds"
    NOT = "does not hold"
    UNKNOWN = "not known"


@dataclass(eq=False)
class Latch:
    """One condition of one zone, cycle by cycle.

    Args:
        max_age_s: for so long the last answer stands while nothing is measured [s].
    """

    condition: Condition
    max_age_s: float
    value: float = float("nan")
    _holds: bool = False
    _past_since_s: float | None = None
    _known_at_s: float = float("-inf")

    def look(self, value: float, now_s: float) -> Answer:
        """The answer now.

        Args:
            value: NaN = not known.
            now_s: monotonic [s].
        """
        self.value = value
        if np.isnan(value):
            if now_s - self._known_at_s <= self.max_age_s:
                return self._answer()
            self._past_since_s = None  # nobody knows whether it has been past the threshold all the time
            return Answer.UNKNOWN
        self._known_at_s = now_s
        if not self._past(value, self.condition.threshold):
            self._past_since_s = None
        elif self._past_since_s is None:
            self._past_since_s = now_s
        if self._holds:
            self._holds = self._past(value, self.condition.clear_at)
        else:
            self._holds = self._past_since_s is not None and now_s - self._past_since_s >= self.condition.for_s
        return self._answer()

    def _answer(self) -> Answer:
        return Answer.HOLDS if self._holds else Answer.NOT

    def _past(self, value: float, mark: float) -> bool:
        return value > mark if self.condition.above else value < mark


def measured(condition: Condition, state: SiteState, report: SiteReport) -> float:
    """What a condition looks at, in its own unit; NaN = not known, also where this zone does not have it."""
    if condition.quantity is Watched.SOC:
        return _charge_pct(condition, state)
    if condition.node is None:
        return report.objective if condition.quantity is Watched.IMBALANCE else float("nan")
    node = state.layout.node_index.get(condition.node)
    if node is None or state.nodes.quality[node] == Quality.BAD:
        return float("nan")
    return _AT_NODE[condition.quantity](state, report, node, condition.above)


def _charge_pct(condition: Condition, state: SiteState) -> float:
    names = [battery.id for battery in state.layout.batteries]
    if condition.battery not in names:
        return float("nan")
    at = names.index(condition.battery)
    return float(state.batteries.soc_pct[at]) if state.batteries.quality[at] > Quality.BAD else float("nan")


def _largest(values: FloatArray, _above: bool = True) -> float:
    """Of the phases that are known: one that is past the threshold is enough."""
    known = values[np.isfinite(values)]
    return float(known.max()) if len(known) else float("nan")


def _furthest(values: FloatArray, above: bool) -> float:
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan")
    return float(known.max() if above else known.min())


_Reader = Callable[[SiteState, SiteReport, int, bool], float]

_AT_NODE: Mapping[Watched, _Reader] = {
    Watched.CURRENT: lambda _, report, n, __: _largest(report.current_a[n]),
    Watched.NEUTRAL_CURRENT: lambda _, report, n, __: float(report.neutral_a[n]),
    Watched.ACTIVE_POWER: lambda state, _, n, __: float(
        np.where(state.layout.phase_present[n], state.nodes.import_w[n], 0.0).sum()
    ),
    Watched.VOLTAGE: lambda state, _, n, above: _furthest(state.nodes.voltage_ln_v[n], above),
    Watched.THD_V: lambda state, _, n, __: _largest(state.nodes.thd_v_pct[n]),
    Watched.THD_I: lambda state, _, n, __: _largest(state.nodes.thd_i_pct[n]),
    Watched.IMBALANCE: lambda _, report, n, __: float(report.node_objective[n]),
    Watched.LOAD: lambda _, report, n, __: float(report.loading_pct[n]),
}
