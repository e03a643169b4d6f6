"""Conversion losses of MIMs as a function of their port powers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout, frozen


@dataclass(frozen=True, eq=False)
class ConversionLosses:
    """All MIMs of one layout while switched on: standby + linear·Σ|s| + quadratic·Σ|s|²."""

    layout: SiteLayout

    @cached_property
    def standby_w(self) -> FloatArray:
        """(M,)"""
        return frozen(np.array([mim.losses.standby_w for mim in self.layout.mims], dtype=np.float64))

    @cached_property
    def linear(self) -> FloatArray:
        """(M,) [W/VA]"""
        return frozen(np.array([mim.losses.linear for mim in self.layout.mims], dtype=np.float64))

    @cached_property
    def quadratic_per_va(self) -> FloatArray:
        """(M,) [W/VA²]"""
        return frozen(np.array([mim.losses.quadratic_per_va for mim in self.layout.mims], dtype=np.float64))

    def watts(self, power_va: ComplexArray) -> FloatArray:
        """(M,) losses [W] at port powers (K,) [VA]."""
        size, owner, mims = np.abs(power_va), self.layout.port_mim, len(self.layout.mims)
        total, squares = np.bincount(owner, size, mims), np.bincount(owner, size * size, mims)
        return np.asarray(self.standby_w + self.linear * total + self.quadratic_per_va * squares)
