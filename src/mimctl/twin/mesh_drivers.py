"""MIMs on a mesh radio, straight onto the plant: late by a distribution, told by reports, each frame to be lost either way."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mimctl.model.errors import LinkTimeout
from mimctl.model.layout import FloatArray
from mimctl.model.sample import Sample
from mimctl.twin.drivers import PlantDriverGroup, PlantMim
from mimctl.twin.firmware import MimFleet

#: the longest frame of IEEE 802.15.4, preamble included: 133 bytes at 250 kbit/s [s]
LONGEST_FRAME_S = 133 * 8 / 250e3


@dataclass(frozen=True, slots=True)
class MeshWay:
    """How a mesh carries frames. Assumed, not measured: log-normal, as queueing and retries of the radios make it.

    Args:
        hop_s: median of the way over one hop [s].
        spread: σ of its logarithm.
        most_hops: each device is between one and so many hops away, as drawn once.
        patience_s: an answer that takes longer counts as lost [s].
        report_every_s: how often a device tells its powers [s].
        least_s, change_w: a change of so many watts or vars is told at once, but not sooner than so long after the last report.
    """

    hop_s: float = 0.06
    spread: float = 0.6
    most_hops: int = 3
    patience_s: float = 0.9
    report_every_s: float = 5.0
    least_s: float = 1.0
    change_w: float = 20.0


class MeshMim(PlantMim):
    """One MIM behind a coordinator. A command counts only when its answer is heard; a lost report is not repeated."""

    def __init__(
        self, group: PlantDriverGroup, fleet: MimFleet, m: int, device: str, way: MeshWay, rng: np.random.Generator
    ) -> None:
        super().__init__(group, fleet, m, device)
        self._way, self._rng = way, rng
        #: between it and the coordinator
        self.hops = int(rng.integers(1, way.most_hops + 1))
        #: commands and signs of life that were sent
        self.commands = 0
        self._sent_s = -math.inf
        self._sent_w: FloatArray | None = None
        self._there_s = -math.inf
        keys = group.mim_keys(m)
        self._powers = [n for n, key in enumerate(keys) if key.partition(".")[0] in ("active_power", "reactive_power")]

    async def read(self) -> Sample:
        """The last report that was heard."""
        self._require_online()
        self._group.instruments.require_reachable(self._device)
        now = self._group.mim_sample(self._m, self._device)
        if self._reports(now):
            self._sent_s, self._sent_w = now.taken_at_s, now.values[self._powers]
            if self._heard():
                self._told = now
                self._look_for_loss(now)
        if self._told is None:
            raise LinkTimeout(self._device, "it has not reported yet")
        silent_s = now.taken_at_s - self._told.taken_at_s
        if silent_s > 3 * self._way.report_every_s + self._way.patience_s:
            raise LinkTimeout(self._device, f"silent for {silent_s:.0f} s")
        return self._told

    def _reports(self, now: Sample) -> bool:
        quiet_s = now.taken_at_s - self._sent_s
        if self._sent_w is None or quiet_s >= self._way.report_every_s:
            return True
        moved_w = np.abs(now.values[self._powers] - self._sent_w)
        return bool(quiet_s >= self._way.least_s and (moved_w >= self._way.change_w).any())

    def _heard(self) -> bool:
        try:
            self._answer()
        except LinkTimeout:
            return False
        return True

    def _ask(self) -> None:
        self.commands += 1
        super()._ask()

    def _deliver(self, action: Callable[[], None]) -> None:
        """After the way there, never before what was sent earlier; an answer that is too late is no answer."""
        there_s, back_s = self._way_s(), self._way_s()
        self._there_s = max(self._fleet.now_s + there_s, self._there_s)
        self._fleet.at(self._there_s, action)
        if there_s + back_s > self._way.patience_s:
            raise LinkTimeout(self._device, f"no answer within {self._way.patience_s:g} s")

    def _way_s(self) -> float:
        median_s = self.hops * self._way.hop_s
        return median_s * math.exp(self._way.spread * float(self._rng.standard_normal()))
