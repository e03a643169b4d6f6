"""One control cycle, the whole walk on one page.

device → Sample → SiteState → SiteReport → LoadForecast → Bounds → Plan → SafePlan → device

Each arrow is one call with typed input and one typed output; a value that flows is never changed afterwards, and none flows back.
What must be remembered from one cycle to the next is kept by the stages: the samples by the collector, the loads by the tracker,
what each device was told by the dispatcher, the plan to move on from and the count of failed solves by the cycle itself. The answer
of the devices is the next cycle's samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mimctl.analysis.report import Analyst
from mimctl.balance.inputs import without_nan
from mimctl.control.cascade import Cascade
from mimctl.control.collect import Collector
from mimctl.control.commanded import Authorities, Rivals
from mimctl.control.dispatch import Dispatcher
from mimctl.control.estimator import Estimator
from mimctl.control.events import EventLog
from mimctl.control.form_leases import wishes as form_wishes
from mimctl.control.form_watch import FormWatch
from mimctl.control.harmonics import HarmonicControl
from mimctl.control.leases import LeaseBook
from mimctl.control.limits import BoundsMaker
from mimctl.control.narrow import Narrower, Situation, narrowed
from mimctl.control.record import Stopwatch, report_events
from mimctl.control.response import ResponseWatch
from mimctl.control.rules import RuleBook
from mimctl.control.supervise import Supervisor
from mimctl.forecast.outputs import OutputModel
from mimctl.forecast.tracker import LoadTracker
from mimctl.grid.sensitivity import ImpedanceWatch
from mimctl.model.bounds import Bounds
from mimctl.model.clock import Clock
from mimctl.model.decision import DecisionRecord
from mimctl.model.errors import UserError
from mimctl.model.island import FormWish
from mimctl.model.layout import BoolArray, ComplexArray, SiteLayout
from mimctl.model.lease import Lease
from mimctl.model.plan import Plan, SafePlan, SolveStatus
from mimctl.model.reason import Reason
from mimctl.model.report import SiteReport
from mimctl.model.sample import BAD
from mimctl.safety.judge import Accepted, Judge

#: share of the period given to reading, and the instant in it by which writing must be done
_READ_UNTIL = 0.5
_WRITE_UNTIL = 0.95
_RELEASE_AGAIN_S = 0.2
_RELEASE = Reason("dispatch.release", "brought to the safe state")


@dataclass(eq=False)
class Cycle:
    """The stages of one zone, wired together. `step` runs them once.

    Args:
        zone: id, for rules and records.
        period_s: nominal time between two steps [s].
        filters: the harmonic filters of the zone; None where no MIM has one.
        hold_cycles: how many failed solves in a row may stand on the last accepted plan; then the latency class falls silent.
        leases: of the whole site; they take from the bounds last, and set the emergency stop.
        rules: of the zone; they take from the bounds first.
        narrowers: grants, margins and room, in the order in which they take from the bounds.
        guards: what not even a lease may undo; after everybody else.
        forming: what becomes of leases that have a bus formed.
    """

    zone: str
    clock: Clock
    events: EventLog
    collector: Collector
    estimator: Estimator
    analyst: Analyst
    tracker: LoadTracker
    outputs: OutputModel
    bounds_maker: BoundsMaker
    supervisor: Supervisor
    rivals: Rivals
    authorities: Authorities
    responses: ResponseWatch
    impedances: ImpedanceWatch
    cascade: Cascade
    judge: Judge
    dispatcher: Dispatcher
    leases: LeaseBook
    rules: RuleBook
    forming: FormWatch
    period_s: float
    hold_cycles: int
    paused: bool = False
    narrowers: tuple[Narrower, ...] = ()
    guards: tuple[Narrower, ...] = ()
    filters: HarmonicControl | None = None
    number: int = 0
    anchor_va: ComplexArray | None = None
    last: DecisionRecord | None = None
    _looked_at: tuple[DecisionRecord, SiteReport] | None = None
    _usable: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))

    async def step(self) -> DecisionRecord:
        """Read all, decide, write all. Whatever throws here keeps the heartbeats from being written."""
        watch = Stopwatch()
        started_s = self.clock.monotonic_s()
        self.number += 1

        state = await self.collector.collect(started_s + self.reading_s)
        watch.lap("collect")
        state = self.estimator.estimate(state)
        watch.lap("estimate")
        report = self.analyst.report(state, detail=False)
        watch.lap("analysis")
        self.impedances.learn(state)
        forecast = self.tracker.forecast(state)
        watch.lap("forecast")

        self.dispatcher.expire(state.now_s)
        self.dispatcher.adopt(state)
        contest = self.rivals.check(state.now_s, self.dispatcher.in_force)
        self.dispatcher.insist(contest.fresh, state.now_s)
        self.dispatcher.let_go(contest.yielded)
        setpoint_va = self.dispatcher.setpoint_va
        written_at_s = self.dispatcher.written_at_s
        obeying = self.supervisor.check(
            state, without_nan(setpoint_va), self.dispatcher.forms.watched(written_at_s), self.dispatcher.in_force
        )
        reported = state.mims.quality > BAD
        bounds = self.bounds_maker.bounds(
            state.utc,
            setpoint_va,
            self.period_s,
            obeying=obeying,
            reported=reported,
            yielded=contest.yielded,
            authority=self.authorities.shares(),
            paused=self.paused,
            idle_rules=self.rules.look(state, report),
        )
        self._usable = usable = obeying & reported & ~contest.yielded & (not self.paused)
        situation = Situation(state, report, forecast, setpoint_va, usable)
        bounds = narrowed(bounds, (self.rules, *self.narrowers, self.leases, *self.guards), situation)
        watch.lap("bounds")

        anchor_va = without_nan(setpoint_va) if self.anchor_va is None else self.anchor_va
        gain = self.responses.gains(state, setpoint_va, self.dispatcher.changed_at_s)
        self.outputs.acts_after(self.responses.delays_s())
        plan = self.cascade.plan(forecast, bounds, anchor_va, setpoint_va, now_s=state.now_s, gain=gain)
        self._note_solve(plan, state.layout)
        if self.filters is not None:
            plan = self.filters.with_shares(plan, bounds, situation, self.dispatcher.harmonics)
        watch.lap("balance")

        told = self.dispatcher
        accepted = Accepted(setpoint_va, written_at_s, told.changed_at_s, told.harmonics, told.forms.state)
        wishes = self.forming.wishes(state.now_s, paused=self.paused)
        safe_plan = self._judged(situation, bounds, plan, accepted, wishes)
        watch.lap("judge")

        deadline_s = started_s + _WRITE_UNTIL * self.period_s
        outcomes = await self.dispatcher.send(safe_plan, deadline_s, releases_only=self.silenced)
        self.outputs.commanded(self.clock.monotonic_s(), without_nan(self.dispatcher.setpoint_va))
        watch.lap("dispatch")

        laps = watch.laps()
        record = DecisionRecord(
            self.number, self.zone, state, report, forecast, bounds, plan, safe_plan, outcomes, laps, anchor_va, setpoint_va, gain
        )
        unreached_s = self.clock.monotonic_s() - self.dispatcher.written_at_s
        report_events(self.events, record, self.collector, self.silenced, unreached_s)
        self.last = record
        self.forming.look(record)
        return record

    def detailed_report(self) -> SiteReport | None:
        """Every metric of the last image, for whoever looks: no decision needs them, so no cycle waits for them."""
        if self.last is None:
            return None
        if self._looked_at is None or self._looked_at[0] is not self.last:
            self._looked_at = self.last, self.analyst.report(self.last.state)
        return self._looked_at[1]

    def _judged(
        self, situation: Situation, bounds: Bounds, plan: Plan, accepted: Accepted, forms: tuple[FormWish, ...] = ()
    ) -> SafePlan:
        """The plan after the judge, who is told of emergency stop and lock-outs himself: he believes no bounds."""
        return self.judge.judge(
            situation.state,
            situation.forecast,
            bounds,
            plan,
            accepted,
            now_s=self.clock.monotonic_s(),
            emergency_stop=self.leases.stopped,
            locked=self.leases.locked(situation.state.layout),
            impedance_scale=self.impedances.scale,
            forms=forms,
        )

    def form_objections(self, lease: Lease) -> tuple[str, ...]:
        """Everything that keeps a MIM from forming a bus now, on the latest measurements; nothing is written.

        Raises:
            UserError: there are no measurements yet.
        """
        last = self.last
        if last is None:
            raise UserError(f"zone {self.zone} has not measured yet")
        setpoint_va, forming = self.dispatcher.setpoint_va, self.dispatcher.forms.state
        situation = Situation(last.state, last.report, last.forecast, setpoint_va, self._usable)
        accepted = Accepted(setpoint_va, self.dispatcher.written_at_s, self.dispatcher.changed_at_s, forming=forming)
        judged = self._judged(situation, last.bounds, last.plan, accepted, tuple(form_wishes([lease], last.state.layout)))
        return tuple(j.reason.text for j in judged.judgements if j.mim == lease.scope and j.reason.code == "form.refused")

    def preview(self, lease: Lease) -> tuple[Bounds, Plan, SafePlan]:
        """What a setpoint would come to now, on the latest measurements; nothing is kept and nothing is written.

        Raises:
            UserError: there are no measurements yet.
        """
        last = self.last
        if last is None:
            raise UserError(f"zone {self.zone} has not measured yet")
        setpoint_va = self.dispatcher.setpoint_va
        usable, wide = self._usable, last.bounds
        if self.paused:  # since the last cycle, perhaps
            usable = np.zeros_like(usable)
            wide = replace(wide, mim_enabled=usable, mim_release=~usable)
        situation = Situation(last.state, last.report, last.forecast, setpoint_va, usable)
        bounds = narrowed(self.leases.narrow_with([lease], wide, situation), self.guards, situation)
        plan = self.cascade.balancer.solve(last.forecast, bounds, np.nan_to_num(setpoint_va), setpoint_va)
        accepted = Accepted(setpoint_va, self.dispatcher.written_at_s, self.dispatcher.changed_at_s)
        return bounds, plan, self._judged(situation, bounds, plan, accepted)

    @property
    def reading_s(self) -> float:
        """How long a cycle waits for its links [s]."""
        return _READ_UNTIL * self.period_s

    @property
    def silenced(self) -> BoolArray:
        """(M,) too many solves of the MIM's latency class have failed in a row: it gets no setpoint and no heartbeat."""
        return np.asarray(self.cascade.failures > self.hold_cycles)

    @property
    def silent(self) -> bool:
        """So it is with all of them."""
        return bool(len(self.silenced)) and bool(self.silenced.all())

    async def release(self, deadline_s: float, reason: Reason = _RELEASE) -> tuple[str, ...]:
        """Every device that was touched goes to its safe state; tried again until the deadline.

        For an orderly stop, or for an emergency stop beside a step that may be stuck.

        Returns:
            The MIMs that could not be told: their own validity timers end what they hold.
        """
        self.anchor_va = None
        while True:
            safe_plan = self.judge.release_all(self.clock.monotonic_s(), reason.code, reason.text)
            outcomes = await self.dispatcher.send(safe_plan, deadline_s)
            left = tuple(outcome.mim for outcome in outcomes if outcome.error is not None)
            again_s = self.clock.monotonic_s() + _RELEASE_AGAIN_S
            if not left or again_s >= deadline_s:
                return left
            await self.clock.sleep_until(again_s)

    def _note_solve(self, plan: Plan, layout: SiteLayout) -> None:
        """The next plan moves on from this one whether it is sent or not: anchoring on what was sent would stall the loop."""
        if plan.status is SolveStatus.FAILED:
            return
        planned_va = plan.inject_w + 1j * plan.inject_var
        if plan.failed is not None and self.anchor_va is not None:
            planned_va = np.where(plan.failed[layout.port_mim], self.anchor_va, planned_va)
        self.anchor_va = planned_va
