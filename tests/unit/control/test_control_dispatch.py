"""Writing: only what a SafePlan says, bounded in time, and what is not known to be written does not count as written."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from tests.builders import START, rack_site

from mimctl.control.dispatch import Dispatcher
from mimctl.model.clock import SystemClock, VirtualClock
from mimctl.model.errors import LinkTimeout, WriteHeld
from mimctl.model.latency import TYPICAL, LatencyClass
from mimctl.model.layout import SiteLayout
from mimctl.model.plan import Judgement, SafePlan, Verdict
from mimctl.model.points import PointSpec, PointType
from mimctl.model.protocols import HeldSetpoint, MimCommand
from mimctl.model.reason import Reason
from mimctl.model.sample import Sample
from mimctl.model.setpoints import CommandPoint, Failsafe, MimMap, Role
from mimctl.model.site import ExpiryAction


@dataclass
class RecordingMim:
    device: str
    written: list[object] = field(default_factory=list)
    fails: bool = False
    hangs: bool = False

    holds: HeldSetpoint | None = None
    keeps: HeldSetpoint | None = None
    held_back: WriteHeld | None = None

    async def read(self) -> Sample:
        raise NotImplementedError

    def held(self) -> HeldSetpoint | None:
        return self.holds

    async def _take(self, what: object) -> None:
        if self.hangs:
            await asyncio.sleep(3600)
        if self.held_back is not None and isinstance(what, MimCommand):
            raise self.held_back
        if self.fails:
            raise LinkTimeout(self.device, "no answer")
        self.written.append(what)

    async def apply(self, command: MimCommand) -> HeldSetpoint:
        await self._take(command)
        return self.keeps or HeldSetpoint(command.inject_w, command.inject_var)

    async def refresh(self) -> None:
        await self._take("refresh")

    async def release(self, reason: Reason) -> None:
        await self._take("release")


@dataclass
class Group:
    link: str
    drivers: dict[str, RecordingMim]

    async def open(self) -> None: ...

    async def close(self) -> None: ...


def plan(send=(), refresh=(), release=(), watts=100.0, judgements=()) -> SafePlan:
    def chosen(which) -> np.ndarray:
        return np.array([m in which for m in range(2)])

    return SafePlan(np.full(6, watts), np.zeros(6), chosen(send), chosen(refresh), chosen(release), tuple(judgements), 0.0)


def dispatcher(clock=None, *, split: bool = False, dry_run: bool = False):
    site = rack_site()
    mims = [RecordingMim("mim-rack1"), RecordingMim("mim-rack2")]
    groups = [Group(f"l{i}", {m.device: m}) for i, m in enumerate(mims)] if split else [Group("l", {m.device: m for m in mims})]
    clock = clock or VirtualClock(START)
    return Dispatcher(SiteLayout(site), groups, clock, dry_run=dry_run), mims, clock


async def test_a_setpoint_reaches_its_device_with_its_validity():
    dispatch, mims, _ = dispatcher()
    outcomes = await dispatch.send(plan(send=[1]), 1.0)
    assert mims[0].written == []
    (command,) = mims[1].written
    assert command.inject_w == (100.0, 100.0, 100.0)
    assert command.validity_s == 10.0
    assert [(o.mim, o.kind, o.error) for o in outcomes] == [("mim-rack2", "setpoint", None)]
    assert dispatch.held.in_force.tolist() == [False, True]
    np.testing.assert_array_equal(dispatch.held.setpoint_va, [0, 0, 0, 100, 100, 100])


@pytest.mark.parametrize(("at_a_time", "second"), [(1, False), (2, True)])
async def test_on_a_wide_link_a_device_that_hangs_holds_nobody_up(at_a_time, second):
    mims = [RecordingMim("mim-rack1", hangs=True), RecordingMim("mim-rack2")]
    clock, group = SystemClock(), Group("zb", {m.device: m for m in mims})
    group.at_a_time = at_a_time
    dispatch = Dispatcher(SiteLayout(rack_site()), [group], clock)
    await dispatch.send(plan(send=[0, 1]), clock.monotonic_s() + 0.05)
    assert dispatch.held.in_force.tolist() == [False, second]


async def test_only_devices_that_hold_a_setpoint_are_refreshed_or_released():
    dispatch, mims, _ = dispatcher()
    assert await dispatch.send(plan(refresh=[0, 1]), 1.0) == ()
    assert await dispatch.send(plan(release=[0, 1]), 1.0) == ()
    await dispatch.send(plan(send=[0]), 1.0)
    await dispatch.send(plan(refresh=[0, 1]), 1.0)
    await dispatch.send(plan(release=[0, 1]), 1.0)
    assert [w if isinstance(w, str) else "setpoint" for w in mims[0].written] == ["setpoint", "refresh", "release"]
    assert mims[1].written == []
    assert not dispatch.held.in_force.any()
    assert not dispatch.held.setpoint_va.any()


async def test_dry_run_writes_nothing_and_says_so():
    dispatch, mims, _ = dispatcher(dry_run=True)
    outcomes = await dispatch.send(plan(send=[0, 1]), 1.0)
    assert all(o.skipped and o.error is None for o in outcomes)
    assert len(outcomes) == 2
    assert not any(m.written for m in mims)
    assert not dispatch.held.in_force.any()


async def test_a_failed_write_leaves_the_old_setpoint_known_and_the_others_written():
    dispatch, mims, _ = dispatcher()
    mims[0].fails = True
    outcomes = {o.mim: o.error for o in await dispatch.send(plan(send=[0, 1]), 1.0)}
    assert outcomes == {"mim-rack1": "no answer", "mim-rack2": None}
    np.testing.assert_array_equal(dispatch.held.setpoint_va, [0, 0, 0, 100, 100, 100])


async def test_a_device_that_hangs_ends_at_the_deadline_and_does_not_stop_other_links():
    dispatch, mims, clock = dispatcher(SystemClock(), split=True)
    mims[0].hangs = True
    outcomes = {o.mim: o.error for o in await dispatch.send(plan(send=[0, 1]), clock.monotonic_s() + 0.05)}
    assert outcomes == {"mim-rack1": "not written in time", "mim-rack2": None}
    assert dispatch.held.in_force.tolist() == [False, True]


async def test_a_device_that_may_hold_an_unconfirmed_setpoint_is_told_anew_and_released_in_the_end():
    """The write timed out, but may have arrived: a heartbeat would keep it alive, and a stop must not pass it over."""
    dispatch, mims, _ = dispatcher()
    mims[0].fails = True
    await dispatch.send(plan(send=[0]), 1.0)
    mims[0].fails = False
    outcomes = await dispatch.send(plan(refresh=[0], watts=0.0), 1.0)
    assert [(o.kind, o.error) for o in outcomes] == [("setpoint", None)]
    assert mims[0].written[0].inject_w == (0.0, 0.0, 0.0)
    mims[1].fails = True
    await dispatch.send(plan(send=[1]), 1.0)
    mims[1].fails = False
    await dispatch.send(plan(release=[0, 1]), 1.0)
    assert mims[1].written == ["release"]


async def test_a_device_not_reached_for_its_validity_holds_nothing_of_ours():
    dispatch, _, clock = dispatcher()
    await dispatch.send(plan(send=[0]), 1.0)
    clock.advance_to(9.0)
    dispatch.held.expire(clock.monotonic_s())
    assert dispatch.held.in_force[0]
    clock.advance_to(10.5)
    dispatch.held.expire(clock.monotonic_s())
    assert not dispatch.held.in_force[0]
    assert not dispatch.held.setpoint_va.any()


@dataclass
class MappedMim(RecordingMim):
    """A device that tells how it is commanded."""

    mim_map: MimMap | None = None
    foreign_write: None = None


async def silent(mim_map, *, after_s, **site_says):
    """A dispatcher whose first device was told 100 W per port at 0 s and was not heard of since."""
    site, clock = rack_site(), VirtualClock(START)
    site = replace(site, mims=tuple(replace(mim, **site_says) for mim in site.mims))
    device = MappedMim("mim-rack1", mim_map=mim_map)
    dispatch = Dispatcher(SiteLayout(site), [Group("l", {"mim-rack1": device})], clock)
    await dispatch.send(plan(send=[0]), 1.0)
    clock.advance_to(after_s)
    dispatch.held.expire(clock.monotonic_s())
    return dispatch, device


async def test_the_time_that_a_command_takes_comes_before_its_validity():
    """10 s of validity begin 30 s after the write: at 35 s the device may well inject, and a stop has to end that."""
    said = {"latency": TYPICAL[LatencyClass.SLOW], "validity_s": 10.0}
    dispatch, device = await silent(None, after_s=35.0, **said)
    assert dispatch.held.in_force[0]
    assert dispatch.held.in_force_va(39.0)[0] == 100
    await dispatch.send(plan(release=[0]), 36.0)
    assert device.written[-1] == "release"
    dispatch, _ = await silent(None, after_s=41.0, **said)
    assert not dispatch.held.in_force[0]


async def test_what_may_have_come_of_a_write_that_nobody_answered_is_not_known_for_sure():
    """100 W in force at 0 s, 400 W on the way at 5 s: either may be held, until the validity of the later one is over."""
    dispatch, mims, clock = dispatcher()
    await dispatch.send(plan(send=[0, 1]), 1.0)
    clock.advance_to(5.0)
    mims[0].fails = True
    await dispatch.send(plan(send=[0], watts=400.0), 6.0)
    assert dispatch.held.in_force_va(6.0).tolist() == [100] * 6
    assert np.isnan(dispatch.held.in_force_va(6.0, sure=True)[:3]).all()
    assert dispatch.held.in_force_va(6.0, sure=True)[3:].tolist() == [100] * 3
    # the 100 W have run out at 10 s, the 400 W would at 15 s
    assert np.isnan(dispatch.held.in_force_va(14.9, sure=True)[:3]).all()
    assert dispatch.held.in_force_va(15.1, sure=True).tolist() == [0] * 6


async def test_a_device_without_a_failsafe_holds_its_setpoint_for_ever_and_is_released_in_the_end():
    dispatch, device = await silent(MimMap(3, (), ()), after_s=86400.0)
    assert dispatch.held.in_force[0]
    assert dispatch.held.setpoint_va[:3].tolist() == [100, 100, 100]
    await dispatch.send(plan(release=[0]), 86401.0)
    assert device.written[-1] == "release"


async def test_a_setpoint_that_may_have_arrived_at_a_device_without_a_failsafe_is_never_forgotten():
    dispatch, device = await silent(MimMap(3, (), ()), after_s=1.0)
    await dispatch.send(plan(release=[0]), 2.0)
    device.fails = True
    await dispatch.send(plan(send=[0]), 2.0)
    dispatch.held.expire(86400.0)
    device.fails = False
    await dispatch.send(plan(release=[0]), 86401.0)
    assert device.written[1:] == ["release", "release"]


TIMER = CommandPoint(PointSpec("validity", 2, PointType.UINT16, writable=True), Role.VALIDITY)


@pytest.mark.parametrize(
    ("after_s", "waits_s", "commands", "holds"),
    [
        (4.0, 4.0, (), True),
        (4.1, 4.0, (), False),
        (29.9, 30.0, (), True),  # nobody can tell it to wait less
        (30.1, 30.0, (), False),
        (4.1, 4.0, (TIMER,), False),
        (10.1, 30.0, (TIMER,), False),
    ],
)
async def test_a_device_with_a_time_of_its_own_ends_at_that_time(after_s, waits_s, commands, holds):
    told = MimMap(3, commands, (), failsafe=Failsafe.HEARTBEAT, failsafe_s=waits_s, silent_action=ExpiryAction.ZERO)
    dispatch, _ = await silent(told, after_s=after_s)  # its validity is 10 s
    assert dispatch.held.in_force[0] == holds
    assert dispatch.held.setpoint_va[0] == (100 if holds else 0)


@pytest.mark.parametrize("action", [None, ExpiryAction.REVERT])
async def test_what_a_device_does_of_its_own_in_silence_is_not_taken_for_zero(action):
    told = MimMap(3, (), (), failsafe=Failsafe.REPEAT, failsafe_s=60.0, silent_action=action)
    dispatch, device = await silent(told, after_s=60.1, expiry_action=ExpiryAction.ZERO)
    assert np.isnan(dispatch.held.setpoint_va[:3]).all()
    await dispatch.send(plan(release=[0]), 61.0)
    assert device.written[-1] == "release"


@pytest.mark.parametrize("action", [ExpiryAction.ZERO, ExpiryAction.DISCONNECT])
async def test_a_device_that_takes_an_expiry_action_does_what_the_site_file_says(action):
    register = PointSpec("expiry_action", 1, PointType.UINT16, writable=True)
    commands = (CommandPoint(register, Role.EXPIRY, expiry_codes=((action, 1),)),)
    told = MimMap(3, commands, (), failsafe=Failsafe.REVERSION)
    dispatch, _ = await silent(told, after_s=10.1, expiry_action=action)
    assert not dispatch.held.in_force[0]
    assert not dispatch.held.setpoint_va.any()


@pytest.mark.parametrize(
    ("failsafe", "action", "told"),
    [
        (Failsafe.NONE, None, {"mim-rack1"}),
        (Failsafe.REPEAT, ExpiryAction.ZERO, set()),
        (Failsafe.REPEAT, ExpiryAction.HOLD, {"mim-rack1"}),
    ],
)
async def test_who_keeps_its_setpoint_for_ever_in_silence_is_known(failsafe, action, told):
    dispatch, _ = await silent(MimMap(3, (), (), failsafe=failsafe, silent_action=action), after_s=1.0)
    assert dispatch.held.endless() == told


async def test_the_reason_of_a_clamp_goes_with_the_write():
    dispatch, mims, _ = dispatcher()
    reason = Reason("limit.port_rating", "scaled to 2000 VA")
    await dispatch.send(plan(send=[0], judgements=[Judgement("mim-rack1", Verdict.SCALED, reason)]), 1.0)
    assert mims[0].written[0].reason is reason


def test_the_dispatcher_takes_nothing_but_a_safe_plan():
    hints = inspect.get_annotations(Dispatcher.send, eval_str=True)
    assert hints["plan"] is SafePlan
    public = {n for n, f in inspect.getmembers(Dispatcher, inspect.isfunction) if inspect.iscoroutinefunction(f) and n[0] != "_"}
    assert public == {"send"}, "one door only"


async def test_nothing_is_written_once_the_deadline_has_passed():
    """A process that was stopped between its plan and its writes must not go on with what it wanted then."""
    dispatch, mims, clock = dispatcher()
    clock.advance_to(3600.0)
    outcomes = await dispatch.send(plan(send=[0, 1]), 1.0)
    assert [o.error for o in outcomes] == ["not written in time"] * 2
    assert not any(m.written for m in mims)


async def test_a_stall_between_two_writes_of_a_link_ends_the_plan():
    dispatch, mims, clock = dispatcher()

    async def take(what: object) -> None:
        clock.advance_to(3600.0)
        mims[0].written.append(what)

    mims[0]._take = take
    outcomes = {o.mim: o.error for o in await dispatch.send(plan(send=[0, 1]), 1.0)}
    assert outcomes == {"mim-rack1": None, "mim-rack2": "not written in time"}
    assert mims[1].written == []


async def test_a_validity_counts_in_whole_seconds_as_in_the_device():
    site = rack_site()
    site = replace(site, mims=tuple(replace(mim, validity_s=3.9) for mim in site.mims))
    mim, clock = RecordingMim("mim-rack1"), VirtualClock(START)
    dispatch = Dispatcher(SiteLayout(site), [Group("l", {"mim-rack1": mim})], clock)
    await dispatch.send(plan(send=[0]), 1.0)
    clock.advance_to(3.0)
    dispatch.held.expire(clock.monotonic_s())
    assert dispatch.held.in_force[0]
    clock.advance_to(3.1)
    dispatch.held.expire(clock.monotonic_s())
    assert not dispatch.held.in_force[0]


async def test_what_a_device_keeps_instead_of_a_small_change_is_what_counts():
    dispatch, mims, clock = dispatcher()
    await dispatch.send(plan(send=[0]), 1.0)
    clock.advance_to(0.5)
    mims[0].keeps = HeldSetpoint((100.0,) * 3, (0.0,) * 3, kept=True)
    await dispatch.send(plan(send=[0], watts=104.0), 1.0)
    assert dispatch.held.setpoint_va[:3].tolist() == [100, 100, 100]
    assert (dispatch.held.changed_at_s[0], dispatch.held.written_at_s[0]) == (0.0, 0.5)


async def test_a_command_that_is_held_back_leaves_what_stood_before_alive():
    dispatch, mims, clock = dispatcher()
    await dispatch.send(plan(send=[0]), 1.0)
    mims[0].held_back = WriteHeld("mim-rack1", "49 of 50 are spent", kept_alive=True)
    for n in range(1, 30):
        clock.advance_to(float(n))
        (outcome,) = await dispatch.send(plan(send=[0], watts=300.0), n + 1.0)
        dispatch.held.expire(float(n))
    assert (outcome.held, outcome.error) == ("budget", "49 of 50 are spent")
    assert dispatch.held.in_force[0]  # 29 s after a command that is good for 10
    assert dispatch.held.setpoint_va[:3].tolist() == [100, 100, 100]
    assert [(o.kind, o.error) for o in await dispatch.send(plan(refresh=[0]), 40.0)] == [("refresh", None)]


async def test_a_command_held_back_before_any_was_written_leaves_nothing_in_force():
    dispatch, mims, _ = dispatcher()
    mims[0].held_back = WriteHeld("mim-rack1", "too soon", passing=True)
    (outcome,) = await dispatch.send(plan(send=[0]), 1.0)
    assert outcome.held == "soon"
    assert not dispatch.held.in_force[0]
    assert dispatch.held.written_at_s[0] == -np.inf
