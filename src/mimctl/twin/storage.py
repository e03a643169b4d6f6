"""Batteries on the DC links: what they can give and take, and what is in them afterwards."""

from __future__ import annotations

import math

import numpy as np

from mimctl.model.layout import FloatArray, SiteLayout

#: near empty and near full the power fades so that it could last this long
FADE_S = 60.0


class BatteryBank:
    """All batteries of a site. B batteries, M MIMs; discharge positive.

    The round-trip efficiency is split evenly between charging and discharging. The limits here are those of the cells, 0 and
    100 %: reserves are the business of whoever commands.
    """

    def __init__(self, layout: SiteLayout, soc_pct: float) -> None:
        batteries = layout.batteries
        self._mim = layout.battery_mim
        self._mims = len(layout.mims)
        self._none = np.zeros(self._mims)
        self._capacity_wh = np.array([b.capacity_wh for b in batteries], dtype=np.float64)
        self._max_charge_w, self._max_discharge_w = layout.battery_limits_w
        self._one_way = np.array([math.sqrt(b.round_trip_efficiency) for b in batteries], dtype=np.float64)
        self.energy_wh = self._capacity_wh * soc_pct / 100

    @property
    def present(self) -> bool:
        return len(self._mim) > 0

    @property
    def soc_pct(self) -> FloatArray:
        """(B,) state of charge [%]."""
        return 100 * self.energy_wh / self._capacity_wh

    def can_give_w(self) -> FloatArray:
        """(M,) largest discharge per MIM [W]."""
        return self._per_mim(self._give()) if self.present else self._none

    def can_take_w(self) -> FloatArray:
        """(M,) largest charge per MIM [W]."""
        return self._per_mim(self._take()) if self.present else self._none

    def draw(self, discharge_w: FloatArray, dt_s: float) -> None:
        """Take (M,) mean powers [W] for `dt_s`, shared by the batteries of a MIM as each is able."""
        if not self.present:
            return
        able = np.where(discharge_w[self._mim] >= 0, self._give(), self._take())
        whole = self._per_mim(able)[self._mim]
        power = discharge_w[self._mim] * np.divide(able, whole, out=np.zeros_like(able), where=whole > 0)
        out = np.where(power >= 0, power / self._one_way, power * self._one_way)
        self.energy_wh = np.clip(self.energy_wh - out * dt_s / 3600, 0.0, self._capacity_wh)

    def _give(self) -> FloatArray:
        return np.minimum(self._max_discharge_w, self.energy_wh * self._one_way * 3600 / FADE_S)

    def _take(self) -> FloatArray:
        room_wh = self._capacity_wh - self.energy_wh
        return np.minimum(self._max_charge_w, room_wh / self._one_way * 3600 / FADE_S)

    def _per_mim(self, per_battery: FloatArray) -> FloatArray:
        total = np.zeros(self._mims)
        np.add.at(total, self._mim, per_battery)
        return total
