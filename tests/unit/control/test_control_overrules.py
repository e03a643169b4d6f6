"""Which leases have no effect while another stands above them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.builders import START, rack_site

from mimctl.control.authority.overrules import barring, overruled_by
from mimctl.control.authority.scopes import Scopes
from mimctl.model.lease import Cap, Lease, LockOut, Pause, Setpoint, Stop
from mimctl.model.lease import LeaseSource as S

SCOPES = Scopes(rack_site(3))
SET = Setpoint((100 + 0j, None, None))


def lease(name, action, scope, source=S.OPERATOR):
    source = {Stop: S.EMERGENCY_STOP, LockOut: S.MAINTENANCE}.get(type(action), source)
    ends = None if isinstance(action, Stop | LockOut) else START + timedelta(hours=1)
    return Lease(name, source, "ann", scope, action, "", START, ends)


STOP = lease("stop", Stop(), "test")


@pytest.mark.parametrize(
    ("action", "scope", "others", "by"),
    [
        (SET, "mim-rack1", [lease("a", LockOut(), "mim-rack1")], "a"),
        (SET, "mim-rack1", [lease("a", LockOut(), "pdu")], "a"),
        (SET, "mim-rack1", [lease("a", LockOut(), "mim-rack2")], None),
        (SET, "mim-rack1", [lease("a", Pause(), "z"), lease("b", LockOut(), "rack1")], "b"),
        (SET, "mim-rack1", [lease("a", Pause(), "z", S.BMS)], None),
        (SET, "mim-rack1", [lease("a", SET, "mim-rack1", S.TENANT)], None),
        (Cap(max_va=100), "mim-rack1", [lease("a", LockOut(), "mim-rack1")], "a"),
        (Cap(max_a=10), "pdu", [lease("a", LockOut(), "mim-rack1"), lease("b", LockOut(), "mim-rack2")], None),
        (Cap(max_a=10), "rack1", [lease("a", LockOut(), "mim-rack1")], "a"),
        (Cap(max_va=100), "mim-rack1", [lease("a", Pause(), "z")], None),
        (Pause(), "z", [lease("a", LockOut(), "feed")], "a"),
        (LockOut(), "mim-rack1", [STOP], None),
        (SET, "mim-rack1", [STOP, lease("a", LockOut(), "mim-rack1")], "stop"),
        (Cap(max_a=10), "pdu", [STOP], "stop"),
    ],
)
def test_who_leaves_a_lease_without_effect(action, scope, others, by):
    one = lease("one", action, scope)
    found = overruled_by(one, [*others, one], SCOPES)
    assert (None if found is None else found.id) == by


def test_a_setpoint_of_a_greater_source_leaves_the_lesser_ones_without_effect():
    wishes = {source: lease(source.word, SET, "mim-rack1", source) for source in (S.OPTIMISER, S.TENANT, S.BMS, S.OPERATOR)}
    every = list(wishes.values())
    assert [overruled_by(wish, every, SCOPES) for wish in every] == [wishes[S.OPERATOR]] * 3 + [None]


def test_the_greatest_bar_is_named_and_lesser_ones_bar_nobody_above_them():
    bars = [lease("p", Pause(), "z", S.BMS), lease("l", LockOut(), "mim-rack1"), replace(STOP)]
    assert barring(bars, SCOPES, "mim-rack1").id == "stop"
    assert barring(bars[:2], SCOPES, "mim-rack1").id == "l"
    assert barring(bars[:1], SCOPES, "mim-rack1", S.OPERATOR) is None
    assert barring(bars[:1], SCOPES, "mim-rack1", S.BMS).id == "p"
