"""One control cycle, the whole walk on one page.

device → Sample → SiteState → SiteReport → LoadForecast → Bounds → Plan → SafePlan → device

Each arrow is one call with typed input and one typed output; a value that flows is never changed afterwards, and none flows back.
What must be remembered from one cycle to the next is kept by the stages: the samples by the collector, the loads by the tracker,
what each device was told by the dispatcher, the plan to move on from and the count of failed solves by the cycle itself. The answer
of the devices is the next cycle's samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mimctl.analysis.report import Analyst
from mimctl.balance.inputs import without_nan
from mimctl.control.authority.leases import LeaseBook
from mimctl.control.collect import Collector
from mimctl.control.commanded import Authorities, Rivals
from mimctl.control.delays.cascade import Cascade
from mimctl.control.delays.response import ResponseWatch
from mimctl.control.dispatch import Dispatcher
from mimctl.control.estimation.estimator import Estimator
from mimctl.control.events import EventLog
from mimctl.control.filtering.harmonics import HarmonicControl
from mimctl.control.forming.form_watch import FormWatch
from mimctl.control.limits import BoundsMaker
from mimctl.control.narrow import Narrower, Situation, narrowed
from mimctl.control.record import Stopwatch, report_events
from mimctl.control.rulebook.rules import RuleBook
from mimctl.control.supervise import Supervisor
from mimctl.control.unproven import UNPROVEN
from mimctl.forecast.outputs import OutputModel
from mimctl.forecast.tracker import LoadTracker
from mimctl.grid.sensitivity import ImpedanceWatch
from mimctl.model.bounds import Bounds
from mimctl.model.clock import Clock
from mimctl.model.decision import DecisionRecord, WriteOutcome
from mimctl.model.forecast import LoadForecast
from mimctl.model.island import FormWish
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout
from mimctl.model.plan import Plan, SafePlan, SolveStatus
from mimctl.model.problem import Severity
from mimctl.model.reason import Reason
from mimctl.model.report import SiteReport
from mimctl.model.sample import BAD
from mimctl.model.state import SiteState
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
        usable: (M,) MIMs that were ours to command in the last cycle.
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
    usable: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    _looked_at: tuple[DecisionRecord, SiteReport] | None = None

    async def step(self) -> DecisionRecord:
        """Read all, decide, write all. Whatever throws here keeps the heartbeats from being written."""
        watch = Stopwatch()
        started_s = self.clock.monotonic_s()
        self.number += 1

        state = await self.collector.collect(started_s + self.reading_s)
        watch.lap("collect")
        state = self.estimator.estimate(state)
        await watch.turn("estimate")
        report = self.analyst.report(state, detail=False)
        watch.lap("analysis")
        self.impedances.learn(state)
        forecast = self.tracker.forecast(state)
        watch.lap("forecast")
        situation, bounds = self._restricted(state, report, forecast)
        await watch.turn("bounds")
        anchor_va, gain, plan = self._balanced(situation, bounds)
        await watch.turn("balance")
        wishes = self.forming.wishes(state.now_s, paused=self.paused)
        safe_plan = self.judged(situation, bounds, plan, self.dispatcher.held.accepted(), wishes)
        await watch.turn("judge")
        outcomes = await self._written(safe_plan, started_s)
        watch.lap("dispatch")

        held_va, laps = situation.setpoint_va, watch.laps()
        self.last = record = DecisionRecord(
            self.number, self.zone, state, report, forecast, bounds, plan, safe_plan, outcomes, laps, anchor_va, held_va, gain
        )
        unreached_s = self.clock.monotonic_s() - self.dispatcher.held.written_at_s
        report_events(self.events, record, self.collector, self.silenced, unreached_s)
        overdue = [(mim, f"{mim} {UNPROVEN}") for mim in self.dispatcher.held.unproven.overdue(self.clock.monotonic_s())]
        self.events.keep_only("mim.release_unproven", overdue, Severity.WARNING)
        self.forming.look(record)
        return record

    def _restricted(self, state: SiteState, report: SiteReport, forecast: LoadForecast) -> tuple[Situation, Bounds]:
        """What the devices hold and who of them is ours to command, and everything that restricts the coming plan."""
        told = self.dispatcher.held
        told.expire(state.now_s)
        told.adopt(state)
        contest = self.rivals.check(state.now_s, told.in_force)
        told.insist(contest.fresh, state.now_s)
        told.let_go(contest.yielded)
        held_va = told.setpoint_va
        since_s = told.forms.watched(told.written_at_s)
        obeying = self.supervisor.check(state, without_nan(held_va), since_s, told.in_force)
        reported = state.mims.quality > BAD
        bounds = self.bounds_maker.bounds(
            state.utc,
            held_va,
            self.period_s,
            obeying=obeying,
            reported=reported,
            yielded=contest.yielded,
            authority=self.authorities.shares(),
            paused=self.paused,
            idle_rules=self.rules.look(state, report),
        )
        self.usable = obeying & reported & ~contest.yielded & (not self.paused)
        situation = Situation(state, report, forecast, held_va, self.usable)
        return situation, narrowed(bounds, (self.rules, *self.narrowers, self.leases, *self.guards), situation)

    def _balanced(self, situation: Situation, bounds: Bounds) -> tuple[ComplexArray, FloatArray | None, Plan]:
        """(K,) what this plan moves on from [VA], (K,) how far towards the optimum (None = all the way), and the plan itself."""
        held_va, now_s = situation.setpoint_va, situation.state.now_s
        anchor_va = without_nan(held_va) if self.anchor_va is None else self.anchor_va
        gain = self.responses.gains(situation.state, held_va, self.dispatcher.held.changed_at_s)
        self.outputs.acts_after(self.responses.delays_s())
        plan = self.cascade.plan(situation.forecast, bounds, anchor_va, held_va, now_s=now_s, gain=gain)
        self._note_solve(plan, situation.state.layout)
        if self.filters is not None:
            plan = self.filters.with_shares(plan, bounds, situation, self.dispatcher.held.harmonics)
        return anchor_va, gain, plan

    async def _written(self, plan: SafePlan, started_s: float) -> tuple[WriteOutcome, ...]:
        """The plan on its way to the devices, as far as the period allows."""
        deadline_s = started_s + _WRITE_UNTIL * self.period_s
        outcomes = await self.dispatcher.send(plan, deadline_s, releases_only=self.silenced)
        self.outputs.commanded(self.clock.monotonic_s(), without_nan(self.dispatcher.held.setpoint_va))
        return outcomes

    def detailed_report(self) -> SiteReport | None:
        """Every metric of the last image, for whoever looks: no decision needs them, so no cycle waits for them."""
        if self.last is None:
            return None
        if self._looked_at is None or self._looked_at[0] is not self.last:
            self._looked_at = self.last, self.analyst.report(self.last.state)
        return self._looked_at[1]

    def judged(
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
            The MIMs that could not be told, or have not proven that they heard it: their own validity timers end what they hold.
        """
        self.anchor_va = None
        while True:
            safe_plan = self.judge.release_all(self.clock.monotonic_s(), reason.code, reason.text)
            outcomes = await self.dispatcher.send(safe_plan, deadline_s)
            untold = [outcome.mim for outcome in outcomes if outcome.error is not None]
            self.dispatcher.held.look_for_proof(self.clock.monotonic_s())
            unproven = [mim for mim in self.dispatcher.held.unproven.names() if mim not in untold]
            left = (*untold, *unproven)
            again_s = self.clock.monotonic_s() + _RELEASE_AGAIN_S
            if not left or again_s >= deadline_s:
                for mim in unproven:
                    self.events.note("mim.release_unproven", Severity.WARNING, mim, f"{mim} {UNPROVEN}")
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
