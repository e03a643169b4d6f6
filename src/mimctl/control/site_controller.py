"""All controllers of one site in one process: the zones on their loops, the site level on the schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import structlog

from mimctl.analysis.report import Analyst
from mimctl.control.authority.lease_bounds import lease_bounds
from mimctl.control.authority.leases import LeaseBook
from mimctl.control.collect import Collector
from mimctl.control.events import EventLog
from mimctl.control.feeds.headroom import HeadroomWatch
from mimctl.control.levels.above import Above
from mimctl.control.levels.above_estimate import AboveEstimator
from mimctl.control.levels.rules_above import RulesAbove
from mimctl.control.levels.site_level import SiteLevel
from mimctl.control.levels.site_picture import PictureMaker, SitePicture
from mimctl.control.loop import DeadlineLoop
from mimctl.control.partition import sub_groups
from mimctl.control.past.light import SiteSolve, light_solve
from mimctl.control.past.memory import Memory, share_bytes
from mimctl.control.rulebook.reliance_day import RelianceDay
from mimctl.control.shared import with_shared
from mimctl.control.zone import ZoneController, build_zone
from mimctl.grid.tree import TreeOperators
from mimctl.model.clock import Clock
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.lease import Cap
from mimctl.model.problem import Severity
from mimctl.model.protocols import DriverGroup
from mimctl.model.reason import Reason
from mimctl.model.site import Site
from mimctl.model.state import SiteState
from mimctl.model.zoning import outside_zones

_READ_WITHIN_S = 2.0
#: between two site solves too: people look at what stands above the zones, and pictures are of one instant
_READ_EVERY_S = 1.0
#: orders outlive so many periods of the site level
_LIFE_PERIODS = 6


@dataclass(eq=False)
class SiteController:
    """The zones of a site, and what stands above them.

    Args:
        upper: reads the meters that belong to no zone; None when there are none.
        day: how long its nodes have rested on MIMs today.
        memory: the last solves of the site level.
    """

    site: Site
    layout: SiteLayout
    zones: Sequence[ZoneController]
    level: SiteLevel
    pictures: PictureMaker
    clock: Clock
    leases: LeaseBook
    events: EventLog
    upper: Collector | None
    day: RelianceDay
    upper_state: SiteState | None = None
    memory: Memory[SiteSolve] = field(default_factory=Memory)
    above_loop: DeadlineLoop = field(init=False)
    rules_above: RulesAbove = field(init=False)
    headroom: HeadroomWatch = field(init=False)

    @cached_property
    def outside(self) -> frozenset[str]:
        """Ids of the nodes that belong to no zone."""
        return outside_zones(self.site)

    @cached_property
    def above_estimator(self) -> AboveEstimator:
        """Holds the meters above the zones against those of the zones."""
        return AboveEstimator(self.level.above, self.zones, self.events, self.site.control.max_data_age_s)

    @cached_property
    def analyst(self) -> Analyst:
        """Of the whole site, for whoever looks at what stands above the zones."""
        return Analyst(self.level.above.operators)

    def __post_init__(self) -> None:
        self._log = structlog.get_logger("mimctl.site")
        self._reading = asyncio.Lock()
        self.rules_above = RulesAbove(self.level.above, self.site.control.max_data_age_s, self.events.within(self.site.id))
        above = np.array([node.id in self.outside for node in self.layout.nodes], dtype=np.bool_)
        self.headroom = HeadroomWatch(self.level.above.operators, self.events, above, self.day)
        self.above_loop = DeadlineLoop(self.clock, _READ_EVERY_S, self.read_above, self._reading_failed, self._reading_well)

    async def read_above(self) -> None:
        """Read the meters that belong to no zone."""
        if self.upper is None:
            return
        async with self._reading:
            read = await self.upper.collect(self.clock.monotonic_s() + _READ_WITHIN_S)
        self.upper_state = self.above_estimator.estimate(read)
        whole = self.with_outputs(self.upper_state)
        self.headroom.look(whole, self.analyst.report(whole, detail=False), self._own_loads())

    def with_outputs(self, upper: SiteState) -> SiteState:
        """The image of what stands above the zones, with what their MIMs put out at its instant."""
        inject_va = np.full(len(self.layout.ports), np.nan + 0j)
        for zone in self.zones:
            output_va = zone.output_va(upper.now_s)
            for mim, own in zip(zone.layout.mims, zone.layout.ports_of_mim, strict=True):
                inject_va[self.layout.ports_of_mim[self.layout.mim_index[mim.id]]] = output_va[own]
        return replace(upper, ports=replace(upper.ports, inject_w=inject_va.real, inject_var=inject_va.imag))

    def _own_loads(self) -> ComplexArray:
        """(N, 3) own loads of the nodes, as the zones have them, zero where nobody knows [VA]."""
        load_va = np.zeros((len(self.layout.nodes), 3), dtype=np.complex128)
        for zone in self.zones:
            if zone.cycle.last is not None:
                forecast = zone.cycle.last.forecast
                at = [self.layout.node_index[node.id] for node in zone.layout.nodes]
                load_va[at] = np.nan_to_num(forecast.load_w) + 1j * np.nan_to_num(forecast.load_var)
        return load_va

    def _reading_failed(self, error: Exception) -> None:
        self._log.error("reading the meters above the zones failed", error=repr(error), exc_info=error)
        text = f"what stands above the zones of {self.site.id} is not looked at: {error!r}"
        self.events.raise_("above.failed", Severity.ERROR, self.site.id, text)

    def _reading_well(self) -> None:
        self.events.clear("above.failed", self.site.id)

    async def solve_site(self) -> None:
        """Read what stands above the zones, solve the whole tree beside them, and tell every zone its share.

        The solve runs in a thread of its own, in code that lets Python's lock go: the zones tick on.
        """
        await self.read_above()
        if not self.level.needed():
            return
        picture = self._capped(self._ruled(self.pictures.picture(self.upper_state, self.clock.monotonic_s())))
        orders = await asyncio.to_thread(self.level.solve, picture)
        self._remember(picture)
        for zone in self.zones:
            if zone.id in orders:
                zone.orders.take(orders[zone.id])

    def _ruled(self, picture: SitePicture) -> SitePicture:
        """With the limits that rules ask for above the zones."""
        if not self.rules_above.any:
            return picture
        whole = None if self.upper_state is None else self.with_outputs(self.upper_state)
        report = None if whole is None else self.analyst.report(whole, detail=False)
        return self.rules_above.narrowed(picture, whole, report, self.clock.utc())

    def _capped(self, picture: SitePicture) -> SitePicture:
        """With what leases cap: at the heads of zones it is not told apart from what the site level told them itself."""
        caps = [lease for lease in self.leases.active() if isinstance(lease.action, Cap)]
        if not caps:
            return picture
        nobody = np.zeros(len(self.layout.mims), dtype=np.bool_)
        return replace(picture, bounds=lease_bounds(picture.bounds, caps, self.leases.scopes, self.layout, nobody))

    def _remember(self, picture: SitePicture) -> None:
        plan, anchor_va, before = self.level.last, self.level.moved_on_from_va, self.memory.newest
        within = self.level.within
        if plan is None or anchor_va is None or within is None:
            return
        solve = light_solve(
            picture.forecast,
            within,
            anchor_va=anchor_va,
            setpoint_va=picture.accepted_va,
            plan=plan,
            before=None if before is None else before.solve,
            ended_va=None if before is None else before.solve.before_va,
        )
        self.memory.add(SiteSolve(self.clock.utc(), picture.now_s, solve, picture.answering))

    async def stop(self) -> tuple[str, ...]:
        """Release all zones side by side, none held up by another; the MIMs that could not be told are returned."""
        if self.upper is not None:
            await self.upper.close()
        return await self._side_by_side(lambda zone: zone.stop())

    async def release_now(self, reason: Reason) -> tuple[str, ...]:
        """Release all zones side by side, at once and beside whatever their cycles are waiting for; returns as `stop` does."""
        return await self._side_by_side(lambda zone: zone.release(reason))

    async def _side_by_side(self, act: Callable[[ZoneController], Awaitable[tuple[str, ...]]]) -> tuple[str, ...]:
        results = await asyncio.gather(*(act(zone) for zone in self.zones), return_exceptions=True)
        left: list[str] = []
        for zone, result in zip(self.zones, results, strict=True):
            if isinstance(result, BaseException):
                self._log.error("releasing a zone failed", zone=zone.zone.id, exc_info=result)
                left += [mim.id for mim in zone.layout.mims]
            else:
                left += result
        return tuple(left)


def build_site_controller(
    site: Site,
    groups: Sequence[DriverGroup],
    clock: Clock,
    events: EventLog,
    *,
    leases: LeaseBook | None = None,
    dry_run: bool = False,
    cycle_s: float | None = None,
) -> SiteController:
    """Wire a whole site; the arguments are those of `build_zone`."""
    groups = with_shared(site, groups, clock, cycle_s)
    # the site level keeps to what zones may feed back through their heads, so these are guarded like the heads of feeds
    layout = SiteLayout(site, guards=frozenset(head for zone in site.zones for head in zone.heads))
    book = leases or LeaseBook(site, clock, events)
    above = Above(TreeOperators(layout))
    level = SiteLevel(above, life_s=_LIFE_PERIODS * site.control.site_period_s)
    day = RelianceDay(site)
    zones = [
        build_zone(
            site,
            zone,
            groups,
            clock,
            events,
            leases=book,
            dry_run=dry_run,
            cycle_s=cycle_s,
            standing=level.standing(zone.id),
            day=day,
        )
        for zone in site.zones
    ]
    outside = outside_zones(site)
    meters = frozenset(meter.id for meter in site.meters if meter.node in outside)
    own = sub_groups(groups, meters)
    upper = Collector(layout, own, clock, max(site.control.max_data_age_s, 3 * _READ_EVERY_S)) if own else None
    return SiteController(
        site, layout, zones, level, PictureMaker(above, zones), clock, book, events, upper, day, memory=Memory(share_bytes(site))
    )
