"""Scenarios of one run against each other: how much of what was possible was achieved, and at what risk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mimctl.model.layout import SiteLayout
from mimctl.simulation.limits import LimitWatch
from mimctl.simulation.score import Truth

BASELINE, CONTROLLED, RULE, OPTIMUM = "baseline", "controlled", "rule", "optimum"

#: a share has no meaning where less than this part of the baseline's J could be removed at all
SHARE_FLOOR = 1e-6
#: a mean J below this is balance to the last digit: unbalance of a millionth of the rating
BALANCED = 1e-12
#: two values of J nearer than this are the same
SAME = 1e-9
#: the optimum is the best in its own terms (losses and breaker penalties are part of them): more than this is an error
SHARE_CEILING = 1.001


@dataclass(frozen=True, slots=True)
class WorstStep:
    """The step at which a scenario beat the optimum by most.

    Args:
        step: its number, from 0.
        scenario: which.
        objective, optimum, baseline: J of the three.
    """

    step: int
    scenario: str
    objective: float
    optimum: float
    baseline: float

    @property
    def lead(self) -> float:
        """How far below the optimum."""
        return self.optimum - self.objective

    @property
    def share(self) -> float:
        """(baseline − objective)/(baseline − optimum) of this step alone; inf where the optimum removes nothing."""
        possible = self.baseline - self.optimum
        return (self.baseline - self.objective) / possible if possible > 0 else float("inf")


class Comparison:
    """Fed the truth and J of every scenario once per control cycle; keeps nothing but sums.

    Args:
        layout: of the site.
        cycle_s: length of a control cycle [s].
    """

    def __init__(self, layout: SiteLayout, cycle_s: float) -> None:
        self._watch = LimitWatch(layout, cycle_s)
        self._total: dict[str, float] = {}
        self._time_s = 0.0
        self._worse_s = 0.0
        self._steps = 0
        self._worst: WorstStep | None = None

    def add(self, truths: Mapping[str, Truth], objectives: Mapping[str, float], dt_s: float) -> None:
        """One instant of every scenario that is run; `baseline` and `controlled` always are.

        Args:
            truths: by scenario.
            objectives: J by scenario.
            dt_s: how long the instant stands for [s].
        """
        self._watch.add(truths[BASELINE], truths[CONTROLLED], dt_s)
        for scenario, objective in objectives.items():
            self._total[scenario] = self._total.get(scenario, 0.0) + objective * dt_s
        if objectives[CONTROLLED] > objectives[BASELINE] * (1 + SAME) + BALANCED:
            self._worse_s += dt_s
        if OPTIMUM in objectives:
            self._watch_optimum(objectives)
        self._time_s += dt_s
        self._steps += 1

    def _watch_optimum(self, objectives: Mapping[str, float]) -> None:
        best, optimum = min(objectives, key=objectives.__getitem__), objectives[OPTIMUM]
        lead = optimum - objectives[best]
        if lead > (0.0 if self._worst is None else self._worst.lead):
            self._worst = WorstStep(self._steps, best, objectives[best], optimum, objectives[BASELINE])

    def summary(self) -> dict[str, Any]:
        """What the result file says of the run so far beside the scenarios themselves.

        Returns:
            `achieved_share`, `rule_share` = Σ(baseline − it)/Σ(baseline − optimum) and `removed_share` = 1 −
            controlled/baseline, over time, never clipped, None where there was nothing to remove; `worse_than_none_pct` of
            the time; `limit_violations` by nodes (device setpoints are counted where they are written) and `transient_overs`,
            against the whole rating of breakers; `above_limit_min` and `above_limit`, against what they permit for hours;
            `relied_on_min`.
        """
        return {
            "achieved_share": self.share(CONTROLLED),
            "rule_share": self.share(RULE),
            "removed_share": None if self._is_balanced() else 1 - self._total[CONTROLLED] / self._total[BASELINE],
            "worse_than_none_pct": 100 * self._worse_s / self._time_s if self._time_s > 0 else None,
            "limit_violations": self._watch.violations,
            "transient_overs": asdict(self._watch.transients),
            "above_limit_min": self._watch.above_limit_min,
            "above_limit": asdict(self._watch.above_limit),
            "relied_on_min": self._watch.relied_on_min,
        }

    def _is_balanced(self) -> bool:
        """Whether the baseline leaves nothing to remove."""
        return self._total.get(BASELINE, 0.0) <= BALANCED * self._time_s

    def share(self, scenario: str) -> float | None:
        """How much of what the optimum removes a scenario removed.

        None where it was not run, or where less than a millionth of the baseline could be removed at all.
        """
        if not {scenario, OPTIMUM} <= self._total.keys() or self._is_balanced():
            return None
        baseline = self._total[BASELINE]
        possible = baseline - self._total[OPTIMUM]
        return (baseline - self._total[scenario]) / possible if possible >= SHARE_FLOOR * baseline else None

    def worst_step(self) -> WorstStep | None:
        """Where a scenario was below the optimum by most; None if there is no optimum or none ever was.

        At a single step that is no error: the optimum weighs losses and breakers too, J alone does not.
        """
        return self._worst

    def fault(self) -> str | None:
        """One sentence if a share is above what an optimum allows: then it is not one. None if all is well."""
        shares = {name: self.share(name) for name in (CONTROLLED, RULE)}
        high = [f"{name} {share:.6f}" for name, share in shares.items() if share is not None and share > SHARE_CEILING]
        if not high or self._worst is None:
            return None
        worst = self._worst
        return (
            f"share above {SHARE_CEILING}: {', '.join(high)}; worst at step {worst.step}: {worst.scenario} J {worst.objective:.6g} "
            f"below the optimum's {worst.optimum:.6g} (baseline {worst.baseline:.6g})"
        )
