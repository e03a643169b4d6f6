"""The zone controller: balances its subtrees on its own cycle, with what the site level last told it about the grid above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from mimctl.analysis.report import Analyst
from mimctl.balance.problem import Balancer
from mimctl.control.collect import Collector
from mimctl.control.cycle import Cycle
from mimctl.control.dispatch import Dispatcher
from mimctl.control.events import EventLog
from mimctl.control.limits import BoundsMaker
from mimctl.control.loop import DeadlineLoop
from mimctl.control.partition import restrict, sub_groups
from mimctl.control.supervise import Supervisor
from mimctl.forecast.outputs import OutputModel
from mimctl.forecast.tracker import LoadTracker
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import UpstreamPrice
from mimctl.model.clock import Clock
from mimctl.model.decision import DecisionRecord
from mimctl.model.layout import SiteLayout
from mimctl.model.protocols import DriverGroup
from mimctl.model.site import Site, Zone
from mimctl.safety.judge import Judge, SafetySettings

_RELEASE_WITHIN_S = 3.0


@dataclass(eq=False)
class ZoneController:
    """One zone: its cycle and its deadline loop. Survives the loss of the site level: prices expire, the zone goes on."""

    zone: Zone
    layout: SiteLayout
    cycle: Cycle
    loop: DeadlineLoop
    clock: Clock
    prices: tuple[UpstreamPrice | None, ...] = field(default=())

    async def step(self) -> DecisionRecord:
        """One cycle with the prices that are still good."""
        now_s = self.clock.monotonic_s()
        self.cycle.upstream = tuple(p if p is not None and p.expires_at_s > now_s else None for p in self.prices)
        return await self.cycle.step()

    async def stop(self) -> tuple[str, ...]:
        """Stop reading and release every touched device; the MIMs that could not be told are returned."""
        await self.cycle.collector.close()
        return await self.cycle.release(self.clock.monotonic_s() + _RELEASE_WITHIN_S)


def build_zone(
    site: Site,
    zone: Zone,
    groups: Sequence[DriverGroup],
    clock: Clock,
    events: EventLog,
    *,
    dry_run: bool = False,
    cycle_s: float | None = None,
    detailed_report: bool = True,
) -> ZoneController:
    """Wire one zone's stages together.

    Args:
        groups: the links of the whole site; the zone takes its own devices from them.
        cycle_s: instead of the zone's own period [s].
        detailed_report: every metric each cycle; simulation scores the plant itself and does without.
    """
    part, events = restrict(site, zone), events.within(zone.id)
    layout, period_s = SiteLayout(part), cycle_s or zone.cycle_s
    devices = frozenset(m.id for m in part.meters) | frozenset(m.id for m in part.mims)
    own = sub_groups(groups, devices)
    operators = TreeOperators(layout)
    max_age_s = max(part.control.max_data_age_s, 3 * period_s)
    cycle = Cycle(
        zone=zone.id,
        clock=clock,
        events=events,
        collector=Collector(layout, own, clock, max_age_s),
        analyst=Analyst(operators),
        tracker=LoadTracker(operators, OutputModel(layout)),
        bounds_maker=BoundsMaker(layout, zone.id),
        supervisor=Supervisor(layout, events),
        balancer=Balancer(operators),
        judge=Judge(operators, SafetySettings(max_data_age_s=max_age_s)),
        dispatcher=Dispatcher(layout, own, clock, dry_run=dry_run),
        period_s=period_s,
        hold_cycles=part.control.hold_cycles,
        detailed_report=detailed_report,
    )
    log = structlog.get_logger("mimctl.zone")

    def cycle_failed(error: Exception) -> None:
        log.error("cycle failed; no heartbeats were sent", zone=zone.id, error=repr(error), exc_info=error)

    controller = ZoneController(zone, layout, cycle, DeadlineLoop(clock, period_s, cycle.step, cycle_failed), clock)
    controller.loop.body = controller.step
    return controller
