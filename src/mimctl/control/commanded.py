"""What the devices tell about being commanded: who else writes to them, and whether they have a failsafe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mimctl.control.events import EventLog
from mimctl.model.layout import BoolArray, FloatArray, SiteLayout, frozen
from mimctl.model.problem import Severity
from mimctl.model.protocols import Commanded, DriverGroup, ForeignWrite
from mimctl.model.setpoints import Failsafe
from mimctl.model.site import SecondMaster

#: a MIM that somebody else writes to is left alone until nobody else has written for so long
YIELD_S = 300.0
#: the event about a second master stays open for so long after its last write
_TOLD_S = 60.0
#: share of its ratings that a MIM without a failsafe may use, unless the site file names another
UNSAFE_AUTHORITY = 0.25


def commanded_devices(layout: SiteLayout, groups: Iterable[DriverGroup]) -> dict[int, Commanded]:
    """By index of the MIM; those whose drivers tell nothing of the kind are left out."""
    found = ((layout.mim_index[name], d) for g in groups for name, d in g.drivers.items() if name in layout.mim_index)
    return {m: driver for m, driver in found if isinstance(driver, Commanded)}


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """Who commands the MIMs, shapes (M,).

    Args:
        fresh: somebody else has written since the last cycle, and we insist.
        yielded: left to somebody else for now.
    """

    fresh: BoolArray
    yielded: BoolArray


class Rivals:
    """Watches for a second master at every MIM of one layout."""

    def __init__(self, layout: SiteLayout, groups: Iterable[DriverGroup], events: EventLog) -> None:
        self._layout = layout
        self._events = events
        self._devices = commanded_devices(layout, groups)
        self._seen_at_s: FloatArray = np.full(len(layout.mims), -np.inf)
        self._left: BoolArray = np.zeros(len(layout.mims), dtype=np.bool_)
        self._reads: dict[int, tuple[float | None, ...]] = {}
        self._texts: dict[int, str] = {}

    def check(self, now_s: float) -> Contest:
        """Once a cycle, after reading."""
        fresh = np.zeros(len(self._layout.mims), dtype=np.bool_)
        for m, device in self._devices.items():
            foreign = device.foreign_write
            if not self._yields(m, device) or now_s - self._seen_at_s[m] >= YIELD_S:
                self._left[m] = False
                self._reads.pop(m, None)
            if foreign is None:
                self._left[m] = False  # the last write was ours: it is ours to release
            elif foreign.seen_at_s > self._seen_at_s[m]:
                self._left[m] |= self._yields(m, device) and self._is_somebody(m, foreign)
                fresh[m] = not self._left[m]
                self._seen_at_s[m], self._texts[m], self._reads[m] = foreign.seen_at_s, foreign.text, foreign.reads
        quiet_s = now_s - self._seen_at_s
        yielded = self._left & (quiet_s < YIELD_S)
        self._report(yielded, quiet_s)
        return Contest(frozen(fresh), frozen(yielded))

    def _is_somebody(self, m: int, foreign: ForeignWrite) -> bool:
        """Whether it takes somebody to write this: a number that counts on, or another value than the one that was found before.

        A device that falls back to a value of its own does so again and again, and always to the same.
        """
        return not foreign.reads or self._reads.get(m, foreign.reads) != foreign.reads

    def _yields(self, m: int, device: Commanded) -> bool:
        rule = self._layout.mims[m].second_master
        if rule is None:
            return device.mim_map is not None and device.mim_map.sequence is None
        return rule is SecondMaster.YIELD

    def _report(self, yielded: BoolArray, quiet_s: FloatArray) -> None:
        holding = []
        for m in np.flatnonzero(yielded | (quiet_s < _TOLD_S)):
            name = self._layout.mims[m].id
            what = (
                f"left alone until nobody else has written for {YIELD_S:.0f} s" if yielded[m] else "our setpoints are written again"
            )
            holding.append((name, f"{name}: {self._texts[int(m)]}; {what}"))
        self._events.keep_only("mim.second_master", holding, Severity.WARNING)


class Authorities:
    """How much of its ratings each MIM of one layout may use."""

    def __init__(self, layout: SiteLayout, groups: Iterable[DriverGroup], events: EventLog) -> None:
        self._layout = layout
        self._events = events
        self._devices = commanded_devices(layout, groups)
        self._told: list[object] = []
        self._shares: FloatArray | None = None

    def shares(self) -> FloatArray:
        """(M,) of the rating of each port; a MIM that keeps its last setpoint for ever when nobody commands it gets less."""
        told = [device.mim_map for device in self._devices.values()]
        if self._shares is None or any(a is not b for a, b in zip(told, self._told, strict=True)):
            self._told, self._shares = list(told), self._work_out()
        return self._shares

    def _work_out(self) -> FloatArray:
        shares = np.array([1.0 if mim.authority is None else mim.authority for mim in self._layout.mims])
        unsafe = []
        for m, device in self._devices.items():
            mim, told = self._layout.mims[m], device.mim_map
            if told is None or told.failsafe is not Failsafe.NONE:
                continue
            if mim.authority is None:
                shares[m] = UNSAFE_AUTHORITY
            unsafe.append(
                (mim.id, f"{mim.id} would keep its last setpoint if mimctl were gone; it may use {shares[m]:.0%} of its rating")
            )
        self._events.keep_only("mim.no_failsafe", unsafe, Severity.WARNING)
        return frozen(shares)
