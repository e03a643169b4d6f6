"""A device that reports over Zigbee: its values are those it told last, as old as they are. Reading asks nobody."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from mimctl.drivers.zigbee_values import spot_of, value_of, wanted
from mimctl.model.clock import Clock
from mimctl.model.errors import LinkDown, LinkTimeout
from mimctl.model.layout import frozen
from mimctl.model.sample import Sample
from mimctl.model.zigbee import ZigbeeMap, ZigbeePoint
from mimctl.wire.zigbee.bridge import ZigbeeBridge
from mimctl.wire.zigbee.watched import Watched

#: what a value can be, in the unit of its quantity; anything else is not believed
PLAUSIBLE: dict[str, tuple[float, float]] = {
    "voltage": (0.0, 1500.0),
    "current": (0.0, 20_000.0),
    "active_power": (-20e6, 20e6),
    "reactive_power": (-20e6, 20e6),
    "apparent_power": (0.0, 20e6),
    "frequency": (10.0, 100.0),
    "voltage_angle": (-360.0, 360.0),
    "current_angle": (-360.0, 360.0),
    "thd_v": (0.0, 1000.0),
    "thd_i": (0.0, 10_000.0),
    "soc": (0.0, 100.0),
    "temperature": (-60.0, 200.0),
    "harmonic_share": (0.0, 100.0),
}
_ANYTHING = (-math.inf, math.inf)
#: what control subtracts from each other must be of one instant
_CORE = ("active_power", "reactive_power")


def paced(found: ZigbeeMap, most_s: float) -> ZigbeeMap:
    """The map with what control decides on told at least so often [s]."""
    points = (
        replace(p, most_s=min(p.most_s, most_s), least_s=min(p.least_s, most_s))
        if p.key.partition(".")[0] in (*_CORE, "voltage", "current", "frequency")
        else p
        for p in found.points
    )
    return replace(found, points=tuple(points))


class ZigbeeDevice:
    """Implements `model.protocols.Driver`."""

    def __init__(self, device: str, eui: str, found: ZigbeeMap, bridge: ZigbeeBridge, clock: Clock) -> None:
        self._device, self._eui, self._bridge, self._clock = device, eui, bridge, clock
        self._points = found.points
        self._keys = tuple(point.key for point in found.points)
        self._asked = list(wanted(found.points))[: len(found.points)]
        self._core = [key.partition(".")[0] in _CORE for key in self._keys]
        self._watched: Watched = bridge.watch(eui, wanted(found.points))

    @property
    def device(self) -> str:
        return self._device

    @property
    def eui(self) -> str:
        return self._eui

    @property
    def watched(self) -> Watched:
        """What it has told, raw."""
        return self._watched

    async def read(self) -> Sample:
        """What it told last.

        Raises:
            LinkDown: the coordinator is away, or the device is not on its network.
            LinkTimeout: it has been silent for three times as long as it may be.
        """
        if not self._bridge.connected:
            raise LinkDown(self._device, self._bridge.trouble or "the coordinator is away")
        watched, now_s = self._watched, self._clock.monotonic_s()
        if not watched.complete:
            raise LinkDown(self._device, watched.trouble or "it has not told everything yet")
        if watched.silent_s(now_s) > watched.patience_s:
            raise LinkTimeout(self._device, f"silent for {watched.silent_s(now_s):.0f} s")
        return self._sample(watched)

    def _sample(self, watched: Watched) -> Sample:
        values, told_s = np.full(len(self._keys), np.nan), np.full(len(self._keys), np.nan)
        for n, point in enumerate(self._points):
            held = watched.values.get(spot_of(point))
            if held is not None:
                told_s[n] = held.at_s
                values[n] = self._believed(point, value_of(point, self._asked[n], watched))
        taken_at_s = self._taken_at_s(told_s, watched.heard_at_s)
        older_s = np.where(told_s < taken_at_s, told_s, np.nan)
        some_older = bool((~np.isnan(older_s)).any())
        return Sample(self._device, taken_at_s, self._keys, frozen(values), older_s=frozen(older_s) if some_older else None)

    def _taken_at_s(self, told_s: np.ndarray, heard_at_s: float) -> float:
        """The oldest of the powers: a sample is as old as what it is used for."""
        core = told_s[self._core]
        core = core[~np.isnan(core)]
        return float(core.min()) if len(core) else heard_at_s

    def _believed(self, point: ZigbeePoint, value: float) -> float:
        low, high = PLAUSIBLE.get(point.key.partition(".")[0], _ANYTHING)
        if math.isnan(value) or low <= value <= high:
            return value
        self._bridge.gate.refuse("implausible value", self._eui, point=point.key)
        return math.nan
