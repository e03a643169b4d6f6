"""The closed loop when something fails: the branch concerned is left out, the rest goes on, and it comes back by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.loop.closed_loop import ClosedLoop, uneven_site

from mimctl.model.fault import Fault, FaultKind
from mimctl.model.sample import Quality
from mimctl.model.site import ControlSettings
from mimctl.twin.defects import Obedience
from mimctl.twin.faults import schedule


def open_codes(loop: ClosedLoop) -> set[tuple[str, str]]:
    return {(event.code, event.where) for event in loop.events.open()}


async def test_a_mim_that_acknowledges_but_does_not_obey_is_noticed_and_left_out():
    loop = ClosedLoop(uneven_site())
    await loop.run(10)
    loop.fleet.defects.obedience[0] = Obedience.PRETENDS
    loop.source.power_va = loop.source.power_va * np.array([0.3, 2, 2, 1, 1, 1, 1, 1, 1])
    await loop.run(25)
    assert ("mim.ignores_setpoint", "mim-rack1") in open_codes(loop)
    assert not loop.controller.zones[0].cycle.dispatcher.held.in_force[0]
    assert loop.controller.zones[0].cycle.dispatcher.held.in_force[1:].all()


async def test_the_others_reach_their_own_optimum_without_the_one_that_is_gone():
    loop = ClosedLoop(uneven_site())
    await loop.run(5)
    loop.fleet.online[0] = False
    await loop.run(30)
    before, best = loop.without_control(), loop.best(without=["mim-rack1"])
    assert before - loop.objectives[-1] >= 0.97 * (before - best)
    assert ("device.unreachable", "mim-rack1") in open_codes(loop)


async def test_a_mim_that_comes_back_is_used_again():
    loop = ClosedLoop(uneven_site())
    await loop.run(5)
    loop.fleet.online[0] = False
    await loop.run(20)
    loop.fleet.online[0] = True
    await loop.run(45)
    before, best = loop.without_control(), loop.best()
    assert before - loop.objectives[-1] >= 0.99 * (before - best)
    assert not open_codes(loop)


@pytest.mark.parametrize("response_s", [1.0, 4.0])
@pytest.mark.parametrize("boot_s", [0, 3])
async def test_a_mim_that_restarts_within_its_validity_is_told_anew_at_once_and_stays_in_control(boot_s, response_s):
    """A slow one too: what it does on its way up from zero is no disobedience."""
    site = uneven_site()
    loop = ClosedLoop(replace(site, mims=tuple(replace(m, validity_s=30.0, response_s=response_s) for m in site.mims)))
    await loop.run(25)
    before_va = loop.setpoint_va()[:3]
    assert np.abs(before_va).max() > 300
    loop.fleet.reboot(0)
    loop.fleet.online[0] = boot_s == 0
    await loop.run(boot_s)
    loop.fleet.online[0] = True
    await loop.run(1)
    assert loop.fleet.enabled[0], "the cycle that first hears of it again commands it"
    seen = set()
    for _ in range(25):
        await loop.run(1)
        seen |= open_codes(loop)
    assert seen == set()
    assert ("mim.fell_back", "mim-rack1") in {(e.code, e.where) for e in loop.events.recent()}
    assert np.abs(loop.fleet.inject_va[:3] - before_va).max() < 20


async def test_a_mim_that_restarts_again_and_again_is_left_alone_in_the_end():
    loop = ClosedLoop(uneven_site())
    await loop.run(10)
    for _ in range(8):
        loop.fleet.reboot(0)
        await loop.run(3)
    assert ("mim.second_master", "mim-rack1") in open_codes(loop)
    assert not loop.fleet.enabled[0]
    assert loop.controller.zones[0].cycle.dispatcher.held.in_force.tolist() == [False, True, True]


async def test_nothing_is_sent_from_data_older_than_the_limit():
    """All meters fall silent: setpoints freeze when their data are too old, and are taken back in the end."""
    site = replace(uneven_site(), control=ControlSettings(max_data_age_s=4.0))
    loop = ClosedLoop(site)
    await loop.run(10)
    schedule(loop.plant, [Fault(FaultKind.OFFLINE, tuple(meter.id for meter in site.meters))])
    loop.source.power_va = loop.source.power_va * np.array([0.2, 3, 3, 0.2, 3, 1, 0.2, 1, 3])
    await loop.run(30)
    state = loop.controller.zones[0].cycle.last.state
    assert (state.nodes.quality == Quality.BAD).all()
    grown = [np.abs(after) - np.abs(before) for before, after in zip(loop.setpoints[14:], loop.setpoints[15:], strict=False)]
    assert max(float(g.max()) for g in grown) <= 0, "without measurements no setpoint grows"
    assert np.abs(loop.setpoint_va()).max() == 0


async def test_one_silent_meter_leaves_its_siblings_balanced():
    loop = ClosedLoop(uneven_site())
    await loop.run(10)
    schedule(loop.plant, [Fault(FaultKind.OFFLINE, ("m-rack2",))])
    await loop.run(20)
    state = loop.controller.zones[0].cycle.last.state
    assert state.bad_nodes() == ["rack2"]
    before, best = loop.without_control(), loop.best()
    assert before - loop.objectives[-1] >= 0.6 * (before - best)


async def test_a_rack_that_trips_while_its_mim_injects_does_not_push_power_back_into_the_feed():
    loop = ClosedLoop(uneven_site(racks=1))
    await loop.run(15)
    assert np.abs(loop.setpoint_va()).max() > 300, "it was helping"
    loop.source.power_va = np.zeros(3, dtype=complex)
    await loop.run(4)
    head = loop.plant.solve().flow_va[0].real
    assert head.min() >= -5, f"net import per phase {head}"


async def test_a_paused_zone_gives_its_devices_back():
    loop = ClosedLoop(uneven_site())
    await loop.run(10)
    loop.controller.zones[0].cycle.paused = True
    await loop.run(3)
    assert not loop.controller.zones[0].cycle.dispatcher.held.in_force.any()
    assert not loop.fleet.enabled.any()
