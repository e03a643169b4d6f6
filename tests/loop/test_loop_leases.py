"""Leases and the emergency stop in the closed loop: the next cycle knows, and a stuck cycle holds nothing up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.loop.closed_loop import ClosedLoop, uneven_site

from mimctl.model.errors import UserError
from mimctl.model.lease import Cap, Lease, LeaseSource, LockOut, Pause, Setpoint
from mimctl.model.plan import SolveStatus
from mimctl.model.site import BalanceRule, Zone
from mimctl.service.lease_desk import LeaseDesk
from mimctl.service.lease_store import LeaseStore

S = LeaseSource
MIM = "mim-rack1"


async def at_work(cycles: int = 15) -> ClosedLoop:
    loop = ClosedLoop(uneven_site())
    await loop.run(cycles)
    return loop


def grant(loop: ClosedLoop, action: Any, scope: str, source: LeaseSource = S.OPERATOR, seconds: float | None = 1000.0) -> str:
    book = loop.controller.leases
    lease = book.draft(source, "ann", scope, action, seconds=seconds, reason="a test")
    book.put(lease)
    return lease.id


def judged(loop: ClosedLoop) -> set[tuple[str, str]]:
    return {(j.mim, j.reason.code) for j in loop.controller.zones[0].cycle.last.safe_plan.judgements}


async def test_a_node_that_is_locked_out_is_released_in_the_next_cycle_and_the_solve_knows():
    loop = await at_work()
    lock = grant(loop, LockOut(), "rack1", S.MAINTENANCE, None)
    await loop.run(1)
    cycle = loop.controller.zones[0].cycle
    assert cycle.dispatcher.held.in_force.tolist() == [False, True, True]
    assert loop.fleet.enabled.tolist() == [False, True, True]
    assert cycle.last.bounds.mim_enabled.tolist() == [False, True, True]
    assert "lease.lock_out" in {r.reason.code for r in cycle.last.bounds.restrictions}
    assert (MIM, "interlock.locked_out") in judged(loop)
    await loop.run(25)
    before, best = loop.without_control(), loop.best(without=[MIM])
    assert before - loop.objectives[-1] >= 0.97 * (before - best), "the others make the best of it"
    loop.controller.leases.take(lock, "ann")
    await loop.run(20)
    assert loop.fleet.enabled.all()


async def test_the_judge_holds_a_lock_out_that_the_bounds_do_not_know():
    loop = await at_work()
    cycle = loop.controller.zones[0].cycle
    grant(loop, LockOut(), MIM, S.MAINTENANCE, None)
    cycle.leases.narrow = lambda bounds, situation: bounds  # type: ignore[method-assign]
    await loop.run(1)
    assert cycle.last.bounds.mim_enabled.all()
    assert cycle.dispatcher.held.in_force.tolist() == [False, True, True]


async def test_a_paused_zone_watches_until_the_lease_has_expired():
    loop = await at_work()
    grant(loop, Pause(), "z", S.BMS, seconds=10)
    await loop.run(3)
    assert not loop.fleet.enabled.any()
    await loop.run(30)
    assert loop.fleet.enabled.all()


async def test_a_cap_holds_in_every_setpoint_and_at_a_breaker():
    loop = await at_work()
    assert np.abs(loop.setpoint_va()[:3]).max() > 400
    grant(loop, Cap(max_va=200.0), MIM, S.TENANT)
    await loop.run(3)
    assert np.abs(loop.setpoint_va()[:3]).max() <= 200.0
    assert loop.controller.zones[0].cycle.last.plan.status is not SolveStatus.FAILED


async def test_the_bms_gives_way_to_an_operator_and_has_its_turn_afterwards():
    loop = await at_work()
    grant(loop, Setpoint((300 + 0j, None, None)), MIM, S.BMS)
    await loop.run(3)
    assert loop.setpoint_va()[0] == 300
    own = grant(loop, Setpoint((-200 + 0j, None, None)), MIM)
    await loop.run(3)
    assert loop.setpoint_va()[0] == -200
    loop.controller.leases.take(own, "ann")
    await loop.run(3)
    assert loop.setpoint_va()[0] == 300


def stick(driver: Any) -> asyncio.Event:
    """Let a device never answer again; the event says that it was asked."""
    asked = asyncio.Event()

    async def read() -> None:
        asked.set()
        await asyncio.Event().wait()

    driver.read = read
    return asked


async def test_an_emergency_stop_releases_beside_a_cycle_that_waits_for_a_link_and_whatever_is_dead():
    loop = await at_work()
    cycle = loop.controller.zones[0].cycle
    cycle.period_s = 10_000.0
    asked = stick(loop.group.drivers["m-rack2"])
    loop.fleet.online[0] = False
    step = asyncio.create_task(cycle.step())
    await asked.wait()
    told = await LeaseDesk(loop.controller, loop.clock).stop_now("ann", "smoke")
    assert not step.done(), "the cycle still waits"
    assert (told["not_released"], told["endless"]) == ([MIM], [])
    assert loop.fleet.enabled.tolist() == [True, False, False]
    assert cycle.dispatcher.held.in_force.tolist() == [True, False, False]
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)


async def two_zones() -> ClosedLoop:
    site = uneven_site()
    zones = (Zone("east", ("rack1",)), Zone("west", ("rack2", "rack3")))
    loop = ClosedLoop(replace(site, zones=zones, rules=(BalanceRule("balance", ("east", "west")),)))
    await loop.run(10)
    assert loop.fleet.enabled.all()
    return loop


async def test_a_node_above_the_zones_is_locked_out_in_all_of_them():
    loop = await two_zones()
    lock = grant(loop, LockOut(), "pdu", S.MAINTENANCE, None)
    await loop.run(1)
    assert not loop.fleet.enabled.any()
    loop.controller.leases.take(lock, "ann")
    grant(loop, Pause(), "east", S.BMS)
    await loop.run(5)
    assert loop.fleet.enabled.tolist() == [False, True, True]


async def test_a_zone_that_cannot_release_keeps_no_other_from_it():
    loop = await two_zones()
    east, _ = loop.controller.zones

    def trips(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no judge")

    east.cycle.judge.release_all = trips  # type: ignore[method-assign]
    told = await LeaseDesk(loop.controller, loop.clock).stop_now("ann", "smoke")
    assert told["not_released"] == [MIM]
    assert loop.fleet.enabled.tolist() == [True, False, False]
    await loop.run(1)
    assert not loop.fleet.enabled.any(), "its next cycle releases"


async def test_a_stop_that_comes_while_a_plan_is_being_written_lets_no_setpoint_and_no_heartbeat_through():
    loop = await at_work()
    cycle = loop.controller.zones[0].cycle
    beats = [loop.group.drivers[mim.id]._heartbeat for mim in loop.site.mims]
    judge = cycle.judge.judge

    def judged_then_stopped(*arguments: Any, **named: Any) -> Any:
        plan = judge(*arguments, **named)
        loop.controller.leases.call_stop("ann", "between judge and dispatch")
        return plan

    cycle.judge.judge = judged_then_stopped  # type: ignore[method-assign]
    sequence = loop.fleet.sequence_ack.copy()
    await loop.run(1)
    assert (loop.fleet.sequence_ack == sequence).all()
    assert {o.error for o in cycle.last.outcomes} == {"emergency stop: nothing but releases is written"}
    assert [loop.group.drivers[mim.id]._heartbeat for mim in loop.site.mims] == beats
    cycle.judge.judge = judge  # type: ignore[method-assign]
    await loop.run(1)
    assert not loop.fleet.enabled.any()
    assert {mim for mim, code in judged(loop) if code == "interlock.emergency_stop"} == {mim.id for mim in loop.site.mims}


async def test_a_stopped_site_goes_on_when_it_is_cleared_and_not_before(tmp_path):
    loop = await at_work()
    desk = LeaseDesk(loop.controller, loop.clock, LeaseStore(tmp_path, "test"))
    await desk.answer_stop({"do": "emergency", "reason": "smoke", "peer": {"user": "ann"}})
    await loop.run(20)
    assert not loop.fleet.enabled.any()
    with pytest.raises(UserError, match="confirm"):
        await desk.answer_stop({"do": "clear"})
    with pytest.raises(UserError, match="stop SITE --clear"):
        await desk.answer({"do": "revoke", "id": "stop"})
    assert (await desk.answer_stop({"do": "clear", "yes": True}))["cleared"]
    await loop.run(20)
    assert loop.fleet.enabled.all()
    before, best = loop.without_control(), loop.best()
    assert before - loop.objectives[-1] >= 0.97 * (before - best)


async def test_a_lock_out_of_something_renamed_is_seen_to_before_the_stop_ends():
    loop = await at_work(3)
    lock = Lease("n1", S.MAINTENANCE, "ann", "mim-old-name", LockOut(), "fan", loop.clock.utc(), None)
    loop.controller.leases.restore([lock])
    await loop.run(1)
    assert not loop.fleet.enabled.any()
    desk = LeaseDesk(loop.controller, loop.clock)
    with pytest.raises(UserError, match="'mim-old-name' is locked out and is nothing here"):
        await desk.clear("ann")
    await desk.answer({"do": "grant", "kind": "lock_out", "scope": MIM})
    await desk.answer({"do": "revoke", "id": "n1"})
    assert (await desk.clear("ann"))["cleared"]
    await loop.run(10)
    assert loop.fleet.enabled.tolist() == [False, True, True]


async def test_a_stop_called_while_another_is_being_cleared_stands(tmp_path, monkeypatch):
    loop = await at_work(3)
    store = LeaseStore(tmp_path, "test")
    desk = LeaseDesk(loop.controller, loop.clock, store)
    await desk.stop_now("ann", "smoke")
    again: list[asyncio.Task[Any]] = []
    clear: Callable[[], None] = store.clear_stop
    running = asyncio.get_running_loop()

    def called_meanwhile() -> None:
        clear()
        asyncio.run_coroutine_threadsafe(call(), running).result()

    async def call() -> None:
        again.append(asyncio.create_task(desk.stop_now("bob", "fire")))
        await asyncio.sleep(0)

    monkeypatch.setattr(store, "clear_stop", called_meanwhile)
    with pytest.raises(UserError, match="called again"):
        await desk.clear("ann")
    await asyncio.gather(*again)
    assert loop.controller.leases.stopped
    assert store.stop_called()


async def test_the_file_of_the_stop_is_heard(tmp_path):
    loop = await at_work(5)
    desk = LeaseDesk(loop.controller, loop.clock, LeaseStore(tmp_path, "test"))
    await desk.watch()
    assert loop.fleet.enabled.all()
    (tmp_path / "emergency_stop.json").touch()
    await desk.watch()
    assert not loop.fleet.enabled.any()


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"do": "give"}, "not 'give'"),
        ({"do": "grant", "kind": "fly", "scope": MIM}, "no kind of lease 'fly'"),
        ({"do": "grant", "kind": "pause", "scope": "z", "source": "king"}, "no source 'king'"),
        ({"do": "grant", "kind": "pause", "scope": "z", "source": "emergency_stop"}, "stop SITE --emergency"),
        ({"do": "grant", "kind": "pause", "scope": "zz", "seconds": 5}, "no 'zz' in site 'test'"),
        ({"do": "grant", "kind": "pause", "scope": "z", "seconds": True}, "seconds is a number"),
        ({"do": "grant", "kind": "pause", "scope": "z"}, "needs an end"),
        ({"do": "grant", "kind": "pause", "scope": "z", "seconds": 5, "reason": "a\nb"}, "one line of printable text"),
        ({"do": "grant", "kind": "pause", "scope": "z", "seconds": 5, "owner": "a\x1b[31mb"}, "owner is one line"),
        ({"do": "grant", "kind": "pause", "scope": "", "seconds": 5}, "say what of site"),
        ({"do": "grant", "kind": "pause", "scope": "z", "seconds": 0.2}, "at least 1 s"),
        ({"do": "grant", "kind": "setpoint", "scope": MIM, "seconds": 5}, "not understood"),
        ({"do": "grant", "kind": "setpoint", "scope": MIM, "seconds": 5, "ports": [[1]]}, "not understood"),
        ({"do": "revoke", "id": "n1"}, "no lease 'n1' is in force; there are: none"),
    ],
)
async def test_a_wrong_request_is_refused_with_a_reason(request_, says):
    loop = ClosedLoop(uneven_site())
    with pytest.raises(UserError, match=says):
        await LeaseDesk(loop.controller, loop.clock).answer(request_)


async def test_owners_are_whoever_the_kernel_names_unless_they_say_otherwise():
    loop = ClosedLoop(uneven_site())
    desk = LeaseDesk(loop.controller, loop.clock)
    request = {"do": "grant", "kind": "setpoint", "scope": MIM, "seconds": 5, "ports": [[5, 0]], "peer": {"user": "ann"}}
    assert (await desk.answer(request))["lease"]["owner"] == "ann"
    told = await desk.answer({**request, "owner": "control room"})
    assert told["lease"]["owner"] == "control room"
    assert told["lease"]["ports"] == [[5.0, 0.0], None, None], "the ports that were not named are left to the solve"
    assert len(told["replaced"]) == 1


async def test_a_stop_before_the_first_answer_says_of_whom_nothing_is_known():
    """A run before this one may have left them injecting: that nothing had to be released is no proof of rest."""
    loop = ClosedLoop(uneven_site())
    loop.fleet.online[0] = False
    desk = LeaseDesk(loop.controller, loop.clock)
    told = await desk.stop_now("ann", "smoke")
    assert (told["not_released"], told["silent"]) == ([], [mim.id for mim in loop.site.mims])
    await loop.run(3)
    assert (await desk.stop_now("ann", "smoke"))["silent"] == [MIM]


async def test_a_stop_never_fails_for_its_wording():
    loop = ClosedLoop(uneven_site())
    await loop.run(5)
    desk = LeaseDesk(loop.controller, loop.clock)
    told = await desk.answer_stop({"do": "emergency", "owner": "al\x1b[31mice", "reason": "smoke\nin row A" + "!" * 500})
    assert told["emergency_stop"]["owner"] == "al [31mice"
    assert told["emergency_stop"]["reason"].startswith("smoke in row A!!")
    assert len(told["emergency_stop"]["reason"]) == 300
    assert not loop.fleet.enabled.any()
