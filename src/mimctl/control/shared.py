"""Devices that several zones look at, such as the transfer switch of their feed: read once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from mimctl.control.partition import SubGroup, width
from mimctl.model.clock import Clock
from mimctl.model.protocols import Driver, DriverGroup
from mimctl.model.sample import Sample
from mimctl.model.site import Site
from mimctl.model.zoning import restrict

#: share of the shortest cycle for which one reading serves everybody: less than a cycle, so that each cycle has a new one
_FRESH = 0.5


@dataclass(eq=False)
class SharedDriver:
    """One device for several readers. Implements `model.protocols.Driver`.

    Args:
        fresh_s: a reading that is no older serves the next who asks [s].
    """

    driver: Driver
    clock: Clock
    fresh_s: float
    _last: Sample | None = None
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def device(self) -> str:
        return self.driver.device

    async def read(self) -> Sample:
        async with self._one_at_a_time:
            asked_s = self.clock.monotonic_s()
            if self._last is None or asked_s - self._last.taken_at_s > self.fresh_s:
                self._last = await self.driver.read()
            return self._last


def with_shared(site: Site, groups: Sequence[DriverGroup], clock: Clock, cycle_s: float | None) -> list[DriverGroup]:
    """The links with those transfer devices wrapped that more than one zone looks at.

    Args:
        cycle_s: instead of the zones' own periods [s].
    """
    if not site.transfers:
        return list(groups)
    watched = [transfer.id for zone in site.zones for transfer in restrict(site, zone).transfers]
    several = {name for name in watched if watched.count(name) > 1}
    if not several:
        return list(groups)
    fresh_s = _FRESH * (cycle_s or min(zone.cycle_s for zone in site.zones))
    wrapped: list[DriverGroup] = []
    for group in groups:
        drivers = {n: SharedDriver(d, clock, fresh_s) if n in several else d for n, d in group.drivers.items()}
        wrapped.append(SubGroup(group.link, drivers, width(group)))
    return wrapped
