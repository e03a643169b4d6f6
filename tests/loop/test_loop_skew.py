"""No two devices are read at one instant: each at its own moment of the cycle, another one in every cycle."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from fault_cases import hall
from tests.loop.closed_loop import ClosedLoop

from mimctl.model.latency import TYPICAL, LatencyClass
from mimctl.model.layout import BoolArray
from mimctl.model.site import Site
from mimctl.twin.plant import Plant

#: instants in a cycle at which a device may be read
MOMENTS = 10
#: an overload that control makes is seen by the next reading and taken back by the next cycle; a cycle more for the response
LONGEST_CYCLES = 3


@dataclass(eq=False)
class SkewedLoop(ClosedLoop):
    """Every device is read at a moment of the last cycle of its own, drawn anew each cycle; the loads walk meanwhile.

    Args:
        seed: of the moments and of the loads.
        skewed: False = all are read in the moment before the decision.
        walk: how far a load goes from one moment to the next, of its size.
    """

    seed: int = 0
    skewed: bool = True
    walk: float = 0.002
    overs: list[BoolArray] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._random = np.random.default_rng(self.seed)
        self._mean_va = self.source.power_va.copy()
        self._bare = Plant(self.layout, self.loads, fleet=None)

    async def run(self, steps: int) -> None:
        for _ in range(steps):
            begin_s = self.clock.monotonic_s()
            for moment in range(1, MOMENTS + 1):
                self._wander()
                self.plant.advance_to(begin_s + moment * self.step_s / MOMENTS)
                self.group.capture(self.plant.t_s)
                self._look()
            self.clock.advance_to(self.plant.t_s)
            if self.skewed:
                for device in self.group.drivers:
                    self.group.skew(device, int(self._random.integers(MOMENTS)))
            for zone in self.controller.zones:
                await zone.step()
            await self.controller.read_above()
            self.setpoints.append(self.setpoint_va())
            self.objectives.append(self.objective())

    def _wander(self) -> None:
        """Loads walk at random and are drawn back to their mean, as racks do."""
        now = self.source.power_va
        step = self.walk * np.abs(self._mean_va) * self._random.standard_normal(len(now))
        self.source.power_va = now + 0.02 * (self._mean_va - now) + step * (1 + 0.25j)

    def change_places(self) -> None:
        """From now on each phase of a rack has the load of the phase before."""
        self._mean_va, self.source.power_va = (
            np.roll(va.reshape(-1, 3), 1, axis=1).reshape(-1) for va in (self._mean_va, self.source.power_va)
        )

    def _look(self) -> None:
        """(N, 3) phases that are over their limit for hours, and were not without MIMs."""
        self._bare.advance_to(self.plant.t_s)
        limit_a = 1.005 * self.layout.limit_a[:, None]
        now_a, bare_a = (np.abs(plant.solve().current_a) for plant in (self.plant, self._bare))
        self.overs.append((now_a > limit_a) & (now_a > 1.005 * bare_a))

    def longest_over_s(self) -> float:
        """For how long control held some phase over its limit without a break [s]."""
        longest, running = 0, np.zeros_like(self.overs[0], dtype=np.int64)
        for over in self.overs:
            running = np.where(over, running + 1, 0)
            longest = max(longest, int(running.max()))
        return longest * self.step_s / MOMENTS


def removed(loop: SkewedLoop, cycles: int) -> float:
    """Share of the unbalance that was removed over the last cycles, of that of the present loads without MIMs."""
    return 1 - float(np.mean(loop.objectives[-cycles:])) / loop.without_control()


def some_late(site: Site) -> Site:
    """Every second MIM behind a radio."""
    late = (None, LatencyClass.MEDIUM)
    mims = tuple(
        mim if (kind := late[i % 2]) is None else replace(mim, latency=TYPICAL[kind], validity_s=60.0)
        for i, mim in enumerate(site.mims)
    )
    return replace(site, mims=mims)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [hall, lambda: some_late(hall())], ids=["wired", "some late"])
async def test_limits_hold_whenever_in_a_cycle_each_device_is_read(make, seed: int) -> None:
    """The fullest phases stand just inside their limit, and their loads change places at 12 s."""
    loop = SkewedLoop(make(), seed=seed)
    await loop.run(12)
    loop.change_places()
    await loop.run(18)
    assert loop.longest_over_s() <= LONGEST_CYCLES * loop.step_s
    assert removed(loop, 5) > 0.85


async def test_skew_costs_next_to_nothing_and_starts_no_ringing() -> None:
    skewed, together = SkewedLoop(hall(), seed=5), SkewedLoop(hall(), seed=5, skewed=False)
    for loop in (skewed, together):
        await loop.run(30)
    assert removed(skewed, 15) > removed(together, 15) - 0.02
    assert skewed.travel_va(10) < 3 * together.travel_va(10) + 200


async def test_at_standing_loads_skew_is_nothing() -> None:
    """What moves within a cycle is the MIMs alone, and where each of them was at each reading is known."""
    loop = SkewedLoop(hall(), seed=2, walk=0.0)
    await loop.run(15)
    assert loop.longest_over_s() <= loop.step_s
    assert loop.travel_va(5) < 5 * 12 * 3
    assert removed(loop, 3) > 0.97
