"""Limit rules at nodes above the zones: the site level keeps them by what it grants to the heads below."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

import numpy as np

from mimctl.control.events import EventLog
from mimctl.control.levels.above import Above
from mimctl.control.levels.site_picture import SitePicture
from mimctl.control.rulebook.rule_bounds import attainable_a, limited, unattainable
from mimctl.control.rulebook.rule_conditions import Answer, Latch, measured
from mimctl.control.rulebook.rule_places import Reach
from mimctl.control.rulebook.rule_states import RuleState
from mimctl.model.calendar import active_at
from mimctl.model.layout import frozen
from mimctl.model.problem import Severity
from mimctl.model.report import SiteReport
from mimctl.model.rules import LimitRule
from mimctl.model.state import SiteState


@dataclass(eq=False)
class RulesAbove:
    """Limits of one site above its zones. While the site level is silent each zone has its fair share of the ratings instead.

    Args:
        max_age_s: for so long a condition keeps its answer while nothing is measured [s].
    """

    above: Above
    max_age_s: float
    events: EventLog
    _states: tuple[RuleState, ...] = field(init=False, default=())

    @cached_property
    def _rules(self) -> tuple[tuple[LimitRule, Reach], ...]:
        layout = self.above.layout
        over = {layout.nodes[n].id: int(n) for n in self.above.nodes}
        found = []
        for rule in layout.site.restraints:
            names = tuple(name for name in rule.place.nodes if name in over)
            if names and isinstance(rule, LimitRule):
                nodes = frozen(np.array([over[name] for name in names], dtype=np.int64))
                nobody = frozen(np.zeros(len(layout.mims), dtype=np.bool_))
                found.append((rule, Reach(nodes, nodes, nobody, nobody, names)))
        return tuple(found)

    @cached_property
    def _latches(self) -> dict[str, Latch]:
        return {rule.id: Latch(rule.when, self.max_age_s) for rule, _ in self._rules if rule.when is not None}

    @property
    def any(self) -> bool:
        return bool(self._rules)

    def narrowed(self, picture: SitePicture, upper: SiteState | None, report: SiteReport | None, utc: datetime) -> SitePicture:
        """The picture with less at the nodes above.

        Args:
            upper, report: of the meters above the zones; None where there are none.
        """
        if not self._rules:
            return picture
        layout, bounds = self.above.layout, picture.bounds
        least_a = attainable_a(self.above.operators, picture.forecast)
        states, told = [], []
        for rule, where in self._rules:
            answer, value = self._answer(rule, upper, report, picture.now_s)
            is_open = active_at(rule.window, utc, layout.site.timezone)
            in_force = is_open and answer is not Answer.NOT
            states.append(RuleState(rule.id, rule.kind, where.where, is_open, answer, value, in_force))
            if in_force:
                bounds = limited(rule, where, bounds, layout, least_a)
                told += unattainable(rule, where, layout, least_a)
        self._states = tuple(states)
        self.events.keep_only("rule.limit_unattainable", told, Severity.WARNING)
        return replace(picture, bounds=bounds)

    def _answer(
        self, rule: LimitRule, upper: SiteState | None, report: SiteReport | None, now_s: float
    ) -> tuple[Answer | None, float]:
        latch = self._latches.get(rule.id)
        if latch is None:
            return None, float("nan")
        value = float("nan") if upper is None or report is None else measured(latch.condition, upper, report)
        return latch.look(value, now_s), value

    def states(self) -> tuple[RuleState, ...]:
        """As of the last site solve."""
        return self._states
