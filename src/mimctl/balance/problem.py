"""The balancer: forecast and bounds in, the plan out."""

from __future__ import annotations

import time

import numpy as np

from mimctl.balance.frame import Frame
from mimctl.balance.inputs import balanced_pins, control_values, pinned_output, wholly_pinned_off, without_nan
from mimctl.balance.program import ConeProgram, Matrices, Solution
from mimctl.balance.settings import BalanceSettings
from mimctl.balance.values import Values
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import ComplexArray
from mimctl.model.plan import Plan, SolveStatus

#: objectives below it count as zero when a gap is related to them
_LEAST = 1e-12


class Balancer:
    """One site's (or zone's) cone program. Structures are set up once; every solve only exchanges values."""

    def __init__(self, operators: TreeOperators, settings: BalanceSettings | None = None) -> None:
        self._program = ConeProgram(operators, settings or BalanceSettings())

    @property
    def frame(self) -> Frame:
        """The constants of this site's program."""
        return self._program.frame

    def last_matrices(self) -> Matrices:
        """What the last solve was made of, for a solver of one's own."""
        return self._program.last_matrices()

    def solve(self, forecast: LoadForecast, bounds: Bounds, anchor: ComplexArray, accepted: ComplexArray) -> Plan:
        """Balance the coming interval.

        Args:
            forecast: loads without MIM output; NaN and uncovered nodes carry no weight.
            bounds: what the plan may do.
            anchor: (K,) last internal plan; movement is measured from it [VA].
            accepted: (K,) setpoints in force; steps are measured from them, and where a MIM is not enabled its entry is the
                output that counts as given [VA].

        Returns:
            The optimum. Status FAILED and the accepted setpoints where the numbers went wrong: the caller holds.
        """
        started = time.perf_counter()
        program = self._program
        anchor, accepted = without_nan(anchor), without_nan(accepted)
        pinned = pinned_output(program.frame, bounds, accepted)
        values, given, solution = self._solved(forecast, bounds, anchor, accepted, pinned)
        if bounds.port_pinned_va is not None and self._out_of_balance(bounds, pinned, solution):
            nearer = balanced_pins(program.frame, bounds, accepted, pinned)
            if not np.array_equal(nearer, pinned, equal_nan=True):
                values, given, solution = self._solved(forecast, bounds, anchor, accepted, nearer)
        failed = solution.status is SolveStatus.FAILED
        power = accepted if failed else solution.power + given
        objective = np.inf if failed else solution.primal + self._constant(values, anchor)
        return Plan(
            inject_w=power.real.copy(),
            inject_var=power.imag.copy(),
            status=solution.status,
            objective=objective,
            gap=np.inf if failed else abs(solution.primal - solution.dual) / max(abs(objective), _LEAST),
            iterations=solution.iterations,
            solve_s=time.perf_counter() - started,
            active=() if failed else solution.prices.active(solution.raw.duals),
            deadband_a=bounds.deadband_a,
            dwell_s=bounds.dwell_s,
            mim_at_once=bounds.mim_at_once,
        )

    def _solved(
        self, forecast: LoadForecast, bounds: Bounds, anchor: ComplexArray, accepted: ComplexArray, pinned: ComplexArray
    ) -> tuple[Values, ComplexArray, Solution]:
        """The optimum with the pinned ports (K,) at these powers; what went in, and the output of the given ports (K,) [VA]."""
        program = self._program
        values, given, anchor_flow = control_values(program.frame, forecast, bounds, anchor, accepted, pinned)
        return values, given, program.solve(values, program.predicted_shape(values, anchor, anchor_flow))

    def _out_of_balance(self, bounds: Bounds, pinned: ComplexArray, solution: Solution) -> bool:
        """Whether some MIM could not balance what is wanted of its ports."""
        missed = solution.status is SolveStatus.FAILED or solution.structure.shape.elastic
        return missed or wholly_pinned_off(self._program.frame, bounds, pinned)

    @staticmethod
    def _constant(values: Values, anchor: ComplexArray) -> float:
        """What the solver leaves out of the objective: its value with every free port at zero."""
        total = 0.5 * np.vdot(values.flow, values.gradient).real - 0.5 * np.vdot(values.linear, anchor).real
        return float(total) + (0.0 if values.above is None else values.above.constant)
