"""What instruments could see of the plant at one instant, and the clock by which the plant lives."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mimctl.model.clock import Clock
from mimctl.model.layout import ComplexArray, FloatArray
from mimctl.twin.harmonics import HarmonicFlow
from mimctl.twin.instruments import Instruments
from mimctl.twin.plant import Plant, PlantState

#: L1L2, L2L3, L3L1
_FROM, _TO = [0, 1, 2], [1, 2, 0]


@dataclass(frozen=True, eq=False)
class Picture:
    """One solved instant. N nodes; load positive; derived values are made when first asked for.

    Args:
        number: counts pictures: a reader sees by it whether anything was measured anew.
        frequency_hz: of the mains, or (N,) of each node where MIMs form buses [Hz].
        instruments: what is wrong with those who look at it.
        earlier: pictures before this one, oldest first, as far back as any instrument lags.
    """

    number: int
    t_s: float
    frequency_hz: FloatArray | float
    state: PlantState
    harmonics: HarmonicFlow
    instruments: Instruments
    earlier: Sequence[Picture]

    def shown_by(self, device: str) -> Picture:
        """What a device shows now: this picture, or an older one where its readings are late."""
        late_s = float(self.instruments.late_s[self.instruments.row[device]])
        if late_s == 0:
            return self
        old = [picture for picture in self.earlier if picture.t_s <= self.t_s - late_s]
        return old[-1] if old else min((self, *self.earlier[:1]), key=lambda picture: picture.t_s)

    def hertz(self, node: int) -> float:
        """At one node [Hz]."""
        return self.frequency_hz if isinstance(self.frequency_hz, float | int) else float(self.frequency_hz[node])

    @cached_property
    def voltage_v(self) -> FloatArray:
        """(N, 3) rms, phase to neutral, harmonics included [V]"""
        return np.abs(self.state.voltage_v) * _rms_factor(self.harmonics.thd_v_pct)

    @cached_property
    def line_voltage_v(self) -> FloatArray:
        """(N, 3) L1L2, L2L3, L3L1, rms of the fundamental [V]"""
        phasors: ComplexArray = self.state.voltage_v
        return np.abs(phasors[:, _FROM] - phasors[:, _TO])

    @cached_property
    def current_a(self) -> FloatArray:
        """(N, 3) rms, harmonics included [A]"""
        return np.abs(self.state.current_a) * _rms_factor(self.harmonics.thd_i_pct)


def _rms_factor(thd_pct: FloatArray) -> FloatArray:
    """Total rms over the rms of the fundamental; 1 where the distortion is not known."""
    return np.sqrt(1 + np.nan_to_num(thd_pct / 100) ** 2)


class World:
    """Lets the plant live by a clock and looks at it as often as somebody asks, but not more often than `refresh_s`."""

    def __init__(self, plant: Plant, clock: Clock, *, refresh_s: float = 0.1) -> None:
        self.plant = plant
        self._clock = clock
        self._refresh_s = refresh_s
        self._origin_s = clock.monotonic_s() - plant.t_s
        self._picture: Picture | None = None
        self._earlier: deque[Picture] = deque()

    def advance(self) -> float:
        """Bring the plant to the present; its time [s]."""
        self.plant.advance_to(max(self.plant.t_s, self._clock.monotonic_s() - self._origin_s))
        return self.plant.t_s

    def look(self) -> Picture:
        """The plant as it is, at most `refresh_s` old.

        Raises:
            PowerFlowFailed: the loads are more than the network can carry.
        """
        t_s, last = self.advance(), self._picture
        if last is None or t_s - last.t_s >= self._refresh_s:
            number = 1 if last is None else last.number + 1
            self._remember(last, t_s)
            plant = self.plant
            state, harmonics = plant.solve(), plant.harmonics()
            self._picture = last = Picture(number, t_s, plant.node_frequency_hz, state, harmonics, plant.instruments, self._earlier)
        return last

    def _remember(self, last: Picture | None, now_s: float) -> None:
        """Keep pictures as long as some instrument still shows them; usually none does."""
        oldest_s = now_s - float(self.plant.instruments.late_s.max(initial=0.0))
        if last is not None:
            self._earlier.append(last)
        while self._earlier and (oldest_s == now_s or (len(self._earlier) > 1 and self._earlier[1].t_s <= oldest_s)):
            self._earlier.popleft()
