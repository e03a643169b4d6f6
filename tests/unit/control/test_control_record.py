"""Which conditions a cycle leaves open."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tests.builders import START, rack_site

from mimctl.control.events import EventLog
from mimctl.control.record import report_events
from mimctl.model.clock import VirtualClock
from mimctl.model.decision import WriteOutcome
from mimctl.model.latency import TYPICAL, LatencyClass
from mimctl.model.layout import SiteLayout
from mimctl.model.plan import SolveStatus
from mimctl.model.reason import Reason

WHY = Reason("test", "because")
SITE = rack_site(2)
SITE = replace(SITE, mims=(SITE.mims[0], replace(SITE.mims[1], latency=TYPICAL[LatencyClass.SLOW])))


def opened(*outcomes: WriteOutcome, plan=None, silenced=(False, False)) -> list[tuple[str, str]]:
    events = EventLog(VirtualClock(START))
    record = SimpleNamespace(
        outcomes=outcomes,
        safe_plan=SimpleNamespace(judgements=()),
        bounds=SimpleNamespace(restrictions=()),
        plan=plan or SimpleNamespace(status=SolveStatus.SOLVED, failed=None),
        state=SimpleNamespace(layout=SiteLayout(SITE)),
        zone="z",
    )
    collector = SimpleNamespace(errors=dict, doubts=dict, awaited=frozenset, starting=lambda: False)
    report_events(events, record, collector, np.array(silenced))  # type: ignore[arg-type]
    return [(event.code, event.text) for event in events.open()]


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (WriteOutcome("m1", "setpoint", WHY), []),
        (WriteOutcome("m1", "setpoint", WHY, "no answer"), [("mim.write_failed", "m1: setpoint failed: no answer")]),
        (
            WriteOutcome("m1", "setpoint", WHY, "50 are spent", held="budget"),
            [("mim.write_held", "m1 keeps its setpoint: 50 are spent")],
        ),
        (WriteOutcome("m1", "setpoint", WHY, "written 1 s ago", held="soon"), []),
    ],
)
def test_a_command_held_back_is_no_failure(outcome: WriteOutcome, told: list[tuple[str, str]]) -> None:
    assert opened(outcome) == told


@pytest.mark.parametrize(
    ("status", "failed", "silenced", "told"),
    [
        (SolveStatus.FAILED, None, (False, False), "the solve failed; the last accepted plan stands"),
        (SolveStatus.FAILED, None, (True, True), "the solve failed; no heartbeats are sent"),
        (SolveStatus.SOLVED, [False, True], (False, False), "the solve for the slow MIMs failed; the last accepted plan stands"),
        (SolveStatus.SOLVED, [False, True], (False, True), "the solve for the slow MIMs failed; no heartbeats are sent"),
        (SolveStatus.HELD, None, (False, True), "the solve for the slow MIMs failed; no heartbeats are sent"),
    ],
)
def test_a_failed_solve_is_told_with_whose_it_was(status, failed, silenced, told: str) -> None:
    plan = SimpleNamespace(status=status, failed=None if failed is None else np.array(failed))
    assert opened(plan=plan, silenced=silenced) == [("solve.failed", told)]
