"""The power balance on the DC link of every MIM: what its ports deliver is what its storage gives, less losses.

Reference: conversion losses as a quadratic in the apparent power, the usual fit of an inverter's efficiency curve (for example
A. Driesse, P. Jain, S. Harrison, "Beyond the curves", IEEE PVSC 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimctl.grid.losses import ConversionLosses
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, SiteLayout

_PASSES = 5
#: the losses are worked out to this [W]; the balance holds exactly whatever they are
_CLOSE_W = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class DcLink:
    """Constants of all MIMs. K ports, M MIMs.

    Args:
        first: (M,) index of each MIM's first port.
        count: (M,) number of its ports.
        owner: (K,) MIM of each port.
        curves: conversion losses by port powers.
    """

    first: IntArray
    count: IntArray
    owner: IntArray
    curves: ConversionLosses

    @classmethod
    def of(cls, layout: SiteLayout) -> DcLink:
        runs = layout.ports_of_mim
        return cls(
            first=np.array([run.start for run in runs], dtype=np.int64),
            count=np.array([run.stop - run.start for run in runs], dtype=np.int64),
            owner=layout.port_mim,
            curves=ConversionLosses(layout),
        )

    def total(self, per_port: FloatArray) -> FloatArray:
        """(M,) sum over each MIM's ports."""
        return np.add.reduceat(per_port, self.first)

    def largest(self, per_port: FloatArray) -> FloatArray:
        """(M,) largest over each MIM's ports."""
        return np.maximum.reduceat(per_port, self.first)

    def losses(self, power: ComplexArray) -> FloatArray:
        """(M,) conversion losses while switched on [W] at port powers (K,) [VA]."""
        return self.curves.watts(power)

    def room_var(self, limit_va: FloatArray) -> FloatArray:
        """(K,) reactive power that leaves room in each port for its share of the largest losses [var]."""
        worst = self.losses(limit_va.astype(np.complex128))
        share = np.minimum(limit_va, (worst / self.count)[self.owner])
        room: FloatArray = np.sqrt(limit_va**2 - share**2)
        return room

    def settle(
        self,
        wanted: ComplexArray,
        limit_va: FloatArray,
        room_var: FloatArray,
        least_w: FloatArray,
        most_w: FloatArray,
        live: BoolArray,
    ) -> tuple[ComplexArray, FloatArray]:
        """What the ports really deliver: inside their ratings and with every DC link in balance.

        A mismatch between the wanted Σp and what the storage can give or take is spread evenly over the ports that have room.
        Reactive power gives way only where the losses would find no room in the port.

        Args:
            wanted: (K,) port powers, injection positive [VA].
            limit_va: (K,) |s| may not exceed it [VA].
            room_var: (K,) `room_var(limit_va)` [var].
            least_w, most_w: (M,) what the storage can give, discharge positive; both 0 without storage [W].
            live: (M,) whether the MIM is connected; the others deliver nothing and lose nothing.

        Returns:
            (K,) port powers [VA], (M,) losses [W]: Σp = storage discharge − losses, least ≤ discharge ≤ most.
        """
        reactive = np.clip(wanted.imag, -room_var, room_var)
        room_w = np.sqrt(np.maximum(limit_va**2 - reactive**2, 0.0))
        start = np.clip(wanted.real, -room_w, room_w)
        total = self.total(start)
        found = self.losses(start + 1j * reactive)
        for _ in range(_PASSES):
            # the losses depend on the powers and the powers on the losses: a contraction, as losses are a few per cent
            loss = found
            active = self._spread(start, room_w, np.clip(total, least_w - loss, most_w - loss) - total)
            found = self.losses(active + 1j * reactive)
            if np.abs(found - loss).max() < _CLOSE_W:
                break
        on = live[self.owner]
        return np.where(on, active + 1j * reactive, 0.0), np.where(live, loss, 0.0)

    def _spread(self, power_w: FloatArray, room_w: FloatArray, missing_w: FloatArray) -> FloatArray:
        """Move `power_w` (K,) evenly, inside ± room_w, until the sum over each MIM has grown by `missing_w` (M,)."""
        moved: FloatArray = power_w + (missing_w / self.count)[self.owner]
        if (np.abs(moved) <= room_w).all():
            return moved
        target = self.total(power_w) + missing_w
        for _ in range(int(self.count.max())):
            if not (np.abs(missing_w) > 1e-9 * (1 + np.abs(target))).any():
                break
            each = missing_w[self.owner]
            free = np.where(each > 0, room_w - power_w, power_w + room_w) > 1e-12 * (1 + room_w)
            step = missing_w / np.maximum(self.total(free.astype(np.float64)), 1.0)
            power_w = np.clip(power_w + np.where(free, step[self.owner], 0.0), -room_w, room_w)
            missing_w = target - self.total(power_w)
        return power_w


def shorten(power: ComplexArray, limit_va: FloatArray) -> ComplexArray:
    """Bring |s| down to its limit along the ray: the power factor that was asked for stays."""
    size = np.abs(power)
    if (size <= limit_va).all():
        return power
    return power * np.where(size > limit_va, limit_va / np.maximum(size, 1e-12), 1.0)
