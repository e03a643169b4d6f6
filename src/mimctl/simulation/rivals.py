"""The scenarios beside the controlled one: nothing done, the clip rule, and the optimum with perfect knowledge."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mimctl.balance.optimum import Given, OptimumSolver
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import ComplexArray, FloatArray
from mimctl.simulation.rule import ClipRule
from mimctl.twin.firmware import MimFleet


@dataclass(eq=False)
class RuleRival:
    """The clip rule on MIMs of the same firmware, with measurements one step old and free of noise."""

    operators: TreeOperators
    fleet: MimFleet = field(init=False)
    _number: int = 0

    def __post_init__(self) -> None:
        self._layout = self.operators.layout
        self._rule = ClipRule(self._layout)
        self.fleet = MimFleet(self._layout)
        for m in range(len(self._layout.mims)):
            self.fleet.enable(m, on=True)

    def command(self, measured_load_va: ComplexArray) -> None:
        """Every MIM sets what its own rack needed when it was measured, (N, 3) [VA]."""
        self._number += 1
        setpoints = self._rule.setpoints(measured_load_va)
        for m, ports in enumerate(self._layout.ports_of_mim):
            self.fleet.heartbeat(m, self._number)
            self.fleet.apply(m, setpoints.real[ports].tolist(), setpoints.imag[ports].tolist(), self._number)

    def injection(self, given: Given | None) -> ComplexArray:
        """(K,) what it puts out [VA]; MIMs that cannot do all they could do no more here than in the controlled run."""
        own = self.fleet.inject_va
        if given is None:
            return own
        share = given.share[self._layout.port_mim]
        return np.where(share > 0, share * own, given.power_va)


@dataclass(frozen=True, slots=True, eq=False)
class _Solved:
    """A question to the optimum and its answer."""

    load_va: ComplexArray
    battery_w: FloatArray
    given: Given | None
    injection_va: ComplexArray

    def answers(self, load_va: ComplexArray, battery_w: FloatArray, given: Given | None) -> bool:
        same = self.given is None if given is None else given.same(self.given)
        return same and np.array_equal(self.load_va, load_va) and np.array_equal(self.battery_w, battery_w)


@dataclass(eq=False)
class OptimumRival:
    """What no controller can beat; solved anew only when the loads have changed."""

    operators: TreeOperators
    _last: _Solved | None = None

    def __post_init__(self) -> None:
        self._solver = OptimumSolver(self.operators)

    def injection(self, load_va: ComplexArray, battery_w: FloatArray, given: Given | None = None) -> ComplexArray:
        """(K,) [VA].

        Args:
            load_va: (N, 3) own loads of the nodes [VA].
            battery_w: (M,) what the storage of each MIM gives in the controlled run [W].
            given: MIMs that cannot do all they could, and what they do; None = none.
        """
        if self._last is None or not self._last.answers(load_va, battery_w, given):
            self._last = _Solved(load_va, battery_w.copy(), given, self._solver.solve(load_va, battery_w, given))
        return self._last.injection_va
