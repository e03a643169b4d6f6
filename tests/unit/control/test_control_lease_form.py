"""Leases that have a bus formed: who may ask, for how long, how many, and what becomes of them."""

from __future__ import annotations

import itertools

import pytest
from tests.builders import START
from tests.island_site import island_site

from mimctl.control.authority.leases import LeaseBook
from mimctl.control.events import EventLog
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import UserError
from mimctl.model.island import FormWish
from mimctl.model.layout import SiteLayout
from mimctl.model.lease import Form, Lease, LeaseSource, LockOut, Pause, Stop
from mimctl.model.lease_plain import lease_of, lease_plain

SITE = island_site()
LAYOUT = SiteLayout(SITE)


class Desk:
    def __init__(self, site=SITE) -> None:
        self.clock = VirtualClock(START)
        self.events = EventLog(self.clock)
        numbers = itertools.count(1)
        self.book = LeaseBook(site, self.clock, self.events, new_id=lambda: f"n{next(numbers)}")

    def grant(self, mim="mim-rack1", bus="pdu", source=LeaseSource.OPERATOR, *, seconds=600.0, owner="ann", reason="work") -> Lease:
        lease = self.book.draft(source, owner, mim, Form(bus), seconds=seconds, reason=reason)
        self.book.put(lease)
        return lease

    def forms(self):
        return self.book.forms(LAYOUT)


def test_a_lease_is_a_wish_until_it_ends():
    desk = Desk()
    lease = desk.grant(seconds=60)
    assert str(lease) == "mim-rack1 forms the bus of pdu by ann (operator, lease n1): work"
    assert desk.forms() == (FormWish("n1", "ann", "mim-rack1", "i1"),)
    desk.clock.advance_to(60)
    assert desk.forms() == ()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"mim": "rack1"}, "is no MIM"),
        ({"mim": "mim-rack3"}, "its formers are: mim-rack1, mim-rack2"),
        ({"bus": "rack1"}, "the bus of no island; there are: pdu (i1)"),
        ({"source": LeaseSource.BMS}, "operator's lease alone"),
        ({"source": LeaseSource.OPTIMISER}, "operator's lease alone"),
        ({"reason": " "}, "say why"),
        ({"seconds": None}, "needs an end"),
        ({"seconds": 8 * 3600 + 1}, "at most 28800 s"),
    ],
)
def test_what_is_refused_at_once(wrong, says):
    with pytest.raises(UserError, match=says.replace("(", r"\(").replace(")", r"\)")):
        Desk().grant(**wrong)


@pytest.mark.parametrize("second", [{"mim": "mim-rack2", "owner": "bob"}, {"owner": "bob"}, {"mim": "mim-rack2"}])
def test_a_bus_has_one_former_and_one_who_asked(second):
    desk = Desk()
    desk.grant()
    with pytest.raises(UserError, match=r"one former: mim-rack1 forms it for ann until .* \(lease n1\); revoke that first"):
        desk.grant(**second)
    assert [wish.lease for wish in desk.forms()] == ["n1"]


def test_who_asked_may_prolong_it():
    desk = Desk()
    desk.grant(seconds=60)
    desk.clock.advance_to(50)
    desk.grant(seconds=60)
    desk.clock.advance_to(100)
    assert [(wish.lease, wish.mim) for wish in desk.forms()] == [("n2", "mim-rack1")]


@pytest.mark.parametrize(
    ("source", "action", "scope", "seconds"),
    [
        (LeaseSource.EMERGENCY_STOP, Stop(), "test", None),
        (LeaseSource.MAINTENANCE, LockOut(), "rack1", None),
        (LeaseSource.OPERATOR, Pause(), "z", 600.0),
    ],
)
def test_nothing_is_formed_where_something_bars_it(source, action, scope, seconds):
    desk = Desk()
    desk.grant()
    desk.book.put(desk.book.draft(source, "bob", scope, action, seconds=seconds, reason="stop"))
    assert desk.forms() == ()


def test_it_ends_with_the_run_whatever_its_file_says():
    desk = Desk()
    lease = lease_of(lease_plain(desk.grant()))
    after = Desk()
    after.book.restore([lease])
    assert after.forms() == ()
    assert [event.code for event in after.events.recent()] == ["lease.dropped"]


def test_what_is_given_up_is_told():
    desk = Desk()
    lease = desk.grant()
    desk.book.give_up(lease.id, "the contactor closes")
    assert desk.forms() == ()
    assert desk.events.recent()[-1].text.endswith("ended: the contactor closes")
