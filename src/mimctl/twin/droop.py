"""Volt-var droop: an answer to the local voltage that needs no controller."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mimctl.model.layout import FloatArray


@dataclass(frozen=True, slots=True)
class VoltVarDroop:
    """Vars that every port adds to its setpoint: supplied where the voltage is low, absorbed where it is high.

    Args:
        gain: share of the rating per unit of voltage beyond the dead band.
        dead_band_pu: no answer within ± this of nominal.
        most: largest share of the rating.
        time_constant_s: first-order lag of the answer.

    Reference: the volt-var function of IEEE 1547-2018, 5.3.3.
    """

    gain: float = 5.0
    dead_band_pu: float = 0.02
    most: float = 0.44
    time_constant_s: float = 1.0

    def share(self, voltage_pu: FloatArray) -> FloatArray:
        """(K,) vars wanted at these voltages, as a share of the rating; injection positive."""
        low = 1 - voltage_pu
        beyond = np.sign(low) * np.maximum(np.abs(low) - self.dead_band_pu, 0.0)
        wanted: FloatArray = np.clip(self.gain * beyond, -self.most, self.most)
        return wanted

    def follow(self, now: FloatArray, wanted: FloatArray, dt_s: float) -> FloatArray:
        """What the answer has become after `dt_s`."""
        moved: FloatArray = wanted + (now - wanted) * math.exp(-dt_s / self.time_constant_s)
        return moved
