"""One site's cone program: values in, the optimum out, with only as many constraints in the solve as may matter."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from mimctl.balance.fill import constraint_matrix, constraint_values, flow_curvature, linear_values, matrix_values
from mimctl.balance.frame import Frame
from mimctl.balance.limits import LimitBook, reached
from mimctl.balance.prices import PriceList
from mimctl.balance.settings import BalanceSettings
from mimctl.balance.solver import Cones, ConeSolver, RawSolution, solver_settings
from mimctl.balance.structure import Shape, Structure, build_structure
from mimctl.balance.values import Values, yielding_values
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import ComplexArray, FloatArray
from mimctl.model.plan import SolveStatus

#: structures kept ready: families in and out as the day goes, and the last sets of limits
_MOST_VARIANTS = 12
#: after so many rounds of adding what was passed every limit goes in
_PATIENCE = 3
#: a limit counts as met up to this fraction of itself: the solver's own accuracy
_MET = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """One optimum.

    Args:
        power: (K,) of the free ports, zero where given [VA].
        flow: (N, 3) net import of every node with it [VA].
        primal, dual: objective without constants, dimensionless like J.
        raw: the solver's own answer, with the duals of `structure`.
    """

    power: ComplexArray
    flow: ComplexArray
    status: SolveStatus
    iterations: int
    primal: float
    dual: float
    structure: Structure
    prices: PriceList
    raw: RawSolution


#: P (upper triangle), q, A, b, cones
Matrices = tuple[sparse.csc_array, FloatArray, sparse.csc_array, FloatArray, Cones]


class Variant:
    """One shape with its solver. Matrices are exchanged only when the values behind them changed."""

    def __init__(self, frame: Frame, structure: Structure, values: Values) -> None:
        self._frame = frame
        self.structure = structure
        self.prices = PriceList(frame, structure)
        self._seen = values
        self._flows = flow_curvature(frame, structure, values)
        self._solver = self._set_up(careful=False)

    def _set_up(self, careful: bool) -> ConeSolver:
        P, q, A, b, cones = self.matrices()
        return ConeSolver(P, q, A, b, cones=cones, settings=solver_settings(self._frame.settings.tolerance, careful))

    def matrices(self) -> Matrices:
        """P, q, A, b and cones of the last solve."""
        frame, structure, values = self._frame, self.structure, self._seen
        pattern, matrix = structure.quadratic.pattern.copy(), structure.A.copy()
        pattern.data = matrix_values(frame, structure, values, self._flows)
        matrix.data = constraint_matrix(frame, structure, values)
        q, b = linear_values(frame, structure, values), constraint_values(frame, structure, values)
        return pattern, q, matrix, b, structure.cones

    def solve(self, values: Values) -> RawSolution:
        frame, structure, seen = self._frame, self.structure, self._seen
        P = A = None
        same_ports = values.same_ports(seen)
        same_flows = same_ports and values.same_flow_curvature(seen)
        if not same_flows:
            self._flows = flow_curvature(frame, structure, values)
        if not (same_flows and values.quadratic is seen.quadratic and values.price_scale == seen.price_scale):
            P = matrix_values(frame, structure, values, self._flows)
        if not same_ports:
            A = constraint_matrix(frame, structure, values)
        self._seen = values
        q, b = linear_values(frame, structure, values), constraint_values(frame, structure, values)
        answer = self._solver.solve(q, b, P, A)
        if answer.status is SolveStatus.SOLVED or answer.infeasible or not (np.isfinite(q).all() and np.isfinite(b).all()):
            return answer
        return self._set_up(careful=True).solve(q, b)


class ConeProgram:
    """All shapes of one site's program.

    A constraint that no answer comes near is left out of the solve and checked afterwards: an optimum of the smaller program
    that meets the left-out constraints is the optimum of the whole. Where it does not, they go in and the solve is repeated.
    """

    def __init__(self, operators: TreeOperators, settings: BalanceSettings) -> None:
        self.frame = Frame(operators, settings)
        self._book = LimitBook(self.frame)
        self._variants: OrderedDict[Shape, Variant] = OrderedDict()

    def variant(self, shape: Shape, values: Values) -> Variant:
        """The solver of one shape, built on first use; the ones used last are kept."""
        found = self._variants.get(shape)
        if found is None:
            found = self._variants[shape] = Variant(self.frame, build_structure(self.frame, shape), values)
            if len(self._variants) > _MOST_VARIANTS:
                self._variants.popitem(last=False)
        self._variants.move_to_end(shape)
        return found

    def last_matrices(self) -> Matrices:
        """What the last solve was made of."""
        return next(reversed(self._variants.values())).matrices()

    def predicted_shape(self, values: Values, anchor: ComplexArray, anchor_flow: ComplexArray) -> Shape:
        """The constraints that the last plan was near to; the others are checked after the solve."""
        near = self.frame.settings.near
        found = reached(self.frame, values, anchor_flow, near)
        return Shape(
            limits=self._book.members(values, anchor_flow, found) if found.any() else None,
            neutral=self._neutral_reached(values, anchor, near),
            steps=values.steps_matter and bool((np.abs(anchor - values.centre) > near * values.step_va).any()),
            upstream=any(price is not None for price in values.upstream),
        )

    def solve(self, values: Values, shape: Shape) -> Solution:
        """The optimum; status FAILED where no point of the constraints exists or the numbers went wrong."""
        rounds = 0
        while True:
            solution = self.solve_shape(values, shape)
            if solution.status is SolveStatus.FAILED:
                if not solution.raw.infeasible or shape.elastic:
                    return solution
                shape = replace(shape, elastic=True)
                values = yielding_values(self.frame, values)
                continue
            wider = self._widened(values, solution, shape)
            if wider == shape:
                return solution
            shape, rounds = wider, rounds + 1
            if rounds > _PATIENCE and shape.limits is not None:
                shape = replace(shape, limits=self._book.everything(values))

    def solve_shape(self, values: Values, shape: Shape) -> Solution:
        """The optimum of one shape, left-out constraints ignored."""
        variant = self.variant(shape, values)
        raw = variant.solve(values)
        frame = self.frame
        ports = 2 * frame.ports
        power = (raw.z[:ports] * frame.scale_va[:ports]).view(np.complex128) * values.free
        response: ComplexArray = frame.port_response @ power
        scale = frame.objective_scale
        return Solution(
            power=power,
            flow=values.flow + response.reshape(-1, 3),
            status=raw.status,
            iterations=raw.iterations,
            primal=raw.primal / scale,
            dual=raw.dual / scale,
            structure=variant.structure,
            prices=variant.prices,
            raw=raw,
        )

    def _widened(self, values: Values, solution: Solution, shape: Shape) -> Shape:
        """The shape with whatever was left out and is passed; the same shape where nothing is."""
        met = 1 + _MET
        passed = reached(self.frame, values, solution.flow, met)
        if self._book.missing(passed, shape.limits):
            shape = replace(shape, limits=self._book.members(values, solution.flow, passed))
        if not shape.neutral and self._neutral_reached(values, solution.power, met):
            shape = replace(shape, neutral=True)
        if not shape.steps and values.steps_matter:
            beyond = np.abs(solution.power - values.centre) > values.step_va + _MET * self.frame.layout.port_rating_va
            if (beyond & values.free).any():
                shape = replace(shape, steps=True)
        return shape

    def _neutral_reached(self, values: Values, power: ComplexArray, share: float) -> bool:
        groups = self.frame.groups
        return groups.count > 0 and bool((values.neutral_a(self.frame, power) > share * values.group_limit_a).any())
