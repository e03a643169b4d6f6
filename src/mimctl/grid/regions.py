"""Nodes without a meter below a metered one: their load is somewhere in the region of that meter, nobody knows where.

The region of a metered node is what hangs below it down to the next meters. Its load, what the meter shows less what the next
meters show, may stand at any node of the region, all of it or none. So a node without a meter is judged by what is known to
pass through it (the metered nodes below, the MIMs) and keeps room for the whole load of the region beside that.

That a part of a load is never larger than the whole, phase by phase, holds where no two loads of a phase are more than 90° apart:
power factors above 0.7. Above a delta winding the phases of the load cannot be told apart any more; there all three count for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, frozen
from mimctl.model.node import Winding


@dataclass(frozen=True, eq=False)
class Regions:
    """Which meter stands for which unmetered node. N nodes, U of them without a meter but below one, V views."""

    operators: TreeOperators

    @cached_property
    def metered(self) -> BoolArray:
        """(N,)"""
        return frozen(np.array([meter is not None for meter in self.operators.layout.meter_of_node], dtype=np.bool_))

    @cached_property
    def top(self) -> IntArray:
        """(N,) nearest node at or above each one that has a meter, −1 where there is none."""
        top: list[int] = []
        for n, above in enumerate(self.operators.layout.parent):
            top.append(n if self.metered[n] else top[above] if above >= 0 else -1)
        return frozen(np.array(top, dtype=np.int64))

    @cached_property
    def nodes(self) -> IntArray:
        """(U,)"""
        return frozen(np.flatnonzero(~self.metered & (self.top >= 0)))

    @cached_property
    def tops(self) -> IntArray:
        """(U,) the metered node that each belongs to."""
        return frozen(self.top[self.nodes])

    @cached_property
    def _below_delta(self) -> BoolArray:
        """(U,) a delta winding stands between the node and its meter."""
        return np.array([any(self._is_delta(n) for n in self._path(int(u))) for u in self.nodes], dtype=np.bool_)

    def _is_delta(self, n: int) -> bool:
        transformer = self.operators.layout.nodes[n].transformer
        return transformer is not None and transformer.winding is Winding.DYN

    def _path(self, n: int) -> Iterator[int]:
        """`n` and the nodes above it, its meter's own left out."""
        while n != self.top[n]:
            yield n
            n = int(self.operators.layout.parent[n])

    @cached_property
    def _passing(self) -> sparse.csr_array:
        """(3U, 3N): known flow of the unmetered nodes from the gross loads below the metered ones."""
        return self._matrix({int(u): i for i, u in enumerate(self.nodes)}, own=False)

    @cached_property
    def _load(self) -> sparse.csr_array:
        """(3T, 3N): load of the region of each of the T metered nodes in `_load_rows`, from the same."""
        return self._matrix({int(t): i for i, t in enumerate(np.unique(self.tops))}, own=True)

    def _matrix(self, row_of: dict[int, int], *, own: bool) -> sparse.csr_array:
        """Sums over the metered nodes next below some nodes; with `own` the node itself less that sum."""
        layout, size = self.operators.layout, (3 * len(row_of), 3 * len(self.metered))
        matrix = sparse.lil_array(size, dtype=np.complex128)
        for b in map(int, np.flatnonzero(self.metered)):
            columns = slice(3 * b, 3 * b + 3)
            if own and b in row_of:
                matrix[3 * row_of[b] : 3 * row_of[b] + 3, columns] = np.eye(3)
            operator, at = self.operators.upward[b], int(layout.parent[b])
            while at >= 0:
                if at in row_of:
                    matrix[3 * row_of[at] : 3 * row_of[at] + 3, columns] = -operator if own else operator
                if self.metered[at]:
                    break
                operator, at = self.operators.upward[at] @ operator, int(layout.parent[at])
        return matrix.tocsr()

    def passing_va(self, gross_va: ComplexArray) -> ComplexArray:
        """(V, U, 3) what is known to flow through the unmetered nodes, of gross loads (V, N, 3) below every node [VA]."""
        return _applied(self._passing, gross_va)

    def reserve_va(self, gross_va: ComplexArray) -> FloatArray:
        """(V, U, 3) what may flow there beside it: the size of the region's load, of the same [VA]."""
        load_va = np.abs(_applied(self._load, gross_va))[:, np.searchsorted(np.unique(self.tops), self.tops)]
        together = np.broadcast_to(load_va.sum(axis=2, keepdims=True), load_va.shape)
        return np.where(self._below_delta[None, :, None], together, load_va)

    def left_a(self, current_a: FloatArray, neutral_a: FloatArray, reserve_va: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What the limits of the unmetered nodes leave for the known flow. Of three currents 120° ± 45° apart the two largest
        bound the sum.

        Args:
            current_a: (N, 3) phase limits of all nodes [A].
            neutral_a: (N,) likewise, inf where there is none [A].
            reserve_va: (V, U, 3) as `reserve_va` gives it [VA].

        Returns:
            (V, U, 3) and (V, U), never negative [A].
        """
        room_a = reserve_va / self.operators.layout.voltage_ln_v[self.nodes, None]
        neutral_room_a = room_a.sum(axis=2) - room_a.min(axis=2)
        return np.maximum(current_a[self.nodes] - room_a, 0.0), np.maximum(neutral_a[self.nodes] - neutral_room_a, 0.0)


def _applied(matrix: sparse.csr_array, gross_va: ComplexArray) -> ComplexArray:
    flat = gross_va.reshape(len(gross_va), -1)
    return np.asarray((matrix @ flat.T).T).reshape(len(gross_va), -1, 3)
