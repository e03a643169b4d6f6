"""Setpoints that fit each MIM but not the tree: scaled back together until every node is safe.

A node limit that is already exceeded must not block a plan that helps. So each row is held to
max(limit, min(what it is with the accepted setpoints, what it is without any MIM)): no new overload, none made worse. If the
accepted setpoints themselves cause one (the load has changed), the MIMs that cause it move towards zero, and rows that lose
their help on the way may come up to what the load alone makes of them: release is always a way out.

Rows of blind nodes have no figure worth the name. Nobody below them may grow (`interlocks.py`); what was accepted stands until the
data is too old.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mimctl.model.layout import BoolArray, ComplexArray, FloatArray
from mimctl.safety.rows import Rows
from mimctl.safety.segment import band_interval, disc_interval, furthest, whole

_ROUNDS = 8
_ROUNDING_TRIES = 6
_ROWS_AT_ONCE = 64
#: less than this [A, ‰ of nominal voltage] is no push
_PUSH = 1e-6


@dataclass(eq=False)
class Settling:
    """Search for setpoints that every row permits. K ports, M MIMs, R rows.

    Args:
        rows: limits of the tree.
        accepted_va: (K,) in force at the MIMs under command, zero elsewhere [VA].
        anchor_va: (K,) where each MIM may always go back to; becomes zero for those that must be released [VA].
        goal_va: (K,) where each MIM wants to go [VA].
        blind: (N,) nodes whose flow cannot be told at all.
        shrunk: (M,) MIMs whose anchor is already less than accepted.
        outside: (M,) of setpoints: which are outside the MIM's own limits, ramp apart.
        blame: the first row that held each MIM back, and the value it would have had.
    """

    rows: Rows
    accepted_va: ComplexArray
    anchor_va: ComplexArray
    goal_va: ComplexArray
    blind: BoolArray
    shrunk: BoolArray
    outside: Callable[[ComplexArray], BoolArray]
    passes: int
    zeroed: BoolArray = field(init=False)
    share: FloatArray = field(init=False)
    blame: dict[int, tuple[int, float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.zeroed = np.zeros_like(self.shrunk)
        self.share = np.ones(len(self.shrunk))
        self._with_accepted = self.rows.values(self.rows.affine(self.accepted_va))
        self._without = self.rows.values(self.rows.affine(np.zeros_like(self.accepted_va)))
        #: (R,) limits; as accepted where nothing better is known
        self._limit = self.rows.limit
        if self.blind.any():
            standing = np.maximum(self._limit, self._with_accepted)
            self._limit = np.where(self.rows.at(self.blind), standing, self._limit)

    def run(self) -> ComplexArray:
        """(K,) setpoints in whole units that every row permits; `share`, `zeroed` and `blame` say what it took."""
        self._find_anchor()
        bound = self._bound()
        anchor_values = self.rows.values(self.rows.affine(self.anchor_va))
        aim = np.maximum(bound - self.rows.rounding, np.minimum(anchor_values, bound))
        for _ in range(self.passes):
            if not self._scale_single(bound, aim):
                break
        else:
            self._scale_all(bound, aim)
        return self._rounded(bound)

    def _power(self) -> ComplexArray:
        share = self.share[self.rows.ratings.layout.port_mim]
        return self.anchor_va + share * (self.goal_va - self.anchor_va)

    def _bound(self) -> FloatArray:
        """(R,) what each row may be. Rows that a released MIM touches may be what the load alone makes of them."""
        rows, ratings = self.rows, self.rows.ratings
        bound = np.maximum(self._limit, np.minimum(self._with_accepted, self._without))
        loose = self.zeroed | self.shrunk
        if loose.any():
            nodes = ratings.touches @ loose.astype(np.float64) > 0
            bound = np.where(rows.spread(nodes), np.maximum(self._limit, self._without), bound)
        return bound

    def _find_anchor(self) -> None:
        """Release step by step whoever makes the accepted setpoints unsafe, at last everybody."""
        port_mim = self.rows.ratings.layout.port_mim
        for attempt in range(_ROUNDS + 1):
            bound = self._bound()
            over = self.rows.over(self.anchor_va, bound)
            if not over.any():
                return
            culprits = ~self.zeroed
            if attempt < _ROUNDS:
                some = self._culprits(over, bound) & ~self.zeroed
                culprits = some if some.any() else culprits
            ports = culprits[port_mim]
            self.goal_va = np.where(ports, self.anchor_va, self.goal_va)
            self.anchor_va = np.where(ports, 0.0, self.anchor_va)
            self.zeroed = self.zeroed | culprits

    def _culprits(self, over: BoolArray, bound: FloatArray) -> BoolArray:
        """(M,) MIMs whose anchor pushes one of these rows further over."""
        affine = self.rows.affine(self.anchor_va)
        result = np.zeros_like(self.zeroed)
        for row in np.flatnonzero(over):
            pushing = self._pushing(int(row), affine[row], self.rows.shares(int(row), self.anchor_va))
            self._note(pushing, int(row), self._size(int(row), affine[row]), bound[row])
            result |= pushing
        return result

    def _scale_single(self, bound: FloatArray, aim: FloatArray) -> bool:
        """Scale back the movers behind each row that is over, row by row; False when there is none."""
        power = self._power()
        affine = self.rows.affine(power)
        excess = self.rows.values(affine) - bound - self.rows.tolerance
        worst = np.argsort(excess)[::-1][:_ROWS_AT_ONCE]
        worst = worst[excess[worst] > 0]
        if not len(worst):
            return False
        factor = np.ones_like(self.share)
        for row in map(int, worst):
            shares = self.rows.shares(row, power - self.anchor_va)
            pushing = self._pushing(row, affine[row], shares)
            moved = shares[pushing].sum()
            t = self._reach(row, affine[row] - moved, moved, aim[row])
            factor[pushing] = np.minimum(factor[pushing], t)
            self._note(pushing, row, self._size(row, affine[row]), bound[row])
        self.share = self.share * factor
        return True

    def _scale_all(self, bound: FloatArray, aim: FloatArray) -> None:
        """One factor for every mover: the anchor is safe, so there is always one."""
        start = self.rows.affine(self.anchor_va)
        move = self.rows.affine(self._power()) - start
        lower, upper = self.rows.interval(start, move, aim + self.rows.tolerance)
        t = furthest(lower.max(keepdims=True), upper.min(keepdims=True))[0]
        if np.isnan(t):
            t = 0.0
        if t < 1.0:
            row = int(np.argmin(upper))
            value = self.rows.values(start + move)[row]
            self._note(self.share > 0, row, float(value), bound[row])
        self.share = self.share * t

    def _rounded(self, bound: FloatArray) -> ComplexArray:
        """Whole units. Rounding moves a row by very little; where that is too much, a little less, at last the anchor."""
        port_mim = self.rows.ratings.layout.port_mim
        for attempt in range(_ROUNDING_TRIES + 1):
            power = self._power()
            share = self.share[port_mim]
            rounded = np.where(share == 1.0, self.goal_va, np.where(share == 0.0, self.anchor_va, whole(power, self.rows.unit)))
            outside = self.outside(rounded) & (self.share > 0) & (self.share < 1)
            over = self.rows.over(rounded, bound)
            if not outside.any() and not over.any():
                return rounded
            less = 0.0 if attempt == _ROUNDING_TRIES - 1 else np.where(self.rows.movers(over), 0.9, 1.0)
            self.share = np.where(outside, 0.0, self.share * less)
        return self.anchor_va

    def _reach(self, row: int, start: complex, move: complex, bound: float) -> float:
        if row < self.rows.cones:
            interval = disc_interval(np.array([start]), np.array([move]), np.array([bound]))
        else:
            interval = band_interval(np.array([start.real]), np.array([move.real]), np.array([bound]))
        best = furthest(*interval)[0]
        return 0.0 if np.isnan(best) else float(best)

    def _size(self, row: int, affine: complex) -> float:
        return float(abs(affine) if row < self.rows.cones else affine.real)

    def _pushing(self, row: int, affine: complex, shares: ComplexArray) -> BoolArray:
        """(M,) contributions to one row that point the way it is over."""
        along = (shares * np.conj(affine)).real / max(abs(affine), 1e-12) if row < self.rows.cones else shares.real
        result: BoolArray = along > _PUSH
        return result

    def _note(self, mims: BoolArray, row: int, value: float, bound: float) -> None:
        for m in np.flatnonzero(mims):
            self.blame.setdefault(int(m), (row, value, float(bound)))
