"""The form mode of the twin's MIMs: what their firmware does about it by itself, whoever commands.

What a controller may rely on:
- A MIM forms nothing while it follows setpoints: it must be at its safe state first. Only a new sequence number begins.
- It measures its own terminals and refuses to form where there is voltage.
- A change of its own heartbeat counter keeps it alive; when none comes for the validity it ends, and its contactor opens.
- It has its rating and no more. A load beyond that, or an empty battery, brings the bus down, and it stays down.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np

from mimctl.model.layout import BoolArray, FloatArray, IntArray, SiteLayout


class Bus(Protocol):
    """What the plant does for a former."""

    def live(self, m: int) -> bool:
        """Whether there is voltage at the terminals of a MIM."""
        ...

    def begin(self, m: int, voltage_v: float, frequency_hz: float) -> bool:
        """Put voltage on its bus; False where that tripped it at once."""
        ...

    def end(self, m: int) -> None:
        """Take it away."""
        ...


class Formers:
    """Of M MIMs of one layout.

    Args:
        at: calls something at an instant of the fleet's time.
        now_s: that time [s].
    """

    def __init__(self, layout: SiteLayout, at: Callable[[float, Callable[[], None]], None], now_s: Callable[[], float]) -> None:
        count = len(layout.mims)
        self._at, self._now_s = at, now_s
        self.bus: Bus | None = None
        able = {name for island in layout.site.islands for name in island.formers}
        #: (M,) those whose firmware has a form mode
        self.able: BoolArray = np.array([mim.id in able for mim in layout.mims], dtype=np.bool_)
        self.forming: BoolArray = np.zeros(count, dtype=np.bool_)
        #: (M,) line to neutral [V], [Hz]
        self.voltage_v: FloatArray = np.zeros(count)
        self.frequency_hz: FloatArray = np.zeros(count)
        #: (M,) of the last command that was taken
        self.sequence: IntArray = np.zeros(count, dtype=np.int64)
        self.heartbeat: IntArray = np.zeros(count, dtype=np.int64)
        #: (M,) how often somebody wanted to form a bus that had voltage
        self.live_bus_commands: IntArray = np.zeros(count, dtype=np.int64)
        self._validity_s: FloatArray = np.zeros(count)
        self._ends_s: FloatArray = np.full(count, -math.inf)

    @property
    def any(self) -> bool:
        return bool(self.forming.any())

    def remaining_s(self) -> FloatArray:
        """(M,) until each ends by itself; 0 where it does not form [s]."""
        return np.where(self.forming, np.maximum(self._ends_s - self._now_s(), 0.0), 0.0)

    def command(self, m: int, voltage_v: float, frequency_hz: float, validity_s: float, sequence: int, *, enabled: bool) -> bool:
        """Form from now on, if this is a new command; whether it does.

        Args:
            enabled: it follows setpoints now.
        """
        if not self.able[m] or self.bus is None or sequence == self.sequence[m] or not validity_s > 0:
            return bool(self.forming[m])
        self.sequence[m] = sequence
        if self.forming[m]:
            self.voltage_v[m], self.frequency_hz[m] = voltage_v, frequency_hz
            return True
        if self.bus.live(m):
            self.live_bus_commands[m] += 1
            return False
        if enabled:
            return False
        self.forming[m], self.voltage_v[m], self.frequency_hz[m] = True, voltage_v, frequency_hz
        self._validity_s[m] = validity_s
        self._wait(m)
        if not self.bus.begin(m, voltage_v, frequency_hz):
            self.end(m)
        return bool(self.forming[m])

    def beat(self, m: int, counter: int) -> None:
        """A changed counter keeps it going; it begins nothing."""
        if counter != self.heartbeat[m]:
            self.heartbeat[m] = counter
            if self.forming[m]:
                self._wait(m)

    def end(self, m: int) -> None:
        """Stop, at once, and open the contactor."""
        if self.forming[m]:
            self.forming[m] = False
            if self.bus is not None:
                self.bus.end(m)

    def reset(self, m: int) -> None:
        """As when the device was switched on for the first time."""
        self.end(m)
        self.sequence[m] = self.heartbeat[m] = 0

    def _wait(self, m: int) -> None:
        self._ends_s[m] = self._now_s() + self._validity_s[m]
        self._at(float(self._ends_s[m]), partial(self._expire, m))

    def _expire(self, m: int) -> None:
        if self.forming[m] and self._now_s() >= self._ends_s[m]:
            self.end(m)
