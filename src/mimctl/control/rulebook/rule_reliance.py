"""How much of a breaker's load may rest on MIMs, and for how long in a day.

The firm load is what flows with every MIM at its expiry action. As long as it is inside the limit for hours, nothing rests on
anybody. Beyond, MIMs may hold the breaker inside its limit up to the amperes and minutes of the rule; what is more they do not take
off, so that it shows, and a person moves load. They always may take off what keeps the breaker inside its rating: a rule about
planning trips nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mimctl.control.narrow import Situation
from mimctl.control.rulebook.reliance_day import RelianceDay
from mimctl.control.rulebook.rule_places import Reach
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, frozen
from mimctl.model.phases import PHASES
from mimctl.model.rules import RelianceRule
from mimctl.model.site import ExpiryAction

#: a cap ends when the firm load is so far below what is permitted, as a share of the limit: noise does not switch it
_HYSTERESIS = 0.03
#: of the breaker's rating; MIMs may always take off what is above it
_OF_RATING = 0.97
_NEGLIGIBLE = 1e-9


@dataclass(eq=False)
class Reliance:
    """One rule in one zone.

    Args:
        operators: of the zone.
        day: how long nodes have rested on MIMs today; counted by whoever reports it, whether the rule is in force or not.
        over: what a person must know: (node, sentence).
    """

    rule: RelianceRule
    where: Reach
    operators: TreeOperators
    day: RelianceDay
    over: tuple[tuple[str, str], ...] = ()
    _capped: BoolArray = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.where.nodes)
        self._capped = np.zeros((count, 3), dtype=np.bool_)
        layout = self.operators.layout
        self._places = self.day.places(layout)[self.where.nodes]
        hold = np.array([mim.expiry_action is ExpiryAction.HOLD for mim in layout.mims], dtype=np.bool_)
        self._stays: BoolArray = hold[layout.port_mim] if len(layout.ports) else np.zeros(0, dtype=np.bool_)
        self._volts = layout.voltage_ln_v[self.where.nodes][:, None]
        self._limit_a = np.repeat(layout.limit_a[self.where.nodes][:, None], 3, axis=1)
        self._rating_a = layout.rating_a[self.where.nodes][:, None]
        rows = (3 * self.where.nodes[:, None] + np.arange(3)).reshape(-1)
        self._reached: FloatArray = np.abs(self.operators.port_flow[rows].toarray()).reshape(count, 3, len(layout.ports))

    def forget(self) -> None:
        """The rule is not in force: nothing is capped."""
        self.over = ()
        self._capped = np.zeros_like(self._capped)

    def narrow(self, bounds: Bounds, situation: Situation) -> Bounds:
        """Smaller ports where more rests on them than may."""
        firm_a = self._firm_a(situation)
        excess_a = firm_a - self._limit_a
        used_s = self.day.used_s(self._places, situation.state.utc)
        spent: BoolArray = used_s >= self.rule.max_s_per_day
        allowed_a = np.where(spent, 0.0, self.rule.max_a)[:, None]
        # written so that a firm load that nobody knows is capped
        past = ~(excess_a <= np.where(self._capped, allowed_a - _HYSTERESIS * self._limit_a, allowed_a))
        # a phase that stands at nothing is not over its limit by anything
        self._capped = past & ~(firm_a <= _NEGLIGIBLE)
        self._tell(excess_a, allowed_a, spent)
        if not self._capped.any():
            return bounds
        needed_a = np.nan_to_num(firm_a - _OF_RATING * self._rating_a, nan=0.0)
        relief_va = self._volts * np.maximum(allowed_a, needed_a)
        most_va = bounds.port_s_max_va.copy()
        for i, phase in np.argwhere(self._capped):
            own = self._reached[i, phase]
            together_va = float(own @ bounds.port_s_max_va)
            share = min(1.0, float(relief_va[i, phase]) / max(together_va, _NEGLIGIBLE))
            most_va = np.where(own > _NEGLIGIBLE, np.minimum(most_va, share * bounds.port_s_max_va), most_va)
        return replace(bounds, port_s_max_va=frozen(most_va))

    def _firm_a(self, situation: Situation) -> FloatArray:
        """(n, 3) fundamental current with every MIM at its expiry action, NaN where it is not known [A]."""
        forecast, setpoint_va = situation.forecast, np.nan_to_num(situation.setpoint_va)
        held_va: ComplexArray = np.where(self._stays, setpoint_va, 0.0)
        load_va = np.empty(forecast.load_w.shape, dtype=np.complex128)
        load_va.real, load_va.imag = forecast.load_w, forecast.load_var
        flow_va = self.operators.flow(np.nan_to_num(load_va), held_va)[self.where.nodes]
        covered = forecast.covered[self.where.nodes][:, None]
        return np.asarray(np.where(covered, np.abs(flow_va) / self._volts, np.nan))

    def _tell(self, excess_a: FloatArray, allowed_a: FloatArray, spent: BoolArray) -> None:
        """Of the loads that are known: that a meter is silent is told elsewhere."""
        layout, found = self.operators.layout, []
        known: BoolArray = self._capped & np.isfinite(excess_a)
        for i in np.flatnonzero(known.any(axis=1)):
            name = layout.nodes[self.where.nodes[i]].id
            phases = ", ".join(phase for phase, over in zip(PHASES, known[i], strict=True) if over)
            rests = f"{max(0.0, float(excess_a[i][known[i]].max())):.1f} A rest"
            why = f"the {self.rule.max_s_per_day / 60:.0f} min of today are used up" if spent[i] else f"{allowed_a[i, 0]:g} A may"
            found.append((name, f"{name} {phases}: {rests} on MIMs, {why} (rule {self.rule.id}): move load away"))
        self.over = tuple(found)
