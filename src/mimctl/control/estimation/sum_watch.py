"""Do the meters agree? The cheap test of every cycle: each node less its children, against what noise, losses and skew explain.

Samples of one cycle are of different instants. A load that moved between two of them leaves a residual that means nothing, so
whatever a node moved lately counts as tolerance wherever its sample is not of the sum's own instant. What still sticks out has to
stick out for some time, sample after sample, before anybody hears of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mimctl.grid.branches import BranchLosses
from mimctl.grid.sums import Sums
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, SiteLayout


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What is expected of meters, and when they are doubted.

    Args:
        of_reading, of_rating: standard deviation of a power reading, as shares of it and of the breaker rating.
        of_voltage: the same of a voltage reading.
        threshold: a residual beyond so many standard deviations is none of noise.
        persist_s, fresh: a sum is disturbed when it has been off for so long, in so many new samples [s].
        gross, gross_persist_s, gross_fresh: the same of one that is off by so many times its tolerance.
        calm_s: it is in order again when it has been in order for so long [s].
        moving: share of its recent movement that a reading may be off by though its instant fits.
        fading_s: after so long a movement counts only for a third [s].
    """

    of_reading: float = 0.003
    of_rating: float = 0.0005
    of_voltage: float = 0.003
    threshold: float = 5.0
    persist_s: float = 10.0
    fresh: int = 5
    gross: float = 3.0
    gross_persist_s: float = 3.0
    gross_fresh: int = 3
    calm_s: float = 30.0
    moving: float = 0.2
    fading_s: float = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """One cycle's sums.

    Args:
        sums: the sums that could be made, E of them.
        residual_va, tolerance_va: (E, 3) [VA]
        noise_va: (N, 3) standard deviation of each part of the readings, noise alone [VA].
        disturbed: (E,) off for long enough to be believed; `any_disturbed` whether one is.
        onset_va: by the node of a sum, how every reading (N, 3) moved in the very cycle in which the sum went off; none where it
            was off from the beginning [VA].
    """

    sums: Sums
    residual_va: ComplexArray
    tolerance_va: FloatArray
    noise_va: FloatArray
    disturbed: BoolArray
    any_disturbed: bool
    onset_va: Mapping[int, ComplexArray]


