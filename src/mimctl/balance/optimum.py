"""The yardstick: the best that these MIMs could have done with perfect knowledge."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np

from mimctl.balance.program import ConeProgram
from mimctl.balance.settings import YARDSTICK
from mimctl.balance.structure import Shape
from mimctl.balance.values import Values
from mimctl.grid.losses import ConversionLosses
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import ComplexArray, FloatArray
from mimctl.model.plan import SolveStatus

#: the conversion losses are found when they move by less than this share of the MIM's rating
_LOSS_FOUND = 1e-5
#: each round shrinks the error by the marginal loss of a port, a few per cent
_MOST_ROUNDS = 12


class OptimumSolver:
    """Minimum of the reported J plus the breaker penalty at the true limits. No movement, no margin, no deadband.

    Ports stay inside their ratings, MIM neutrals inside theirs, and no head is fed back beyond its limit. Real conversion losses
    are drawn from the ports: Σp = dc − loss(|s|), by fixed point, started from the last call's losses. `failures` counts the
    solves that found nothing.
    """

    def __init__(self, operators: TreeOperators) -> None:
        self._operators = operators
        self._program = ConeProgram(operators, YARDSTICK)
        self._shape = Shape()
        self.failures = 0
        self._power: ComplexArray = np.zeros(len(operators.layout.ports), dtype=np.complex128)
        self._seen: tuple[ComplexArray, FloatArray] | None = None

    def solve(self, load: ComplexArray, dc_w: FloatArray) -> ComplexArray:
        """Best port powers.

        Args:
            load: (N, 3) each node's own load, load positive [VA].
            dc_w: (M,) storage discharge of each MIM before its losses [W].

        Returns:
            (K,) injections [VA]. The last answer stands where a solve fails; the same input gives the same answer at once.
        """
        if self._seen is not None and np.array_equal(load, self._seen[0]) and np.array_equal(dc_w, self._seen[1]):
            return self._power
        frame = self._program.frame
        flow = (frame.accumulate @ load.reshape(-1)).reshape(-1, 3)
        base = dataclasses.replace(self._template, flow=flow, gradient=frame.flow_gradient(flow, self._template.weights))
        rating = frame.mim_rating_va
        loss = self.loss_w(self._power)
        for _ in range(_MOST_ROUNDS):
            most = 0.999 * rating
            solution = self._program.solve(dataclasses.replace(base, dc_w=np.clip(dc_w - loss, -most, most)), self._shape)
            if solution.status is SolveStatus.FAILED:
                self.failures += 1
                return self._power
            self._power = solution.power
            self._shape = dataclasses.replace(solution.structure.shape, elastic=False)
            error, loss = loss, self.loss_w(solution.power)
            if bool((np.abs(loss - error) <= _LOSS_FOUND * rating).all()):
                break
        self._shape = self._program.predicted_shape(base, self._power, solution.flow)
        self._seen = (load.copy(), dc_w.copy())
        return self._power

    def loss_w(self, power: ComplexArray) -> FloatArray:
        """(M,) conversion losses with port powers (K,) [W]."""
        return self._losses.watts(power)

    @cached_property
    def _losses(self) -> ConversionLosses:
        return ConversionLosses(self._operators.layout)

    @cached_property
    def _template(self) -> Values:
        """Everything but load and storage: ratings, true limits, reported weights."""
        frame, layout = self._program.frame, self._operators.layout
        neutral = layout.mim_neutral_rating_a
        radius = layout.port_rating_va.copy()
        lone = frame.groups.lone
        radius[lone] = np.minimum(radius[lone], neutral[layout.port_mim[lone]] * layout.voltage_ln_v[layout.port_node[lone]])
        ports = len(layout.ports)
        return Values(
            flow=np.zeros((len(layout.nodes), 3), dtype=np.complex128),
            weights=layout.omega,
            gradient=np.zeros((len(layout.nodes), 3), dtype=np.complex128),
            quadratic=YARDSTICK.effort * frame.port_curvature,
            linear=np.zeros(ports, dtype=np.complex128),
            free=np.ones(ports, dtype=np.bool_),
            radius_va=radius,
            dc_w=np.zeros(len(layout.mims)),
            group_limit_a=neutral[frame.groups.mim],
            step_va=np.full(ports, np.inf),
            centre=np.zeros(ports, dtype=np.complex128),
            steps_matter=False,
            limit_va=np.repeat(frame.limit_va[:, None], 3, axis=1),
            neutral_limit_va=layout.voltage_ln_v * layout.neutral_limit_a,
            neutrals_matter=bool(np.isfinite(layout.neutral_limit_a).any()),
            head_min_w=layout.head_min_import_w,
            price_scale=max(1.0, float(layout.omega.sum())),
            upstream=(),
        )
