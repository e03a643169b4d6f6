"""Which conditions a cycle leaves open."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tests.builders import START

from mimctl.control.events import EventLog
from mimctl.control.record import report_events
from mimctl.model.clock import VirtualClock
from mimctl.model.decision import WriteOutcome
from mimctl.model.plan import SolveStatus
from mimctl.model.reason import Reason

WHY = Reason("test", "because")


def opened(*outcomes: WriteOutcome) -> list[tuple[str, str]]:
    events = EventLog(VirtualClock(START))
    record = SimpleNamespace(
        outcomes=outcomes,
        safe_plan=SimpleNamespace(judgements=()),
        bounds=SimpleNamespace(restrictions=()),
        plan=SimpleNamespace(status=SolveStatus.SOLVED),
        zone="z",
    )
    collector = SimpleNamespace(errors=dict, doubts=dict, starting=lambda: False)
    report_events(events, record, collector, silent=False)  # type: ignore[arg-type]
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
