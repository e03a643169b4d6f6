"""What each fault of a run did: limits exceeded, how far from the optimum and for how long, what was said of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mimctl.control.events import EventLog
from mimctl.model.fault import Fault
from mimctl.model.layout import SiteLayout
from mimctl.simulation.compare import BALANCED, BASELINE, CONTROLLED, OPTIMUM
from mimctl.simulation.limits import LimitWatch
from mimctl.simulation.score import Truth

#: recovered is what has a smaller gap than this
RECOVERED = 0.1
#: a fault is looked after for so long beyond its end [s]
AFTERWARDS_S = 60.0
#: of what J is without control, the least that a gap is measured by: where nothing could be removed, nothing is missing
_LEAST_PART = 0.1
_SLACK_S = 1e-6


def gap(baseline: float, controlled: float, optimum: float) -> float:
    """How far from the optimum: 0 is the optimum, 1 is no control. Of three J."""
    if baseline <= BALANCED:
        return 0.0
    return max(0.0, controlled - optimum) / max(baseline - optimum, _LEAST_PART * baseline)


@dataclass(slots=True)
class _Recovery:
    """When the gap was closed again, counted from an event.

    An excursion that begins later than `AFTERWARDS_S` after the event has another cause.
    """

    since_s: float
    over: bool = False
    ended_s: float | None = None

    def add(self, t_s: float, dt_s: float, size: float) -> None:
        """One step from `t_s` on."""
        if size >= RECOVERED and (self.over or t_s < self.since_s + AFTERWARDS_S):
            self.over, self.ended_s = True, t_s + dt_s
        elif size < RECOVERED:
            self.over = False

    def seconds(self) -> float | None:
        """0.0 where it never was open, None where it still is."""
        if self.over:
            return None
        return 0.0 if self.ended_s is None else self.ended_s - self.since_s


@dataclass(eq=False)
class _Case:
    """One fault under observation."""

    fault: Fault
    watch: LimitWatch
    during: _Recovery = field(init=False)
    after: _Recovery = field(init=False)
    worst: float = 0.0
    steps: int = 0
    events: dict[tuple[str, str], None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.during, self.after = _Recovery(self.fault.at_s), _Recovery(self.fault.until_s)

    def lasts(self, t_s: float) -> bool:
        return self.fault.at_s - _SLACK_S <= t_s < self.fault.until_s - _SLACK_S

    def concerns(self, t_s: float) -> bool:
        return self.fault.at_s - _SLACK_S <= t_s < self.fault.until_s + AFTERWARDS_S

    def add(self, t_s: float, dt_s: float, size: float | None) -> None:
        self.steps += 1
        if size is None:
            return
        if self.lasts(t_s):
            self.during.add(t_s, dt_s, size)
            self.worst = max(self.worst, size)
        else:
            self.after.add(t_s, dt_s, size)

    def summary(self, end_s: float, *, yardstick: bool) -> dict[str, Any]:
        fault, overs = self.fault, self.watch.transients
        ended = fault.until_s <= end_s - _SLACK_S
        return {
            "kind": fault.kind,
            "targets": fault.targets,
            "at_s": fault.at_s,
            "until_s": fault.until_s if ended else None,
            "values": dict(fault.values),
            "happened": self.steps > 0,
            "limit_violations": self.watch.violations,
            "transient_overs": overs.count,
            "above_limit_min": self.watch.above_limit_min,
            "above_limit": asdict(self.watch.above_limit),
            "recovered": None if not (yardstick and self.steps) else self.during.seconds() is not None,
            "recovery_s": self.during.seconds() if yardstick and self.steps else None,
            "recovered_after": None if not (yardstick and ended and self.steps) else self.after.seconds() is not None,
            "recovery_after_s": self.after.seconds() if yardstick and ended and self.steps else None,
            "worst_gap": self.worst if yardstick and self.steps else None,
            "events": [{"code": code, "where": where} for code, where in self.events],
        }


class FaultReport:
    """Watches the faults of one run.

    Args:
        points: scored instants per step.
        yardstick: whether the optimum is worked out.
    """

    def __init__(self, faults: Sequence[Fault], layout: SiteLayout, cycle_s: float, points: int, *, yardstick: bool) -> None:
        self._cases = [_Case(fault, LimitWatch(layout, cycle_s)) for fault in faults]
        self._points, self._yardstick = points, yardstick
        self._seen: set[tuple[str, str, object]] = set()
        self._t_s = 0.0
        self._sums: dict[str, float] = {}
        self._step_s, self._in_step = 0.0, 0

    def add(self, truths: Mapping[str, Truth], objectives: Mapping[str, float], dt_s: float) -> None:
        """One instant of every scenario, in order of time."""
        for case in self._cases:
            if case.concerns(self._t_s):
                case.watch.add(truths[BASELINE], truths[CONTROLLED], dt_s)
        for name, objective in objectives.items():
            self._sums[name] = self._sums.get(name, 0.0) + objective * dt_s
        self._step_s += dt_s
        self._in_step += 1
        if self._in_step == self._points:
            self._end_step()

    def _end_step(self) -> None:
        step_s, sums = self._step_s, {name: total / self._step_s for name, total in self._sums.items()}
        size = gap(sums[BASELINE], sums[CONTROLLED], sums[OPTIMUM]) if OPTIMUM in sums else None
        for case in self._cases:
            if case.concerns(self._t_s):
                case.add(self._t_s, step_s, size)
        self._t_s += step_s
        self._sums, self._step_s, self._in_step = {}, 0.0, 0

    def hear(self, events: EventLog, now_s: float) -> None:
        """After each cycle: what is new belongs to every fault that lasts."""
        told = {(e.code, e.where, e.since) for e in (*events.open(), *events.recent())}
        new: Iterable[tuple[str, str]] = sorted((code, where) for code, where, _ in told - self._seen)
        self._seen |= told
        for case in self._cases:
            if case.lasts(now_s):
                case.events.update(dict.fromkeys(new))

    def summary(self) -> list[dict[str, Any]]:
        """One dictionary per fault, in the order of the file."""
        return [case.summary(self._t_s, yardstick=self._yardstick) for case in self._cases]
