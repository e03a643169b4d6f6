"""A wrong meter where zones meet: found out by the site level, told to the zone, and mended by an estimate."""

from __future__ import annotations

import numpy as np
import pytest
from tests.loop.level_loop import LevelLoop, zoned_hall

from mimctl.model.fault import Fault, FaultKind
from mimctl.twin.faults import schedule


async def settled(zones: int = 4) -> LevelLoop:
    loop = LevelLoop(zoned_hall(zones, upper_share=0.8), site_every=2)
    await loop.run(30)
    return loop


def share(loop: LevelLoop, last: int) -> float:
    """Of what the optimum of the whole tree removes, over the last cycles."""
    without, best = loop.without_control(), loop.best()
    return (without - float(np.mean(loop.objectives[-last:]))) / (without - best)


@pytest.mark.parametrize("meter", ["m-rack2", "m-pdu1", "m-feed"])
@pytest.mark.parametrize("kind", [FaultKind.LYING, FaultKind.CT_REVERSED])
async def test_a_wrong_meter_at_or_above_a_head_is_named_and_does_no_lasting_harm(meter, kind):
    loop = await settled()
    values = (("gain", 2.0),) if kind is FaultKind.LYING else ()
    schedule(loop.plant, [Fault(kind, (meter,), values=values)])
    await loop.run(45)
    told = {(event.code, event.where) for event in loop.events.open()}
    # by its own name where it is convicted, by its node where another might be the wrong one
    assert {("bad_meter", meter), ("bad_meter", meter.removeprefix("m-"))} & told
    # a zone of one rack without its only meter is left without control: one in four
    assert share(loop, 10) > (0.7 if meter == "m-rack2" else 0.99)


async def test_a_silent_meter_above_the_zones_is_filled_in():
    loop = await settled()
    schedule(loop.plant, [Fault(FaultKind.OFFLINE, ("m-pdu1",))])
    await loop.run(40)
    pdu = loop.layout.node_index["pdu1"]
    nodes = loop.controller.upper_state.nodes
    assert nodes.estimated[pdu]
    truth = loop.plant.solve().flow_va[pdu]
    assert np.abs(nodes.import_w[pdu] - truth.real).max() < 3 * nodes.sigma_w[pdu].max() + 50
    assert share(loop, 10) > 0.99


async def test_a_hall_without_faults_accuses_nobody():
    loop = await settled()
    rng, base = np.random.default_rng(4), loop.source.power_va.copy()
    for _ in range(20):
        loop.source.power_va = base * rng.uniform(0.5, 1.5, len(base))
        await loop.run(3)
    assert not {"bad_meter", "node.unknown"} & {event.code for event in (*loop.events.open(), *loop.events.recent())}
