"""A second master and devices without a failsafe: what control makes of what the devices tell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from tests.builders import START, rack_site

from mimctl.control.commanded import INSIST_TIMES, INSIST_WITHIN_S, UNSAFE_AUTHORITY, YIELD_S, Authorities, Rivals
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


def losing(rivals, device, seconds, *, sure=True, reads=(), in_force=None):
    """Our command lost at each of these instants, and found lost 1 s later: (fresh, yielded) of each."""
    seen = []
    for seen_s in seconds:
        device.foreign_write = ForeignWrite("it reads 5", seen_s, reads, sure=sure, idle=not sure)
        contest = rivals.check(seen_s + 1, in_force)
        seen.append((bool(contest.fresh[0]), bool(contest.yielded[0])))
        if contest.fresh[0]:
            device.foreign_write = None  # ours is written again
    return seen


INSISTED, LEFT = (True, False), (False, True)


@pytest.mark.parametrize(
    ("sure", "reads", "commands", "rule"),
    [
        (True, (), COUNTED, None),  # a number that counts on from ours
        (True, (), COUNTED, SecondMaster.INSIST),
        (True, (5.0,), (), SecondMaster.INSIST),  # always the same value
        (True, (5.0,), (), None),
        (False, (0.0,), (), SecondMaster.INSIST),  # always zero
        (False, (0.0,), (), SecondMaster.YIELD),
        (False, (0.0,), (), None),
        (False, (0.0,), COUNTED, None),  # switched off
    ],
)
def test_nobody_is_insisted_on_for_good(sure, reads, commands, rule):
    rivals, device, events, _ = setup(Rivals, commands=commands, second_master=rule)
    every_2_s = np.arange(100.0, 114.0, 2.0).tolist()
    assert losing(rivals, device, every_2_s[:6], sure=sure, reads=reads) == [INSISTED] * INSIST_TIMES + [LEFT]
    (event,) = events.open()
    assert event.code == "mim.second_master"
    assert "it reads 5; left alone until nobody else has written for 300 s" in event.text
    assert rivals.check(110.0 + YIELD_S - 1).yielded[0]
    assert not rivals.check(110.0 + YIELD_S).yielded[0]


def test_each_time_the_mim_is_left_alone_for_longer_up_to_an_hour():
    rivals, device, _, _ = setup(Rivals, commands=(), second_master=SecondMaster.INSIST)
    losing(rivals, device, [100.0, 102.0, 104.0, 106.0, 108.0], sure=False, reads=(0.0,))
    now_s, pauses = 110.0, []
    for _ in range(6):
        assert losing(rivals, device, [now_s], sure=False, reads=(0.0,)) == [LEFT]
        start_s = now_s
        while rivals.check(now_s).yielded[0]:
            now_s += 10.0
        pauses.append(now_s - start_s)
        device.foreign_write = None  # ours is tried again, and lost again 5 s later
        rivals.check(now_s)
        now_s += 5.0
    assert pauses == [300, 600, 1200, 2400, 3600, 3600]


def test_a_contest_that_has_been_over_for_an_hour_is_forgotten():
    rivals, device, _, _ = setup(Rivals)
    losing(rivals, device, np.arange(100.0, 112.0, 2.0).tolist())
    device.foreign_write = None
    later_s = 111.0 + YIELD_S + 3600.0
    rivals.check(later_s)
    assert losing(rivals, device, [later_s + 1]) == [INSISTED]


def test_losses_far_apart_are_insisted_on():
    rivals, device, _, _ = setup(Rivals)
    assert losing(rivals, device, np.arange(100.0, 3000.0, INSIST_WITHIN_S / INSIST_TIMES).tolist()) == [INSISTED] * 25


def test_a_device_that_falls_back_while_it_is_left_alone_is_not_insisted_on_and_does_not_prolong_it():
    rivals, device, _, _ = setup(Rivals, second_master=SecondMaster.YIELD)
    device.foreign_write = ForeignWrite("command 12 is in force", 100.0)
    assert rivals.check(101.0).yielded[0]
    device.foreign_write = ForeignWrite("found switched off", 200.0, (0.0,), sure=False, idle=True)
    contest = rivals.check(201.0)
    assert (contest.fresh[0], contest.yielded[0]) == LEFT
    assert not rivals.check(100.0 + YIELD_S).yielded[0]
    assert not rivals.check(101.0 + YIELD_S).yielded[0]


def test_what_ran_out_by_itself_was_not_taken_back():
    rivals, device, events, _ = setup(Rivals)
    nothing = np.zeros(2, dtype=bool)
    seen = losing(rivals, device, np.arange(100.0, 120.0, 1.0).tolist(), sure=False, reads=(0.0,), in_force=nothing)
    assert seen == [(False, False)] * 20
    assert events.open() == events.recent() == ()


def test_a_device_that_restarts_is_told_and_nobody_is_blamed():
    rivals, device, events, _ = setup(Rivals)
    assert losing(rivals, device, [100.0], sure=False, reads=(0.0,)) == [INSISTED]
    assert events.open() == ()
    (event,) = events.recent()
    assert (event.code, event.where) == ("mim.fell_back", "mim-rack1")


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
