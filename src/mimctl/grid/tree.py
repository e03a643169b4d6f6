"""Linear operators of the electrical tree at nominal voltages, lossless.

A node's flow is its net import s = (s1, s2, s3), complex power per phase [VA], each referred to that phase's nominal voltage.
Along a cable or a YNyn transformer it passes to the parent unchanged. A Dyn winding k of the secondary is a line-to-line load on
the primary, so its power appears there as `Connection.phase_shares` of that pair: the zero sequence vanishes by itself.

Reference: C. L. Fortescue, "Method of symmetrical co-ordinates …", Trans. AIEE 37 (1918); vector groups as in IEC 60076-1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from mimctl.grid.linear import LinearMap
from mimctl.model.connection import Connection
from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout, frozen
from mimctl.model.node import Node, Winding
from mimctl.model.phases import A, Rotation

#: primary pair that secondary windings a, b, c stand on, by clock number
_DELTA_PAIRS = {
    11: (Connection.L1L2, Connection.L2L3, Connection.L3L1),
    5: (Connection.L1L2, Connection.L2L3, Connection.L3L1),
    1: (Connection.L3L1, Connection.L1L2, Connection.L2L3),
    7: (Connection.L3L1, Connection.L1L2, Connection.L2L3),
}


def upward_operator(node: Node, rotation: Rotation) -> ComplexArray:
    """(3, 3): flow at the parent = operator @ flow at `node`."""
    if node.transformer is None or node.transformer.winding is Winding.YNYN:
        return np.eye(3, dtype=np.complex128)
    pairs = _DELTA_PAIRS[node.transformer.clock]
    return np.array([pair.phase_shares(rotation) for pair in pairs], dtype=np.complex128).T


def sequence_matrix(rotation: Rotation) -> ComplexArray:
    """(3, 3): rows give (I0, I1, I2) from the phase currents (I1, I2, I3).

    Reference: Fortescue (1918); I1 is the component with the rotation of the voltages.
    """
    a = A if rotation is Rotation.POSITIVE else A.conjugate()
    return np.array([[1, 1, 1], [1, a, a * a], [1, a * a, a]], dtype=np.complex128) / 3


@dataclass(frozen=True, eq=False)
class TreeOperators:
    """Operators of one layout. N nodes, K ports. Flat order of a flow: node-major, phase-minor (3N,)."""

    layout: SiteLayout

    @cached_property
    def upward(self) -> ComplexArray:
        """(N, 3, 3) each node's operator to its parent; unused at heads."""
        rotation = self.layout.site.rotation
        return frozen(np.array([upward_operator(n, rotation) for n in self.layout.nodes], dtype=np.complex128))

    @cached_property
    def accumulate(self) -> sparse.csr_array:
        """(3N, 3N) complex: flow of every node from every node's own load (children come first in the sum)."""
        rows, cols, values = [], [], []
        for n in range(len(self.layout.nodes)):
            operator, at = np.eye(3, dtype=np.complex128), n
            while at >= 0:
                r, c = np.nonzero(operator)
                rows.append(3 * at + r)
                cols.append(3 * n + c)
                values.append(operator[r, c])
                operator, at = self.upward[at] @ operator, int(self.layout.parent[at])
        size = 3 * len(self.layout.nodes)
        index = (np.concatenate(rows), np.concatenate(cols))
        return sparse.csr_array((np.concatenate(values), index), shape=(size, size))

    @cached_property
    def port_flow(self) -> sparse.csr_array:
        """(3N, K) complex: how one VA injected at each port *lowers* the flow of every node."""
        layout = self.layout
        k = np.repeat(np.arange(len(layout.ports)), 3)
        rows = (3 * layout.port_node[:, None] + np.arange(3)[None, :]).ravel()
        size = (3 * len(layout.nodes), len(layout.ports))
        return sparse.csr_array(self.accumulate @ sparse.csr_array((layout.port_shares.ravel(), (rows, k)), shape=size))

    def flow(self, load: ComplexArray, injection: ComplexArray | None = None) -> ComplexArray:
        """Net import of every node.

        Args:
            load: (N, 3) each node's own load, load positive [VA].
            injection: (K,) port injections, injection positive [VA].

        Returns:
            (N, 3) [VA]
        """
        total = self._summed @ load.reshape(-1)
        if injection is not None and len(injection):
            total = total - self._lowered @ injection
        return total.reshape(-1, 3)

    def behind(self, injection: ComplexArray) -> ComplexArray:
        """(N, 3) by how much injections (K,) lower the flow of every node [VA]."""
        return (self._lowered @ injection).reshape(-1, 3)

    @cached_property
    def _summed(self) -> LinearMap:
        return LinearMap(self.accumulate)

    @cached_property
    def _lowered(self) -> LinearMap:
        return LinearMap(self.port_flow)

    @cached_property
    def unit_voltages(self) -> ComplexArray:
        """(3,) nominal phase voltages per unit, L1 at zero."""
        return frozen(np.array(self.layout.site.rotation.unit_voltages, dtype=np.complex128))

    def currents(self, flow: ComplexArray) -> ComplexArray:
        """Phase current phasors (N, 3) [A] of flows (N, 3) [VA] at nominal voltage: I = conj(S / V)."""
        phasors: ComplexArray = np.conj(flow / (self.unit_voltages * self.layout.voltage_ln_v[:, None]))
        return phasors

    @cached_property
    def sequence(self) -> ComplexArray:
        return frozen(sequence_matrix(self.layout.site.rotation))

    def sequence_currents(self, currents: ComplexArray) -> ComplexArray:
        """(N, 3) columns I0, I1, I2 [A] from phase current phasors (N, 3) [A]."""
        return currents @ self.sequence.T


def node_objective(sequence_currents: ComplexArray, rating_a: FloatArray) -> FloatArray:
    """3(|I0|² + |I2|²)/I_rated² of every node, dimensionless.

    Args:
        sequence_currents: (N, 3) columns I0, I1, I2 [A].
        rating_a: (N,) [A].
    """
    i0, i2 = np.abs(sequence_currents[:, 0]), np.abs(sequence_currents[:, 2])
    objective: FloatArray = 3 * (i0**2 + i2**2) / rating_a**2
    return objective


def objective_quadratic(layout: SiteLayout) -> FloatArray:
    """The objective of each node as a quadratic form: 3(|I0|² + |I2|²)/I_rated² = yᵀ H y at nominal voltages.

    Returns:
        (N, 6, 6) symmetric positive semidefinite H [1/VA²] in y = (p1, q1, p2, q2, p3, q3).
    """
    rotation = layout.site.rotation
    rows = sequence_matrix(rotation)[[0, 2]]
    per_va = rows / np.conj(np.array(rotation.unit_voltages))
    basis = np.empty((2, 6), dtype=np.complex128)
    basis[:, 0::2], basis[:, 1::2] = per_va, -1j * per_va
    form = 3 * np.real(np.conj(basis).T @ basis)
    scale = 1 / (layout.voltage_ln_v * layout.rating_a) ** 2
    return np.asarray(form[None] * scale[:, None, None])
