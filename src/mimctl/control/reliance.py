"""How far breakers rest on MIMs now: what they would carry without them, and for how long today they would have been over."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np

from mimctl.analysis.concentration import Contingencies
from mimctl.grid.tree import TreeOperators
from mimctl.model.calendar import local_day
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray
from mimctl.model.phases import PHASES
from mimctl.model.state import SiteState

#: a longer break between two looks is not counted: nobody knows what was in it [s]
_LONGEST_S = 60.0


@dataclass(eq=False)
class RelianceMeter:
    """Of one layout. The minutes of a day count from the start of the process.

    Args:
        firm_a: (N, 3) current with every MIM at its expiry action, NaN = unknown [A].
        firm_over_a: (N, 3) how much of it is above the limit for hours [A].
        relied_on_s: (N,) how long today some phase was inside its limit only because of MIMs [s].
    """

    operators: TreeOperators
    firm_a: FloatArray = field(init=False)
    firm_over_a: FloatArray = field(init=False)
    relied_on_s: FloatArray = field(init=False)
    _day: date | None = None
    _looked_at_s: float | None = None

    def __post_init__(self) -> None:
        count = len(self.operators.layout.nodes)
        self._contingencies = Contingencies(self.operators)
        self.firm_a = np.full((count, 3), np.nan)
        self.firm_over_a, self.relied_on_s = np.zeros((count, 3)), np.zeros(count)

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
            relied: BoolArray = over & (np.abs(flow_va) / volts <= limit_a)
        today = local_day(state.utc, layout.site.timezone)
        if today != self._day:
            self._day, self.relied_on_s = today, np.zeros(len(layout.nodes))
        if self._looked_at_s is not None:
            since_s = min(max(state.now_s - self._looked_at_s, 0.0), _LONGEST_S)
            self.relied_on_s = self.relied_on_s + since_s * relied.any(axis=1)
        self._looked_at_s = state.now_s
        return relied

    def sentence(self, n: int) -> str:
        """How one node rests on MIMs."""
        node = self.operators.layout.nodes[n]
        rows = zip(PHASES, self.firm_a[n], self.firm_over_a[n], strict=True)
        over = [f"{phase} {amps:.1f} A" for phase, amps, more in rows if more > 0]
        spent = self.relied_on_s[n] / 60
        return f"{node.id} rests on MIMs: without them {', '.join(over)}, {node.limit_a:g} A for hours; {spent:.0f} min today"
