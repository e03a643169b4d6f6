"""Where the powers of many single connections appear in the site's arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from mimctl.model.connection import Connection
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, SiteLayout


@dataclass(frozen=True, eq=False)
class Terminals:
    """C connections (loads or ports), each at a node.

    Args:
        nodes: (C,) index of the node of each.
        connections: what each is wired to.
    """

    layout: SiteLayout
    nodes: IntArray
    connections: Sequence[Connection]

    def phase_power(self, power: ComplexArray) -> ComplexArray:
        """(N, 3) what stands between each phase and neutral, from (C,) [VA]; line-to-line connections are left out."""
        return np.asarray(self._phase_matrix @ power).reshape(-1, 3)

    def pair_power(self, power: ComplexArray) -> ComplexArray | None:
        """(N, 3) what stands between L1L2, L2L3, L3L1, from (C,) [VA]; None where nothing is line to line."""
        return np.asarray(self._pair_matrix @ power).reshape(-1, 3) if self.has_pairs else None

    def nominal_power(self, power: ComplexArray) -> ComplexArray:
        """(N, 3) at the phase terminals, line-to-line connections by their nominal shares, from (C,) [VA]."""
        return np.asarray(self._share_matrix @ power).reshape(-1, 3)

    def voltage(self, node_voltage: ComplexArray) -> FloatArray:
        """(C,) rms voltage across each connection [V] from node phasors (N, 3); a three-phase one has the mean of its phases."""
        flat = np.append(node_voltage.reshape(-1), 0.0)
        across: FloatArray = np.abs(flat[self._from] - flat[self._to])
        if self._three_phase.any():
            across[self._three_phase] = np.abs(node_voltage[self.nodes[self._three_phase]]).mean(axis=1)
        return across

    @cached_property
    def has_pairs(self) -> bool:
        return any(c.is_line_to_line for c in self.connections)

    @cached_property
    def _three_phase(self) -> BoolArray:
        return np.array([c is Connection.THREE_PHASE for c in self.connections], dtype=np.bool_)

    @cached_property
    def _from(self) -> IntArray:
        return np.array([3 * n + c.phases[0].column for n, c in self._wired()], dtype=np.int64)

    @cached_property
    def _to(self) -> IntArray:
        """The second line of a line-to-line connection; otherwise the neutral, one past the last phase."""
        neutral = 3 * len(self.layout.nodes)
        columns = (3 * n + c.phases[1].column if c.is_line_to_line else neutral for n, c in self._wired())
        return np.array(list(columns), dtype=np.int64)

    def _wired(self) -> list[tuple[int, Connection]]:
        return [(int(n), c) for n, c in zip(self.nodes, self.connections, strict=True)]

    @cached_property
    def _phase_matrix(self) -> sparse.csr_array:
        entries = [
            (3 * n + phase.column, i, 1 / len(c.phases))
            for i, (n, c) in enumerate(self._wired())
            if not c.is_line_to_line
            for phase in c.phases
        ]
        return self._matrix(entries)

    @cached_property
    def _pair_matrix(self) -> sparse.csr_array:
        entries = [(3 * n + c.phases[0].column, i, 1.0) for i, (n, c) in enumerate(self._wired()) if c.is_line_to_line]
        return self._matrix(entries)

    @cached_property
    def _share_matrix(self) -> sparse.csr_array:
        rotation = self.layout.site.rotation
        entries = [
            (3 * n + column, i, share)
            for i, (n, c) in enumerate(self._wired())
            for column, share in enumerate(c.phase_shares(rotation))
        ]
        return self._matrix(entries)

    def _matrix(self, entries: Sequence[tuple[int, int, complex]]) -> sparse.csr_array:
        shape = (3 * len(self.layout.nodes), len(self.connections))
        if not entries:
            return sparse.csr_array(shape, dtype=np.complex128)
        rows, columns, values = zip(*entries, strict=True)
        return sparse.csr_array((np.array(values, dtype=np.complex128), (rows, columns)), shape=shape)


def port_terminals(layout: SiteLayout) -> Terminals:
    """The ports of all MIMs."""
    return Terminals(layout, layout.port_node, layout.connections())
