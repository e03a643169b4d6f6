"""The dispatcher under an emergency stop: nothing but releases begins, and what nobody can vouch for is released too."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np
from tests.builders import START, rack_site, state_of

from mimctl.control.dispatch import Dispatcher
from mimctl.model.clock import SystemClock, VirtualClock
from mimctl.model.layout import SiteLayout
from mimctl.model.plan import SafePlan
from mimctl.model.protocols import HeldSetpoint, MimCommand
from mimctl.model.reason import Reason
from mimctl.model.sample import Sample

SITE = rack_site()
EVERYBODY, NOBODY = np.ones(2, dtype=bool), np.zeros(2, dtype=bool)
SEND = SafePlan(np.full(6, 100.0), np.zeros(6), EVERYBODY, NOBODY, NOBODY, (), 0.0)
REFRESH = SafePlan(np.full(6, 100.0), np.zeros(6), NOBODY, EVERYBODY, NOBODY, (), 0.0)
RELEASE = SafePlan(np.zeros(6), np.zeros(6), NOBODY, NOBODY, EVERYBODY, (), 0.0)
HELD = HeldSetpoint((50.0, 0.0, 0.0), (0.0, 0.0, 0.0))


@dataclass
class Slow:
    """Takes a command when it is told to go on."""

    device: str
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    written: list[str] = field(default_factory=list)
    holds: HeldSetpoint | None = None

    async def read(self) -> Sample:
        raise NotImplementedError

    def held(self) -> HeldSetpoint | None:
        return self.holds

    async def apply(self, command: MimCommand) -> HeldSetpoint:
        self.begun.set()
        await self.go_on.wait()
        self.written.append("setpoint")
        return HeldSetpoint(command.inject_w, command.inject_var)

    async def refresh(self) -> None:
        self.written.append("refresh")

    async def release(self, reason: Reason) -> None:
        self.written.append("release")


@dataclass
class Group:
    link: str
    drivers: dict[str, Slow]

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class Bench:
    def __init__(self, clock=None) -> None:
        self.stopped = False
        self.mims = [Slow("mim-rack1"), Slow("mim-rack2")]
        group = Group("l", {mim.device: mim for mim in self.mims})
        self.dispatch = Dispatcher(SiteLayout(SITE), [group], clock or VirtualClock(START), stopped=lambda: self.stopped)


async def test_a_stop_in_the_middle_of_a_plan_lets_the_write_under_way_end_and_no_other_begin():
    bench = Bench(SystemClock())
    first, second = bench.mims
    sending = asyncio.create_task(bench.dispatch.send(SEND, SystemClock().monotonic_s() + 30))
    await first.begun.wait()
    bench.stopped = True
    first.go_on.set()
    outcomes = {o.mim: o.error for o in await sending}
    assert (first.written, second.written) == (["setpoint"], [])
    assert outcomes == {"mim-rack1": None, "mim-rack2": "emergency stop: nothing but releases is written"}
    await bench.dispatch.send(RELEASE, SystemClock().monotonic_s() + 30)
    assert first.written == ["setpoint", "release"]
    assert not bench.dispatch.held.in_force.any()


async def test_no_heartbeat_is_written():
    bench = Bench()
    for mim in bench.mims:
        mim.go_on.set()
    await bench.dispatch.send(SEND, 10.0)
    bench.stopped = True
    await bench.dispatch.send(REFRESH, 10.0)
    assert [mim.written for mim in bench.mims] == [["setpoint"], ["setpoint"]]


async def found_holding(*, stopped: bool, watchdog_s: float) -> list[list[str]]:
    """What is written when the first device is found to hold a setpoint after a restart, and everybody is to be released."""
    bench = Bench()
    bench.stopped = stopped
    bench.mims[0].holds = HELD
    state = state_of(SITE, np.zeros((4, 3)))
    state.mims.watchdog_remaining_s.flags.writeable = True
    state.mims.watchdog_remaining_s[:] = watchdog_s
    bench.dispatch.held.adopt(state)
    await bench.dispatch.send(RELEASE, 1e6)
    return [mim.written for mim in bench.mims]


async def test_a_setpoint_without_an_end_is_released_by_a_stop_that_is_called_later():
    """Nothing was ever written to it, as where its meter was dead all the time; a stop leaves nobody injecting all the same."""
    bench = Bench()
    bench.mims[0].holds = HELD
    state = state_of(SITE, np.zeros((4, 3)))
    state.mims.watchdog_remaining_s.flags.writeable = True
    state.mims.watchdog_remaining_s[:] = np.nan
    bench.dispatch.held.adopt(state)
    await bench.dispatch.send(RELEASE, 1e6)
    assert bench.mims[0].written == []
    bench.stopped = True
    bench.dispatch.held.expire(1e5)
    await bench.dispatch.send(RELEASE, 1e6)
    await bench.dispatch.send(RELEASE, 1e6)
    assert [mim.written for mim in bench.mims] == [["release"], []]


async def test_a_setpoint_without_an_end_is_released_under_released_under_a_stop_and_left_alone_otherwise():
    assert await found_holding(stopped=True, watchdog_s=np.nan) == [["release"], []]
    assert await found_holding(stopped=False, watchdog_s=np.nan) == [[], []]
    assert await found_holding(stopped=True, watchdog_s=5.0) == [["release"], []]
