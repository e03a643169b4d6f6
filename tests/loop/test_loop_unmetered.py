"""A rack without a meter: the loop never overloads a breaker that it cannot see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from closed_loop import ClosedLoop, uneven_site


async def test_a_rack_without_a_meter_is_never_overloaded() -> None:
    """12.8 A permitted; its load is 11.7 A on L1 and wanders. All that is unplaced under the pdu may be this rack's."""
    site = uneven_site()
    nodes = tuple(replace(n, rating_a=16.0, neutral_rating_a=None, omega=0.01) if n.id == "rack2" else n for n in site.nodes)
    meters = tuple(m for m in site.meters if m.node != "rack2")
    loop = ClosedLoop(replace(site, nodes=nodes, meters=meters))
    load, rng = loop.source.power_va.copy(), np.random.default_rng(3)
    rack, worst_a = loop.layout.node_index["rack2"], 0.0
    for _ in range(30):
        loop.source.power_va = load * (1 + 0.02 * rng.standard_normal(len(load)))
        await loop.run(1)
        worst_a = max(worst_a, float(np.abs(loop.plant.solve().current_a[rack]).max()))
    assert worst_a <= 12.8
    assert loop.objectives[-1] < 0.25 * loop.without_control()
