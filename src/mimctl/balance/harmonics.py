"""How much harmonic current each port takes: inside the rms that its fundamental leaves, no more than the limits ask for.

Two problems, one answer each:
- All ports see one harmonic current H and count alike: min |H − Σx_k|², |x_k| ≤ ρ_k, and among the minimisers the one with the
  least Σ|x_k|². All x_k are parallel to H, x_k = min(τ, ρ_k)·H/|H|, with one level τ: water-filling, τ by sorting.
- Several places (conductors of nodes) with weights or limits of their own that share ports: a second-order cone program.

Reference: D. P. Palomar, J. R. Fonollosa, "Practical algorithms for a family of waterfilling solutions", IEEE Trans. Signal
Processing 53 (2005); S. Boyd, L. Vandenberghe, "Convex Optimization" (2004), chapter 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mimctl.model.layout import BoolArray, ComplexArray, FloatArray
from mimctl.model.plan import SolveStatus

#: price of an ampere over a place's target, against an ampere² of effort: far beyond any effort that could avoid it
_OVER_PRICE = 1e4
_TOLERANCE = 1e-9
#: a port with less room than this has no inside for the solver to work in [A]
_LEAST_A = 1e-9


def water_level(needed: float, room: FloatArray) -> float:
    """The level τ with Σ min(τ, ρ_k) = needed; the largest ρ where they have not so much in all.

    Args:
        needed: ≥ 0
        room: (K,) ρ ≥ 0
    """
    if not len(room) or needed <= 0:
        return 0.0
    ascending = np.sort(room)
    if needed >= ascending.sum():
        return float(ascending[-1])
    # with the k smallest full, the others stand at (needed − what is in those) / (K − k)
    full = np.concatenate([[0.0], np.cumsum(ascending)[:-1]])
    level = (needed - full) / np.arange(len(room), 0, -1)
    return float(level[int(np.argmax(level <= ascending))])


def water_filling(harmonic: ComplexArray, room: FloatArray) -> ComplexArray:
    """Compensation of one common harmonic current by ports that count alike.

    Args:
        harmonic: (H,) phasors per order [A].
        room: (K,) rms that each port has left [A].

    Returns:
        (K, H) phasors of each port [A], all parallel to `harmonic`.
    """
    size = float(np.linalg.norm(harmonic))
    if size == 0:
        return np.zeros((len(room), len(harmonic)), dtype=np.complex128)
    amount = np.minimum(water_level(size, room), room)
    return amount[:, None] * (harmonic / size)[None, :]


@dataclass(frozen=True, slots=True, eq=False)
class FilterProblem:
    """Places where harmonic current flows, and ports that can take some of it. C places, K ports, H orders.

    Args:
        harmonic: (C, H) phasors without any compensation [A]; real figures where only sizes are known
        weight: (C, H) how much what is left counts [1/A²]; zero = only the target matters
        effect: (C, K) what an ampere of a port takes away at a place
        room: (K,) rms that each port may take over all orders [A]
        target: (C,) rms over all orders that should not be left at a place [A]; inf = none. Softened: never infeasible
        effort: price of the ports' own current [1/A²], against which the weights count
    """

    harmonic: ComplexArray
    weight: FloatArray
    effect: FloatArray
    room: FloatArray
    target: FloatArray
    effort: float = 1.0


def least_effort(problem: FilterProblem) -> tuple[FloatArray, SolveStatus]:
    """Sizes of the ports' currents that bring every place to its target with the least Σ|x|², for one order of known sign (H = 1).

    Places that share no port are filled one by one in closed form; all others by the cone program. Weights must be zero.

    Returns:
        (K,) [A]
    """
    used: BoolArray = (problem.effect != 0) & np.isfinite(problem.target)[:, None]
    alike = np.array([len(np.unique(row[own])) <= 1 for row, own in zip(problem.effect, used, strict=True)], dtype=np.bool_)
    if used.shape[0] and (used.sum(axis=0).max(initial=0) > 1 or not alike.all()):
        found, status = cone_filling(problem)
        return np.maximum(found[:, 0].real, 0.0), status
    amount = np.zeros(len(problem.room))
    for place in np.flatnonzero(used.any(axis=1)):
        own = used[place]
        needed = (float(problem.harmonic[place, 0].real) - float(problem.target[place])) / float(problem.effect[place, own][0])
        amount[own] = np.minimum(water_level(needed, problem.room[own]), problem.room[own])
    return amount, SolveStatus.SOLVED


def cone_filling(problem: FilterProblem) -> tuple[ComplexArray, SolveStatus]:
    """Compensation where weights differ or places have targets: (K, H) phasors of each port [A].

    min Σ_c Σ_h W_ch·|r_ch|² + effort·Σ_k|x_k|² + price·Σ_c s_c, r = H − E·x, |x_k| ≤ ρ_k, |r_c| ≤ T_c + s_c, s ≥ 0.

    Status FAILED gives zeros: nothing is compensated rather than anything wrong.
    """
    from mimctl.balance.solver import Cones, ConeSolver, solver_settings

    shape = (len(problem.room), problem.harmonic.shape[1])
    if not len(problem.room) or (problem.room <= _LEAST_A).all():
        return np.zeros(shape, dtype=np.complex128), SolveStatus.SOLVED
    form = _Form(problem)
    cones = Cones(0, form.slacks, 0, form.sizes)
    solver = ConeSolver(form.P, form.q, form.A, form.b, cones=cones, settings=solver_settings(_TOLERANCE))
    answer = solver.solve(form.q, form.b)
    if answer.status is SolveStatus.FAILED:
        return np.zeros(shape, dtype=np.complex128), answer.status
    return form.currents(answer.z), answer.status


class _Form:
    """The program in the solver's form: z = (Re x, Im x, s), orders within a port. Currents in units of the largest."""

    def __init__(self, problem: FilterProblem) -> None:
        self._ports, self._orders = len(problem.room), problem.harmonic.shape[1]
        self._scale = max(float(np.abs(problem.harmonic).max(initial=0.0)), float(problem.room.max(initial=0.0)), _LEAST_A)
        self._problem = problem
        self._limited = np.flatnonzero(np.isfinite(problem.target))
        self.slacks = len(self._limited)
        self.sizes = (2 * self._orders + 1,) * (self._ports + self.slacks)
        self._half = self._ports * self._orders
        self.P, self.q = self._objective()
        self.A, self.b = self._constraints()

    def _effects(self) -> sparse.csr_array:
        """(C·H, K·H) residual of place c, order h from x of port k, order h, without sign."""
        return sparse.csr_array(sparse.kron(sparse.csr_array(self._problem.effect), sparse.eye_array(self._orders)))

    def _objective(self) -> tuple[sparse.csc_array, FloatArray]:
        effects, weight = self._effects(), self._problem.weight.reshape(-1)
        quadratic = effects.T @ sparse.diags_array(weight) @ effects + self._problem.effort * sparse.eye_array(self._half)
        flat = self._problem.harmonic.reshape(-1) / self._scale
        linear = -2 * (effects.T @ (weight * flat.real)), -2 * (effects.T @ (weight * flat.imag))
        slack = np.full(self.slacks, _OVER_PRICE / self._scale)
        blocks = sparse.block_diag([2 * quadratic, 2 * quadratic, sparse.csr_array((self.slacks, self.slacks))], format="csc")
        return sparse.csc_array(sparse.triu(blocks, format="csc")), np.concatenate([*linear, slack])

    def _constraints(self) -> tuple[sparse.csc_array, FloatArray]:
        """Rows b − A·z: slacks ≥ 0, then a cone per port (room; x), then one per limited place (target + slack; residual)."""
        k, h, half = self._ports, self._orders, self._half
        width = 2 * half + self.slacks
        eye = sparse.eye_array(width, format="csr")
        rows, right = [-eye[2 * half :]], [np.zeros(self.slacks)]
        room = self._problem.room / self._scale
        for port in range(k):
            own = np.arange(port * h, (port + 1) * h)
            rows += [sparse.csr_array((1, width)), -eye[own], -eye[half + own]]
            right += [room[[port]], np.zeros(2 * h)]
        effects, flat = self._effects(), self._problem.harmonic / self._scale
        none = sparse.csr_array((h, half))
        for i, place in enumerate(self._limited):
            part, tail = effects[place * h : (place + 1) * h], sparse.csr_array((h, self.slacks))
            rows += [-eye[[2 * half + i]], sparse.hstack([part, none, tail]), sparse.hstack([none, part, tail])]
            right += [self._problem.target[[place]] / self._scale, flat[place].real, flat[place].imag]
        return sparse.csc_array(sparse.vstack(rows, format="csc")), np.concatenate(right)

    def currents(self, z: FloatArray) -> ComplexArray:
        """(K, H) [A]; the solver's accuracy never lifts a port over its room."""
        half = self._half
        found = self._scale * (z[:half] + 1j * z[half : 2 * half]).reshape(self._ports, self._orders)
        size, room = np.linalg.norm(found, axis=1), self._problem.room
        return np.asarray(found * np.minimum(1.0, room / np.maximum(size, _LEAST_A))[:, None])
