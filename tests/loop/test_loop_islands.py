"""Form mode in a closed loop: only by an operator's lease, only on a bus that is proven dead and cut off, and at an end in time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.island_site import island_site
from tests.loop.island_loop import Island, formed, over

from mimctl.control.events import EventLog
from mimctl.control.site_controller import build_site_controller
from mimctl.model.errors import LinkTimeout
from mimctl.model.fault import Fault, FaultKind
from mimctl.model.lease import LeaseSource, LockOut, Pause
from mimctl.model.reason import Reason
from mimctl.twin.drivers import PlantDriverGroup, PlantMim
from mimctl.twin.faults import schedule


async def test_a_bus_is_formed_by_lease_once_it_is_dead_and_feeds_its_racks():
    loop = await formed()
    assert loop.volts() == pytest.approx(230)
    assert {event.code for event in loop.events.open()} >= {"island.formed", "transfer.open"}
    assert not loop.fleet.enabled.any(), "everybody else is at rest until it has been alive for a while"
    await loop.run(20)
    assert loop.forming == [True, False, False]
    assert not {"mim.ignores_setpoint", "mim.write_failed"} & {event.code for event in loop.events.open()}
    assert not loop.mishaps


async def test_nothing_forms_a_lost_bus_by_itself():
    loop = Island()
    await loop.run(3)
    loop.lose()
    await loop.run(20)
    assert not any(loop.forming)
    assert loop.fleet.formers.sequence.tolist() == [0, 0, 0]


async def test_everything_that_is_not_proven_is_said_at_once():
    loop = Island()
    await loop.run(3)
    said = "; ".join(loop.objections())
    for part in (
        "k is normal, not open",
        "voltage above k: 100% of nominal at feed",
        "pdu has 100%",
        "rack1 has",
        "holds a setpoint",
    ):
        assert part in said
    loop.ask()  # past the desk that would refuse it
    await loop.run(5)
    assert not any(loop.forming)
    assert loop.leases == []
    assert loop.fleet.formers.live_bus_commands.sum() == 0
    assert loop.fleet.enabled.all(), "nobody was disturbed"


@pytest.mark.parametrize("end", ["expiry", "revoked", "lock-out", "pause", "emergency stop"])
async def test_when_the_lease_ends_the_bus_is_dead_in_the_next_cycle(end):
    loop = await formed()
    book = loop.controller.leases
    if end == "expiry":
        book.take(book.active()[0].id, "ann")
        await loop.run(8)
        loop.ask(seconds=6.5)
        await loop.run(6)
        assert any(loop.forming)
        await loop.run(1)
    elif end == "revoked":
        book.take(book.active()[0].id, "bob")
    elif end == "emergency stop":
        book.call_stop("bob", "smoke")
        await loop.controller.release_now(Reason("interlock.emergency_stop", "stop"))
        assert not any(loop.forming), "at once, beside the cycles"
        book.take("stop", "bob")
    else:
        action, source = (LockOut(), LeaseSource.MAINTENANCE) if end == "lock-out" else (Pause(), LeaseSource.OPERATOR)
        scope, seconds = ("mim-rack1", None) if end == "lock-out" else ("z", 600.0)
        lease = book.draft(source, "bob", scope, action, seconds=seconds, reason="work")
        book.put(lease)
        book.take(lease.id, "bob")  # over before a cycle has seen it: the form lease is gone all the same
    await over(loop, "", within=1)


@pytest.mark.parametrize("arrives", [False, True])
async def test_a_command_whose_answer_is_lost_is_not_taken_for_granted(monkeypatch, arrives):
    loop = Island()
    await loop.run(3)
    loop.lose()
    await loop.run(3)
    true, lost = PlantMim.form, []

    async def form(self, command):
        if not lost:
            lost.append(command)
            if arrives:
                await true(self, command)
            raise LinkTimeout(self.device, "no answer")
        await true(self, command)

    monkeypatch.setattr(PlantMim, "form", form)
    loop.ask()
    await loop.run(1)
    assert loop.forming[0] is arrives
    assert loop.cycle.dispatcher.held.forms.holding[0], "from the attempt on it counts as forming"
    await loop.run(6)
    assert loop.forming[0]
    assert loop.volts() == pytest.approx(230)
    assert not loop.mishaps
    assert loop.fleet.formers.live_bus_commands.sum() == 0


async def test_a_device_that_never_begins_is_told_to_stop_and_the_lease_is_over(monkeypatch):
    loop = Island()
    await loop.run(3)
    loop.lose()
    await loop.run(3)
    monkeypatch.setattr(type(loop.fleet), "form", lambda *_: None)
    loop.ask()
    await over(loop, "does not form it", within=6)


async def test_a_former_out_of_reach_ends_by_itself_within_its_validity(monkeypatch):
    loop = await formed()
    schedule(loop.plant, [Fault(FaultKind.OFFLINE, ("mim-rack1",), loop.plant.t_s, loop.plant.t_s + 100)])
    await loop.run(11)
    assert not any(loop.forming)
    assert "does not tell its state" in loop.ended()
    assert not loop.damages


async def test_silence_of_the_controller_ends_it():
    loop = await formed()
    loop.plant.advance_to(loop.plant.t_s + 11)
    assert not any(loop.forming)


async def test_a_controller_that_starts_anew_ends_what_it_finds_and_resumes_nothing():
    loop = await formed()
    loop.events = EventLog(loop.clock)
    loop.group = PlantDriverGroup(loop.plant)
    loop.controller = build_site_controller(loop.site, [loop.group], loop.clock, loop.events, cycle_s=1.0)
    await over(loop, "", within=1)


async def test_overload_ends_it_and_nobody_tries_again():
    loop = await formed()
    loop.source.power_va = loop.source.power_va * 1.5
    await over(loop, "mim-rack1 does not form it", within=2)
    assert "overload" in loop.mishaps[0].text


async def test_its_storage_is_left_at_its_reserve():
    site = island_site(rating_va=8000, capacity_wh=2000.0)
    loop = await formed(site=replace(site, twin=replace(site.twin, battery_soc_pct=25.0)))
    # 100 Wh above the reserve of 20 %, 15 kW drawn
    await loop.run(25)
    assert not any(loop.forming)
    assert "at its reserve" in loop.ended()
    assert not loop.mishaps, "it ended in order, before it was empty"
    assert loop.fleet.soc_pct[0] == pytest.approx(20, abs=0.5)


async def test_two_on_one_bus_are_both_ended():
    loop = await formed()
    loop.fleet.formers.forming[1] = True  # by somebody else's hand, or by its own account
    await loop.run(1)
    assert not any(loop.forming)
    assert "mim-rack2 forms it" in loop.ended()


async def test_between_two_formers_the_bus_is_dead_for_a_while():
    loop = await formed()
    loop.controller.leases.take(loop.controller.leases.active()[0].id, "ann")
    await loop.run(2)
    assert any("5 s without voltage are needed" in said for said in loop.objections("mim-rack2"))
    await loop.run(5)
    loop.ask("mim-rack2")
    await loop.run(3)
    assert loop.forming == [False, True, False]
    assert not loop.damages
