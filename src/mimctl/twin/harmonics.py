"""Harmonics of the loads, superposed up the tree as phasors per order; the impedances below give the voltage distortion.

Each load draws, per order h, its given share of its fundamental current, in step with the voltage across it: angle h·θ. This is a
rectifier whose pulses stand on the voltage peaks; loads of one order and phase add up without diversity, which errs on the high
side. Triplens of the three phases then have one angle: they add in the neutral, and a delta winding keeps them from its primary.

With the incidence A of own currents to branch currents (transformers with their turns ratio), branch currents are A·i and voltages
−Aᵀ·(Z_h·A·i), Z_h = R + jhX.

Reference: J. Arrillaga, N. R. Watson, "Power System Harmonics", 2nd ed. (2003), chapters 2 and 6; THD as in IEC 61000-4-7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mimctl.grid.harmonics import current_accumulate
from mimctl.model.connection import Connection
from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout
from mimctl.model.node import Node, Transformer
from mimctl.twin.filters import Compensator, Filtering
from mimctl.twin.loads import LoadSet

_LEAST_A = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class HarmonicFlow:
    """Distortion of one instant. N nodes, H orders.

    Args:
        orders: (H,) ascending
        current_a: (N, 3, H) phasors of what enters each node
        voltage_v: (N, 3, H) phasors, phase to neutral
        thd_i_pct, thd_v_pct: (N, 3) relative to the fundamental; NaN where nothing flows
        neutral_a: (N,) rms, fundamental and harmonics
        loss_w: (N,) what they lose in each node's supply, neutral included, at the resistance of the fundamental [W]
        filter_a: (K,) rms harmonic current of each MIM port; None where no filter is at work
    """

    orders: FloatArray
    current_a: ComplexArray
    voltage_v: ComplexArray
    thd_i_pct: FloatArray
    thd_v_pct: FloatArray
    neutral_a: FloatArray
    loss_w: FloatArray
    filter_a: FloatArray | None = None


class Harmonics:
    """The harmonic network of one layout and its loads."""

    def __init__(self, layout: SiteLayout, loads: LoadSet) -> None:
        self._orders = np.array(sorted({order for load in loads.loads for order, _ in load.harmonic_pct}), dtype=np.float64)
        self._accumulate = current_accumulate(layout)
        self._spread = self._accumulate.T.tocsr()
        self._compensator = Compensator(layout, self._orders, self._accumulate)
        own, neutral = _impedances(layout)
        self._own_r_ohm, self._neutral_r_ohm = own.real, neutral.real
        harmonic = 1j * self._orders
        self._own_ohm = own.real[:, None] + own.imag[:, None] * harmonic
        self._neutral_ohm = neutral.real[:, None] + neutral.imag[:, None] * harmonic
        self._wire(layout, loads)

    def _wire(self, layout: SiteLayout, loads: LoadSet) -> None:
        """Cut every load into elements, each across one voltage."""
        of_load, start, end, share, amount = [], [], [], [], []
        ground = 3 * len(layout.nodes)
        for number, load in enumerate(loads.loads):
            node = layout.node_index[load.node]
            lines = [p.column for p in load.connection.phases]
            ends = [lines[1]] if load.connection.is_line_to_line else [None] * len(lines)
            for line, other in zip(lines, ends, strict=False):
                of_load.append(number)
                start.append(3 * node + line)
                end.append(ground if other is None else 3 * node + other)
                share.append(1 / 3 if load.connection is Connection.THREE_PHASE else 1.0)
                given = dict(load.harmonic_pct)
                amount.append([given.get(int(h), 0.0) / 100 for h in self._orders])
        self._of_load, self._start, self._end = (np.array(x, dtype=np.int64) for x in (of_load, start, end))
        self._share = np.array(share, dtype=np.float64)
        self._amount = np.array(amount, dtype=np.float64).reshape(len(of_load), len(self._orders))
        elements = np.arange(len(of_load))
        rows, columns = np.concatenate([self._start, self._end]), np.concatenate([elements, elements])
        signs = np.concatenate([np.ones(len(elements)), -np.ones(len(elements))])
        incidence = sparse.csr_array((signs, (rows, columns)), shape=(ground + 1, len(elements)))
        self._incidence = incidence[:ground].tocsr()

    def solve(
        self, load_va: ComplexArray, voltage_v: ComplexArray, current_a: ComplexArray, filtering: Filtering | None = None
    ) -> HarmonicFlow:
        """Distortion at given fundamentals.

        Args:
            load_va: (L,) powers of the loads [VA]
            voltage_v, current_a: (N, 3) fundamental phasors of the nodes
            filtering: what the filters of the MIMs do; None = nothing
        """
        nodes, count = len(voltage_v), len(self._orders)
        flat = np.append(voltage_v.reshape(-1), 0.0)
        across = flat[self._start] - flat[self._end]
        fundamental = self._share * np.abs(load_va[self._of_load]) / np.abs(across)
        turn = np.exp(1j * np.angle(across)[:, None] * self._orders)
        own, filter_a = self._incidence @ (self._amount * fundamental[:, None] * turn), None
        if filtering is not None and count:
            own, filter_a = self._compensator.apply(own, filtering)
        branch = (self._accumulate @ own).reshape(nodes, 3, count)
        common = branch.sum(axis=1)
        drop = self._own_ohm[:, None, :] * branch + (self._neutral_ohm * common)[:, None, :]
        voltage = -(self._spread @ drop.reshape(3 * nodes, count)).reshape(nodes, 3, count)
        return HarmonicFlow(
            orders=self._orders,
            current_a=branch,
            voltage_v=voltage,
            thd_i_pct=_distortion(branch, current_a, _LEAST_A),
            thd_v_pct=_distortion(voltage, voltage_v, _LEAST_A),
            neutral_a=np.sqrt(np.abs(current_a.sum(axis=1)) ** 2 + (np.abs(common) ** 2).sum(axis=1)),
            loss_w=(np.abs(branch) ** 2).sum(axis=(1, 2)) * self._own_r_ohm
            + (np.abs(common) ** 2).sum(axis=1) * self._neutral_r_ohm,
            filter_a=filter_a,
        )


def _distortion(harmonics: ComplexArray, fundamental: ComplexArray, least: float) -> FloatArray:
    """(N, 3) root of the summed squares over the fundamental [%]."""
    size = np.abs(fundamental)
    total = np.sqrt((np.abs(harmonics) ** 2).sum(axis=-1))
    share: FloatArray = np.divide(100 * total, size, out=np.full(size.shape, np.nan), where=size > least)
    return share


def _impedances(layout: SiteLayout) -> tuple[ComplexArray, ComplexArray]:
    """(N,) series impedance of each node's supply and (N,) that of its neutral return, R + jX at the fundamental [Ω]."""
    feeds = {feed.node: feed for feed in layout.site.feeds}
    own, neutral = np.zeros(len(layout.nodes), dtype=np.complex128), np.zeros(len(layout.nodes), dtype=np.complex128)
    for n, node in enumerate(layout.nodes):
        if layout.parent[n] < 0:
            feed = feeds.get(node.id)
            power, ratio = (feed.short_circuit_va, feed.rx_ratio) if feed else (10e6, 0.1)
            own[n] = 3 * node.voltage_ln_v**2 / power * complex(ratio, 1) / abs(complex(ratio, 1))
            continue
        if node.transformer is not None:
            own[n] = _transformer_ohm(node, node.transformer)
        if node.cable is not None:
            own[n] += complex(node.cable.r_ohm, node.cable.x_ohm)
            neutral[n] = complex(node.cable.r_neutral_ohm or 0.0, node.cable.x_neutral_ohm or 0.0)
    return own, neutral


def _transformer_ohm(node: Node, unit: Transformer) -> complex:
    base = 3 * node.voltage_ln_v**2 / unit.rated_va
    z, r = unit.short_circuit_voltage_pct / 100, unit.copper_loss_w / unit.rated_va
    return base * complex(r, math.sqrt(max(z * z - r * r, 0.0)))
