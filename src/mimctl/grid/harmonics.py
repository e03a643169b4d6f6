"""Harmonic currents in the tree: how they pass upwards, what a port sees of its node's, and what a late copy still cancels.

Harmonic currents are given per line conductor; sums of magnitudes stand for phasors whose angles nobody knows, which errs on the
high side.

Reference: J. Arrillaga, N. R. Watson, "Power System Harmonics", 2nd ed. (2003), chapters 2 and 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from mimctl.model.connection import Connection
from mimctl.model.harmonics import HarmonicFilter, order_bits
from mimctl.model.layout import BoolArray, FloatArray, IntArray, SiteLayout, frozen
from mimctl.model.node import Winding

#: lines that secondary windings a, b, c stand between, and from which end, by clock number
_FORWARD = ((0, 1), (1, 2), (2, 0))
_BACKWARD = ((0, 2), (1, 0), (2, 1))
_WINDINGS = {11: (1, _FORWARD), 5: (-1, _FORWARD), 1: (1, _BACKWARD), 7: (-1, _BACKWARD)}
#: the least share of an order that must vanish for its compensation to be worth its losses
_WORTH = 0.5


def current_upward(layout: SiteLayout, n: int) -> FloatArray:
    """(3, 3) line currents at the parent from those that enter `n`, each at its own voltage level."""
    unit = layout.nodes[n].transformer
    if unit is None or layout.parent[n] < 0:
        return np.eye(3)
    ratio = float(layout.voltage_ln_v[n] / layout.voltage_ln_v[layout.parent[n]])
    if unit.winding is Winding.YNYN:
        return np.diag(np.full(3, ratio))
    sign, windings = _WINDINGS[unit.clock]
    operator = np.zeros((3, 3))
    for winding, (x, y) in enumerate(windings):
        operator[x, winding], operator[y, winding] = sign, -sign
    operator *= ratio / math.sqrt(3)
    return operator


def current_accumulate(layout: SiteLayout) -> sparse.csr_array:
    """(3N, 3N) branch currents from own currents, each at its own node's voltage level.

    A delta takes the difference of two windings: currents of one angle in all three, the balanced triplens, leave nothing above it.
    """
    rows, columns, values = [], [], []
    for n in range(len(layout.nodes)):
        operator, at = np.eye(3), n
        while at >= 0:
            r, c = np.nonzero(operator)
            rows.append(3 * at + r)
            columns.append(3 * n + c)
            values.append(operator[r, c])
            operator, at = current_upward(layout, at) @ operator, int(layout.parent[at])
    size = 3 * len(layout.nodes)
    return sparse.csr_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(size, size))


def leftover(orders: Sequence[int], timing_error_s: float, frequency_hz: float) -> FloatArray:
    """(H,) share of each order that a full-size copy, late by `timing_error_s`, leaves: |1 − e^{jδ}| = 2·sin(δ/2), δ = 2πhf·t.

    At 50 Hz 106 µs leave a tenth of the third harmonic, 45 µs of the seventh and 24 µs of the thirteenth.
    """
    delta = 2 * math.pi * frequency_hz * timing_error_s * np.array(orders, dtype=np.float64)
    return np.asarray(np.abs(1 - np.exp(1j * delta)))


def cancellable(part: HarmonicFilter, frequency_hz: float) -> tuple[int, ...]:
    """The orders of which its timing error lets it take away at least half; more than 1 left would make things worse."""
    left = leftover(part.orders, part.timing_error_s, frequency_hz)
    return tuple(order for order, rest in zip(part.orders, left, strict=True) if rest <= 1 - _WORTH)


@dataclass(frozen=True, eq=False)
class FilterPorts:
    """The harmonic filters of one layout. K ports; E elements: one per single-phase or line-to-line port, three per 3ph port.

    An element senses a combination of its node's line currents and injects into the same lines: a phase its own line, a pair
    (i_x − i_y)/3 (the least delta current that explains the lines), a line of a three-wire port its part without zero sequence.
    """

    layout: SiteLayout

    @cached_property
    def able(self) -> BoolArray:
        """(K,) the port's MIM can filter."""
        has = np.array([mim.harmonic_filter is not None for mim in self.layout.mims], dtype=np.bool_)
        return frozen(has[self.layout.port_mim]) if len(has) else frozen(np.zeros(0, dtype=np.bool_))

    @cached_property
    def any(self) -> bool:
        return bool(self.able.any())

    @cached_property
    def orders(self) -> IntArray:
        """(K,) bits of the orders that each port can usefully compensate."""
        hz = self.layout.site.frequency_hz
        filters = [mim.harmonic_filter for mim in self.layout.mims]
        bits = [0 if f is None else order_bits(cancellable(f, hz)) for f in filters]
        return frozen(np.array([bits[m] for m in self.layout.port_mim], dtype=np.int64))

    @cached_property
    def _elements(self) -> tuple[list[int], list[FloatArray], list[FloatArray]]:
        port, sense, inject = [], [], []
        for k, spec in enumerate(self.layout.ports):
            if not self.able[k]:
                continue
            for row, column in _shapes(spec.connection):
                port.append(k)
                sense.append(row)
                inject.append(column)
        return port, sense, inject

    @cached_property
    def port(self) -> IntArray:
        """(E,) the port of each element."""
        return frozen(np.array(self._elements[0], dtype=np.int64))

    @cached_property
    def node(self) -> IntArray:
        """(E,)"""
        return frozen(self.layout.port_node[self.port])

    @cached_property
    def sense(self) -> FloatArray:
        """(E, 3) what each element sees of the line currents of its node."""
        return frozen(np.array(self._elements[1], dtype=np.float64).reshape(-1, 3))

    @cached_property
    def inject(self) -> FloatArray:
        """(E, 3) how its current enters the lines."""
        return frozen(np.array(self._elements[2], dtype=np.float64).reshape(-1, 3))

    @cached_property
    def rating_a(self) -> FloatArray:
        """(K,) rms current of each port's conductors at its rating and nominal voltage [A]."""
        parts = np.array([3.0 if p.connection is Connection.THREE_PHASE else 1.0 for p in self.layout.ports])
        return frozen(self.layout.port_rating_va / self.layout.port_voltage_v / parts)

    def fundamental_a(self, power_va: FloatArray, voltage_v: FloatArray | None = None) -> FloatArray:
        """(K,) rms fundamental of each port's conductors [A] at |p + jq| [VA]; at the lower of measured and nominal voltage."""
        parts = self.layout.port_rating_va / self.layout.port_voltage_v / self.rating_a if len(self.rating_a) else self.rating_a
        volts = self.layout.port_voltage_v
        if voltage_v is not None:
            volts = np.fmin(volts, np.where(voltage_v > 0.1 * volts, voltage_v, np.nan))
        return np.asarray(power_va / volts / parts)

    def line_bound_a(self, residual_a: FloatArray, filter_a: FloatArray) -> FloatArray:
        """(N, 3) at most so much harmonic current do the lines of each node draw without the filters at the node itself [A].

        What the meter still sees and what the filters take make up the whole as phasors, so their sizes bound it.

        Args:
            residual_a: (N, 3) rms harmonic current as metered [A].
            filter_a: (K,) rms harmonic current of each port [A].
        """
        total = residual_a.copy()
        np.add.at(total, self.node, np.abs(self.inject) * filter_a[self.port, None])
        return total

    def local_bound_a(self, line_a: FloatArray) -> FloatArray:
        """(K,) at most so much harmonic current do the ports see [A], from (N, 3) line currents; zero without a filter."""
        seen = np.where(self.sense != 0, np.abs(self.sense) * line_a[self.node], 0.0).sum(axis=1)
        result = np.zeros(len(self.layout.ports))
        np.maximum.at(result, self.port, np.where(np.isnan(seen), np.inf, seen))
        return np.where(np.isinf(result), np.nan, result)


def _shapes(connection: Connection) -> list[tuple[FloatArray, FloatArray]]:
    """(sense, inject) of each element of a port."""
    if connection is Connection.THREE_PHASE:
        rows = np.eye(3) - 1 / 3
        return [(rows[i], np.eye(3)[i]) for i in range(3)]
    lines = [phase.column for phase in connection.phases]
    unit = np.zeros(3)
    unit[lines[0]] = 1.0
    if not connection.is_line_to_line:
        return [(unit, unit)]
    unit[lines[1]] = -1.0
    return [(unit / 3, unit)]


def rms_room_a(rating_a: FloatArray, fundamental_a: FloatArray) -> FloatArray:
    """What is left of a port's rms rating beside its fundamental [A]: √(I_max² − I_1²); zero where nothing is, or it is unknown."""
    room = np.sqrt(np.maximum(rating_a**2 - fundamental_a**2, 0.0))
    return np.nan_to_num(room)
