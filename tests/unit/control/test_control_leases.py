"""The lease book: what is in force and until when, whatever the wall clock does, and what outlives a restart."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import START, rack_site

from mimctl.control.authority.leases import STOP_ID, LeaseBook
from mimctl.control.events import EventLog
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import UserError
from mimctl.model.layout import SiteLayout
from mimctl.model.lease import Cap, LeaseSource, LockOut, Pause, Setpoint, Stop
from mimctl.model.lease_plain import lease_of, lease_plain
from mimctl.model.problem import Severity

S = LeaseSource
SITE = rack_site(3)
ONE_PORT = Setpoint((100 + 0j, None, None))


class Desk:
    """A book on a clock of its own."""

    def __init__(self, site=SITE, start=START) -> None:
        self.clock = VirtualClock(start)
        self.events = EventLog(self.clock)
        numbers = itertools.count(1)
        self.book = LeaseBook(site, self.clock, self.events, new_id=lambda: f"n{next(numbers)}")

    def grant(self, action, scope, source=S.OPERATOR, *, seconds=100.0, owner="ann"):
        lease = self.book.draft(source, owner, scope, action, seconds=seconds, reason="why")
        self.book.put(lease)
        return lease

    def ids(self):
        return [lease.id for lease in self.book.active()]

    def notes(self):
        return [(event.code, event.where) for event in self.events.recent()]


def test_a_lease_runs_for_its_time_and_is_gone_then():
    desk = Desk()
    lease = desk.grant(Pause(), "z", seconds=100)
    assert lease.expires_utc == START + timedelta(seconds=100)
    desk.clock.advance_to(99.9)
    assert desk.ids() == ["n1"]
    assert desk.book.remaining_s(lease) == pytest.approx(0.1)
    desk.clock.advance_to(100.0)
    assert desk.ids() == []
    assert desk.notes() == [("lease.granted", "z"), ("lease.expired", "z")]


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(-1e7, 1e7)), max_size=5))
def test_steps_of_the_wall_clock_neither_prolong_nor_end_a_lease(steps):
    desk = Desk()
    lease = desk.grant(Cap(max_a=5.0), "rack1", seconds=100)
    for wait_s, step_s in steps:
        desk.clock.advance_to(min(99.0, desk.clock.monotonic_s() + wait_s))
        desk.clock.step_wall(step_s)
        desk.book.watch_clock()
        [running] = desk.book.active()
        left_s = (running.expires_utc - desk.clock.utc()).total_seconds()
        assert left_s == pytest.approx(100 - desk.clock.monotonic_s(), abs=2.01)
        assert running.length == lease.length
    desk.clock.advance_to(99.99)
    assert desk.ids() == ["n1"]
    desk.clock.advance_to(100.0)
    assert desk.ids() == []


def after_restart(leases, *, later_s, site=SITE):
    """The book of the next run, by way of the file's form."""
    desk = Desk(site, START + timedelta(seconds=later_s))
    desk.book.restore([lease_of(lease_plain(lease)) for lease in leases])
    return desk


def test_a_restart_leaves_the_time_that_is_left():
    desk = Desk()
    cap = desk.grant(Cap(max_a=5.0), "rack1", seconds=100)
    lock = desk.grant(LockOut(), "mim-rack2", S.MAINTENANCE, seconds=None)
    desk.book.call_stop("ann", "smoke")
    next_run = after_restart(desk.book.active(), later_s=60)
    assert next_run.ids() == [cap.id, lock.id, STOP_ID]
    assert next_run.book.remaining_s(cap) == pytest.approx(40)
    assert next_run.book.stopped
    next_run.clock.advance_to(1e6)
    assert next_run.ids() == [lock.id, STOP_ID]


def test_a_clock_that_went_back_over_a_restart_prolongs_nothing_and_one_that_went_on_ends_it():
    desk = Desk()
    cap = desk.grant(Cap(max_a=5.0), "rack1", seconds=100)
    assert after_restart([cap], later_s=-50_000).book.remaining_s(cap) == pytest.approx(100)
    ended = after_restart([cap], later_s=100)
    assert ended.ids() == []
    assert ended.notes() == [("lease.expired", "rack1")]


def test_a_lock_out_of_something_that_is_gone_stops_the_site_and_a_cap_of_it_is_told():
    desk = Desk()
    lock = desk.grant(LockOut(), "mim-rack3", S.MAINTENANCE, seconds=None)
    cap = desk.grant(Cap(max_va=5.0), "mim-rack3")
    smaller = after_restart([lock, cap], later_s=1, site=rack_site(2))
    assert smaller.ids() == [lock.id, STOP_ID]
    assert "lock out what it is called now" in smaller.book.emergency_stop.reason
    assert ("lease.dropped", "mim-rack3") in smaller.notes()


def test_the_same_wish_of_the_same_owner_takes_the_place_of_the_earlier_one():
    desk = Desk()
    first = desk.grant(Cap(max_a=5.0), "rack1", S.BMS)
    again = desk.book.draft(S.BMS, "ann", "rack1", Cap(max_a=9.0), seconds=50, reason="")
    assert desk.book.put(again) == (first,)
    bob = desk.grant(Cap(max_a=7.0), "rack1", S.BMS, owner="bob")
    assert desk.ids() == [again.id, bob.id]


