"""A grid that is lost: everything behind it is given back in the cycle that sees it, and used again when it has proven healthy."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.loop.closed_loop import ClosedLoop, uneven_site
from tests.loop.two_feeds import two_feed_site

from mimctl.model.fault import Fault, FaultKind
from mimctl.model.lease import LeaseSource, Setpoint
from mimctl.model.site import Zone
from mimctl.twin.faults import schedule


def in_force(loop: ClosedLoop) -> list[bool]:
    return loop.controller.zones[0].cycle.dispatcher.held.in_force.tolist()


def lost(loop: ClosedLoop) -> dict[str, str]:
    return {event.where: event.text for event in loop.events.open() if event.code == "grid.lost"}


@pytest.mark.parametrize("hertz", [47.2, 52.0])
async def test_a_frequency_out_of_band_gives_everything_back_in_the_cycle_that_sees_it(hertz):
    """Measurements are a cycle old: the one after the first wrong sample is the first that can know."""
    loop = ClosedLoop(uneven_site(), delay_cycles=0)
    await loop.run(10)
    assert all(in_force(loop))
    loop.plant.frequency_hz = hertz
    await loop.run(1)
    assert not any(in_force(loop))
    assert not loop.fleet.enabled.any()
    assert f"{hertz:.2f} Hz" in lost(loop)["feed"]


async def test_a_fault_of_the_mains_frequency_forces_the_safe_state_for_as_long_as_it_lasts():
    loop = ClosedLoop(uneven_site(), delay_cycles=0)
    await loop.run(10)
    schedule(loop.plant, [Fault(FaultKind.FREQUENCY, at_s=10.5, until_s=15.5, values=(("frequency_hz", 47.2),))])
    await loop.run(1)
    assert all(in_force(loop))
    await loop.run(1)
    assert not loop.fleet.enabled.any()
    assert "47.20 Hz" in lost(loop)["feed"]
    await loop.run(3)
    assert np.abs(loop.fleet.inject_va).max() < 1, "and nothing comes out"
    await loop.run(2)
    assert "is back" in lost(loop)["feed"]
    await loop.run(12)
    assert all(in_force(loop))
    assert not lost(loop)


async def test_a_source_is_used_again_only_after_a_while_of_health_without_a_break():
    loop = ClosedLoop(uneven_site(), delay_cycles=0)
    await loop.run(5)
    loop.plant.frequency_hz = 47.2
    await loop.run(3)
    loop.plant.frequency_hz = 50.0
    await loop.run(7)
    loop.plant.frequency_hz = 47.2
    await loop.run(1)
    loop.plant.frequency_hz = 50.0
    await loop.run(10)  # the first healthy sample and nine seconds
    assert not any(in_force(loop))
    assert "is back" in lost(loop)["feed"]
    await loop.run(3)
    assert all(in_force(loop))
    assert not lost(loop)


async def test_no_lease_holds_on_to_a_grid_that_is_lost():
    loop = ClosedLoop(uneven_site(), delay_cycles=0)
    book = loop.controller.leases
    book.put(book.draft(LeaseSource.OPERATOR, "test", "mim-rack1", Setpoint((200, None, None)), seconds=600.0, reason="test"))
    await loop.run(5)
    assert loop.fleet.setpoint_va[0] == 200
    loop.plant.frequency_hz = 47.2
    await loop.run(1)
    loop.plant.frequency_hz = 50.0
    await loop.run(5)
    assert not loop.fleet.enabled.any()


async def test_a_head_without_a_meter_is_lost_when_everything_below_is_dark_and_not_when_one_rack_is():
    site = uneven_site()
    loop = ClosedLoop(replace(site, meters=tuple(m for m in site.meters if m.node not in ("feed", "pdu"))))
    await loop.run(8)
    schedule(loop.plant, [Fault(FaultKind.RACK_TRIPPED, ("rack1",), at_s=loop.plant.t_s)])
    await loop.run(3)
    assert in_force(loop) == [False, True, True]
    assert not lost(loop)
    schedule(loop.plant, [Fault(FaultKind.FEED_LOST, ("A",), at_s=loop.plant.t_s, until_s=loop.plant.t_s + 5)])
    await loop.run(3)
    assert not any(in_force(loop))
    assert set(lost(loop)) == {"feed"}
    await loop.run(8)
    assert "is back" in lost(loop)["feed"]
    await loop.run(12)
    assert not lost(loop)


async def test_losing_one_feed_gives_back_what_stands_on_it_and_leaves_the_other_alone():
    loop = ClosedLoop(two_feed_site(bridges=False))
    await loop.run(10)
    assert all(in_force(loop))
    schedule(loop.plant, [Fault(FaultKind.FEED_LOST, ("A",), at_s=loop.plant.t_s)])
    await loop.run(2)
    assert in_force(loop) == [False, False, True, True]
    assert set(lost(loop)) == {"feed-a"}
    await loop.run(10)
    assert in_force(loop) == [False, False, True, True]
    assert np.abs(loop.setpoint_va()[6:]).max() > 50, "B is still balanced"


async def test_a_rack_of_one_feed_that_trips_while_mims_inject_pushes_nothing_back_into_either_head():
    loop = ClosedLoop(two_feed_site(bridges=True))
    await loop.run(15)
    assert np.abs(loop.setpoint_va()).max() > 300, "they help"
    loop.source.power_va = np.where([load.node == "rack1-a" for load in loop.site.twin.loads], 0, loop.source.power_va)
    await loop.run(4)
    heads = loop.plant.solve().flow_va[loop.layout.heads].real
    assert heads.min() >= -5, f"net import per phase {heads}"


async def test_a_rack_that_trips_pushes_nothing_back_where_its_zone_stands_below_the_feed():
    site = uneven_site()
    rules = tuple(replace(rule, zones=("z1", "z2")) for rule in site.rules)
    loop = ClosedLoop(replace(site, zones=(Zone("z1", ("rack1", "rack2")), Zone("z2", ("rack3",))), rules=rules))
    await loop.controller.solve_site()
    await loop.run(20)
    assert np.abs(loop.setpoint_va()[6:]).max() > 200, "the MIM of rack 3 helps"
    loop.source.power_va = np.where([load.node == "rack3" for load in loop.site.twin.loads], 0, loop.source.power_va)
    await loop.run(4)
    flow = loop.plant.solve().flow_va.real
    heads = [loop.layout.node_index[name] for name in ("feed", "rack3")]
    assert flow[heads].min() >= -5, f"net import per phase {flow[heads]}"


async def test_a_source_lost_by_its_frequency_is_not_used_again_while_its_frequency_is_not_known():
    """A meter that says nothing about the frequency any more may do so because the frequency is worse than ever."""
    loop = ClosedLoop(uneven_site(), delay_cycles=0)
    await loop.run(10)
    loop.plant.frequency_hz = 47.2
    await loop.run(3)
    loop.plant.frequency_hz = math.nan
    await loop.run(120)
    assert not any(in_force(loop))
    assert not loop.fleet.enabled.any()
    assert "awaited is a frequency in its band" in lost(loop)["feed"]
    loop.plant.frequency_hz = 50.0
    await loop.run(13)
    assert all(in_force(loop))
    assert not lost(loop)


async def test_a_frequency_known_for_a_moment_in_the_probation_does_not_end_it():
    loop = ClosedLoop(uneven_site(), delay_cycles=0)
    await loop.run(5)
    loop.plant.frequency_hz = 47.2
    await loop.run(3)
    for hertz, cycles in ((50.0, 7), (math.nan, 2), (50.0, 8)):
        loop.plant.frequency_hz = hertz
        await loop.run(cycles)
    assert not any(in_force(loop)), "ten seconds without a break"
    await loop.run(5)
    assert all(in_force(loop))


async def test_a_source_lost_by_voltage_whose_frequency_was_measured_waits_for_it_and_not_for_ever():
    loop = ClosedLoop(uneven_site())
    await loop.run(8)
    loop.plant.frequency_hz = math.nan
    schedule(loop.plant, [Fault(FaultKind.FEED_LOST, ("A",), at_s=loop.plant.t_s, until_s=loop.plant.t_s + 5)])
    await loop.run(30)
    assert not any(in_force(loop))
    assert "its frequency is not measured" in lost(loop)["feed"]
    await loop.run(45)
    assert all(in_force(loop)), "six times the 10 s of healthy voltage"
    assert not lost(loop)
    assert {event.where for event in loop.events.open() if event.code == "grid.frequency_unknown"} == {"feed"}
    loop.plant.frequency_hz = 50.0
    await loop.run(2)
    assert not [event for event in loop.events.open() if event.code == "grid.frequency_unknown"]


async def test_a_frequency_that_is_known_again_counts_from_then_on_whatever_the_voltage_did_before():
    loop = ClosedLoop(uneven_site())
    await loop.run(8)
    loop.plant.frequency_hz = math.nan
    schedule(loop.plant, [Fault(FaultKind.FEED_LOST, ("A",), at_s=loop.plant.t_s, until_s=loop.plant.t_s + 5)])
    await loop.run(40)
    loop.plant.frequency_hz = 50.0
    await loop.run(8)
    assert not any(in_force(loop))
    await loop.run(6)
    assert all(in_force(loop))


async def test_where_the_frequency_was_never_measured_voltage_alone_proves_a_source():
    loop = ClosedLoop(uneven_site())
    loop.plant.frequency_hz = math.nan
    await loop.run(8)
    schedule(loop.plant, [Fault(FaultKind.FEED_LOST, ("A",), at_s=loop.plant.t_s, until_s=loop.plant.t_s + 5)])
    await loop.run(20)
    assert all(in_force(loop))
    assert not [event for event in loop.events.open() if event.code.startswith("grid.")]
