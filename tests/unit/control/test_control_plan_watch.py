"""What of the plans does not come about: counted over cycles, told as one event, over after a few quiet ones."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from tests.builders import START

from mimctl.control.events import EventLog
from mimctl.control.plan_watch import PlanWatch, Streak, follow
from mimctl.model.clock import VirtualClock
from mimctl.model.plan import Judgement, Verdict
from mimctl.model.reason import Reason

STALE = Reason("data.meter_stale", "the meter over its ports is bad")
LOOSE = Reason("plan.unbalanced", "its ports sum to 3 W")


def record(at, refused, verdict=Verdict.REFUSED):
    judgements = tuple(Judgement(mim, verdict, why) for mim, why in refused.items())
    state = SimpleNamespace(utc=START + timedelta(seconds=at))
    return SimpleNamespace(zone="z", safe_plan=SimpleNamespace(judgements=judgements), state=state)


def seen(cycles, *, starting=False, verdict=Verdict.REFUSED):
    """The open events after each cycle."""
    watch, events = PlanWatch(), EventLog(VirtualClock(START))
    found = []
    for at, refused in enumerate(cycles):
        watch.look(record(at, refused, verdict), (), events, starting=starting)  # type: ignore[arg-type]
        found.append([(event.where, event.text) for event in events.open()])
    return found


def test_one_or_two_refused_plans_are_no_news_three_are_one_event():
    none, none_yet, told, *_ = seen([{"m1": STALE}] * 3)
    assert none == none_yet == []
    text = "the judge refuses what is planned for m1 (3 cycles since 00:00:00 UTC; the meter over its ports is bad)"
    assert told == [("z", text)]


def test_the_event_lives_through_cycles_without_and_ends_after_five():
    pattern = [True] * 3 + [False] * 4 + [True] + [False] * 5
    open_ = [bool(events) for events in seen([{"m1": STALE} if refused else {} for refused in pattern])]
    assert open_ == [False, False, *[True] * 10, False]


def test_many_mims_and_reasons_are_one_event():
    refused = {f"m{n}": STALE for n in range(1, 6)} | {"n1": LOOSE}
    [(where, text)] = seen([refused] * 4)[-1]
    assert where == "z"
    assert "m1, m2, m3 and 2 more (4 cycles since 00:00:00 UTC; m1: the meter over its ports is bad)" in text
    assert text.endswith("; n1 (4 cycles since 00:00:00 UTC; its ports sum to 3 W)")


@pytest.mark.parametrize("how", [{"starting": True}, {"verdict": Verdict.SCALED}])
def test_what_is_no_refusal_in_running_control_is_not_told(how):
    assert seen([{"m1": STALE}] * 9, **how)[-1] == []


def test_of_one_that_is_left_out_altogether_nothing_is_refused_and_the_first_reason_is_told():
    watch, events = PlanWatch(), EventLog(VirtualClock(START))
    told = [
        ("m1", Verdict.EXCLUDED, STALE),
        ("m1", Verdict.REFUSED, LOOSE),
        ("m2", Verdict.REFUSED, STALE),
        ("m2", Verdict.REFUSED, LOOSE),
    ]
    for at in range(3):
        one = record(at, {})
        one.safe_plan.judgements = tuple(Judgement(*each) for each in told)
        watch.look(one, (), events, starting=False)  # type: ignore[arg-type]
    assert {mim: streak.why for mim, streak in watch.refused.items()} == {"m2": STALE}


def test_a_streak_that_nobody_was_told_of_is_over_after_two_quiet_cycles():
    streaks: dict[str, Streak] = {}
    for now in ({"a": STALE}, {}, {"a": STALE}, {}, {}):
        follow(streaks, now, START)
    assert streaks == {}
