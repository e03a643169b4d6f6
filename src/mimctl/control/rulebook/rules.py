"""The rule book of one zone: which rules of the site are in force there, and what they leave of the bounds.

A rule is in force while its window is open and its condition holds. Nothing is remembered beyond that: when it ends, the next cycle
has its bounds without it, and the plan moves back as it moves anywhere. A condition on what nobody measures counts as holding for
rules that take away, and as not holding for rules that balance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from mimctl.control.events import EventLog
from mimctl.control.limits import rule_in_force
from mimctl.control.narrow import Situation
from mimctl.control.rulebook.reliance_day import RelianceDay
from mimctl.control.rulebook.rule_bounds import (
    attainable_a,
    harmonics_free,
    harmonics_less,
    in_danger,
    limited,
    locked,
    ramp_steps_va,
    reserved,
    resting,
    unattainable,
)
from mimctl.control.rulebook.rule_conditions import Answer, Latch, measured
from mimctl.control.rulebook.rule_places import Reach, reach
from mimctl.control.rulebook.rule_reliance import Reliance
from mimctl.control.rulebook.rule_spares import Spares
from mimctl.control.rulebook.rule_states import RuleState
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds, HarmonicBounds, Restriction
from mimctl.model.calendar import active_at
from mimctl.model.layout import FloatArray, frozen
from mimctl.model.problem import Severity
from mimctl.model.reason import Reason
from mimctl.model.report import SiteReport
from mimctl.model.rules import HarmonicRule, LimitRule, LockRule, RampRule, RelianceRule, ReserveRule, Restraint
from mimctl.model.site import BalanceRule
from mimctl.model.state import SiteState


@dataclass(eq=False)
class RuleBook:
    """Rules of one zone. Implements `control.narrow.Narrower`; comes before every other.

    Args:
        operators: of the zone.
        zone: its id.
        period_s: time between two plans [s].
        max_age_s: for so long a condition keeps its answer while nothing is measured [s].
        counted: how long nodes have rested on MIMs today; None = a count of the zone's own.
    """

    operators: TreeOperators
    zone: str
    period_s: float
    max_age_s: float
    events: EventLog | None = None
    counted: RelianceDay | None = None
    _reach: dict[str, Reach] = field(init=False)
    _latches: dict[str, Latch] = field(init=False)
    _answers: dict[str, Answer] = field(init=False, default_factory=dict)
    _seen: SiteState | None = field(init=False, default=None)
    _began_s: float | None = field(init=False, default=None)
    _in_force: frozenset[str] = field(init=False, default=frozenset())
    _harmonics: tuple[tuple[str, ...], HarmonicBounds] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        layout = self.operators.layout
        found = {rule.id: reach(rule.place, layout, self.zone) for rule in layout.site.restraints}
        self._reach = {name: where for name, where in found.items() if where.any}
        every: tuple[BalanceRule | Restraint, ...] = (*self._balancing, *self._restraints)
        self._latches = {rule.id: Latch(rule.when, self.max_age_s) for rule in every if rule.when is not None}

    @cached_property
    def day(self) -> RelianceDay:
        """How long nodes have rested on MIMs today."""
        return self.counted or RelianceDay(self.operators.layout.site)

    @cached_property
    def _balancing(self) -> tuple[BalanceRule, ...]:
        return tuple(rule for rule in self.operators.layout.site.rules if self.zone in rule.zones)

    @cached_property
    def _restraints(self) -> tuple[Restraint, ...]:
        """Those that reach into the zone."""
        return tuple(rule for rule in self.operators.layout.site.restraints if rule.id in self._reach)

    @cached_property
    def _limits(self) -> bool:
        return any(isinstance(rule, LimitRule) for rule in self._restraints)

    @cached_property
    def _reliances(self) -> dict[str, Reliance]:
        rules = [rule for rule in self._restraints if isinstance(rule, RelianceRule)]
        return {rule.id: Reliance(rule, self._reach[rule.id], self.operators, self.day) for rule in rules}

    @cached_property
    def _spares(self) -> dict[str, Spares]:
        rules = [rule for rule in self._restraints if isinstance(rule, ReserveRule) and rule.spare_mims]
        return {rule.id: Spares(self._reach[rule.id].mims, rule.spare_mims) for rule in rules}

    @cached_property
    def _steps_va(self) -> dict[str, FloatArray]:
        """(K,) largest steps by each ramp [VA]."""
        rules = [rule for rule in self._restraints if isinstance(rule, RampRule)]
        return {rule.id: ramp_steps_va(rule, self._reach[rule.id], self.operators, self._every_s) for rule in rules}

    @cached_property
    def _restrictions(self) -> dict[str, tuple[Restriction, ...]]:
        """What each rule is told by while it is in force."""
        reasons = {rule.id: Reason(f"rule.{rule.kind}", f"rule {rule.id}: {rule}") for rule in self._restraints}
        return {name: tuple(Restriction(where, reason) for where in self._reach[name].where) for name, reason in reasons.items()}

    @cached_property
    def _every_s(self) -> FloatArray:
        """(K,) one that is commanded less often has longer for each step [s]."""
        layout = self.operators.layout
        every = np.array([layout.mims[m].latency.command_every_s for m in layout.port_mim], dtype=np.float64)
        return np.asarray(frozen(np.maximum(every, self.period_s)))

    def look(self, state: SiteState, report: SiteReport) -> frozenset[str]:
        """Hold every condition against the measurements of this cycle; once for each image.

        Returns:
            Ids of the balance rules that are not in force, whatever their window says.
        """
        if state is not self._seen:
            self._seen = state
            self._began_s = state.now_s if self._began_s is None else self._began_s
            for name, latch in self._latches.items():
                self._answers[name] = latch.look(measured(latch.condition, state, report), state.now_s)
        return frozenset(r.id for r in self._balancing if r.when is not None and self._answers.get(r.id) is not Answer.HOLDS)

    def narrow(self, bounds: Bounds, situation: Situation) -> Bounds:
        """The bounds without what the rules in force take away."""
        if not self._restraints:
            return bounds
        self.look(situation.state, situation.report)
        rules = [rule for rule in self._restraints if self._holds(rule, situation.state)]
        self._in_force = frozenset(rule.id for rule in rules)
        for name in {*self._reliances, *self._spares} - self._in_force:
            (self._reliances.get(name) or self._spares[name]).forget()
        least_a = attainable_a(self.operators, situation.forecast) if self._limits else np.zeros(0)
        for rule in rules:
            bounds = self._taken(rule, bounds, situation, least_a)
        told = tuple(restriction for rule in rules for restriction in self._restrictions[rule.id])
        bounds = replace(bounds, harmonics=self._filters(rules), restrictions=(*bounds.restrictions, *told))
        self._tell(rules, least_a)
        return bounds

    def _holds(self, rule: Restraint, state: SiteState) -> bool:
        if not active_at(rule.window, state.utc, state.layout.site.timezone):
            return False
        return rule.when is None or self._answers.get(rule.id) is not Answer.NOT

    def _taken(self, rule: Restraint, bounds: Bounds, situation: Situation, least_a: FloatArray) -> Bounds:
        where = self._reach[rule.id]
        match rule:
            case LimitRule():
                return limited(rule, where, bounds, self.operators.layout, least_a)
            case RampRule():
                steps_va = np.where(in_danger(situation), np.inf, self._steps_va[rule.id])
                return replace(bounds, step_max_va=frozen(np.minimum(bounds.step_max_va, steps_va)))
            case LockRule():
                return locked(rule, where, bounds)
            case RelianceRule():
                return self._reliances[rule.id].narrow(bounds, situation)
            case ReserveRule():
                bounds = reserved(rule, where, bounds, situation)
                spares = self._spares.get(rule.id)
                return bounds if spares is None else resting(spares.resting(situation.usable & bounds.mim_enabled), bounds)
            case _:  # of harmonics: see `_filters`
                return bounds

    def _filters(self, rules: Iterable[Restraint]) -> HarmonicBounds | None:
        """The same object for as long as the same rules are in force."""
        own = [rule for rule in rules if isinstance(rule, HarmonicRule)]
        if not own:
            return None
        key = tuple(rule.id for rule in own)
        if self._harmonics is None or self._harmonics[0] != key:
            terms = harmonics_free(self.operators.layout)
            for rule in own:
                terms = harmonics_less(rule, self._reach[rule.id], terms, self.operators.layout)
            self._harmonics = key, terms
        return self._harmonics[1]

    def _tell(self, rules: Iterable[Restraint], least_a: FloatArray) -> None:
        """What a person must know stays open while it holds."""
        if self.events is None:
            return
        starting = self._seen is None or self._began_s is None or self._seen.now_s - self._began_s <= self.max_age_s
        blind = [] if starting else [r for r in rules if self._answers.get(r.id) is Answer.UNKNOWN]
        texts = [(r.id, f"rule {r.id} is in force because what its condition looks at is not measured") for r in blind]
        self.events.keep_only("rule.condition_unknown", texts, Severity.WARNING)
        layout, limits = self.operators.layout, [rule for rule in rules if isinstance(rule, LimitRule)]
        low = [pair for rule in limits for pair in unattainable(rule, self._reach[rule.id], layout, least_a)]
        self.events.keep_only("rule.limit_unattainable", low, Severity.WARNING)
        over = [pair for reliance in self._reliances.values() for pair in reliance.over]
        self.events.keep_only("rule.reliance", over, Severity.WARNING)

    def permitted(self) -> FloatArray | None:
        """(M,) share of its ratings that locks and reserves left to each MIM in the last cycle; None = there are none."""
        rules = [rule for rule in self._restraints if isinstance(rule, LockRule | ReserveRule)]
        if not rules:
            return None
        share = np.ones(len(self.operators.layout.mims))
        for rule in rules:
            if rule.id not in self._in_force:
                continue
            reached = self._reach[rule.id].mims
            if isinstance(rule, LockRule):
                share[reached] = 0.0
                continue
            share[reached] = np.minimum(share[reached], 1 - rule.rating_pct / 100)
            spares = self._spares.get(rule.id)
            if spares is not None and spares.rested is not None:
                share[spares.rested] = 0.0
        return share

    def states(self) -> tuple[RuleState, ...]:
        """Every rule of the zone, in the order of the file within its kind; as of the last cycle."""
        seen = self._seen
        if seen is None:
            return ()
        idle = frozenset(r.id for r in self._balancing if r.when is not None and self._answers.get(r.id) is not Answer.HOLDS)
        taken = rule_in_force(self.operators.layout, self.zone, seen.utc, idle)
        balancing = [self._state(r, "balance", (self.zone,), seen, in_force=r is taken) for r in self._balancing]
        others = [self._state(r, r.kind, self._reach[r.id].where, seen, in_force=r.id in self._in_force) for r in self._restraints]
        return (*balancing, *others)

    def _state(
        self, rule: BalanceRule | Restraint, kind: str, where: tuple[str, ...], seen: SiteState, *, in_force: bool
    ) -> RuleState:
        latch = self._latches.get(rule.id)
        is_open = active_at(rule.window, seen.utc, seen.layout.site.timezone)
        value = float("nan") if latch is None else latch.value
        return RuleState(rule.id, kind, where, is_open, self._answers.get(rule.id), value, in_force)
