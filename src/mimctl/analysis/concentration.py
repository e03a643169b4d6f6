"""How full the phases are, and what they would carry without some or all of the MIMs.

Headroom is the limit for hours less the current. Three answers to three questions: *assisted* is how it stands now, *N-1*
with any one MIM lost, *firm* with every MIM at its expiry action. Only firm headroom is free capacity: load that is
connected against assisted headroom overloads the breaker on the day that the controller is silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from mimctl.analysis.sequence import ratio
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray
from mimctl.model.site import ExpiryAction

#: a factor of a flow below this is rounding of a zero: it would spread NaN to phases that a port does not touch
_NEGLIGIBLE = 1e-12


def fullest_phase_pct(current_a: FloatArray, gate: FloatArray) -> FloatArray:
    """Share of the three currents that flows on the fullest phase: 33.3 % when even, 100 % when alone.

    Args:
        current_a: (N, 3) [A]
        gate: (N,) mean phase current below which there is no answer [A]

    Returns:
        (N,) [%]
    """
    a, b, c = current_a[:, 0], current_a[:, 1], current_a[:, 2]
    return 100 * ratio(np.maximum(np.maximum(a, b), c), a + b + c, 3 * gate)


def loading_pct(current_a: FloatArray, limit_a: FloatArray) -> FloatArray:
    """Largest phase current of each node relative to its limit for hours; (N, 3), (N,) [A] → (N,) [%]."""
    fullest = np.maximum(np.maximum(current_a[:, 0], current_a[:, 1]), current_a[:, 2])
    share: FloatArray = 100 * fullest / limit_a
    return share


@dataclass(frozen=True, eq=False)
class Contingencies:
    """What the flows of the tree become when MIMs are lost, arranged once per layout.

    All answers are flows [VA], load positive, in the flat order of `TreeOperators`. A MIM of unknown output makes the
    answer unknown (NaN) at its ancestors, on the phases that it touches, and nowhere else.
    """

    operators: TreeOperators

    @cached_property
    def _influence(self) -> sparse.coo_array:
        """`port_flow` without its zeros, entries in the order of (row, MIM)."""
        flow = self.operators.port_flow.tocoo()
        keep = np.abs(flow.data) > _NEGLIGIBLE
        row, port, data = flow.row[keep], flow.col[keep], flow.data[keep]
        order = np.lexsort((port, row))  # ports are numbered MIM by MIM
        return sparse.coo_array((data[order], (row[order], port[order])), shape=flow.shape)

    def _columns(self, ports: BoolArray) -> sparse.csr_array:
        """(3N, K): the influence of these ports alone."""
        table = self._influence
        keep = ports[table.col]
        return sparse.csr_array((table.data[keep], (table.row[keep], table.col[keep])), shape=table.shape)

    @cached_property
    def _group_start(self) -> IntArray:
        """First entry of each (row, MIM)."""
        table, mim = self._influence, self.operators.layout.port_mim
        new = np.ones(table.nnz, dtype=np.bool_)
        new[1:] = (np.diff(table.row) != 0) | (np.diff(mim[table.col]) != 0)
        return np.flatnonzero(new)

    @cached_property
    def _group_row(self) -> IntArray:
        return np.asarray(self._influence.row[self._group_start], dtype=np.int64)

    @cached_property
    def _row_start(self) -> IntArray:
        """First group of each row that any MIM reaches."""
        return np.flatnonzero(np.diff(self._group_row, prepend=-1))

    @cached_property
    def _ports_that_expire(self) -> BoolArray:
        """(K,) ports whose output goes to zero without the controller: all but those of MIMs that hold."""
        layout = self.operators.layout
        holds = np.array([mim.expiry_action is ExpiryAction.HOLD for mim in layout.mims], dtype=np.bool_)
        expires: BoolArray = ~holds[layout.port_mim]
        return expires

    @cached_property
    def _expiring(self) -> sparse.csr_array:
        return self._columns(self._ports_that_expire)

    def firm_flow(self, flow: ComplexArray, injection: ComplexArray) -> ComplexArray:
        """Net import with every MIM at its expiry action: the flow without the MIMs, less what those on `hold` go on giving.

        `revert` counts as zero, which is what mimctl sets as the value to revert to.

        Args:
            flow: (N, 3) measured net import [VA].
            injection: (K,) port outputs of the same instant, injection positive [VA].

        Returns:
            (N, 3) [VA]
        """
        if not len(injection):
            return flow
        lost: ComplexArray = (self._expiring @ injection).reshape(-1, 3)
        return flow + lost

    def worst_single_loss_va(self, flow: ComplexArray, injection: ComplexArray) -> FloatArray:
        """Largest |flow| of each phase with at most one MIM lost, whichever that is.

        A lost MIM injects nothing, whatever its expiry action. Args as in `firm_flow`; returns (N, 3) [VA].
        """
        flat = flow.reshape(-1)
        squared = flat.real**2 + flat.imag**2
        if self._influence.nnz:
            table = self._influence
            lost = np.add.reduceat(table.data * injection[table.col], self._group_start)
            after = flat[self._group_row] + lost
            worst = np.maximum.reduceat(after.real**2 + after.imag**2, self._row_start)
            rows = self._group_row[self._row_start]
            squared[rows] = np.maximum(squared[rows], worst)
        largest: FloatArray = np.sqrt(squared).reshape(-1, 3)
        return largest

    @cached_property
    def _head_rows(self) -> IntArray:
        return np.asarray((3 * self.operators.layout.heads[:, None] + np.arange(3)).ravel(), dtype=np.int64)

    @cached_property
    def _at_heads(self) -> sparse.csr_array:
        """(3H, K): the influence of every port on the heads."""
        every = np.ones(len(self.operators.layout.ports), dtype=np.bool_)
        return self._columns(every)[self._head_rows]

    @cached_property
    def _at_own_head(self) -> sparse.csr_array:
        """(3H, K): the same, of MIMs whose ports all stand under that one head."""
        layout = self.operators.layout
        under = layout.below[layout.heads][:, layout.port_node]  # (H, K)
        wholly = np.zeros_like(under)
        for run in layout.ports_of_mim:
            wholly[:, run] = under[:, run].all(axis=1, keepdims=True)
        table = self._at_heads.tocoo()
        keep = wholly[table.row // 3, table.col]
        return sparse.csr_array((table.data[keep], (table.row[keep], table.col[keep])), shape=table.shape)

    def failover_flow(self, flow: ComplexArray, injection: ComplexArray) -> ComplexArray:
        """Net import of each head when all the others are lost and their load comes over to it, phase for phase.

        The load of a lost feed comes without its MIMs, which lose their supply with it; so do MIMs between two feeds, at
        both ends. MIMs wholly under the remaining head go on as they are.

        Args:
            flow: (N, 3) measured net import [VA].
            injection: (K,) [VA].

        Returns:
            (H, 3) [VA], in the order of `layout.heads`; NaN where any head is unknown.
        """
        heads = flow[self.operators.layout.heads]
        if len(injection):
            load = heads + (self._at_heads @ injection).reshape(-1, 3)
            own = (self._at_own_head @ injection).reshape(-1, 3)
        else:
            load, own = heads, np.zeros_like(heads)
        carried: ComplexArray = load.sum(axis=0) - own
        return carried
