"""Neutral conductors of the MIMs: single-phase ports of one MIM at one node return through one neutral."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from mimctl.balance.reduction import real_stacked
from mimctl.grid.linear import LinearMap
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import ComplexArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class NeutralGroups:
    """Groups of two or more single-phase ports; a lone port's neutral is a bound on the port itself.

    Args:
        mim: (G,) MIM of each group.
        current: (G, K) complex, A per VA up to conjugation: |current @ x| is the neutral current [A].
        base_a: (G,) neutral current with every port of the group in phase at its rating, the scale of the rows [A].
        lone: (K,) whether a port is the only one of its MIM on its node's neutral.
        rating_va: (K,) [VA]
    """

    mim: IntArray
    current: sparse.csr_array
    base_a: FloatArray
    lone: IntArray
    rating_va: FloatArray

    @property
    def count(self) -> int:
        return len(self.mim)

    @cached_property
    def scaled_rows(self) -> sparse.csr_array:
        """(2G, 2K) real rows on the scaled port variables, p.u. of `base_a`."""
        scaled = sparse.diags_array(1 / self.base_a) @ self.current @ sparse.diags_array(self.rating_va)
        return real_stacked(scaled)

    def current_a(self, power: ComplexArray) -> ComplexArray:
        """(G,) neutral currents [A] of port powers (K,) [VA], up to conjugation."""
        return self._amps @ power

    @cached_property
    def _amps(self) -> LinearMap:
        return LinearMap(self.current)


def neutral_groups(operators: TreeOperators) -> NeutralGroups:
    """Find the groups of a layout."""
    layout = operators.layout
    members: dict[tuple[int, int], list[int]] = {}
    for k, port in enumerate(layout.ports):
        if port.connection.uses_neutral:
            members.setdefault((int(layout.port_mim[k]), int(layout.port_node[k])), []).append(k)
    shared = {key: ports for key, ports in members.items() if len(ports) > 1}
    lone = np.array([ports[0] for ports in members.values() if len(ports) == 1], dtype=np.int64)
    row = np.array([g for g, ports in enumerate(shared.values()) for _ in ports], dtype=np.int64)
    column = np.array([k for ports in shared.values() for k in ports], dtype=np.int64)
    # the only phase of a single-phase port is the one of its shares that is not zero
    unit = layout.port_shares[column] @ (1 / operators.unit_voltages) if len(column) else np.empty(0, np.complex128)
    amps = unit / layout.voltage_ln_v[layout.port_node[column]] if len(column) else unit
    current = sparse.csr_array((amps, (row, column)), shape=(len(shared), len(layout.ports)))
    return NeutralGroups(
        mim=np.array([m for m, _ in shared], dtype=np.int64),
        current=current,
        base_a=np.asarray(abs(current) @ layout.port_rating_va),
        lone=lone,
        rating_va=layout.port_rating_va,
    )
