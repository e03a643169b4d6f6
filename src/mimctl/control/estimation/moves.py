"""The second redundancy: what MIMs say they moved must show in the meters above them, one to one.

A meter at or above a MIM shows its load less the MIM's output. When the output moves by Δx the reading moves by −Δx and by whatever
the load did meanwhile; over many moves the load averages out and the factor between the two remains. It is 1 for a meter that is
right, 1.5 for one that shows half too much, −1 where the current transformers look the wrong way, about 0 for one that is stuck,
and anything else where phases are exchanged. A MIM that tells wrong figures of itself bends the factor too: only the sums
(`grid/suspect.py`) can tell the two apart.

The MIMs move because the load moved: a plain regression would take the load for a wrong factor. But a move of this cycle answers
what was measured before it, so the movements of the two samples before are regressors too, and what is left of the load is new.

Reference: the direct method of closed-loop identification with an ARX model, L. Ljung, "System identification" (1999), ch. 13.
"""

from __future__ import annotations

import numpy as np

from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, SiteLayout

#: after how long half of what was learnt is forgotten [s]
_HALF_LIFE_S = 600.0
#: with fewer samples than these nothing is said
_LEAST_SAMPLES = 30.0
#: regressors: Δx now, and Δz, Δx of the last two samples
_PAST = 2
_COUNT = 1 + 2 * _PAST
#: the MIMs' reports and the reading must be of one instant, or a move would be seen in only one of them [s]
_TOGETHER_S = 0.2
#: moves smaller than this are lost in the rounding of the MIM's own figures, and would pass for a factor of 0 [VA]
_LEAST_MOVE_VA = 10.0
#: while nothing is suspected, factors that rest on so many samples less will do
_EVERY = 5
#: resolution of a register: what keeps an idle regressor from counting [W²]
_GRAIN = 1.0


