"""The limits of distortion of a site's nodes as arrays, with the defaults of the standards filled in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimctl.analysis.harmonics import VOLTAGE_THD_LIMIT_PCT, tdd_limit_pct
from mimctl.model.harmonics import HarmonicLimits
from mimctl.model.layout import FloatArray, SiteLayout, frozen


@dataclass(frozen=True, slots=True, eq=False)
class NodeLimits:
    """Shapes (N,); NaN = not limited.

    Args:
        thd_v_pct: total distortion of the phase voltages [%].
        tdd_pct: total demand distortion of the phase currents [%].
        demand_a: what it refers to [A]; the limit for hours where the site file names none.
    """

    thd_v_pct: FloatArray
    tdd_pct: FloatArray
    demand_a: FloatArray

    @property
    def harmonic_a(self) -> FloatArray:
        """Harmonic current that the TDD limit permits per phase [A]."""
        return np.asarray(self.tdd_pct / 100 * self.demand_a)


def node_limits(layout: SiteLayout) -> NodeLimits:
    """Of every node.

    Reference: EN 50160 and IEEE Std 519-2022 for low voltage; the current table of IEEE 519 by Isc/IL.
    """
    given = [node.harmonic_limits for node in layout.nodes]
    demand = [
        node.limit_a if limits is None or limits.demand_a is None else limits.demand_a
        for node, limits in zip(layout.nodes, given, strict=True)
    ]
    return NodeLimits(
        frozen(np.array([_voltage(limits) for limits in given], dtype=np.float64)),
        frozen(np.array([_current(limits) for limits in given], dtype=np.float64)),
        frozen(np.array(demand, dtype=np.float64)),
    )


def _voltage(limits: HarmonicLimits | None) -> float:
    if limits is None:
        return np.nan
    return VOLTAGE_THD_LIMIT_PCT if limits.thd_v_pct is None else limits.thd_v_pct


def _current(limits: HarmonicLimits | None) -> float:
    if limits is None:
        return np.nan
    if limits.tdd_pct is not None:
        return limits.tdd_pct
    return np.nan if limits.isc_il is None else tdd_limit_pct(limits.isc_il)
