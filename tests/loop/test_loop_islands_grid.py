"""A formed bus and what is around it: contactors that lie or close, the grid that comes back, MIMs that follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.island_site import island_site
from tests.loop.island_loop import Island, formed, over

from mimctl.model.errors import LinkTimeout
from mimctl.model.fault import Fault, FaultKind
from mimctl.model.lease import LeaseSource, Setpoint
from mimctl.model.transfer import TransferState
from mimctl.twin.drivers import PlantTransfer
from mimctl.twin.faults import schedule


async def test_others_follow_once_the_bus_has_been_alive_for_a_while_and_balance_what_the_former_gives():
    loop = await formed()
    alone_va = loop.plant.solve().port_va[:3].copy()
    assert alone_va.real == pytest.approx([7100, 4300, 3000])
    await loop.run(4)
    assert not loop.fleet.enabled.any()
    await loop.run(14)
    assert loop.fleet.enabled.tolist() == [False, True, True]
    given_va = loop.plant.solve().port_va
    assert np.ptp(given_va[:3].real) < 0.5 * np.ptp(alone_va.real), "the phases of the former are more even"
    assert given_va[:3].real.min() > 0
    assert not loop.mishaps
    loop.controller.leases.take(loop.controller.leases.active()[0].id, "ann")
    await loop.run(1)
    assert not loop.fleet.enabled.any(), "whoever followed is released with the former"
    assert not loop.cycle.dispatcher.held.in_force.any()
    assert not any(loop.forming)


async def test_followers_never_push_power_back_into_the_former():
    """A rack that trips while they inject: what they do is limited by what the former gives at the top of its bus."""
    loop = await formed()
    await loop.run(18)
    assert loop.fleet.enabled.tolist() == [False, True, True]
    loop.source.power_va = np.where([load.node == "rack1" for load in loop.site.twin.loads], 0, loop.source.power_va)
    for _ in range(8):
        await loop.run(1)
    assert loop.plant.solve().port_va[:3].real.min() >= -5
    assert loop.forming[0]


async def test_a_setpoint_by_hand_cannot_overload_the_former():
    loop = await formed()
    await loop.run(13)
    book = loop.controller.leases
    # 3.8 kW more on L1, where the former has 0.9 kVA left
    action = Setpoint((-3800, None, None))
    book.put(book.draft(LeaseSource.OPERATOR, "bob", "mim-rack2", action, seconds=60.0, reason="test"))
    await loop.run(8)
    assert loop.forming[0]
    assert np.abs(loop.plant.solve().port_va[:3]).max() <= 8000
    assert not loop.mishaps


async def test_a_contactor_that_stops_telling_its_state_ends_it(monkeypatch):
    loop = await formed()

    async def silent(self):
        raise LinkTimeout("k", "nothing heard")

    monkeypatch.setattr(PlantTransfer, "read", silent)
    await loop.run(5)
    assert any(loop.forming), "what it said is fresh enough still"
    await loop.run(2)
    monkeypatch.undo()
    await over(loop, "k ", within=1)


async def test_a_contactor_that_only_says_that_it_is_open_deceives_nobody():
    loop = Island()
    await loop.run(3)
    loop.switch.told = TransferState.OPEN
    await loop.run(3)
    said = "; ".join(loop.objections())
    assert "not open" not in said
    assert "there is voltage above k" in said
    assert "pdu has 100% of nominal voltage" in said
    assert "flow through k, which says that it is open" in said
    loop.ask()
    await loop.run(3)
    assert loop.fleet.formers.live_bus_commands.sum() == 0
    assert loop.leases == []


async def test_a_lie_is_found_out_though_nothing_is_measured_above():
    site = island_site(rating_va=8000)
    loop = Island(replace(site, meters=tuple(m for m in site.meters if m.node != "feed")))
    await loop.run(3)
    loop.switch.told = TransferState.OPEN
    await loop.run(3)
    assert any("flow through k" in said for said in loop.objections())


async def test_a_contactor_that_closes_all_the_same_is_seen_in_the_next_cycle():
    """No controller can hinder a contactor that closes by hand. What it can do is to be gone at once, and to stay away."""
    loop = await formed()
    loop.plant.restore(loop.layout.node_index["feed"])
    loop.plant.switches.move(loop.switch, TransferState.NORMAL)
    assert len(loop.damages) == 1
    await loop.run(2)
    assert loop.leases == []
    assert "k is normal, not open" in loop.ended()
    await loop.run(14)
    assert not any(loop.forming)
    assert loop.fleet.enabled.all(), "on the grid they follow again"
    told = {event.code for event in (*loop.events.open(), *loop.events.recent())}
    assert "mim.ignores_setpoint" not in told, "what a former gives is nobody's setpoint"


async def test_the_grid_comes_back_and_everybody_follows_again_after_a_dead_time():
    loop = await formed()
    schedule(loop.plant, [])
    loop.plant.restore(loop.layout.node_index["feed"])  # the contactor waits for its own order
    await loop.run(1)
    assert not any(loop.forming)
    assert "voltage above k" in loop.ended()
    loop.plant.switches.regain(loop.switch, lambda seconds, action: None)
    assert loop.switch.state is TransferState.NORMAL
    await loop.run(8)
    assert not loop.fleet.enabled.any(), "not before it has been healthy for a while"
    await loop.run(6)
    assert loop.fleet.enabled.all()
    assert not loop.damages


async def reclosed(broken: str, back_s: float, *, waits_s: float) -> Island:
    """The grid returns at some moment of a cycle while something else is broken, and the contactor closes so much later."""
    loop = Island(island_site(rating_va=8000, reclose_s=waits_s, transfer_s=waits_s))
    await loop.run(2)
    schedule(loop.plant, [Fault(FaultKind.FEED_LOST, ("A",), loop.plant.t_s, loop.plant.t_s + 10 + back_s)])
    await loop.run(3)
    loop.ask()
    await loop.run(5)
    assert loop.forming[0]
    targets = {"the MIM's link": ("mim-rack1",), "every meter": ("m-feed", "m-pdu")}.get(broken)
    if targets is not None:
        schedule(loop.plant, [Fault(FaultKind.OFFLINE, targets, 11.0, 100.0)])
    await loop.run(3)
    if broken == "the controller":
        loop.plant.advance_to(33.0)
        loop.clock.advance_to(33.0)
    await loop.run(int(waits_s) + 2)
    assert not any(loop.forming)
    assert loop.switch.state is TransferState.NORMAL
    return loop


@pytest.mark.parametrize("broken", ["nothing", "the MIM's link", "the controller", "every meter"])
async def test_a_contactor_that_waits_as_long_as_the_check_demands_never_closes_on_a_formed_bus(broken):
    loop = await reclosed(broken, 0.1, waits_s=23.0)
    assert not loop.damages


async def test_and_one_that_waits_for_less_does():
    loop = await reclosed("the MIM's link", 0.1, waits_s=7.0)
    assert len(loop.damages) == 1
