"""An operator's setpoint in the closed loop: it is reached and held through solve and judge, and ends by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.loop.closed_loop import ClosedLoop, uneven_site

from mimctl.model.errors import UserError
from mimctl.model.fault import Fault, FaultKind
from mimctl.model.lease import LeaseSource, Setpoint
from mimctl.service.operator_writes import OperatorWrites, PortWish
from mimctl.twin.faults import schedule

MIM = "mim-rack1"


def pinned(loop, power, seconds=10.0):
    zone = loop.controller.zones[0]
    book = loop.controller.leases
    book.put(book.draft(LeaseSource.OPERATOR, "ann", MIM, Setpoint(power), seconds=seconds, reason="a test"))
    return zone, zone.layout.ports_of_mim[zone.layout.mim_index[MIM]]


async def test_a_pinned_port_gets_its_setpoint_and_its_mim_stays_in_balance():
    loop = ClosedLoop(uneven_site())
    await loop.run(5)
    zone, ports = pinned(loop, (-800.0 + 100j, None, None))
    await loop.run(4)
    setpoint = zone.cycle.dispatcher.held.setpoint_va[ports]
    assert setpoint[0] == -800.0 + 100j
    assert setpoint.real.sum() == pytest.approx(zone.cycle.last.bounds.mim_dc_w[zone.layout.mim_index[MIM]], abs=3.0)
    assert zone.cycle.last.bounds.port_pinned_va is not None
    assert "lease.setpoint" in {r.reason.code for r in zone.cycle.last.bounds.restrictions}


async def test_a_pin_ends_by_itself_and_control_goes_on():
    free, loop = ClosedLoop(uneven_site()), ClosedLoop(uneven_site())
    await free.run(40)
    await loop.run(5)
    zone, ports = pinned(loop, (-800.0, None, None), seconds=5.0)
    await loop.run(35)
    assert zone.cycle.last.bounds.port_pinned_va is None
    other = free.controller.zones[0].cycle.dispatcher.held.setpoint_va
    assert np.abs(zone.cycle.dispatcher.held.setpoint_va - other)[ports].max() < 60.0


async def test_a_pin_beyond_the_rating_is_cut_by_the_judge():
    loop = ClosedLoop(uneven_site())
    await loop.run(5)
    zone, ports = pinned(loop, (1e3, None, None))
    book = loop.controller.leases
    (lease,) = book.active()
    # nobody is granted such a lease; the judge does not rest on that
    book.put(replace(lease, action=Setpoint((1e6, None, None))))
    await loop.run(4)
    assert zone.cycle.last.bounds.port_pinned_va[ports][0] == 1e6
    assert np.abs(zone.cycle.dispatcher.held.setpoint_va[ports]).max() <= 2000.0


async def test_a_pin_is_reached_in_the_steps_that_the_ramp_allows():
    site = uneven_site()
    loop = ClosedLoop(replace(site, mims=tuple(replace(m, ramp_w_per_s=100.0) for m in site.mims), rules=()))
    await loop.run(3)
    zone, ports = pinned(loop, (500.0, None, None), seconds=30.0)
    seen = []
    for _ in range(12):
        await loop.run(1)
        seen.append(zone.cycle.dispatcher.held.setpoint_va[ports][0].real)
    assert max(np.diff([0.0, *seen])) <= 100.0 + 1e-9
    assert seen[-1] == 500.0


async def test_without_a_rule_a_pin_alone_commands_its_mim_and_no_other():
    loop = ClosedLoop(replace(uneven_site(), rules=()))
    await loop.run(3)
    zone, ports = pinned(loop, (300.0, None, None), seconds=5.0)
    await loop.run(3)
    setpoint = zone.cycle.dispatcher.held.setpoint_va[ports]
    assert setpoint[0] == 300.0
    assert np.abs(setpoint[1:] + 150.0).max() < 25.0
    assert zone.cycle.dispatcher.held.in_force.tolist() == [mim.id == MIM for mim in zone.layout.mims]
    await loop.run(6)
    assert not zone.cycle.dispatcher.held.in_force.any()


async def test_a_preview_tells_and_keeps_nothing():
    loop = ClosedLoop(uneven_site())
    desk = OperatorWrites(loop.controller.zones, loop.clock)
    with pytest.raises(UserError, match="has not measured yet"):
        desk.preview(MIM, [PortWish(1, 500.0)], 10.0)
    await loop.run(5)
    zone = loop.controller.zones[0]
    before = zone.cycle.dispatcher.held.setpoint_va
    told = desk.preview(MIM, [PortWish(1, 500.0)], 10.0)
    assert (told["applied"], told["action"]) == (False, "send")
    assert told["ports"][0]["setpoint_w"] == 500.0
    assert loop.controller.leases.active() == ()
    await loop.run(1)
    assert zone.cycle.last.bounds.port_pinned_va is None
    assert np.abs(zone.cycle.dispatcher.held.setpoint_va - before).max() < 100.0


async def test_a_preview_says_that_nothing_is_written_while_the_zone_is_paused():
    """Whether the pause is older than the last cycle or not; the real lease would have no effect either."""
    loop = ClosedLoop(uneven_site())
    desk, zone = OperatorWrites(loop.controller.zones, loop.clock), loop.controller.zones[0]
    await loop.run(5)
    zone.cycle.paused = True
    for _ in range(2):
        told = desk.preview(MIM, [PortWish(1, 500.0)], 10.0)
        assert told["action"] != "send"
        assert told["ports"][0]["setpoint_w"] != 500.0
        await loop.run(3)
    pinned(loop, (500.0, None, None))
    await loop.run(3)
    assert not zone.cycle.dispatcher.held.in_force.any()
    zone.cycle.paused = False
    await loop.run(2)
    assert desk.preview(MIM, [PortWish(1, 400.0)], 10.0)["action"] == "send"


async def test_a_preview_for_a_mim_that_is_left_out_says_so():
    """It does not follow its setpoints, so that it is released and not told anything for a while."""
    loop = ClosedLoop(uneven_site())
    desk = OperatorWrites(loop.controller.zones, loop.clock)
    await loop.run(5)
    schedule(loop.plant, [Fault(FaultKind.PRETENDING, (MIM,), at_s=loop.plant.t_s)])
    loop.source.power_va = np.roll(loop.source.power_va.reshape(-1, 3), 1, axis=1).reshape(-1)
    await loop.run(15)
    assert "mim.ignores_setpoint" in {event.code for event in loop.events.open()}
    assert desk.preview(MIM, [PortWish(1, 500.0)], 10.0)["action"] != "send"
    assert desk.preview("mim-rack2", [PortWish(1, 500.0)], 10.0)["action"] == "send"


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"device": "rack1", "do": "write", "ports": [{"port": 1, "w": 1}], "seconds": 5}, "no MIM"),
        ({"device": MIM, "do": "write", "ports": [], "seconds": 5}, "at least one port"),
        ({"device": MIM, "do": "write", "ports": [{"port": 4, "w": 1}], "seconds": 5}, "ports 1 to 3"),
        ({"device": MIM, "do": "write", "ports": [{"port": 1, "w": float("nan")}], "seconds": 5}, "finite"),
        ({"device": MIM, "do": "write", "ports": [{"port": 2, "w": 50000}], "seconds": 5}, "port 2 of mim-rack1 is rated 2000 VA"),
        ({"device": MIM, "do": "write", "ports": [{"w": 1}], "seconds": 5}, "port, w, var"),
        ({"device": MIM, "do": "write", "ports": [{"port": 1, "w": 1}], "seconds": 0}, "at most 3600 s"),
        ({"device": MIM, "do": "write", "ports": [{"port": 1, "w": 1}]}, "how many seconds"),
    ],
)
async def test_a_wrong_request_is_refused_with_a_reason(request_, says):
    loop = ClosedLoop(uneven_site())
    with pytest.raises(UserError, match=says):
        await OperatorWrites(loop.controller.zones, loop.clock).answer(request_)


class CyclesWhileWaiting:
    """A clock on which waiting lets the controller run."""

    def __init__(self, loop):
        self._loop = loop

    def monotonic_s(self):
        return self._loop.clock.monotonic_s()

    async def sleep_until(self, monotonic_s):
        await self._loop.run(1)


async def test_a_write_comes_back_with_what_the_cycle_did_and_a_release_ends_it():
    loop = ClosedLoop(uneven_site())
    await loop.run(5)
    desk = OperatorWrites(loop.controller.zones, CyclesWhileWaiting(loop))
    request = {"device": MIM, "do": "write", "ports": [{"port": 2, "w": -400.0}], "seconds": 60, "yes": True}
    told = await desk.answer(request)
    assert told["applied"]
    assert told["ports"][1]["setpoint_w"] == -400.0
    assert told["outcome"] == {"kind": "setpoint", "error": None}
    assert (await desk.answer({"device": MIM, "do": "release"}))["was_pinned"]
    assert loop.controller.leases.active() == ()


@pytest.mark.parametrize("yes", [False, True])
async def test_a_write_that_no_battery_could_feed_is_refused_before_anybody_waits_for_it(yes):
    """Without a battery no port can be given more than the others take."""
    loop = ClosedLoop(uneven_site())
    await loop.run(5)
    ports = [{"port": port, "w": 500.0} for port in (1, 2, 3)]
    request = {"device": MIM, "do": "write", "ports": ports, "seconds": 60, "yes": yes}
    with pytest.raises(UserError, match=r"must sum to .* not 1500 W; leave one port out"):
        await OperatorWrites(loop.controller.zones, CyclesWhileWaiting(loop)).answer(request)
    assert loop.controller.leases.active() == ()


async def test_a_write_that_nothing_comes_of_is_taken_back():
    loop = ClosedLoop(uneven_site())
    await loop.run(5)
    zone = loop.controller.zones[0]
    zone.cycle.dispatcher._dry_run = True
    request = {"device": MIM, "do": "write", "ports": [{"port": 2, "w": -400.0}], "seconds": 60, "yes": True}
    told = await OperatorWrites(loop.controller.zones, CyclesWhileWaiting(loop)).answer(request)
    assert (told["applied"], told["outcome"]["error"]) == (False, "this is a dry run")
    assert loop.controller.leases.active() == ()
    zone.cycle.paused = True
    with pytest.raises(UserError, match="paused"):
        await OperatorWrites(loop.controller.zones, loop.clock).answer(request)
