"""What of the plans does not come about, cycle after cycle: MIMs whose plans the judge refuses, leases that are not met.

One refused plan is no news: the next cycle makes another. One event tells of all that is refused lately, with how often, and
ends when nothing has been refused for a few cycles. So it is with a setpoint that somebody wants and does not get.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mimctl.control.events import EventLog
from mimctl.control.unmet import Outcome, Unmet, unmet_ports
from mimctl.model.decision import DecisionRecord
from mimctl.model.lease import Lease, Setpoint
from mimctl.model.plan import Judgement, Verdict
from mimctl.model.problem import Severity
from mimctl.model.reason import Reason

#: told from so many cycles on; over after so many without
_TOLD_FROM, _QUIET = 3, 5
#: MIMs named for one reason, reasons named in one event
_NAMED = 3

REFUSED, NOT_MET = "judge.refused", "lease.not_met"


@dataclass(slots=True)
class Streak:
    """Something that happened in several cycles, with few between.

    Args:
        since: of the first.
        count: cycles with it; `quiet` without it since the last.
    """

    since: datetime
    why: Reason
    count: int = 0
    quiet: int = 0

    @property
    def lasts(self) -> bool:
        return self.count >= _TOLD_FROM


def follow(streaks: dict[str, Streak], now: dict[str, Reason], utc: datetime) -> None:
    """Take in one cycle: what holds now by name; what has been quiet for long enough is forgotten."""
    for name, why in now.items():
        streak = streaks.setdefault(name, Streak(utc, why))
        streak.why, streak.quiet, streak.count = why, 0, streak.count + 1
    for name in [name for name in streaks if name not in now]:
        streaks[name].quiet += 1
        # what nobody was told of yet needs no time to be over
        if streaks[name].quiet >= (_QUIET if streaks[name].lasts else 2):
            del streaks[name]


@dataclass(eq=False)
class PlanWatch:
    """Over the cycles of one zone."""

    _refused: dict[str, Streak] = field(default_factory=dict)
    _unmet: dict[str, Streak] = field(default_factory=dict)

    def look(self, record: DecisionRecord, leases: Sequence[Lease], events: EventLog, *, starting: bool) -> None:
        """Take in one decision, and say what lasts.

        Args:
            leases: in force.
            starting: some devices are still being read for the first time: that nothing is sent yet is no news.
        """
        refused = _refused(record.safe_plan.judgements)
        follow(self._refused, {} if starting else refused, record.state.utc)
        text = self._text()
        events.keep_only(REFUSED, [(record.zone, text)] if text else [], Severity.WARNING)
        wishes = {lease.id: lease for lease in leases if isinstance(lease.action, Setpoint)}
        follow(self._unmet, _unmet(record, wishes) if wishes else {}, record.state.utc)
        self._unmet = {name: streak for name, streak in self._unmet.items() if name in wishes}
        told = [(wishes[n].scope, f"{wishes[n]}; is not met: {s.why.text}") for n, s in self._unmet.items() if s.lasts]
        events.keep_only(NOT_MET, told, Severity.WARNING)

    @property
    def refused(self) -> dict[str, Streak]:
        """By MIM, those whose plans are refused again and again."""
        return {mim: streak for mim, streak in self._refused.items() if streak.lasts}

    @property
    def unmet(self) -> dict[str, str]:
        """By lease, why it is not met."""
        return {lease: streak.why.text for lease, streak in self._unmet.items() if streak.lasts}

    def _text(self) -> str:
        """Everything in one sentence: MIMs with the same reason together."""
        alike: dict[str, list[str]] = {}
        for mim, streak in self.refused.items():
            alike.setdefault(streak.why.code, []).append(mim)
        parts = []
        for mims in alike.values():
            first = self._refused[mims[0]]
            named = ", ".join(mims[:_NAMED]) + (f" and {len(mims) - _NAMED} more" if len(mims) > _NAMED else "")
            who = f"{mims[0]}: " if len(mims) > 1 else ""
            parts.append(f"{named} ({first.count} cycles since {first.since:%H:%M:%S} UTC; {who}{first.why.text})")
        more = f" and for {len(parts) - _NAMED} more reasons" if len(parts) > _NAMED else ""
        return f"the judge refuses what is planned for {'; '.join(parts[:_NAMED])}{more}" if parts else ""


def _refused(judgements: Sequence[Judgement]) -> dict[str, Reason]:
    """By MIM, the first reason; one that is left out altogether has no plan, and news of its own."""
    out = {j.mim for j in judgements if j.verdict is Verdict.EXCLUDED}
    found: dict[str, Reason] = {}
    for j in judgements:
        if j.verdict is Verdict.REFUSED and j.mim not in out:
            found.setdefault(j.mim, j.reason)
    return found


def _unmet(record: DecisionRecord, wishes: dict[str, Lease]) -> dict[str, Reason]:
    """By lease: what stands in the way of each setpoint that nobody greater has overruled."""
    overruled = {r.reason.text for r in record.bounds.restrictions if r.reason.code == "lease.overruled"}
    outcome, index = Outcome.of(record), record.state.layout.mim_index
    found: dict[str, Reason] = {}
    for name, lease in wishes.items():
        if lease.scope not in index or not isinstance(lease.action, Setpoint):
            continue
        if any(text.startswith(str(lease)) for text in overruled):
            continue
        ports: list[Unmet] = [u for u in unmet_ports(outcome, index[lease.scope], lease.action.power_va) if not u.passing]
        if ports:
            found[name] = Reason(ports[0].why.code, "; ".join(map(str, ports)))
    return found
