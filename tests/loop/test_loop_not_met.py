"""Setpoints by lease that are not met, and plans that the judge refuses again and again: told once, with owner, reason and end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.loop.closed_loop import ClosedLoop, uneven_site

from mimctl.control.explain.answer import answer
from mimctl.control.explain.case import Question
from mimctl.control.explain.find import cases_of
from mimctl.model.lease import Cap, LeaseSource, Setpoint
from mimctl.service.operator_writes import OperatorWrites, PortWish

MIM = "mim-rack1"


def told(loop, code):
    return [event for event in loop.events.open() if event.code == code]


def grant(loop, action, reason, seconds=60.0, owner="ann"):
    book = loop.controller.leases
    lease = book.draft(LeaseSource.OPERATOR, owner, MIM, action, seconds=seconds, reason=reason)
    book.put(lease)
    return lease


async def test_a_setpoint_that_a_cap_cuts_short_is_told_with_owner_and_reason_and_ends_with_the_cap():
    loop = ClosedLoop(uneven_site())
    await loop.run(5)
    pin = grant(loop, Setpoint((800.0, None, None)), "load test")
    await loop.run(5)
    assert told(loop, "lease.not_met") == []
    cap = grant(loop, Cap(max_va=300.0), "hot", owner="bob")
    await loop.run(2)
    assert told(loop, "lease.not_met") == [], "one or two cycles are no news"
    await loop.run(3)
    [event] = told(loop, "lease.not_met")
    assert event.where == MIM
    assert "by ann (operator" in event.text
    assert ": load test; is not met: port 1 is set to 300 W instead of 800 W" in event.text
    assert loop.controller.zones[0].plans.unmet == {pin.id: event.text.partition("is not met: ")[2]}
    why = answer(cases_of(loop.controller, Question(mim=MIM), latest=True)[0], Question(mim=MIM))
    [section] = [s for s in why["sections"] if s["title"] == "what narrowed it"]
    assert any("by ann" in line for line in section["lines"])
    loop.controller.leases.take(cap.id, "bob")
    await loop.run(3)
    assert told(loop, "lease.not_met"), "it ends only after a few cycles without"
    await loop.run(4)
    assert told(loop, "lease.not_met") == []


async def test_a_setpoint_that_is_on_its_way_is_not_accused():
    site = uneven_site()
    loop = ClosedLoop(replace(site, mims=tuple(replace(m, ramp_w_per_s=50.0) for m in site.mims), rules=()))
    await loop.run(3)
    grant(loop, Setpoint((900.0, None, None)), "slowly")
    for _ in range(22):
        await loop.run(1)
        assert told(loop, "lease.not_met") == []
    zone = loop.controller.zones[0]
    assert zone.cycle.dispatcher.held.setpoint_va[0] == pytest.approx(900.0)


async def test_a_write_tells_for_each_port_why_it_is_not_met():
    loop = ClosedLoop(uneven_site())
    await loop.run(5)
    grant(loop, Cap(max_va=300.0), "hot")
    await loop.run(3)
    desk = OperatorWrites(loop.controller.zones, loop.clock)
    told_ports = desk.preview(MIM, [PortWish(1, 800.0), PortWish(2, -100.0)], 10.0)["ports"]
    assert [port["met"] for port in told_ports] == [False, True, None]
    why = told_ports[0]["why_not"]
    assert why["code"] == "limit.port_rating"
    assert why["text"].startswith("the port may give 300 VA now, of 2000 VA rated (mim-rack1 at most 300 VA by ann (operator")
    assert told_ports[0]["setpoint_w"] == 300.0


async def test_refused_plans_become_one_event_with_a_count_and_an_end():
    """Loads that seem to feed back: their current transformers may look the wrong way, so nobody below moves."""
    loop = ClosedLoop(uneven_site())
    await loop.run(10)
    loads = loop.source.power_va
    seen = []
    for turned in [*[1] * 3, *[-1] * 12, *[1] * 12]:
        loop.source.power_va = turned * loads
        await loop.run(1)
        seen.append([(event.where, event.text) for event in told(loop, "judge.refused")])
    assert max(len(events) for events in seen) == 1
    longest = max((events[0][1] for events in seen if events), key=len)
    assert "the judge refuses what is planned for mim-rack1, mim-rack2, mim-rack3 (" in longest
    assert "seems to feed back" in longest
    assert seen[-1] == []
    changes = np.diff([bool(events) for events in seen]).sum()
    assert changes == 2, "it begins once and ends once"
    [past] = [event for event in loop.events.recent() if event.code == "judge.refused"]
    assert past.cleared > past.since
