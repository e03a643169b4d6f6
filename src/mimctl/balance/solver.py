"""Clarabel behind four arrays: the structure is set up once, values are exchanged between solves.

min ½zᵀPz + qᵀz  subject to  Az + s = b,  s in a product of cones.

Reference: P. J. Goulart, Y. Chen, "Clarabel: An interior-point solver for conic programs with quadratic objectives" (2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import clarabel
import numpy as np
from scipy import sparse

from mimctl.model.layout import FloatArray
from mimctl.model.plan import SolveStatus

#: an interior-point run takes 6 to 25 iterations; more means trouble
_MAX_ITERATIONS = 100

#: tighter tolerances need refined linear solves
_REFINE_BELOW = 5e-8

_STATUS = {"Solved": SolveStatus.SOLVED, "AlmostSolved": SolveStatus.ALMOST}


@dataclass(frozen=True, slots=True)
class Cones:
    """Rows of A in this order: equalities, inequalities (s ≥ 0), second-order cones of three rows each, those of other sizes."""

    equalities: int
    inequalities: int
    cones: int
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class RawSolution:
    """What the solver said. `primal` and `dual` are the objective without constants, in the solver's scale."""

    z: FloatArray
    duals: FloatArray
    status: SolveStatus
    infeasible: bool
    iterations: int
    primal: float
    dual: float


def solver_settings(tolerance: float, careful: bool = False) -> clarabel.DefaultSettings:
    """Settings of one solver.

    Args:
        careful: refine every linear solve. A third of the time, and with programs scaled as ours needed only beyond
            single-precision tolerances or for the rare instance that the plain run does not finish.
    """
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.max_iter = _MAX_ITERATIONS
    settings.presolve_enable = False  # both would forbid the exchange of values
    settings.input_sparse_dropzeros = False
    settings.chordal_decomposition_enable = False
    settings.iterative_refinement_enable = careful or tolerance < _REFINE_BELOW
    settings.tol_gap_abs = tolerance
    settings.tol_gap_rel = tolerance
    settings.tol_feas = tolerance
    return settings


def clarabel_cones(cones: Cones) -> list[object]:
    blocks: list[object] = []
    if cones.equalities:
        blocks.append(clarabel.ZeroConeT(cones.equalities))
    if cones.inequalities:
        blocks.append(clarabel.NonnegativeConeT(cones.inequalities))
    return blocks + [clarabel.SecondOrderConeT(3)] * cones.cones + [clarabel.SecondOrderConeT(size) for size in cones.sizes]


class ConeSolver:
    """One structure. The factorisation's symbolic part is kept from solve to solve."""

    def __init__(
        self,
        P: sparse.csc_array,
        q: FloatArray,
        A: sparse.csc_array,
        b: FloatArray,
        *,
        cones: Cones,
        settings: clarabel.DefaultSettings,
    ) -> None:
        self._solver = clarabel.DefaultSolver(sparse.csc_matrix(P), q, sparse.csc_matrix(A), b, clarabel_cones(cones), settings)

    def solve(self, q: FloatArray, b: FloatArray, P: FloatArray | None = None, A: FloatArray | None = None) -> RawSolution:
        """Exchange the values (matrices: all stored entries in CSC order, None = unchanged) and solve."""
        new: dict[str, FloatArray] = {"q": q, "b": b}
        if P is not None:
            new["P"] = P
        if A is not None:
            new["A"] = A
        self._solver.update(**new)
        answer = self._solver.solve()
        name = str(answer.status)
        return RawSolution(
            z=np.asarray(answer.x),
            duals=np.asarray(answer.z),
            status=_STATUS.get(name, SolveStatus.FAILED),
            infeasible=name.endswith("PrimalInfeasible"),
            iterations=answer.iterations,
            primal=answer.obj_val,
            dual=answer.obj_val_dual,
        )
