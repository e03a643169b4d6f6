"""The watchdogs of all MIMs: fed by a changed heartbeat, running out one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mimctl.model.layout import FloatArray
from mimctl.model.site import Mim

#: spreads any run of neighbours evenly over an interval
_GOLDEN = 0.6180339887498949


class Watchdogs:
    """M watchdogs. The expiry action of a MIM is due a delay of its own after its time has run out.

    Args:
        stagger_s: the delays are spread over it.
    """

    def __init__(self, mims: Sequence[Mim], stagger_s: float) -> None:
        count = len(mims)
        self._mims = mims
        self.action = [mim.expiry_action for mim in mims]
        self._validity_s = np.array([mim.validity_s for mim in mims], dtype=np.float64)
        self._delay_s = stagger_s * np.modf(np.arange(count) * _GOLDEN)[0]
        self._heartbeat = np.zeros(count, dtype=np.int64)
        self._deadline_s = np.full(count, -math.inf)
        self._due_s = np.full(count, math.inf)

    def beat(self, m: int, counter: int, now_s: float) -> None:
        """A changed counter starts the time anew, an unchanged one does nothing."""
        if counter != self._heartbeat[m]:
            self._heartbeat[m] = counter
            self._start(m, now_s)

    def set(self, m: int, seconds: float, now_s: float) -> None:
        """How long a heartbeat is good for; a running countdown is only ever shortened."""
        self._validity_s[m] = seconds
        if self._deadline_s[m] > now_s + seconds:
            self._start(m, now_s)

    def _start(self, m: int, now_s: float) -> None:
        self._deadline_s[m] = now_s + self._validity_s[m]
        self._due_s[m] = self._deadline_s[m] + self._delay_s[m]

    def stop(self, m: int) -> None:
        """Nothing is due until the next heartbeat."""
        self._due_s[m] = math.inf

    def reset(self, m: int) -> None:
        """As when the device was switched on for the first time."""
        self._heartbeat[m] = 0
        self._deadline_s[m], self._due_s[m] = -math.inf, math.inf
        self._validity_s[m], self.action[m] = self._mims[m].validity_s, self._mims[m].expiry_action

    def runs(self, m: int) -> bool:
        return bool(self._due_s[m] < math.inf)

    @property
    def next_due_s(self) -> float:
        """When the next expiry action is due, inf = never."""
        return float(self._due_s.min(initial=math.inf))

    def due(self, now_s: float) -> list[int]:
        """MIMs whose expiry action is due."""
        return [int(m) for m in np.flatnonzero(self._due_s <= now_s)]

    def remaining_s(self, now_s: float) -> FloatArray:
        """(M,) 0 where it does not run."""
        left: FloatArray = np.maximum(self._deadline_s - now_s, 0.0)
        return left
