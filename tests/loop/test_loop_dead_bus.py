"""A rack trips while its MIMs inject: no phase feeds back into the source, and nobody energises what has no voltage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from closed_loop import ClosedLoop, uneven_site
from fault_cases import RACKS, hall, run

from mimctl.model.fault import Fault, FaultKind
from mimctl.model.node import Feed
from mimctl.twin.faults import schedule

#: a command that was on its way when the breaker opened [cycles]
ON_ITS_WAY = 2


def tripped(loop: ClosedLoop, node: str, seconds: float = 30.0) -> None:
    now_s = loop.plant.t_s
    schedule(loop.plant, [Fault(FaultKind.RACK_TRIPPED, (node,), now_s + 0.5, now_s + seconds)])


@pytest.mark.parametrize("limit_w", [0.0, 500.0])
@pytest.mark.parametrize("racks", [1, 2, 3])
async def test_net_import_per_phase_stays_above_its_limit_when_a_rack_trips(racks: int, limit_w: float) -> None:
    site = replace(uneven_site(racks), feeds=(Feed("A", "feed", reverse_power_limit_w=limit_w),))
    loop = ClosedLoop(site)
    await loop.run(15)
    rack = loop.layout.node_index["rack1"]
    assert np.abs(loop.plant.solve().port_va[loop.layout.port_node == rack]).max() > 200, "it was helping"
    tripped(loop, "rack1")
    below = 0
    for _ in range(25):
        await loop.run(1)
        state = loop.plant.solve()
        below += int(state.flow_va[0].real.min() < -limit_w - 5)
        assert np.abs(state.port_va[loop.layout.port_node == rack]).max() == 0, "the MIM opened its contactor by itself"
    assert below <= ON_ITS_WAY, f"{below} cycles with power fed back"


async def test_a_mim_on_a_dead_bus_is_not_commanded_until_the_voltage_is_back() -> None:
    loop = ClosedLoop(uneven_site())
    await loop.run(15)
    m = loop.layout.mim_index["mim-rack1"]
    tripped(loop, "rack1", seconds=20.0)
    await loop.run(ON_ITS_WAY + 1)
    already = int(loop.fleet.defects.dead_bus_commands[m])
    await loop.run(16)
    assert loop.fleet.defects.dead_bus_commands[m] == already, "nobody tries to energise a dead bus"
    assert not loop.fleet.enabled[m]
    await loop.run(20)
    assert loop.fleet.enabled[m], "used again once the voltage is back"
    before, best = loop.without_control(), loop.best()
    assert before - loop.objectives[-1] >= 0.97 * (before - best)


async def test_a_lost_feed_leaves_every_mim_alone() -> None:
    loop = ClosedLoop(uneven_site())
    await loop.run(15)
    now_s = loop.plant.t_s
    schedule(loop.plant, [Fault(FaultKind.FEED_LOST, ("A",), now_s + 0.5)])
    await loop.run(ON_ITS_WAY + 1)
    already = loop.fleet.defects.dead_bus_commands.copy()
    await loop.run(20)
    assert np.array_equal(loop.fleet.defects.dead_bus_commands, already)
    assert not loop.fleet.enabled.any()
    assert np.abs(loop.plant.solve().flow_va).max() == 0


def test_racks_that_trip_one_after_another_never_overload_what_is_left() -> None:
    faults = [
        Fault(FaultKind.RACK_TRIPPED, (rack,), 10.0 + 6 * i, 50.0 + 3 * i) for i, rack in enumerate(RACKS) if rack != "rack-b2"
    ]
    result = run(hall(), faults, 80.0)
    assert result["limit_violations"] == 0
    assert [told["limit_violations"] for told in result["faults"]] == [0, 0, 0]
