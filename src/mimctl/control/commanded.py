"""What the devices tell about being commanded: who else writes to them, and whether they have a failsafe."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from mimctl.control.events import EventLog
from mimctl.model.layout import BoolArray, FloatArray, SiteLayout, frozen
from mimctl.model.problem import Severity
from mimctl.model.protocols import Commanded, DriverGroup, ForeignWrite
from mimctl.model.setpoints import Failsafe
from mimctl.model.site import SecondMaster

#: a MIM that somebody else writes to is left alone until nobody else has written for so long; longer each time, up to the most
YIELD_S = 300.0
_YIELD_MOST_S = 3600.0
#: commands that may be lost and written again in so long; one more, and the MIM is left alone
INSIST_TIMES = 5
INSIST_WITHIN_S = 600.0
#: a contest that has been over for so long is forgotten
_FORGET_S = 3600.0
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
        fresh: our command was lost since the last cycle, and we insist.
        yielded: left to somebody else for now.
    """

    fresh: BoolArray
    yielded: BoolArray


@dataclass(slots=True)
class _History:
    """What became of our commands at one MIM.

    Args:
        lost_at_s: when commands were lost and written again, not older than `INSIST_WITHIN_S`.
        seen_at_s: when one was last lost, or somebody else last wrote, monotonic [s].
        looked_at_s: the latest loss that was taken into account, whatever came of it, monotonic [s].
        turns: how often in a row it was left alone.
        left: it is left alone until nobody else has written for `pause_s`.
        sure: it was somebody else.
        reads: what was found in its registers then.
    """

    lost_at_s: deque[float] = field(default_factory=deque)
    seen_at_s: float = -math.inf
    looked_at_s: float = -math.inf
    turns: int = 0
    left: bool = False
    sure: bool = False
    reads: tuple[float | None, ...] | None = None
    text: str = ""

    @property
    def pause_s(self) -> float:
        """How long the MIM is left alone this time [s]."""
        return min(_YIELD_MOST_S, YIELD_S * 2.0 ** min(max(self.turns - 1, 0), 10))

    def pass_to(self, now_s: float) -> None:
        """What is over or long ago counts no more."""
        if now_s - self.seen_at_s >= self.pause_s:
            self.left, self.reads = False, None
        if now_s - self.seen_at_s >= self.pause_s + _FORGET_S:
            self.turns = 0
        while self.lost_at_s and now_s - self.lost_at_s[0] >= INSIST_WITHIN_S:
            self.lost_at_s.popleft()

    def leave(self) -> None:
        self.left = True
        self.turns += 1
        self.lost_at_s.clear()

    @property
    def worn_out(self) -> bool:
        """No more insisting: the write that ended the last pause was the next try already."""
        return bool(self.turns) or len(self.lost_at_s) > INSIST_TIMES


class Rivals:
    """Watches for a second master at every MIM of one layout.

    Whatever takes our command back, by whatever value, zero or the same one ever again: it is written again a few times and then
    left alone for a while, longer each time. There is no war of writes.
    """

    def __init__(self, layout: SiteLayout, groups: Iterable[DriverGroup], events: EventLog) -> None:
        self._layout = layout
        self._events = events
        self._devices = commanded_devices(layout, groups)
        self._history = {m: _History() for m in self._devices}

    def check(self, now_s: float, in_force: BoolArray | None = None) -> Contest:
        """Once a cycle, after reading.

        Args:
            in_force: (M,) the device should hold a setpoint of ours: what has run out by itself was not taken back. None = all.
        """
        count = len(self._layout.mims)
        fresh, yielded = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
        held = np.ones(count, dtype=np.bool_) if in_force is None else in_force
        for m, device in self._devices.items():
            history, lost = self._history[m], device.foreign_write
            history.pass_to(now_s)
            if lost is None:
                history.left = False  # the last write was ours: it is ours to release
            elif lost.seen_at_s > history.looked_at_s:
                history.looked_at_s = lost.seen_at_s
                fresh[m] = (lost.sure or bool(held[m])) and self._lost(m, device, lost)
            yielded[m] = history.left
        self._report(now_s)
        return Contest(frozen(fresh), frozen(yielded))

    def _lost(self, m: int, device: Commanded, lost: ForeignWrite) -> bool:
        """Take a lost command into account; whether ours is written again."""
        history = self._history[m]
        if history.left and not lost.sure:
            return False  # it falls back, as it should: ours is not kept alive any more
        history.seen_at_s, history.text, history.sure = lost.seen_at_s, lost.text, lost.sure
        if not history.left:
            history.lost_at_s.append(lost.seen_at_s)
            if history.worn_out or (lost.sure and self._yields(m, device) and self._is_somebody(m, lost)):
                history.leave()
            elif not lost.sure:
                self._events.note("mim.fell_back", Severity.WARNING, self._layout.mims[m].id, self._told(m))
        history.reads = lost.reads
        return not history.left

    def _is_somebody(self, m: int, foreign: ForeignWrite) -> bool:
        """Whether it takes somebody to write this: a number that counts on, or another value than the one that was found before.

        A device that falls back to a value of its own does so again and again, and always to the same.
        """
        return not foreign.reads or (self._history[m].reads or foreign.reads) != foreign.reads

    def _yields(self, m: int, device: Commanded) -> bool:
        rule = self._layout.mims[m].second_master
        if rule is None:
            return device.mim_map is not None and device.mim_map.sequence is None
        return rule is SecondMaster.YIELD

    def _report(self, now_s: float) -> None:
        holding = [
            (self._layout.mims[m].id, self._told(m))
            for m, history in sorted(self._history.items())
            if history.left or (history.sure and now_s - history.seen_at_s < _TOLD_S)
        ]
        self._events.keep_only("mim.second_master", holding, Severity.WARNING)

    def _told(self, m: int) -> str:
        history = self._history[m]
        what = "our setpoints are written again"
        if history.left:
            what = f"left alone until nobody else has written for {history.pause_s:.0f} s"
        return f"{self._layout.mims[m].id}: {history.text}; {what}"


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
