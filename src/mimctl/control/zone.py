"""The zone controller: balances its subtrees on its own cycle, with what the site level last told it about the grid above."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog

from mimctl.analysis.report import Analyst
from mimctl.balance.inputs import without_nan
from mimctl.balance.problem import Balancer
from mimctl.control.authority.leases import LeaseBook
from mimctl.control.collect import Collector
from mimctl.control.commanded import Authorities, Rivals
from mimctl.control.cycle import Cycle
from mimctl.control.delays.cascade import Cascade
from mimctl.control.delays.response import ResponseWatch
from mimctl.control.dispatch import Dispatcher
from mimctl.control.estimation.estimator import Estimator
from mimctl.control.estimation.margin import EstimateMargin
from mimctl.control.events import EventLog
from mimctl.control.feeds.failover import FailoverRoom
from mimctl.control.feeds.headroom import HeadroomWatch
from mimctl.control.feeds.sources import GridWatch, TransferLimits
from mimctl.control.filtering.harmonics import HarmonicControl
from mimctl.control.forming.form_watch import FormWatch
from mimctl.control.levels.above import Above
from mimctl.control.levels.orders import SiteOrders, Standing, TakenFromHeads, nothing_taken
from mimctl.control.levels.site_level import SiteLevel
from mimctl.control.limits import BoundsMaker
from mimctl.control.loop import DeadlineLoop
from mimctl.control.narrow import Narrower
from mimctl.control.partition import sub_groups
from mimctl.control.past.light import LightRecord, light_record
from mimctl.control.past.memory import Memory, share_bytes
from mimctl.control.plan_watch import PlanWatch
from mimctl.control.release_time import LEAST_S, release_within_s
from mimctl.control.room import UnmeteredRoom
from mimctl.control.rulebook.reliance_day import RelianceDay
from mimctl.control.rulebook.rules import RuleBook
from mimctl.control.supervise import Supervisor
from mimctl.forecast.outputs import OutputModel
from mimctl.forecast.tracker import LoadTracker
from mimctl.grid.harmonics import FilterPorts
from mimctl.grid.sensitivity import ImpedanceWatch, VoltageSensitivity
from mimctl.grid.tree import TreeOperators
from mimctl.model.clock import Clock
from mimctl.model.decision import DecisionRecord
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.problem import Severity
from mimctl.model.protocols import DriverGroup
from mimctl.model.reason import Reason
from mimctl.model.site import Site, Zone
from mimctl.model.zoning import restrict
from mimctl.safety.judge import Judge, SafetySettings

_KEPT_LATENCIES = 1000
#: decisions that the site level may pick from, to match its own meters in time
_KEPT_RECORDS = 5
_SILENT_CYCLES = 3
#: so many periods of the site level may pass without a word from it
_PATIENCE_PERIODS = 3


@dataclass(eq=False)
class ZoneController:
    """One zone: its cycle and its deadline loop. Survives the loss of the site level: prices expire, the zone goes on.

    Args:
        orders: what the site level told it.
        plans: what of its plans does not come about.
        recent: its last decisions, newest last; memory: many more of them, for whoever asks why.
        release_within_s: what an orderly stop may take for the devices [s].
        latencies_s: from the oldest measurement a plan rests on to the last setpoint written, of the last plans [s].
    """

    zone: Zone
    layout: SiteLayout
    cycle: Cycle
    clock: Clock
    operators: TreeOperators
    orders: SiteOrders
    release_within_s: float = LEAST_S
    recent: deque[DecisionRecord] = field(default_factory=lambda: deque(maxlen=_KEPT_RECORDS))
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_LATENCIES))
    memory: Memory[LightRecord] = field(default_factory=Memory)
    plans: PlanWatch = field(default_factory=PlanWatch)
    loop: DeadlineLoop = field(init=False)
    headroom: HeadroomWatch = field(init=False)
    #: what the site level's orders took from the bounds of the newest of `recent`
    taken: TakenFromHeads = field(init=False)

    def __post_init__(self) -> None:
        self._log = structlog.get_logger("mimctl.zone")
        self.taken = nothing_taken(len(self.layout.heads))
        everything = np.ones(len(self.layout.nodes), dtype=np.bool_)
        self.headroom = HeadroomWatch(self.operators, self.cycle.events, everything, self.cycle.rules.day)
        self.loop = DeadlineLoop(self.clock, self.cycle.period_s, self.step, self._cycle_failed, self._cycle_well)

    @property
    def id(self) -> str:
        return self.zone.id

    @property
    def silent_after_s(self) -> float:
        """One whose last decision is older has stopped, as far as others can tell [s]."""
        return max(_SILENT_CYCLES * self.cycle.period_s, self.layout.site.control.max_data_age_s)

    def output_va(self, instant_s: float) -> ComplexArray:
        """(K,) what the ports put out at an instant, as modelled and reported [VA]."""
        return self.cycle.outputs.at(instant_s)

    def in_force_va(self, instant_s: float, *, sure: bool = False) -> ComplexArray:
        """(K,) what the devices hold at an instant if nobody writes until then, NaN where that is not known [VA]."""
        return self.cycle.dispatcher.held.in_force_va(instant_s, sure=sure)

    async def step(self) -> DecisionRecord:
        """One cycle, with what the site level told."""
        record = await self.cycle.step()
        self.recent.append(record)
        self.taken = self.orders.taken
        forecast = record.forecast
        load_va = without_nan(forecast.load_w + 1j * forecast.load_var)
        self.headroom.look(record.state, record.report, load_va)
        starting = self.cycle.collector.starting()
        self.plans.look(record, self.cycle.leases.active(), self.cycle.events, starting=starting)
        self.memory.add(light_record(record, self.cycle.dispatcher.held.setpoint_va, self.memory.newest))
        if any(outcome.kind == "setpoint" and outcome.error is None for outcome in record.outcomes):
            written_s = float(self.cycle.dispatcher.held.written_at_s.max())
            self.latencies_s.append(written_s - float(np.fmin.reduce(record.state.nodes.taken_at_s)))
        return record

    def _cycle_failed(self, error: Exception) -> None:
        self._log.error("cycle failed; no heartbeats were sent", zone=self.zone.id, error=repr(error), exc_info=error)
        text = f"the cycles of zone {self.zone.id} fail, so its MIMs hear nothing and their own timers run: {error!r}"
        self.cycle.events.raise_("cycle.failed", Severity.ERROR, self.zone.id, text)

    def _cycle_well(self) -> None:
        self.cycle.events.clear("cycle.failed", self.zone.id)

    async def stop(self) -> tuple[str, ...]:
        """Stop reading and release every touched device; the MIMs that could not be told are returned."""
        await self.cycle.collector.close()
        return await self.cycle.release(self.clock.monotonic_s() + self.release_within_s)

    async def release(self, reason: Reason) -> tuple[str, ...]:
        """Release every touched device now, whatever the cycle is at; the MIMs that could not be told are returned.

        Whoever asked hears soon which they are: the cycles that go on release them too.
        """
        return await self.cycle.release(self.clock.monotonic_s() + LEAST_S, reason)


def build_zone(
    site: Site,
    zone: Zone,
    groups: Sequence[DriverGroup],
    clock: Clock,
    events: EventLog,
    *,
    leases: LeaseBook | None = None,
    dry_run: bool = False,
    cycle_s: float | None = None,
    standing: Sequence[Standing] | None = None,
    day: RelianceDay | None = None,
) -> ZoneController:
    """Wire one zone's stages together.

    Args:
        groups: the links of the whole site; the zone takes its own devices from them.
        leases: of the whole site; None = a book of the zone's own, with nothing in it.
        cycle_s: instead of the zone's own period [s].
        standing: what holds at its heads while no site level tells anything; None = worked out here.
        day: where it is counted how long the nodes of the site rest on MIMs; None = a count of the zone's own.
    """
    leases = leases or LeaseBook(site, clock, events)
    part, events = restrict(site, zone), events.within(zone.id)
    layout, period_s = SiteLayout(part), cycle_s or zone.cycle_s
    devices = frozenset([*(m.id for m in part.meters), *(m.id for m in part.mims), *(t.id for t in part.transfers)])
    own = sub_groups(groups, devices)
    operators, outputs = TreeOperators(layout), OutputModel(layout)
    max_age_s = max(part.control.max_data_age_s, 3 * period_s)
    tracker = LoadTracker(operators, outputs)
    filters = HarmonicControl(layout, part.control.site_period_s) if FilterPorts(layout).any else None
    if standing is None:
        standing = SiteLevel(Above(TreeOperators(SiteLayout(site)))).standing(zone.id)
    orders = SiteOrders(operators, standing, zone.id, events, _PATIENCE_PERIODS * site.control.site_period_s)
    forming = FormWatch(layout, leases, events)
    cycle = Cycle(
        zone=zone.id,
        clock=clock,
        events=events,
        collector=Collector(layout, own, clock, max_age_s),
        analyst=Analyst(operators),
        estimator=Estimator(operators, tracker, events),
        tracker=tracker,
        outputs=outputs,
        bounds_maker=BoundsMaker(layout, zone.id),
        supervisor=Supervisor(layout, events, max_age_s),
        rivals=Rivals(layout, own, events),
        authorities=Authorities(layout, own, events),
        responses=ResponseWatch(layout, events, period_s),
        impedances=ImpedanceWatch(VoltageSensitivity(operators)),
        cascade=Cascade(operators, Balancer(operators), outputs, period_s),
        judge=Judge(operators, SafetySettings(max_data_age_s=max_age_s)),
        dispatcher=Dispatcher(layout, own, clock, dry_run=dry_run, stopped=lambda: leases.stopped),
        leases=leases,
        rules=RuleBook(operators, zone.id, period_s, max_age_s, events, day or RelianceDay(site)),
        forming=forming,
        period_s=period_s,
        hold_cycles=part.control.hold_cycles,
        filters=filters,
        narrowers=_narrowers(operators, orders, filters, events, max_age_s),
        guards=(GridWatch(layout, events, max_age_s, forming.followers),),
    )
    memory = Memory[LightRecord](share_bytes(site, part))
    return ZoneController(zone, layout, cycle, clock, operators, orders, release_within_s(site, zone, groups), memory=memory)


def _narrowers(
    operators: TreeOperators, orders: SiteOrders, filters: HarmonicControl | None, events: EventLog, max_age_s: float
) -> tuple[Narrower, ...]:
    """What takes room away before the solve, in this order."""
    return (
        *([] if filters is None else [filters]),
        orders,
        TransferLimits(operators.layout, events, max_age_s),
        FailoverRoom(operators),
        EstimateMargin(operators),
        UnmeteredRoom(operators),
    )
