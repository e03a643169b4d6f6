"""Explanations of whole runs: nobody is held back without a reason, and what is told is what was."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.loop.closed_loop import ClosedLoop, uneven_site
from tests.loop.two_feeds import two_feed_site

from mimctl.control.explain.alike import restriction_lines
from mimctl.control.explain.answer import answer
from mimctl.control.explain.case import Case, Question
from mimctl.control.explain.find import cases_of
from mimctl.control.explain.numbers import Numbers
from mimctl.control.explain.story import View
from mimctl.control.past.light_arrays import wide
from mimctl.model.bounds import Restriction
from mimctl.model.errors import UserError
from mimctl.model.latency import Latency, LatencyClass
from mimctl.model.lease import Cap, LeaseSource, LockOut, Setpoint
from mimctl.model.reason import Reason
from mimctl.model.rules import LimitRule, Place
from mimctl.service.explain_desk import ExplainDesk

#: setpoints are whole watts and vars
_ROUNDING_VA = 2.0


def bent(pdu_a: float, deadband_a: float, ramp_w_per_s: float):
    site = uneven_site(meter_noise_pct=0.1)
    nodes = tuple(replace(n, rating_a=pdu_a) if n.id == "pdu" else n for n in site.nodes)
    mims = tuple(replace(m, ramp_w_per_s=ramp_w_per_s) for m in site.mims)
    return replace(site, nodes=nodes, mims=mims, rules=tuple(replace(r, deadband_a=deadband_a) for r in site.rules))


def cases(loop: ClosedLoop) -> list[Case]:
    zone = loop.controller.zones[0]
    kept = zone.memory.records
    span = (kept[0].utc, kept[-1].utc, len(kept))
    followers = [*kept[1:], None]
    return [Case(zone.layout.site, record, after, None, False, span) for record, after in zip(kept, followers, strict=True)]


def held_back(view: View, m: int) -> bool:
    """Whether a MIM was anything but free, told from its figures alone and not from any reason."""
    n, run = view.numbers, view.numbers.layout.ports_of_mim[m]
    safe_va = wide(view.case.record.safe_va)[run]
    size = np.abs(n.plan_va[run])
    step = np.abs(n.plan_va[run] - np.nan_to_num(wide(n.solve.before_va)[run]))
    return bool(
        not n.bounds.mim_enabled[m]
        or (np.abs(safe_va - n.plan_va[run]) > _ROUNDING_VA).any()
        or (size > 0.9999 * n.bounds.port_s_max_va[run]).any()
        or (step > 0.9999 * n.bounds.step_max_va[run]).any()
        or (n.bounds.port_s_max_va[run] < 0.999 * n.layout.port_rating_va[run]).any()
    )


def put_lease(loop: ClosedLoop, kind: str) -> None:
    book = loop.controller.leases
    wanted = {
        "cap": (LeaseSource.OPERATOR, "mim-rack2", Cap(max_va=300.0), 3600.0),
        "lock": (LeaseSource.MAINTENANCE, "rack3", LockOut(), None),
        "setpoint": (LeaseSource.OPERATOR, "mim-rack1", Setpoint((300 + 0j, None, None)), 3600.0),
    }
    if kind in wanted:
        source, scope, action, seconds = wanted[kind]
        book.put(book.draft(source, "alice", scope, action, seconds=seconds, reason="test"))


@settings(max_examples=8)
@given(
    pdu_a=st.sampled_from([200.0, 30.0, 24.0, 18.0]),
    deadband_a=st.sampled_from([0.0, 0.3]),
    ramp_w_per_s=st.sampled_from([np.inf, 200.0]),
    lease=st.sampled_from(["none", "cap", "lock", "setpoint"]),
)
def test_nobody_is_held_back_without_a_reason(pdu_a, deadband_a, ramp_w_per_s, lease):
    async def run() -> ClosedLoop:
        loop = ClosedLoop(bent(pdu_a, deadband_a, ramp_w_per_s))
        put_lease(loop, lease)
        await loop.run(4)
        return loop

    made = cases(asyncio.run(run()))
    for case in (made[0], made[1], made[-1]):
        view = View.of(case)
        for m, mim in enumerate(view.numbers.layout.mims):
            assert view.reasons.of(m) or not held_back(view, m), (mim.id, case.record.number)


async def test_the_solve_done_again_from_memory_is_the_one_that_was():
    loop = ClosedLoop(bent(30.0, 0.0, 500.0))
    await loop.run(15)
    for case in cases(loop):
        n = Numbers(case.site, case.record.solve)
        assert n.agrees
        again = n.repeated.inject_w + 1j * n.repeated.inject_var
        np.testing.assert_allclose(again, n.plan_va, atol=2.0)


async def test_a_step_that_binds_is_the_ramp():
    loop = ClosedLoop(bent(200.0, 0.0, 100.0))
    await loop.run(3)
    why = answer(cases(loop)[0], Question(mim="mim-rack1"))
    steps = [limit for limit in why["limits"] if limit["kind"] == "step"]
    # 100 W at 230 V
    assert steps
    assert all(limit["allowed"] == pytest.approx(100 / 230, rel=1e-5) for limit in steps)


async def test_the_desk_finds_what_is_asked_for_and_suggests_what_may_be_meant():
    loop = ClosedLoop(uneven_site())
    await loop.run(6)
    desk = ExplainDesk(loop.controller, loop.clock)
    for request, says in (
        ({"mim": "mim-rack4"}, r"no MIM 'mim-rack4' here \(did you mean 'mim-rack"),
        ({"node": "pud"}, "did you mean 'pdu'"),
        ({"zone": "y"}, "no zone 'y' here"),
        ({"mim": "mim-rack1", "node": "pdu"}, "not both"),
        ({"at": "soon"}, "'soon' is no instant"),
        ({"at": 5}, "at is a word"),
    ):
        with pytest.raises(UserError, match=says):
            await desk.answer(request)


async def test_the_desk_answers_from_a_process_of_its_own():
    loop = ClosedLoop(uneven_site())
    await loop.run(6)
    told = await ExplainDesk(loop.controller, loop.clock).answer({"mim": "mim-rack2", "at": "-3s"})
    (why,) = told["answers"]
    assert (told["site"], why["mim"], why["zone"], why["cycle"]) == ("test", "mim-rack2", "z", 4)
    json.dumps(told, allow_nan=False)
    follows = [line for s in why["sections"] if s["title"] == "sent and answered" for line in s["lines"]]
    assert "as it was told" in follows[-1]


async def test_a_zone_that_decides_no_more_is_told_with_how_long_ago_that_was():
    loop = ClosedLoop(uneven_site())
    await loop.run(6)
    loop.clock.advance_to(loop.clock.monotonic_s() + 40.0)
    told = await ExplainDesk(loop.controller, loop.clock).answer({})
    when = told["answers"][0]["sections"][0]["lines"]
    # the last of six decisions a second apart is 41 s old, and the one before it has its answers in
    assert when[1] == "the nearest decision that is remembered is 42 s earlier than asked"


async def test_what_stands_above_the_zones_is_told_by_the_site_level():
    loop = ClosedLoop(zoned_site(uneven_site()))
    desk = ExplainDesk(loop.controller, loop.clock)
    with pytest.raises(UserError, match="the site level has solved nothing yet"):
        await desk.answer({"node": "feed"})
    await loop.run(3)
    await loop.controller.solve_site()
    await loop.run(3)
    (above,) = (await desk.answer({"node": "feed"}))["answers"]
    assert above["zone"] is None
    alone = next(a for a in above["alternatives"] if a["what"] == "without any MIM")
    # all loads of the hall, of power factor 1/|1 + 0.25j|
    expected = [w * abs(1 + 0.25j) / 230 for w in (7100, 4300, 3000)]
    assert alone["current_a"]["feed"] == pytest.approx(expected, rel=0.01)
    (rack,) = (await desk.answer({"node": "rack1"}))["answers"]
    priced = [line for s in rack["sections"] if s["title"] == "the grid above" for line in s["lines"]]
    assert priced[0].startswith("above pdu an ampere is dearest on L1")
    assert "by the site level's last word" in priced[0]


def zoned_site(site):
    return replace(site, zones=tuple(replace(zone, heads=("pdu",)) for zone in site.zones))


async def test_a_rule_that_narrows_a_breaker_is_named_as_its_owner():
    site = replace(uneven_site(), restraints=(LimitRule(id="night", place=Place(nodes=("pdu",)), max_a=22.0),))
    loop = ClosedLoop(site)
    await loop.run(8)
    why = answer(cases(loop)[-2], Question(node="pdu"))
    told = [line for s in why["sections"] if s["title"] == "what narrowed it" for line in s["lines"]]
    # the loads alone draw 31.8 A on L1, a third of all is 21.6 A
    assert told == [f"a rule of the site file, pdu: rule night: {site.restraints[0]} [rule.limit]"]


async def test_a_mim_of_a_slow_class_says_so():
    slow = Latency(LatencyClass.SLOW, delay_s=2.0, command_every_s=10.0)
    site = uneven_site()
    site = replace(site, mims=tuple(replace(m, latency=slow, validity_s=60.0) if m.id == "mim-rack2" else m for m in site.mims))
    loop = ClosedLoop(site)
    await loop.run(8)
    why = answer(cases(loop)[3], Question(mim="mim-rack2"))
    text = "it is of the slow class: it follows the part of the load that it can keep up with, and is commanded every 10 s at most"
    told = [line for s in why["sections"] if s["title"] == "what narrowed it" for line in s["lines"]]
    assert told == [f"the latency class: {text} [latency.class]"]


async def test_an_instant_that_is_to_come_or_forgotten_is_refused_with_what_is_remembered():
    loop = ClosedLoop(uneven_site())
    await loop.run(10)
    desk = ExplainDesk(loop.controller, loop.clock)
    now = loop.clock.utc()
    with pytest.raises(UserError, match=rf"is to come: it is {now:%Y-%m-%d %H:%M:%S} \(UTC\) now; without --at"):
        await desk.answer({"at": f"{now + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"})
    with pytest.raises(UserError, match=r"is remembered: the memory begins at .*, 1[01] s ago \(10 decisions\); a restart"):
        await desk.answer({"at": "-1min"})
    (why,) = (await desk.answer({"at": "-13s"}))["answers"]
    assert why["cycle"] == 1, "a few seconds are no other time"


@pytest.mark.parametrize("count", [2, 3, 20])
def test_what_says_the_same_of_many_places_is_said_once(count):
    told = [
        Restriction(f"rack{i}", Reason("data.estimated", f"the flow of rack{i} is estimated: {i}.5 A kept")) for i in range(count)
    ]
    leases = [Restriction("rack1", Reason("lease.cap", f"rack1 at most {n} A by ann (lease n{n})")) for n in range(4)]
    lines = restriction_lines([*told, *leases])
    estimated = [line for line in lines if "[data.estimated]" in line]
    assert len(estimated) == (2 if count == 2 else 1)
    assert "the flow of rack0 is estimated: 0.5 A kept" in estimated[0]
    if count == 3:
        assert estimated[0].endswith("; likewise, with their own figures, rack1 and rack2 [data.estimated]")
    if count == 20:
        assert estimated[0].endswith("rack11 and 8 more [data.estimated]")
    assert len(lines) - len(estimated) == 4, "whose lease it is matters"


async def test_room_kept_for_a_lost_feed_is_told_as_that():
    loop = ClosedLoop(replace(two_feed_site(bridges=False), redundant=(("rack1-a", "rack1-b"), ("rack2-a", "rack2-b"))))
    await loop.run(3)
    (case,) = cases_of(loop.controller, Question(mim="mim-rack1-b"), latest=True)
    why = answer(case, Question(mim="mim-rack1-b"))
    [narrowed] = [s["lines"] for s in why["sections"] if s["title"] == "what narrowed it"]
    [line] = [line for line in narrowed if line.startswith("pdu-b may carry")]
    assert line.endswith("instead of 50.4 A: the room kept for what comes over when feed A is lost")
