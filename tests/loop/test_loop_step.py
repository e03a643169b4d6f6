"""How quickly a step of load is answered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.loop.closed_loop import ClosedLoop, uneven_site


async def stepped_loop(lag: int, phase: str, noise_pct: float = 0.0) -> ClosedLoop:
    """Settled, then 30 % more load on one phase, which the next cycle's samples see."""
    site = uneven_site(meter_noise_pct=noise_pct)
    loop = ClosedLoop(replace(site, mims=tuple(replace(m, response_s=1.0) for m in site.mims)), delay_cycles=lag)
    await loop.run(60)
    stepped = np.array([load.connection.value == phase for load in loop.source.loads])
    loop.source.power_va = loop.source.power_va * np.where(stepped, 1.3, 1.0)
    return loop


@pytest.mark.parametrize("lag", [1, 2])
@pytest.mark.parametrize("phase", ["L1", "L2", "L3"])
async def test_setpoints_are_there_two_cycles_after_the_first_solve_that_sees_a_step(lag, phase):
    loop = await stepped_loop(lag, phase)
    start = loop.setpoint_va()
    await loop.run(1 + lag + 2)
    commanded = loop.setpoint_va()
    await loop.run(120)
    settled = loop.setpoint_va()
    assert np.abs(commanded - settled).max() <= 0.1 * np.abs(settled - start).max()


@pytest.mark.parametrize("noise_pct", [0.0, 0.3])
@pytest.mark.parametrize("phase", ["L1", "L2", "L3"])
async def test_delivered_powers_are_there_five_cycles_after_a_step(phase, noise_pct):
    loop = await stepped_loop(1, phase, noise_pct)
    await loop.run(5)
    without, best = loop.without_control(), loop.best()
    assert loop.objective() - best < 0.1 * (without - best)
