"""Racks without a meter: the loop never overloads a breaker that it cannot see, and asks for nothing that the judge must refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from closed_loop import ClosedLoop, uneven_site

from mimctl.model.plan import Judgement
from mimctl.model.site import Site

#: who has no meter, and the breaker rating there [A]: 12.8, 32 and 51.2 A are permitted for hours
CASES = {
    "one rack whose load may fill its breaker": ({"rack2"}, 16.0),
    "the pdu above racks with meters": ({"pdu"}, 40.0),
    "every rack, and all of them may carry the whole load": ({"rack1", "rack2", "rack3"}, 64.0),
    "every rack, and on L1 none may carry the whole load": ({"rack1", "rack2", "rack3"}, 32.0),
}


def blank_site(blank: set[str], rating_a: float) -> Site:
    site = uneven_site()
    nodes = tuple(replace(n, rating_a=rating_a, neutral_rating_a=None, omega=0.01) if n.id in blank else n for n in site.nodes)
    return replace(site, nodes=nodes, meters=tuple(m for m in site.meters if m.node not in blank))


def judgements(loop: ClosedLoop) -> list[Judgement]:
    records = [zone.cycle.last for zone in loop.controller.zones]
    return [j for record in records if record is not None for j in record.safe_plan.judgements]


async def test_a_rack_without_a_meter_is_never_overloaded() -> None:
    """12.8 A permitted; its load is 11.7 A on L1 and wanders. All that is unplaced under the pdu may be this rack's."""
    loop = ClosedLoop(blank_site({"rack2"}, 16.0))
    load, rng = loop.source.power_va.copy(), np.random.default_rng(3)
    rack, worst_a = loop.layout.node_index["rack2"], 0.0
    for _ in range(30):
        loop.source.power_va = load * (1 + 0.02 * rng.standard_normal(len(load)))
        await loop.run(1)
        worst_a = max(worst_a, float(np.abs(loop.plant.solve().current_a[rack]).max()))
    assert worst_a <= 12.8
    assert loop.objectives[-1] < 0.25 * loop.without_control()


@pytest.mark.parametrize("case", CASES)
async def test_on_a_steady_site_the_judge_has_nothing_to_clamp(case: str) -> None:
    """The solve leaves the room that the judge leaves: after the ramp up every plan passes as it is."""
    loop = ClosedLoop(blank_site(*CASES[case]))
    await loop.run(10)
    for _ in range(10):
        await loop.run(1)
        assert judgements(loop) == []
    assert loop.objectives[-1] < loop.without_control()


async def test_a_phase_that_control_leaves_alone_for_want_of_a_meter_is_told() -> None:
    """7.1 kW on L1 are 31 A, 25.6 A are permitted: nothing is left at any rack, and an operator wants to know why nothing moves."""
    loop = ClosedLoop(blank_site(*CASES["every rack, and on L1 none may carry the whole load"]))
    await loop.run(5)
    told = {event.where: event.text for event in loop.events.open() if event.code == "limit.load_unseen"}
    assert set(told) == {"rack1", "rack2", "rack3"}
    assert told["rack1"].endswith("may fill its breaker on L1")
    on_l1 = [k for k, port in enumerate(loop.layout.ports) if port.connection == "L1"]
    assert np.abs(loop.setpoints[-1][on_l1]).max() < 5
