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


def opened(*outcomes: WriteOutcome, plan=None, silenced=(False, False), unreached_s=(0.0, 0.0)) -> list[tuple[str, str]]:
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
    report_events(events, record, collector, np.array(silenced), np.array(unreached_s))  # type: ignore[arg-type]
    return [(event.code, event.text) for event in events.open()]


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (WriteOutcome("mim-rack1", "setpoint", WHY), []),
        (WriteOutcome("mim-rack1", "setpoint", WHY, "no answer"), [("mim.write_failed", "mim-rack1: setpoint failed: no answer")]),
        (
            WriteOutcome("mim-rack1", "setpoint", WHY, "50 are spent", held="budget"),
            [("mim.write_held", "mim-rack1 keeps its setpoint: 50 are spent")],
        ),
        (WriteOutcome("mim-rack1", "setpoint", WHY, "written 1 s ago", held="soon"), []),
    ],
)
def test_a_command_held_back_is_no_failure(outcome: WriteOutcome, told: list[tuple[str, str]]) -> None:
    assert opened(outcome) == told


@pytest.mark.parametrize(("unreached_s", "told"), [(0.0, 0), (0.49, 0), (0.51, 1), (np.inf, 1)])
def test_a_frame_that_a_radio_lost_is_worth_a_word_once_half_of_the_validity_is_gone(unreached_s: float, told: int) -> None:
    lost = WriteOutcome("mim-rack2", "refresh", WHY, "the answer was lost")
    since_s = (0.0, unreached_s * SITE.mims[1].validity_s)
    assert opened(lost, unreached_s=since_s) == [("mim.write_failed", "mim-rack2: refresh failed: the answer was lost")] * told


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
