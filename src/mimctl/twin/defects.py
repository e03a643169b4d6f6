"""What is wrong with the MIMs of a fleet: how they take commands, and what they make of them."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray


class Obedience(IntEnum):
    """What a MIM does with what is written to it.

    PRETENDS: setpoints are acknowledged, nothing follows. READ_ONLY: no write of any kind has an effect, heartbeats neither.
    REJECTS: every setpoint is refused, and it says so.
    """

    OBEYS = 0
    PRETENDS = 1
    READ_ONLY = 2
    REJECTS = 3


class Defects:
    """M MIMs with K ports; sound until something is set."""

    def __init__(self, owner: IntArray, mims: int) -> None:
        self._owner = owner
        self.obedience: IntArray = np.zeros(mims, dtype=np.int64)
        #: setpoints take effect so much later; heartbeats do not wait [s]
        self.latency_s = np.zeros(mims)
        #: share of its setpoint that comes out, and nothing tells of it
        self.delivers: FloatArray = np.ones(mims)
        #: output that nothing changes any more
        self.held: BoolArray = np.zeros(mims, dtype=np.bool_)
        self.held_va: ComplexArray = np.zeros(len(owner), dtype=np.complex128)
        #: how many of its ports stand on a bus without voltage
        self.dead: IntArray = np.zeros(mims, dtype=np.int64)
        #: how often somebody wanted to switch it on, or power from it, all the same
        self.dead_bus_commands: IntArray = np.zeros(mims, dtype=np.int64)

    def hears(self, m: int) -> bool:
        return bool(self.obedience[m] != Obedience.READ_ONLY)

    def output(self, wanted_va: ComplexArray) -> ComplexArray:
        """(K,) what comes out where a sound MIM would put out `wanted_va` [VA]."""
        if (self.delivers < 1).any():
            wanted_va = wanted_va * self.delivers[self._owner]
        return np.where(self.held[self._owner], self.held_va, wanted_va) if self.held.any() else wanted_va

    def on(self, live: BoolArray) -> BoolArray:
        """(M,) whose contactor is closed, of those that are switched on by their own account."""
        closed: BoolArray = (live | self.held) & (self.dead == 0)
        return closed