def test_of_one_source_the_later_setpoint_stands_and_each_person_has_a_lock_of_their_own():
    desk = Desk()
    desk.grant(ONE_PORT, "mim-rack1")
    later = desk.grant(ONE_PORT, "mim-rack1", owner="bob")
    other = desk.grant(ONE_PORT, "mim-rack1", S.BMS)
    ann, bob = (desk.grant(LockOut(), "mim-rack2", S.MAINTENANCE, seconds=None, owner=who) for who in ("ann", "bob"))
    assert desk.ids() == [later.id, other.id, ann.id, bob.id]
    desk.book.take(ann.id, "ann")
    assert desk.book.locked(SiteLayout(SITE)) == {"mim-rack2"}


def test_who_called_the_stop_first_is_remembered():
    desk = Desk()
    desk.book.call_stop("ann", "smoke")
    assert desk.book.call_stop("bob", "fire").owner == "ann"
    [event] = desk.events.open()
    assert (event.code, event.severity, event.where) == ("emergency_stop", Severity.ERROR, "test")
    assert event.text == "emergency stop by ann: smoke"
    assert desk.book.take(STOP_ID, "ann").owner == "ann"
    assert not desk.book.stopped
    assert desk.events.open() == ()


def test_grants_and_revocations_are_events_and_lock_outs_stay_open_while_they_hold():
    desk = Desk()
    lock = desk.grant(LockOut(), "pdu", S.MAINTENANCE, seconds=None)
    assert [(e.code, e.where) for e in desk.events.open()] == [("lease.lock_out", "pdu")]
    assert desk.book.take("n9", "bob") is None
    desk.book.take(lock.id, "bob")
    assert desk.events.open() == ()
    assert [code for code, _ in desk.notes()] == ["lease.granted", "lease.revoked", "lease.lock_out"]
    assert "revoked by bob" in desk.events.recent()[1].text


@pytest.mark.parametrize(
    ("source", "scope", "action", "seconds", "says"),
    [
        (S.MAINTENANCE, "mim-rack9", LockOut(), None, "no 'mim-rack9' in site 'test'; did you mean 'mim-rack"),
        (S.MAINTENANCE, "mim-rack1/1", LockOut(), None, "as a whole: 'mim-rack1'"),
        (S.OPERATOR, "pdu", Pause(), 5, "a pause is for a zone or the site: test, z; not 'pdu'"),
        (S.OPERATOR, "rack1", ONE_PORT, 5, "'rack1' is no MIM"),
        (S.OPERATOR, "mim-rack1", Setpoint((1 + 0j,)), 5, "has 3 ports, not 1"),
        (S.BMS, "mim-rack1", Setpoint((None, 50e3j, None)), 5, "port 2 of mim-rack1 is rated 2000 VA; 50000 VA were asked of it"),
        (S.OPERATOR, "mim-rack1", ONE_PORT, None, "a setpoint needs an end: say for how long"),
        (S.OPERATOR, "mim-rack1", ONE_PORT, 3601, "at most 3600 s"),
        (S.OPERATOR, "z", Pause(), 0, "at least 1 s"),
        (S.OPERATOR, "z", Pause(), float("nan"), "at least 1 s"),
        (S.OPERATOR, "z", Pause(), 1e8, "at most 31 days"),
        (S.OPERATOR, "pdu", Cap(max_export_w=0.0), 5, "at the head of a zone: feed; not at 'pdu'"),
        (S.OPERATOR, "z", Cap(max_a=5.0), 5, "at a node, a MIM or a port"),
        (S.EMERGENCY_STOP, "z", Stop(), None, "whole site: test"),
    ],
)
def test_what_means_nothing_on_this_site_is_refused(source, scope, action, seconds, says):
    with pytest.raises(UserError, match=says):
        Desk().book.draft(source, "ann", scope, action, seconds=seconds, reason="")


def test_scopes_reach_what_stands_under_their_name():
    mims = Desk().book.scopes.mims
    assert mims("mim-rack1") == mims("rack1") == mims("mim-rack1/3") == {"mim-rack1"}
    assert mims("pdu") == mims("feed") == mims("gw") == mims("z") == mims("test") == {"mim-rack1", "mim-rack2", "mim-rack3"}
    assert mims("rack9") == frozenset()


def test_a_node_above_the_zones_is_locked_out_and_not_capped():
    site = replace(SITE, zones=(replace(SITE.zones[0], heads=("rack1", "rack2")),))
    desk = Desk(site)
    desk.grant(LockOut(), "feed", S.MAINTENANCE, seconds=None)
    assert desk.book.locked(SiteLayout(site)) == {"mim-rack1", "mim-rack2", "mim-rack3"}
    with pytest.raises(UserError, match="cap their heads: rack1, rack2"):
        desk.grant(Cap(max_a=5.0), "feed")


def test_who_bars_a_mim_from_whom():
    desk = Desk()
    desk.grant(Pause(), "z", S.BMS)
    assert desk.book.bar("mim-rack1", S.OPERATOR) is None
    assert desk.book.bar("mim-rack1", S.BMS).source is S.BMS
    desk.grant(LockOut(), "rack1", S.MAINTENANCE, seconds=None)
    assert desk.book.bar("mim-rack1", S.OPERATOR).source is S.MAINTENANCE
    assert desk.book.bar("mim-rack2", S.OPERATOR) is None
    desk.book.call_stop("ann", "")
    assert desk.book.bar("mim-rack2", S.OPERATOR).id == STOP_ID
    assert desk.book.paused("z")
