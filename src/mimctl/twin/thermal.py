"""How warm the MIMs get: one first-order body each, heated by its conversion losses."""

from __future__ import annotations

import math

import numpy as np

from mimctl.model.layout import FloatArray

_TIME_CONSTANT_S = 600.0
#: above the air, at full load for ever
_FULL_LOAD_RISE_K = 40.0


class Bodies:
    """M bodies at air temperature.

    Args:
        full_loss_w: (M,) losses at full load [W].
    """

    def __init__(self, full_loss_w: FloatArray, ambient_degc: float) -> None:
        self._rise_k_per_w = _FULL_LOAD_RISE_K / np.maximum(full_loss_w, 1.0)
        self._ambient_degc = ambient_degc
        self.temperature_degc: FloatArray = np.full(len(full_loss_w), ambient_degc)

    def heat(self, loss_w: FloatArray, dt_s: float) -> None:
        """Let (M,) losses [W] act for `dt_s`."""
        gap = self._ambient_degc + self._rise_k_per_w * loss_w - self.temperature_degc
        self.temperature_degc = self.temperature_degc - gap * math.expm1(-dt_s / _TIME_CONSTANT_S)
