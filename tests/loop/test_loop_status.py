"""What the status of a running site tells: the rule in force, what is refused, zones that fail, nodes with fewer phases."""

from __future__ import annotations

from dataclasses import replace

from tests.loop.closed_loop import ClosedLoop, uneven_site

from mimctl.model.phases import Phase
from mimctl.model.site import BalanceRule
from mimctl.service.status import zone_status


def status_of(loop: ClosedLoop) -> dict:
    return zone_status(loop.controller.zones[0])


async def test_the_balance_rule_in_force_is_named():
    loop = ClosedLoop(replace(uneven_site(), rules=(BalanceRule("day", ("z",)),)))
    assert status_of(loop)["balance_rule"] is None, "nothing has been measured yet"
    await loop.run(2)
    assert status_of(loop)["balance_rule"] == "day"
    nobody = ClosedLoop(replace(uneven_site(), rules=()))
    await nobody.run(2)
    assert status_of(nobody)["balance_rule"] is None


async def test_mims_whose_plans_are_refused_are_listed_with_count_and_reason():
    loop = ClosedLoop(uneven_site())
    await loop.run(10)
    loop.source.power_va = -loop.source.power_va
    await loop.run(12)
    refused = status_of(loop)["refused"]
    assert set(refused) == {"mim-rack1", "mim-rack2", "mim-rack3"}
    assert refused["mim-rack1"]["code"] == "data.load_backwards"
    assert refused["mim-rack1"]["cycles"] >= 3


async def test_a_zone_whose_cycles_all_fail_is_not_starting_for_ever():
    loop = ClosedLoop(uneven_site())
    zone = loop.controller.zones[0]
    assert status_of(loop)["state"] == "starting"

    async def broken() -> None:
        raise ValueError("a bug")

    zone.loop.body = broken
    await zone.loop._tick()
    assert status_of(loop)["state"] == "failing"


async def test_a_node_tells_nothing_of_the_phases_that_it_lacks():
    site = uneven_site()
    nodes = tuple(replace(n, phases=(Phase.L2,)) if n.id == "rack3" else n for n in site.nodes)
    kept = tuple(load for load in site.twin.loads if load.node != "rack3" or load.connection.value == "L2")
    mims = tuple(m for m in site.mims if m.id != "mim-rack3")
    loop = ClosedLoop(replace(site, nodes=nodes, mims=mims, twin=replace(site.twin, loads=kept)))
    await loop.run(2)
    node = status_of(loop)["nodes"]["rack3"]
    assert node["phases"] == ["L2"]
    assert [a is None for a in node["current_a"]] == [True, False, True]
    assert node["i2_i1"] is None
    assert node["i0_i1"] is None
    assert status_of(loop)["nodes"]["rack1"]["i2_i1"] is not None
