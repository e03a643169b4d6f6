"""All controllers of one site in one process: the zones on their loops, the site level on the schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from mimctl.control.collect import Collector
from mimctl.control.events import EventLog
from mimctl.control.leases import LeaseBook
from mimctl.control.partition import sub_groups
from mimctl.control.site_level import SiteLevel, outside_zones
from mimctl.control.zone import ZoneController, build_zone
from mimctl.model.clock import Clock
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.protocols import DriverGroup
from mimctl.model.reason import Reason
from mimctl.model.site import Site
from mimctl.model.state import SiteState

_READ_WITHIN_S = 2.0


@dataclass(eq=False)
class SiteController:
    """The zones of a site, and what stands above them.

    Args:
        upper: reads the meters that belong to no zone; None when there are none.
    """

    site: Site
    layout: SiteLayout
    zones: Sequence[ZoneController]
    level: SiteLevel
    clock: Clock
    leases: LeaseBook
    upper: Collector | None
    upper_state: SiteState | None = None

    def __post_init__(self) -> None:
        self._log = structlog.get_logger("mimctl.site")

    async def solve_site(self) -> None:
        """Read what stands above the zones and hand every zone its prices."""
        if self.upper is not None:
            self.upper_state = await self.upper.collect(self.clock.monotonic_s() + _READ_WITHIN_S)
        if not self.level.needed():
            return
        flow = self._flow()
        if np.isnan(flow).any():
            return  # prices on half a picture would mislead; the last ones expire by themselves
        prices = self.level.prices(flow, self.clock.monotonic_s())
        for zone in self.zones:
            zone.prices = prices[zone.zone.id]

    def _flow(self) -> ComplexArray:
        """(N, 3) net import of every node as last measured, NaN where unknown or too old to act on."""
        now_s, most_s = self.clock.monotonic_s(), self.site.control.max_data_age_s
        flow = np.full((len(self.layout.nodes), 3), np.nan, dtype=np.complex128)
        states = [zone.cycle.last.state for zone in self.zones if zone.cycle.last is not None]
        for state in [*states, *([self.upper_state] if self.upper_state is not None else [])]:
            fresh = (now_s - state.nodes.taken_at_s <= most_s)[:, None]
            measured = np.where(fresh, state.nodes.import_w + 1j * state.nodes.import_var, np.nan)
            for i, node in enumerate(state.layout.nodes):
                if not np.isnan(measured[i]).any():
                    flow[self.layout.node_index[node.id]] = measured[i]
        return flow

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
    layout, book = SiteLayout(site), leases or LeaseBook(site, clock, events)
    zones = [build_zone(site, zone, groups, clock, events, leases=book, dry_run=dry_run, cycle_s=cycle_s) for zone in site.zones]
    above = outside_zones(site)
    meters = frozenset(meter.id for meter in site.meters if meter.node in above)
    own = sub_groups(groups, meters)
    upper = Collector(layout, own, clock, 3 * site.control.site_period_s) if own else None
    level = SiteLevel(site, life_s=6 * site.control.site_period_s)
    return SiteController(site, layout, zones, level, clock, book, upper)
