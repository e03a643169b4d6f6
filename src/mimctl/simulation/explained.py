"""Why, in a simulation: one instant of it explained as a running service would."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from mimctl.control.explain.answer import answer
from mimctl.control.explain.case import AboveCase, Case, Question
from mimctl.control.explain.find import cases_of
from mimctl.control.site_controller import SiteController


@dataclass(eq=False)
class Explanation:
    """Takes the decision down while it is fresh: in a long run it might be forgotten.

    Args:
        step_s: time between two decisions; the devices' answers are in one later [s].
    """

    question: Question
    step_s: float
    _cases: list[Case | AboveCase] = field(default_factory=list)

    def look(self, controller: SiteController) -> None:
        """Call after each step."""
        asked = self.question.asked
        if self._cases or asked is None or controller.clock.utc() < asked + timedelta(seconds=self.step_s):
            return
        self._cases = cases_of(controller, self.question)

    def answers(self, controller: SiteController) -> list[dict[str, Any]]:
        """What is told; of an instant after the end, the last decision."""
        return [answer(case, self.question) for case in self._cases or cases_of(controller, self.question)]
