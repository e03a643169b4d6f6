"""From measured net flows to the load of each node itself, MIM output taken out at each meter's own instant."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mimctl.forecast.outputs import Outputs, common
from mimctl.forecast.own_loads import OwnLoads
from mimctl.grid.tree import TreeOperators
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, frozen, joined
from mimctl.model.sample import BAD
from mimctl.model.state import SiteState


@dataclass(eq=False)
class LoadTracker:
    """Estimates every node's own load each cycle; the forecast for the coming interval is that it stays.

    gross load of a node's subtree = measured net import + Σ output of the MIM ports under it *at the meter's instant*;
    own load = gross load − gross loads of the metered nodes next below. Loads are taken as constant over the skew between
    meters, MIM outputs are not.
    """

    operators: TreeOperators
    outputs: Outputs
    #: the readings that were last worked on, and what came out of them
    _gross: tuple[tuple[FloatArray, ...], ComplexArray] | None = None

    def __post_init__(self) -> None:
        self._own = OwnLoads(self.operators)

    def forecast(self, state: SiteState) -> LoadForecast:
        """The loads at this image, as the persistence forecast of the coming interval."""
        gross = self.gross_load(state)
        usable = state.nodes.quality > BAD
        return self._own.forecast(gross if usable.all() else np.where(usable[:, None], gross, 0.0), usable)

    def gross_load(self, state: SiteState) -> ComplexArray:
        """(N, 3) net import plus the output of the MIMs at or below, both at each meter's own instant; NaN where unknown [VA]."""
        read = state.nodes.import_w, state.nodes.taken_at_s, state.ports.inject_w
        if self._gross is None or any(map(operator.is_not, read, self._gross[0])):
            self._learn_outputs(state)
            self._gross = read, frozen(self._gross_load(state, state.nodes.quality > BAD))
        return self._gross[1]

    def _learn_outputs(self, state: SiteState) -> None:
        output, usable = joined(state.ports.inject_w, state.ports.inject_var), state.mims.quality > BAD
        finite = np.isfinite(output)
        self.outputs.reported(state.mims.taken_at_s, output if finite.all() else np.where(finite, output, 0), usable)

    def _gross_load(self, state: SiteState, usable: BoolArray) -> ComplexArray:
        net = joined(state.nodes.import_w, state.nodes.import_var)
        if not len(self.operators.layout.ports):
            return net
        usable = usable & np.isfinite(state.nodes.taken_at_s)  # what is estimated may be of no instant
        together_s = common(state.nodes.taken_at_s[usable])
        if together_s is not None:
            behind = self.operators.behind(self.outputs.at(together_s))
        else:
            behind = self._behind_each(state.nodes.taken_at_s, usable)
        return net + behind if usable.all() else np.where(usable[:, None], net + behind, net)

    def _behind_each(self, taken_at_s: FloatArray, usable: BoolArray) -> ComplexArray:
        """(N, 3) output of the MIMs at or below each usable node at its own instant, port by port [VA]."""
        rows, nodes, ports, shares = self._entries
        if not usable.all():
            at = usable[nodes]
            rows, nodes, ports, shares = rows[at], nodes[at], ports[at], shares[at]
        out = shares * self.outputs.each_at(taken_at_s[nodes], ports)
        behind = np.empty((len(usable), 3), dtype=np.complex128)
        for part, of_entries in ((behind.real, out.real), (behind.imag, out.imag)):
            part[:] = np.bincount(rows, of_entries, behind.size).reshape(-1, 3)
        return behind

    @cached_property
    def _entries(self) -> tuple[IntArray, IntArray, IntArray, ComplexArray]:
        """(E,) rows, their nodes, columns and values of `port_flow`; a copy, for the matrix may sort its entries in place."""
        entries = self.operators.port_flow.tocoo(copy=True)
        rows = entries.coords[0].astype(np.int64)
        return rows, rows // 3, entries.coords[1].astype(np.int64), entries.data
