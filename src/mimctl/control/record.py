"""What a cycle leaves for people: how long each stage took, and which conditions hold now."""

from __future__ import annotations

import time

from mimctl.control.collect import Collector
from mimctl.control.events import EventLog
from mimctl.control.room import LOAD_UNSEEN
from mimctl.model.decision import DecisionRecord
from mimctl.model.plan import SolveStatus, Verdict
from mimctl.model.problem import Severity


class Stopwatch:
    """Durations of consecutive stages, in seconds of this machine, waiting for devices included: also under a virtual clock."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._laps: list[tuple[str, float]] = []

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._laps.append((stage, now - self._last))
        self._last = now

    def laps(self) -> tuple[tuple[str, float], ...]:
        return tuple(self._laps)


def report_events(events: EventLog, record: DecisionRecord, collector: Collector, *, silent: bool) -> None:
    """Raise and clear the conditions that this cycle shows.

    Args:
        collector: knows how the devices answered.
        silent: no heartbeat was sent.
    """
    failing = [(device, f"{device} does not answer: {error.what}") for device, error in collector.errors().items()]
    events.keep_only("device.unreachable", failing, Severity.ERROR)
    doubted = [(device, f"{device}: {reason.text}") for device, reason in collector.doubts().items()]
    events.keep_only("device.values_missing", doubted, Severity.WARNING)
    unwritten = [(o.mim, f"{o.mim}: {o.kind} failed: {o.error}") for o in record.outcomes if o.error is not None and o.held is None]
    events.keep_only("mim.write_failed", unwritten, Severity.ERROR)
    spent = [(o.mim, f"{o.mim} keeps its setpoint: {o.error}") for o in record.outcomes if o.held == "budget"]
    events.keep_only("mim.write_held", spent, Severity.WARNING)
    refused = [(j.mim, f"{j.mim}: {j.reason.text}") for j in record.safe_plan.judgements if j.verdict is Verdict.REFUSED]
    # while some devices are still being read for the first time, it is no news that nothing is sent yet
    events.keep_only("judge.refused", [] if refused and collector.starting() else refused, Severity.WARNING)
    unseen = [(r.where, r.reason.text) for r in record.bounds.restrictions if r.reason.code == LOAD_UNSEEN]
    events.keep_only(LOAD_UNSEEN, unseen, Severity.WARNING)
    failed = record.plan.status is SolveStatus.FAILED
    text = "the solve failed; " + ("no heartbeats are sent" if silent else "the last accepted plan stands")
    events.keep_only("solve.failed", [(record.zone, text)] if failed else [], Severity.ERROR)