class MoveWatch:
    """Factors between what the meters saw and what the MIMs said, per node."""

    def __init__(self, layout: SiteLayout) -> None:
        nodes = len(layout.nodes)
        #: (P,) pairs of a node and a MIM with a port at or below it
        self._node, self._mim = _pairs(layout)
        self._some: BoolArray = np.bincount(self._node, minlength=nodes) > 0
        self._last_s: FloatArray = np.full(nodes, np.nan)
        self._net = np.zeros((nodes, 3), dtype=np.complex128)
        self._behind = np.zeros((nodes, 3), dtype=np.complex128)
        #: (N, 6, 1 + 2·past + 1) −Δx of this sample, Δz and Δx of the last ones, Δz of this one, by real and imaginary part of
        #: each phase; and how many samples follow each other
        self._rows = np.zeros((nodes, 6, _COUNT + 1))
        self._filled = np.zeros(nodes, dtype=np.int64)
        #: (N, ·, ·) faded sums of the products of any two columns: all that a regression of the last on the others needs
        self._products = np.zeros((nodes, _COUNT + 1, _COUNT + 1))
        self._samples = np.zeros(nodes)
        self._found: tuple[FloatArray, FloatArray] | None = None
        self._found_before = 0

    def learn(self, taken_at_s: FloatArray, net_va: ComplexArray, behind_va: ComplexArray, reported_at_s: FloatArray) -> None:
        """One more cycle.

        Args:
            taken_at_s: (N,) instants of the readings [s].
            net_va: (N, 3) readings, NaN where unknown [VA].
            behind_va: (N, 3) output of the MIMs at or below each node at that instant, by their own word [VA].
            reported_at_s: (M,) when the MIMs last said so, NaN where they say nothing [s].
        """
        fresh = self._some & ~(taken_at_s == self._last_s)
        known = fresh & self._together(taken_at_s, reported_at_s)
        if not np.isfinite(net_va).all():
            known &= np.isfinite(net_va).all(axis=1)
        chained = known & np.isfinite(self._last_s)
        seen, moved = (net_va - self._net).view(np.float64), (behind_va - self._behind).view(np.float64)
        at, rows = _places(chained), self._rows
        rows[at, :, 0], rows[at, :, -1] = -moved[at], seen[at]
        ready = chained & (self._filled >= _PAST) & (np.add.reduce(moved * moved, axis=1) >= _LEAST_MOVE_VA**2)
        if ready.any():
            self._add(_places(ready), taken_at_s - self._last_s)
        rows[at, :, 3:-1] = rows[at, :, 1:-3].copy()
        rows[at, :, 1], rows[at, :, 2] = seen[at], moved[at]
        self._found_before += 1
        if isinstance(at, slice):  # all of them, as in nearly every cycle
            self._filled += 1
            self._last_s, self._net, self._behind = taken_at_s, net_va, behind_va
            return
        self._filled = np.where(chained, self._filled + 1, np.where(fresh, 0, self._filled))
        self._last_s = np.where(fresh, np.where(known, taken_at_s, np.nan), self._last_s)
        self._net = np.where(known[:, None], net_va, self._net)
        self._behind = np.where(known[:, None], behind_va, self._behind)

    def _together(self, taken_at_s: FloatArray, reported_at_s: FloatArray) -> BoolArray:
        """(N,) the reading and the reports of all MIMs below are of one instant."""
        apart = ~(np.abs(taken_at_s[self._node] - reported_at_s[self._mim]) <= _TOGETHER_S)
        if not apart.any():
            return np.ones(len(taken_at_s), dtype=np.bool_)
        return np.asarray(np.bincount(self._node, apart, len(taken_at_s)) == 0)

    def _add(self, at: slice | IntArray, dt_s: FloatArray) -> None:
        rows, kept = self._rows[at], 0.5 ** (dt_s[at] / _HALF_LIFE_S)
        self._samples[at] = kept * self._samples[at] + 1
        self._products[at] = kept[:, None, None] * self._products[at] + rows.transpose(0, 2, 1) @ rows

    def forget(self, node: int) -> None:
        """What was learnt at this node is over."""
        self._samples[node] = self._products[node] = 0.0
        self._found = None

    def factors(self, *, lately: bool = False) -> tuple[FloatArray, FloatArray]:
        """(N,) factor of each meter, NaN where too little has moved, and its standard deviation.

        Args:
            lately: those of a few samples ago will do.
        """
        if self._found is None or not lately or self._found_before >= _EVERY:
            self._found, self._found_before = self._regression(), 0
        return self._found

    def _regression(self) -> tuple[FloatArray, FloatArray]:
        factor, sigma = np.full(len(self._samples), np.nan), np.full(len(self._samples), np.nan)
        at = np.flatnonzero(self._samples >= _LEAST_SAMPLES)
        if not len(at):
            return factor, sigma
        products = self._products[at]
        information = products[:, :-1, :-1] + _GRAIN * self._samples[at, None, None] * np.eye(_COUNT)
        inverse = np.linalg.inv(information)
        found = (inverse @ products[:, :-1, -1:])[:, :, 0]
        rest = np.maximum(products[:, -1, -1] - (found * products[:, :-1, -1]).sum(axis=1), 0.0)
        noise = rest / (6 * self._samples[at] - _COUNT) + _GRAIN
        factor[at], sigma[at] = found[:, 0], np.sqrt(noise * inverse[:, 0, 0])
        return factor, sigma


def _pairs(layout: SiteLayout) -> tuple[IntArray, IntArray]:
    """Node by node, every MIM with a port at or below it."""
    found = set()
    for node, mim in zip(layout.port_node.tolist(), layout.port_mim.tolist(), strict=True):
        at = node
        while at >= 0:
            found.add((at, mim))
            at = int(layout.parent[at])
    pairs = np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _places(flags: BoolArray) -> slice | IntArray:
    """The places of the flags; where all are set a slice, which copies nothing."""
    return slice(None) if flags.all() else np.flatnonzero(flags)
