"""Calm on noise, quick on danger."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.loop.closed_loop import ClosedLoop, uneven_site

from mimctl.model.lease import LeaseSource, Setpoint
from mimctl.model.site import DEADBAND_A, BalanceRule, Site


def calm_site(*, noise_pct: float, deadband_a: float = DEADBAND_A, dwell_s: float = 0.0) -> Site:
    rule = BalanceRule("balance", ("z",), deadband_a=deadband_a, dwell_s=dwell_s)
    return replace(uneven_site(meter_noise_pct=noise_pct), rules=(rule,))


def writes_per_mim_h(loop: ClosedLoop, last: int) -> float:
    changed = np.abs(np.diff(np.array(loop.setpoints[-last - 1 :]), axis=0)) > 0
    by_mim = changed.reshape(last, -1, 3).any(axis=2)
    return float(by_mim.sum() / by_mim.shape[1] / last * 3600)


@pytest.mark.parametrize(
    ("noise_pct", "most_writes", "most_travel_a"), [(0.0, 20.0, 10.0), (0.1, 400.0, 60.0), (0.3, 1800.0, 600.0)]
)
async def test_constant_noisy_load_leaves_the_devices_in_peace(noise_pct, most_writes, most_travel_a):
    """Five minutes of noise; hourly rates of writes for a MIM and of travel for a port."""
    loop = ClosedLoop(calm_site(noise_pct=noise_pct))
    await loop.run(330)
    assert writes_per_mim_h(loop, 300) <= most_writes
    assert loop.travel_va(last=300) / 230.0 / 9 * 12 <= most_travel_a
    without, best = loop.without_control(), loop.best()
    assert np.mean(loop.objectives[-300:]) - best < 0.01 * (without - best)


async def test_a_dwell_bounds_the_writes_whatever_the_noise():
    loop = ClosedLoop(calm_site(noise_pct=1.0, deadband_a=0.0, dwell_s=30.0))
    await loop.run(330)
    assert writes_per_mim_h(loop, 300) <= 3600 / 30


async def test_a_setpoint_of_one_mim_leaves_the_others_in_peace():
    """A MIM whose every port is set needs no writes; that it is set gives the others no reason to follow the noise."""
    loop = ClosedLoop(calm_site(noise_pct=0.1, dwell_s=30.0))
    await loop.run(30)
    book = loop.controller.leases
    action = Setpoint((-300.0 + 0j, 0j, None))
    book.put(book.draft(LeaseSource.OPERATOR, "ann", "mim-rack1", action, seconds=600.0, reason="a test"))
    await loop.run(10)
    before = len(loop.setpoints)
    await loop.run(120)
    own = loop.controller.zones[0].layout.ports_of_mim[loop.controller.zones[0].layout.mim_index["mim-rack1"]]
    others = np.delete(np.array(loop.setpoints[before - 1 :]), range(own.start, own.stop), axis=1)
    changed = (np.abs(np.diff(others, axis=0)) > 0).reshape(120, -1, 3).any(axis=2)
    assert changed.sum() / changed.shape[1] <= 120 / 30


async def test_an_overloaded_breaker_is_answered_in_one_cycle_whatever_keeps_calm():
    """A step that takes one phase 2 A over what its breaker may carry for hours; the move itself is inside deadband and dwell."""
    site = calm_site(noise_pct=0.0, deadband_a=3.0, dwell_s=600.0)
    nodes = tuple(replace(n, rating_a=12.0 if n.id == "rack1" else n.rating_a) for n in site.nodes)
    loop = ClosedLoop(replace(site, nodes=nodes), delay_cycles=0)
    await loop.run(20)
    assert (np.abs(loop.plant.solve().current_a[2]) <= 12.0 * 0.8).all()
    before = loop.setpoint_va()
    loop.source.power_va = loop.source.power_va * np.array([1.3, 1, 1, 1, 1, 1, 1, 1, 1])
    await loop.run(1)
    assert np.abs(loop.setpoint_va() - before)[0] > 100.0
    await loop.run(4)
    assert (np.abs(loop.plant.solve().current_a[2]) <= 12.0 * 0.8 * 1.01).all()
