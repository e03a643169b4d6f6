"""A release that only a later echo proves: until then the device may hold what it held, and is told again at the medium's pace."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from tests.builders import START, rack_site

from mimctl.control.dispatch import Dispatcher
from mimctl.control.events import EventLog
from mimctl.control.zone import build_zone
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import LinkTimeout
from mimctl.model.latency import Latency, LatencyClass
from mimctl.model.layout import SiteLayout
from mimctl.model.plan import SafePlan
from mimctl.model.protocols import HeldSetpoint, MimCommand
from mimctl.model.reason import Reason
from mimctl.model.sample import Sample

NOBODY, EVERYBODY = np.zeros(2, dtype=bool), np.ones(2, dtype=bool)
SEND = SafePlan(np.full(6, 100.0), np.zeros(6), EVERYBODY, NOBODY, NOBODY, (), 0.0)
RELEASE = SafePlan(np.zeros(6), np.zeros(6), NOBODY, NOBODY, EVERYBODY, (), 0.0)
#: a setpoint in thirty seconds, valid for two minutes: with the 2 s of the way it is over 122 s after it was told
PACE_S, DELAY_S, VALIDITY_S = 30.0, 2.0, 120.0
RACKS = rack_site()
LATE = Latency(LatencyClass.SLOW, delay_s=DELAY_S, command_every_s=PACE_S, report_every_s=PACE_S)
SITE = replace(RACKS, mims=tuple(replace(mim, latency=LATE, validity_s=VALIDITY_S) for mim in RACKS.mims))


@dataclass
class Wired:
    """Proves what it is told by its answer."""

    device: str
    written: list[str] = field(default_factory=list)
    deaf: bool = False

    async def read(self) -> Sample:
        raise NotImplementedError

    def held(self) -> HeldSetpoint | None:
        return None

    async def apply(self, command: MimCommand) -> HeldSetpoint:
        self.written.append("setpoint")
        return HeldSetpoint(command.inject_w, command.inject_var)

    async def refresh(self) -> None:
        raise NotImplementedError

    async def release(self, reason: Reason) -> None:
        if self.deaf:
            raise LinkTimeout(self.device, "not in the queue")
        self.written.append("release")


@dataclass
class Radio(Wired):
    """Echoes later."""

    release_proven: bool = False


@dataclass
class Group:
    link: str
    drivers: dict[str, Wired]

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class Bench:
    def __init__(self) -> None:
        self.clock = VirtualClock(START)
        self.radio, self.wired = Radio("mim-rack1"), Wired("mim-rack2")
        group = Group("l", {"mim-rack1": self.radio, "mim-rack2": self.wired})
        self.dispatch = Dispatcher(SiteLayout(SITE), [group], self.clock)
        self.held = self.dispatch.held

    async def at(self, instant_s: float, plan: SafePlan) -> None:
        """One cycle at an instant after the first [s]."""
        await self.clock.sleep_until(instant_s)
        self.held.expire(self.clock.monotonic_s())
        await self.dispatch.send(plan, 1e6)


async def told_to_let_go() -> Bench:
    bench = Bench()
    await bench.at(0.0, SEND)
    await bench.at(10.0, RELEASE)
    return bench


async def test_until_it_is_echoed_it_is_not_known_what_the_device_holds():
    bench = await told_to_let_go()
    assert bench.held.unproven.names() == ("mim-rack1",)
    assert np.isnan(bench.held.setpoint_va[:3]).all()
    assert np.isnan(bench.held.in_force_va(11.0, sure=True)[:3]).all()
    assert bench.held.setpoint_va[3:].tolist() == [0] * 3
    bench.radio.release_proven = True
    bench.held.look_for_proof(12.0)
    assert bench.held.unproven.names() == ()
    assert bench.held.setpoint_va.tolist() == [0] * 6
    await bench.at(60.0, RELEASE)
    assert bench.radio.written == ["setpoint", "release"]


async def test_it_is_sent_again_as_often_as_the_medium_carries_one():
    bench = await told_to_let_go()
    for instant_s in range(11, 100):
        await bench.at(float(instant_s), RELEASE)
    assert bench.radio.written == ["setpoint", *["release"] * 3]  # at 10, 40 and 70 s
    assert bench.wired.written == ["setpoint", "release"]


async def test_that_it_is_sent_again_makes_the_validity_of_the_setpoint_no_longer():
    bench = await told_to_let_go()
    for instant_s in range(11, 123):
        await bench.at(float(instant_s), RELEASE)
    assert bench.held.unproven.names() == ("mim-rack1",)
    await bench.at(122.5, RELEASE)
    assert bench.held.unproven.names() == ()
    assert bench.held.setpoint_va.tolist() == [0] * 6
    sent = len(bench.radio.written)
    await bench.at(300.0, RELEASE)
    assert len(bench.radio.written) == sent


async def test_one_that_cannot_be_sent_again_leaves_the_first_on_its_way():
    bench = await told_to_let_go()
    bench.radio.deaf = True
    await bench.at(50.0, RELEASE)
    assert bench.held.unproven.names() == ("mim-rack1",)
    await bench.at(122.5, RELEASE)
    assert bench.held.unproven.names() == ()
    assert bench.held.setpoint_va.tolist() == [0] * 6


async def test_it_is_late_where_its_medium_would_have_brought_the_echo_by_then():
    bench = await told_to_let_go()
    assert bench.held.unproven.overdue(15.0) == ()
    assert bench.held.unproven.overdue(15.5) == ("mim-rack1",)
    await bench.at(40.0, RELEASE)  # again; the first one is as late as before
    assert bench.held.unproven.overdue(40.5) == ("mim-rack1",)


async def test_a_new_setpoint_takes_its_place():
    bench = await told_to_let_go()
    await bench.at(11.0, SEND)
    assert bench.held.unproven.names() == ()
    assert bench.held.in_force.tolist() == [True, True]
    await bench.at(12.0, RELEASE)
    assert bench.radio.written == ["setpoint", "release", "setpoint", "release"]


async def test_one_that_belongs_to_somebody_else_is_told_nothing_more():
    bench = await told_to_let_go()
    bench.held.let_go(np.array([True, False]))
    await bench.at(60.0, RELEASE)
    assert bench.radio.written == ["setpoint", "release"]


async def stopped_with(*, echo: bool) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """Who an orderly stop names as not released, and the events of it, where one MIM holds a setpoint and one has let go."""
    clock = VirtualClock(START)
    radio, wired = Radio("mim-rack1", release_proven=echo), Wired("mim-rack2")
    events = EventLog(clock)
    zone = build_zone(SITE, SITE.zones[0], [Group("l", {"mim-rack1": radio, "mim-rack2": wired})], clock, events)
    await zone.cycle.dispatcher.send(SEND, 1e6)
    left = await zone.stop()
    assert radio.written == wired.written == ["setpoint", "release"]
    return left, [(event.code, event.where) for event in events.recent()]


async def test_an_orderly_stop_names_whom_it_only_believes_to_have_released():
    assert await stopped_with(echo=False) == (("mim-rack1",), [("mim.release_unproven", "mim-rack1")])
    assert await stopped_with(echo=True) == ((), [])
