"""A setpoint without a running service: one zone with one MIM, on the ordinary cycle, for as long as the setpoint stands."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from mimctl.control.events import EventLog
from mimctl.control.partition import restrict
from mimctl.control.zone import ZoneController, build_zone
from mimctl.model.clock import Clock
from mimctl.model.errors import LinkDown, UserError
from mimctl.model.sample import Quality
from mimctl.model.site import Site, Zone
from mimctl.service.links import open_groups

#: until the MIM and the meters around it have been read
_WITHIN_S = 15.0
_LOOK_EVERY_S = 0.05


def lone_mim(site: Site, device: str) -> tuple[Site, Zone]:
    """Its zone's nodes and meters with this MIM alone, and no rule: nothing moves but what an operator wants.

    Raises:
        UserError: no zone has that MIM.
    """
    for zone in site.zones:
        part = restrict(site, zone)
        mims = tuple(mim for mim in part.mims if mim.id == device)
        if mims:
            batteries = tuple(battery for battery in part.batteries if battery.mim == device)
            used = {mim.address.link for mim in mims} | {meter.address.link for meter in part.meters}
            links = tuple(link for link in part.links if link.id in used)
            return replace(part, mims=mims, batteries=batteries, links=links, rules=()), zone
    raise UserError(f"'{device}' is no MIM of any zone: it takes no setpoint")


@contextlib.asynccontextmanager
async def zone_alone(site: Site, device: str, clock: Clock, *, dry_run: bool) -> AsyncIterator[Sequence[ZoneController]]:
    """The zone at work with one MIM, read at least once; on leaving, whatever it was told is released and every link closed.

    Args:
        dry_run: nothing is ever written.

    Raises:
        LinkDown: the MIM does not answer.
    """
    part, zone = lone_mim(site, device)
    async with contextlib.AsyncExitStack() as stack:
        groups = open_groups(part, clock)
        for group in groups:
            await group.open()
            stack.push_async_callback(group.close)
        controller = build_zone(part, zone, groups, clock, EventLog(clock), dry_run=dry_run)
        stack.push_async_callback(controller.stop)
        loop = asyncio.create_task(controller.loop.run(), name=f"zone {zone.id}")
        stack.push_async_callback(_end, loop)
        await _first_reading(controller, device, clock)
        yield (controller,)


async def _first_reading(controller: ZoneController, device: str, clock: Clock) -> None:
    deadline_s = clock.monotonic_s() + _WITHIN_S
    while clock.monotonic_s() < deadline_s:
        last = controller.cycle.last
        if last is not None and not controller.cycle.collector.starting() and last.state.mims.quality[0] > Quality.BAD:
            return
        await clock.sleep_until(clock.monotonic_s() + _LOOK_EVERY_S)
    error = controller.cycle.collector.errors().get(device)
    raise error or LinkDown(device, f"no reading within {_WITHIN_S:.0f} s")


async def _end(loop: asyncio.Task[None]) -> None:
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
