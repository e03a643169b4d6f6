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
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray
from mimctl.model.plan import SolveStatus

#: the conversion losses are found when they move by less than this share of the MIM's rating
_LOSS_FOUND = 1e-5
#: each round shrinks the error by the marginal loss of a port, a few per cent
_MOST_ROUNDS = 12


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Given:
    """MIMs that cannot do all they could.

    Args:
        share: (M,) of the ratings that can be used; 0 = the MIM cannot be commanded and does what it does.
        power_va: (K,) what the ports of those put out; the others' is not looked at [VA].
    """

    share: FloatArray
    power_va: ComplexArray

    def same(self, other: Given | None) -> bool:
        return other is not None and np.array_equal(self.share, other.share) and np.array_equal(self.power_va, other.power_va)


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
        self._seen: tuple[ComplexArray, FloatArray, Given | None] | None = None

    def solve(self, load: ComplexArray, dc_w: FloatArray, given: Given | None = None) -> ComplexArray:
        """Best port powers.

        Args:
            load: (N, 3) each node's own load, load positive [VA].
            dc_w: (M,) storage discharge of each MIM before its losses [W].
            given: which MIMs cannot do all they could; None = none.

        Returns:
            (K,) injections [VA]. The last answer stands where a solve fails; the same input gives the same answer at once.
        """
        if self._is_seen(load, dc_w, given):
            return self._power
        frame, usable = self._program.frame, np.ones(len(dc_w)) if given is None else given.share
        base = self._values(load, given)
        rating, stray = frame.mim_rating_va, np.where(base.free, 0.0, self._power if given is None else given.power_va)
        loss = self.loss_w(self._power)
        for _ in range(_MOST_ROUNDS):
            most = 0.999 * rating * usable
            solution = self._program.solve(dataclasses.replace(base, dc_w=np.clip(dc_w - loss, -most, most)), self._shape)
            if solution.status is SolveStatus.FAILED:
                self.failures += 1
                return self._power
            self._power = solution.power + stray
            self._shape = dataclasses.replace(solution.structure.shape, elastic=False)
            error, loss = loss, self.loss_w(solution.power)
            if bool((np.abs(loss - error) <= _LOSS_FOUND * rating).all()):
                break
        self._shape = self._program.predicted_shape(base, self._power, solution.flow)
        self._seen = (load.copy(), dc_w.copy(), given)
        return self._power

    def _is_seen(self, load: ComplexArray, dc_w: FloatArray, given: Given | None) -> bool:
        if self._seen is None or not (np.array_equal(load, self._seen[0]) and np.array_equal(dc_w, self._seen[1])):
            return False
        return self._seen[2] is None if given is None else given.same(self._seen[2])

    def _values(self, load: ComplexArray, given: Given | None) -> Values:
        """The template with these loads; ports of MIMs that cannot be commanded count as part of them."""
        frame, template = self._program.frame, self._template
        flow = (frame.accumulate @ load.reshape(-1)).reshape(-1, 3)
        if given is None:
            return dataclasses.replace(template, flow=flow, gradient=frame.flow_gradient(flow, template.weights))
        share = given.share[self._operators.layout.port_mim]
        free: BoolArray = share > 0
        flow = flow - (self._operators.port_flow @ np.where(free, 0.0, given.power_va)).reshape(-1, 3)
        radius_va = template.radius_va * np.where(free, share, 1.0)
        gradient = frame.flow_gradient(flow, template.weights)
        return dataclasses.replace(template, flow=flow, gradient=gradient, free=free, radius_va=radius_va)

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
