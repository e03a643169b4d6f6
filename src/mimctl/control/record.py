"""What a cycle leaves for people: how long each stage took, and which conditions hold now."""

from __future__ import annotations

import asyncio
import time

import numpy as np

from mimctl.control.collect import Collector
from mimctl.control.events import EventLog
from mimctl.control.room import LOAD_UNSEEN
from mimctl.model.decision import DecisionRecord
from mimctl.model.layout import BoolArray, FloatArray
from mimctl.model.plan import SolveStatus
from mimctl.model.problem import Severity


class Stopwatch:
    """Durations of consecutive stages, in seconds of this machine, waiting for devices included: also under a virtual clock.

    Zones that are due together decide at the same time, in one thread. A `turn` lets the others do the stage that one has just
    done: so the same code runs for all of them in a row, which takes a processor a quarter less than one whole cycle after another
    (a stage's code is still in its caches). Each stays a task of its own, and nothing that one does or suffers touches another.
    """

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._laps: list[tuple[str, float]] = []

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._laps.append((stage, now - self._last))
        self._last = now

    async def turn(self, stage: str) -> None:
        """A lap, and whoever else decides now comes first; the watch rests meanwhile."""
        self.lap(stage)
        await asyncio.sleep(0)
        self._last = time.perf_counter()

    def laps(self) -> tuple[tuple[str, float], ...]:
        return tuple(self._laps)


def report_events(
    events: EventLog, record: DecisionRecord, collector: Collector, silenced: BoolArray, unreached_s: FloatArray
) -> None:
    """Raise and clear the conditions that this cycle shows.

    Args:
        collector: knows how the devices answered.
        silenced: (M,) no heartbeat was sent to the MIM, for too many solves have failed.
        unreached_s: (M,) since the last write to the MIM that succeeded, inf = never [s].
    """
    awaited = collector.awaited()
    errors = ((device, error) for device, error in collector.errors().items() if device not in awaited)
    failing = [(device, f"{device} does not answer: {error.what}") for device, error in errors]
    events.keep_only("device.unreachable", failing, Severity.ERROR)
    doubted = [(device, f"{device}: {reason.text}") for device, reason in collector.doubts().items()]
    events.keep_only("device.values_missing", doubted, Severity.WARNING)
    failed = [o for o in record.outcomes if o.error is not None and o.held is None]
    unwritten = [(o.mim, f"{o.mim}: {o.kind} failed: {o.error}") for o in failed if not _may_fail(record, o.mim, unreached_s)]
    events.keep_only("mim.write_failed", unwritten, Severity.ERROR)
    spent = [(o.mim, f"{o.mim} keeps its setpoint: {o.error}") for o in record.outcomes if o.held == "budget"]
    events.keep_only("mim.write_held", spent, Severity.WARNING)
    unseen = [(r.where, r.reason.text) for r in record.bounds.restrictions if r.reason.code == LOAD_UNSEEN]
    events.keep_only(LOAD_UNSEEN, unseen, Severity.WARNING)
    events.keep_only("solve.failed", _failed(record, silenced), Severity.ERROR)


def _may_fail(record: DecisionRecord, mim: str, unreached_s: FloatArray) -> bool:
    """A radio loses frames, and the next one makes up for it: not worth a word while half of the validity is left."""
    layout = record.state.layout
    m = layout.mim_index[mim]
    return layout.mims[m].latency.is_late and bool(unreached_s[m] < layout.mims[m].validity_s / 2)


def _failed(record: DecisionRecord, silenced: BoolArray) -> list[tuple[str, str]]:
    """Of a zone, or of those of its latency classes whose own solve failed while others did not."""
    plan, mims = record.plan, record.state.layout.mims
    failed = np.ones(len(mims), dtype=np.bool_) if plan.status is SolveStatus.FAILED else silenced.copy()
    failed = failed if plan.failed is None else failed | plan.failed
    if plan.status is not SolveStatus.FAILED and not failed.any():
        return []
    kinds = sorted({mims[m].latency.kind for m in np.flatnonzero(failed)})
    whose = "the solve" if failed.all() else f"the solve for the {' and '.join(kinds)} MIMs"
    then = "no heartbeats are sent" if silenced.any() and silenced[failed].all() else "the last accepted plan stands"
    return [(record.zone, f"{whose} failed; {then}")]
