"""What stands between a node and its parent: series impedances, and the power that is lost in them.

Reference: J. Arrillaga, C. P. Arnold, "Computer analysis of power systems" (1990); no-load and load losses as in IEC 60076-1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout, frozen
from mimctl.model.node import Node

#: share of its losses that a described branch may be off by, and of its flow that one without any description may lose
_ROUGH, _UNDESCRIBED = 0.2, 0.003


def phase_ohm(node: Node) -> complex:
    """One phase conductor of the cable and one winding of the transformer to the parent, at the node's own voltage [Ω]."""
    z = 0j if node.cable is None else complex(node.cable.r_ohm, node.cable.x_ohm)
    unit = node.transformer
    if unit is not None:
        base = 3 * node.voltage_ln_v**2 / unit.rated_va
        size, r = unit.short_circuit_voltage_pct / 100 * base, unit.copper_loss_w / unit.rated_va * base
        z += complex(r, math.sqrt(max(size**2 - r**2, 0.0)))
    return z


def neutral_ohm(node: Node) -> complex:
    """The neutral conductor of the cable to the parent [Ω]."""
    return 0j if node.cable is None else complex(node.cable.r_neutral_ohm or 0.0, node.cable.x_neutral_ohm or 0.0)


@dataclass(frozen=True, eq=False)
class BranchLosses:
    """Losses of all branches of one layout, out of the flows at their lower ends at nominal voltage."""

    layout: SiteLayout

    @cached_property
    def _phase_ohm(self) -> ComplexArray:
        inner = self.layout.parent >= 0
        return frozen(np.array([phase_ohm(n) if i else 0j for n, i in zip(self.layout.nodes, inner, strict=True)])[:, None])

    @cached_property
    def _neutral_ohm(self) -> ComplexArray:
        inner = self.layout.parent >= 0
        return frozen(np.array([neutral_ohm(n) if i else 0j for n, i in zip(self.layout.nodes, inner, strict=True)])[:, None])

    @cached_property
    def _has_neutrals(self) -> bool:
        return bool(self._neutral_ohm.any())

    @cached_property
    def _no_load_w(self) -> FloatArray:
        iron = [0.0 if n.transformer is None else n.transformer.no_load_loss_w / 3 for n in self.layout.nodes]
        return frozen(np.where(self.layout.parent >= 0, iron, 0.0)[:, None])

    @cached_property
    def _volts(self) -> ComplexArray:
        return frozen(np.array(self.layout.site.rotation.unit_voltages) * self.layout.voltage_ln_v[:, None])

    @cached_property
    def _bare(self) -> BoolArray | None:
        """(N, 1) below its parent, and the site file says nothing of what lies between; None = it always does."""
        bare = [n.cable is None and n.transformer is None for n in self.layout.nodes]
        found = (self.layout.parent >= 0) & np.array(bare, dtype=np.bool_)
        return frozen(found[:, None]) if found.any() else None

    def sigma_va(self, flow_va: ComplexArray, lost_va: ComplexArray) -> FloatArray:
        """(N, 3) standard deviation of each part of `lost_va`: lengths are rough, and some cables nobody has described [VA]."""
        rough_va: FloatArray = _ROUGH * np.abs(lost_va)
        return rough_va if self._bare is None else rough_va + np.where(self._bare, _UNDESCRIBED * np.abs(flow_va), 0.0)

    def lost_va(self, flow_va: ComplexArray) -> ComplexArray:
        """(N, 3) complex power lost between each node and its parent, as seen from the node; zero at heads [VA].

        Args:
            flow_va: (N, 3) net import of the nodes [VA].
        """
        turned = flow_va / self._volts
        current = np.conj(turned)
        drop = self._phase_ohm * current
        if self._has_neutrals:
            drop += self._neutral_ohm * (current[:, 0] + current[:, 1] + current[:, 2])[:, None]
        return np.asarray(drop * turned + self._no_load_w)
