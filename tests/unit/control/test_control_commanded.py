"""A second master and devices without a failsafe: what control makes of what the devices tell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from tests.builders import START, rack_site

from mimctl.control.commanded import UNSAFE_AUTHORITY, YIELD_S, Authorities, Rivals
from mimctl.control.events import EventLog
from mimctl.control.limits import BoundsMaker
from mimctl.model.clock import VirtualClock
from mimctl.model.layout import SiteLayout
from mimctl.model.points import PointSpec, PointType
from mimctl.model.protocols import ForeignWrite
from mimctl.model.setpoints import CommandPoint, Failsafe, MimMap, Role
from mimctl.model.site import SecondMaster

COUNTED = (CommandPoint(PointSpec("sequence", 9, PointType.UINT32, writable=True), Role.SEQUENCE),)


@dataclass
class Device:
    mim_map: MimMap | None
    foreign_write: ForeignWrite | None = None


@dataclass
class Group:
    drivers: dict[str, Device]
    link: str = "l"


def setup(kind, *, failsafe=Failsafe.HEARTBEAT, commands=COUNTED, **more):
    site = rack_site()
    site = replace(site, mims=(replace(site.mims[0], **more), site.mims[1]))
    layout, events = SiteLayout(site), EventLog(VirtualClock(START))
    device = Device(MimMap(3, commands, (), failsafe=failsafe))
    return kind(layout, [Group({"mim-rack1": device})], events), device, events, layout


def test_nobody_else_is_nothing():
    rivals, _, events, _ = setup(Rivals)
    contest = rivals.check(10.0)
    assert not contest.fresh.any()
    assert not contest.yielded.any()
    assert events.open() == ()


def test_a_device_that_counts_commands_is_insisted_on_once_for_each_foreign_write():
    rivals, device, events, _ = setup(Rivals)
    device.foreign_write = ForeignWrite("command 12 is in force", 9.5)
    assert rivals.check(10.0).fresh.tolist() == [True, False]
    device.foreign_write = None  # our command went out
    assert not rivals.check(11.0).fresh.any()
    (event,) = events.open()
    assert (event.code, event.where) == ("mim.second_master", "mim-rack1")
    assert "command 12 is in force; our setpoints are written again" in event.text
    assert not rivals.check(69.0).yielded.any()
    assert events.open() != ()
    rivals.check(70.0)
    assert events.open() == ()


def test_yielding_lasts_until_nobody_else_has_written_for_a_while():
    rivals, device, events, _ = setup(Rivals, second_master=SecondMaster.YIELD)
    device.foreign_write = ForeignWrite("it reads 5", 100.0)
    contest = rivals.check(101.0)
    assert contest.yielded.tolist() == [True, False]
    assert not contest.fresh.any()
    device.foreign_write = ForeignWrite("it reads 6", 200.0)
    assert rivals.check(201.0).yielded[0]
    assert rivals.check(200.0 + YIELD_S - 1).yielded[0]
    assert "left alone" in events.open()[0].text
    assert not rivals.check(200.0 + YIELD_S).yielded[0]
    assert events.open() == ()


def test_without_a_rule_a_device_that_counts_nothing_is_yielded_at_the_second_value():
    rivals, device, _, _ = setup(Rivals, commands=())
    device.foreign_write = ForeignWrite("it reads 5", 100.0, (5.0,))
    first = rivals.check(101.0)
    assert (first.fresh[0], first.yielded[0]) == (True, False)
    device.foreign_write = None  # ours was written again
    rivals.check(102.0)
    device.foreign_write = ForeignWrite("it reads 7", 103.0, (7.0,))
    second = rivals.check(104.0)
    assert (second.fresh[0], second.yielded[0]) == (False, True)
    insisting, device, _, _ = setup(Rivals, commands=(), second_master=SecondMaster.INSIST)
    for value in (5.0, 7.0):
        device.foreign_write = ForeignWrite(f"it reads {value}", 95.0 + value, (value,))
        assert insisting.check(96.0 + value).fresh[0]


def test_a_device_that_falls_back_to_a_value_of_its_own_is_no_second_master():
    rivals, device, _, _ = setup(Rivals, commands=())
    for seen_s in (100.0, 150.0, 200.0):
        device.foreign_write = ForeignWrite("it reads 5", seen_s, (5.0,))
        contest = rivals.check(seen_s + 1)
        assert (contest.fresh[0], contest.yielded[0]) == (True, False)


def test_a_value_that_was_found_long_ago_is_forgotten():
    rivals, device, _, _ = setup(Rivals, commands=())
    device.foreign_write = ForeignWrite("it reads 5", 100.0, (5.0,))
    rivals.check(101.0)
    device.foreign_write = ForeignWrite("it reads 7", 100.0 + YIELD_S, (7.0,))
    assert rivals.check(101.0 + YIELD_S).fresh[0]


def test_where_our_write_was_the_last_one_the_device_is_not_left():
    rivals, device, _, _ = setup(Rivals, second_master=SecondMaster.YIELD)
    device.foreign_write = ForeignWrite("command 12 is in force", 100.0)
    assert rivals.check(101.0).yielded[0]
    device.foreign_write = None
    assert not rivals.check(102.0).yielded[0]


def test_a_device_without_a_failsafe_has_a_share_of_its_rating_and_an_event():
    authorities, _, events, _ = setup(Authorities, failsafe=Failsafe.NONE)
    assert authorities.shares().tolist() == [UNSAFE_AUTHORITY, 1.0]
    (event,) = events.open()
    assert (event.code, event.where) == ("mim.no_failsafe", "mim-rack1")
    assert "25%" in event.text


def test_the_site_file_may_accept_more_or_ask_for_less():
    accepted, _, events, _ = setup(Authorities, failsafe=Failsafe.NONE, authority=0.8)
    assert accepted.shares().tolist() == [0.8, 1.0]
    assert len(events.open()) == 1
    cautious, _, events, _ = setup(Authorities, authority=0.5)
    assert cautious.shares().tolist() == [0.5, 1.0]
    assert events.open() == ()


def test_shares_and_rivals_become_bounds_with_their_reasons():
    _, _, _, layout = setup(Rivals)
    maker = BoundsMaker(layout, "z")
    yes = np.ones(2, dtype=bool)
    bounds = maker.bounds(
        START, np.zeros(6), 1.0, obeying=yes, reported=yes, yielded=np.array([False, True]), authority=np.array([0.25, 1.0])
    )
    assert bounds.port_s_max_va.tolist() == [500.0] * 3 + [2000.0] * 3
    assert bounds.mim_enabled.tolist() == [True, False]
    assert bounds.mim_release.tolist() == [False, False]  # not even given back
    assert {(r.where, r.reason.code) for r in bounds.restrictions} == {
        ("mim-rack1", "mim.authority"),
        ("mim-rack2", "mim.second_master"),
    }
