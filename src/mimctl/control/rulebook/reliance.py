"""How far breakers rest on MIMs now: what they would carry without them, and for how long today they would have been over."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mimctl.analysis.concentration import Contingencies
from mimctl.control.rulebook.reliance_day import RelianceDay
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray
from mimctl.model.phases import PHASES
from mimctl.model.state import SiteState

#: of the limit; MIMs that take less off keep nothing up
_NOTICEABLE = 0.01
#: a longer break between two looks is not counted: nobody knows what was in it [s]
_LONGEST_S = 60.0


@dataclass(eq=False)
class RelianceMeter:
    """Of one layout.

    Args:
        nodes: (N,) those that are counted; others are somebody else's.
        day: what is counted in.
        firm_a: (N, 3) current with every MIM at its expiry action, NaN = unknown [A].
        firm_over_a: (N, 3) how much of it is above the limit for hours [A].
    """

    operators: TreeOperators
    nodes: BoolArray
    day: RelianceDay
    firm_a: FloatArray = field(init=False)
    firm_over_a: FloatArray = field(init=False)
    _seen: SiteState | None = None
    _looked_at_s: float | None = None

    def __post_init__(self) -> None:
        count = len(self.operators.layout.nodes)
        self._contingencies = Contingencies(self.operators)
        self.firm_a = np.full((count, 3), np.nan)
        self.firm_over_a = np.zeros((count, 3))
        self._places = self.day.places(self.operators.layout)

    def look(self, state: SiteState, flow_va: ComplexArray) -> BoolArray:
        """Count one more image.

        Args:
            flow_va: (N, 3) net imports that are known, NaN elsewhere [VA].

        Returns:
            (N, 3) phases that are inside their limit for hours only because of MIMs.
        """
        layout = self.operators.layout
        output_va = state.ports.inject_w + 1j * state.ports.inject_var
        volts, limit_a = layout.voltage_ln_v[:, None], layout.limit_a[:, None]
        with np.errstate(invalid="ignore"):
            self.firm_a = np.abs(self._contingencies.firm_flow(flow_va, output_va)) / volts
            over: BoolArray = self.firm_a > limit_a
            self.firm_over_a = np.where(over, self.firm_a - limit_a, 0.0)
            current_a = np.abs(flow_va) / volts
            relied: BoolArray = over & (current_a <= limit_a)
            resting: BoolArray = relied | (over & (current_a <= self.firm_a - _NOTICEABLE * limit_a))
        since_s = 0.0 if self._looked_at_s is None else min(max(state.now_s - self._looked_at_s, 0.0), _LONGEST_S)
        self.day.add(self._places[self.nodes], np.asarray(resting.any(axis=1))[self.nodes], since_s, state.utc)
        self._looked_at_s, self._seen = state.now_s, state
        return relied

    @property
    def relied_on_s(self) -> FloatArray:
        """(N,) how long today MIMs have kept current off some phase that would be over its limit without them [s]."""
        if self._seen is None:
            return np.zeros(len(self._places))
        return self.day.used_s(self._places, self._seen.utc)

    def sentence(self, n: int) -> str:
        """How one node rests on MIMs."""
        node = self.operators.layout.nodes[n]
        rows = zip(PHASES, self.firm_a[n], self.firm_over_a[n], strict=True)
        over = [f"{phase} {amps:.1f} A" for phase, amps, more in rows if more > 0]
        spent = self.relied_on_s[n] / 60
        return f"{node.id} rests on MIMs: without them {', '.join(over)}, {node.limit_a:g} A for hours; {spent:.0f} min today"