class SumWatch:
    """Follows the sums of one layout over the cycles. N nodes."""

    def __init__(self, layout: SiteLayout, accuracy: Accuracy) -> None:
        nodes = len(layout.nodes)
        self._accuracy, self._losses = accuracy, BranchLosses(layout)
        self._floor_va = (accuracy.of_rating * layout.rating_a * layout.voltage_ln_v)[:, None]
        self._last_va: ComplexArray = np.full((nodes, 3), np.nan + 0j)
        self._last_s: FloatArray = np.full(nodes, np.nan)
        self._every_s = np.ones(nodes)
        #: how far each reading has moved lately, and how far a second moves it in the mean square [VA], [VA²/s]
        self.moved_va: FloatArray = np.zeros((nodes, 3))
        self.drift_va2_per_s: FloatArray = np.zeros((nodes, 3))
        self._jump_va = np.zeros((nodes, 3), dtype=np.complex128)
        self._onset_va: dict[int, ComplexArray] = {}
        # by the node that a sum is about
        self._off_since_s: FloatArray = np.full(nodes, np.inf)
        self._off_samples = np.zeros(nodes, dtype=np.int64)
        self._fine_since_s: FloatArray = np.full(nodes, np.inf)
        self._disturbed: BoolArray = np.zeros(nodes, dtype=np.bool_)
        #: some sum is off, or was so lately
        self._restless = True
        self._sums: Sums | None = None
        self._members: dict[int, bytes] = {}

    def sigma_va(self, flow_va: ComplexArray) -> FloatArray:
        """(N, 3) standard deviation of each part of readings (N, 3), noise alone [VA]."""
        return np.asarray(self._accuracy.of_reading * np.abs(flow_va) + self._floor_va)

    def voltage_sigma_v(self, voltage_v: FloatArray) -> FloatArray:
        """(N, 3) standard deviation of voltage readings [V]."""
        return np.asarray(self._accuracy.of_voltage * voltage_v)

    def losses(self, net_va: ComplexArray) -> tuple[ComplexArray, FloatArray]:
        """(N, 3) losses above each node and their standard deviation, at these net imports (N, 3) [VA]."""
        lost_va = self._losses.lost_va(net_va)
        return lost_va, self._losses.sigma_va(net_va, lost_va)

    def follow(self, usable: BoolArray, gross_va: ComplexArray, taken_at_s: FloatArray) -> None:
        """Note how the readings move; `gross_va` (N, 3) where usable (N,) [VA]."""
        known = usable & (taken_at_s > self._last_s)
        if known.all():  # so it is in nearly every cycle
            self._jump_va = gross_va - self._last_va
            self._move(slice(None), taken_at_s - self._last_s)
            self._last_va, self._last_s = gross_va, taken_at_s
            return
        first = usable & np.isnan(self._last_s) & (taken_at_s > -np.inf)
        self._jump_va = np.where(known[:, None], gross_va - self._last_va, 0)
        self._move(np.flatnonzero(known), taken_at_s - self._last_s)
        fresh = known | first
        self._last_va = np.where(fresh[:, None], gross_va, self._last_va)
        self._last_s = np.where(fresh, taken_at_s, self._last_s)

    def _move(self, at: slice | IntArray, since_s: FloatArray) -> None:
        """The readings `at` have moved by their jumps since so long ago (N,) [s]."""
        dt_s, step = since_s[at], np.abs(self._jump_va[at])
        fading, slow = np.exp(dt_s / -self._accuracy.fading_s)[:, None], np.exp(dt_s / -_DRIFT_S)[:, None]
        self.moved_va[at] = np.maximum(step, self.moved_va[at] * fading)
        self.drift_va2_per_s[at] = slow * self.drift_va2_per_s[at] + (1 - slow) * (step * step / dt_s[:, None])
        self._every_s[at] = dt_s

    def astray_va(self, apart_s: FloatArray) -> FloatArray:
        """(N, 3) how far readings may be off that are so far (N,) from the instant they are taken for [VA]."""
        return self._astray_va(np.arange(len(apart_s)), apart_s)

    def _astray_va(self, nodes: IntArray, apart_s: FloatArray) -> FloatArray:
        share = np.where(apart_s > _SAME_S, np.maximum(1.0, apart_s / self._every_s[nodes]), self._accuracy.moving)
        return self.moved_va[nodes] * share[:, None]

    def check(
        self,
        sums: Sums,
        gross_va: ComplexArray,
        net_va: ComplexArray,
        taken_at_s: FloatArray,
        fresh: BoolArray,
        now_s: float,
        unsure_va: FloatArray,
        vague_var: FloatArray | None = None,
    ) -> Check:
        """Compare.

        Args:
            sums: those that can be made of the usable readings.
            gross_va, net_va: (N, 3) zero where not usable [VA].
            taken_at_s: (N,) instants [s]; fresh: (N,) read since the last call.
            unsure_va: (K,) how far the outputs of ports may be off that the gross flows count with [VA].
            vague_var: (N, 3) how far vars may be off that meters tell as a total alone; they accuse nobody [var].
        """
        lost_va, lost_sigma_va = self.losses(net_va)
        residual_va, noise_va = sums.residual_va(gross_va, lost_va), self.sigma_va(net_va)
        if vague_var is not None:
            most_var = sums.gathered(vague_var[sums.member])
            vars_ = np.sign(residual_va.imag) * np.maximum(np.abs(residual_va.imag) - most_var, 0.0)
            residual_va = residual_va.real + 1j * vars_
        # P and Q are both off by this much: √2 for the length of the two
        noise = np.sqrt(2 * sums.variance(noise_va * noise_va, lost_sigma_va * lost_sigma_va))
        tolerance_va = self._accuracy.threshold * noise + self._skew(sums, taken_at_s)
        if unsure_va.any():
            tolerance_va += sums.unsure(unsure_va)
        self._persist(sums, np.abs(residual_va) / tolerance_va, fresh, now_s)
        disturbed = self._disturbed[sums.nodes]
        return Check(sums, residual_va, tolerance_va, noise_va, disturbed, self._restless and bool(disturbed.any()), self._onset_va)

    def _skew(self, sums: Sums, taken_at_s: FloatArray) -> FloatArray:
        """(E, 3) what the sum may be off by because its members' samples are of different instants, or loads move within them."""
        if not len(sums.nodes):
            return np.zeros((0, 3))
        apart_s = np.abs(taken_at_s[sums.member] - taken_at_s[sums.about])
        first = sums.first
        # the node's own movement counts when any other is apart from it
        apart_s[first] = np.maximum.reduceat(apart_s, first)
        astray_va = self._astray_va(sums.member, apart_s)
        return np.asarray(np.sqrt(sums.gathered(astray_va * astray_va)))

    def _persist(self, sums: Sums, ratios: FloatArray, fresh: BoolArray, now_s: float) -> None:
        """Count for how long each sum is off, or in order.

        Args:
            ratios: (E, 3) of residual to tolerance.
            fresh: (N,) read since the last call.
        """
        if sums is not self._sums:
            self._begin(sums)
            self._restless = True
        if not (self._restless or (ratios > 1).any()):
            return  # all sums are in order and have been for long: nothing to count
        ratio = ratios.max(axis=1, initial=0.0)
        accuracy, at, off = self._accuracy, sums.nodes, ratio > 1
        renewed = np.bincount(sums.equation, fresh[sums.member], len(sums.nodes)) > 0
        self._note_onset(at[off & (now_s - self._fine_since_s[at] >= accuracy.gross_persist_s)], at[~off])
        self._off_since_s[at] = np.where(off, np.minimum(self._off_since_s[at], now_s), np.inf)
        self._off_samples[at] = np.where(off, self._off_samples[at] + renewed, 0)
        self._fine_since_s[at] = np.where(off, np.inf, np.minimum(self._fine_since_s[at], now_s))
        off_s, samples = now_s - self._off_since_s[at], self._off_samples[at]
        long_off = (off_s >= accuracy.persist_s) & (samples >= accuracy.fresh)
        long_off |= (ratio > accuracy.gross) & (off_s >= accuracy.gross_persist_s) & (samples >= accuracy.gross_fresh)
        self._disturbed[at] = (self._disturbed[at] | long_off) & ~(now_s - self._fine_since_s[at] >= accuracy.calm_s)
        self._restless = bool(off.any() or self._disturbed[at].any() or self._onset_va)

    def _begin(self, sums: Sums) -> None:
        """Other readings make other sums: what was held against those of before says nothing about them."""
        members = {int(node): row.tobytes() for node, row in zip(sums.nodes, sums.members, strict=True)}
        changed = np.array([members.get(n) != self._members.get(n) for n in range(len(self._disturbed))], dtype=np.bool_)
        self._off_since_s[changed], self._off_samples[changed], self._fine_since_s[changed] = np.inf, 0, np.inf
        self._disturbed[changed] = False
        self._sums, self._members = sums, members

    def _note_onset(self, begins: IntArray, fine: IntArray) -> None:
        for node in map(int, fine):
            if self._onset_va and not self._disturbed[node]:
                self._onset_va.pop(node, None)
        for node in map(int, begins):
            self._onset_va[node] = self._jump_va


#: samples nearer than this are of one instant [s]
_SAME_S = 1e-3
#: how long the usual movement of a load is averaged [s]
_DRIFT_S = 300.0
