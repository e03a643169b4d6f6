"""Without a running service, on the ordinary cycle: one MIM for as long as a setpoint stands, or all of them to be released."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from mimctl.control.authority.leases import LeaseBook
from mimctl.control.events import EventLog
from mimctl.control.site_controller import SiteController, build_site_controller
from mimctl.control.zone import ZoneController, build_zone
from mimctl.model.clock import Clock
from mimctl.model.errors import LinkDown, UserError
from mimctl.model.problem import Severity
from mimctl.model.sample import Quality
from mimctl.model.site import Site, Zone
from mimctl.model.tasks import end_tasks, first_death
from mimctl.model.zoning import restrict
from mimctl.service.lease_desk import STOPPED
from mimctl.service.lease_store import LeaseStore, stored_book
from mimctl.service.left_behind import endless
from mimctl.service.links import open_groups
from mimctl.service.state_dir import state_path

#: until the MIM and the meters around it have been read
_WITHIN_S = 15.0
_LOOK_EVERY_S = 0.05
_LOOK_FOR_STOP_S = 0.2


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
async def zone_alone(
    site: Site, device: str, clock: Clock, *, dry_run: bool, on_stop: Callable[[], None] = lambda: None
) -> AsyncIterator[Sequence[ZoneController]]:
    """The zone at work with one MIM, read at least once; on leaving, whatever it was told is released and every link closed.

    Args:
        dry_run: nothing is ever written.
        on_stop: called after an emergency stop has released the MIM, and when the cycle or the ear for that stop has died.

    Raises:
        LinkDown: the MIM does not answer.
        TaskDied: on leaving, where one of the two had died.
    """
    part, zone = lone_mim(site, device)
    async with contextlib.AsyncExitStack() as stack:
        groups = open_groups(part, clock)
        for group in groups:
            await group.open()
            stack.push_async_callback(group.close)
        events, store = EventLog(clock), LeaseStore(state_path(site.id), site.id)
        book = stored_book(site, clock, events, store)  # what is locked out or stopped is so for everybody
        controller = build_zone(part, zone, groups, clock, events, leases=book, dry_run=dry_run)
        stack.push_async_callback(controller.stop)
        loop = asyncio.create_task(controller.loop.run(), name=f"the loop of zone {zone.id}")
        stack.push_async_callback(end_tasks, loop)
        hearing = asyncio.create_task(_hear_stop(controller, store, clock, on_stop), name="the ear for an emergency stop")
        stack.push_async_callback(end_tasks, hearing)
        for task in (loop, hearing):
            task.add_done_callback(lambda _: on_stop())
        await _first_reading(controller, device, clock, (loop, hearing))
        yield (controller,)
        if (died := first_death((loop, hearing))) is not None:
            events.note("service.task_died", Severity.ERROR, zone.id, str(died))
            raise died


async def _hear_stop(controller: ZoneController, store: LeaseStore, clock: Clock, on_stop: Callable[[], None]) -> None:
    """There is no door here: the file of the emergency stop is looked for, for as long as this runs."""
    while (stop := store.stop(clock.utc())) is None:
        await clock.sleep_until(clock.monotonic_s() + _LOOK_FOR_STOP_S)
    controller.cycle.leases.call_stop(stop.owner, stop.reason)
    await controller.release(STOPPED)
    on_stop()
    await asyncio.Event().wait()  # that it ended would mean that nobody hears anything


@dataclass(frozen=True, slots=True)
class ReleasedAlone:
    """What became of an emergency stop without a service, MIM ids.

    Args:
        at_rest: answered, and hold no setpoint any more.
        not_released: hold one and could not be told.
        silent: never answered.
        endless: those of `not_released` that keep what they hold for ever.
    """

    at_rest: tuple[str, ...]
    not_released: tuple[str, ...]
    silent: tuple[str, ...]
    endless: tuple[str, ...] = ()


async def release_alone(site: Site, book: LeaseBook, clock: Clock) -> ReleasedAlone:
    """Meet every MIM of a stopped site and release those that hold a setpoint; bounded, whatever does not answer.

    Args:
        book: in which the emergency stop is in force.
    """
    async with contextlib.AsyncExitStack() as stack:
        groups = open_groups(site, clock)
        for group in groups:
            await group.open()
            stack.push_async_callback(group.close)
        controller = build_site_controller(site, groups, clock, EventLog(clock), leases=book)
        loops = [asyncio.create_task(zone.loop.run(), name=f"the loop of zone {zone.zone.id}") for zone in controller.zones]
        deadline_s = clock.monotonic_s() + _WITHIN_S
        try:
            while (silent := _unmet(controller)) and clock.monotonic_s() < deadline_s:
                await clock.sleep_until(clock.monotonic_s() + _LOOK_EVERY_S)
        finally:
            died = first_death(loops)
            await end_tasks(*loops)
            left = await controller.stop()
        if died is not None:  # its MIMs are among the silent ones, or not released: the caller is told so all the same
            structlog.get_logger("mimctl.service").error("a loop died while releasing", error=str(died), exc_info=died)
    mims = [mim.id for zone in controller.zones for mim in zone.layout.mims]
    at_rest = tuple(mim for mim in mims if mim not in silent and mim not in left)
    quiet = tuple(mim for mim in silent if mim not in left)
    return ReleasedAlone(at_rest, tuple(left), quiet, endless(controller, left))


def _unmet(controller: SiteController) -> tuple[str, ...]:
    """MIMs that have not answered yet."""
    return tuple(
        mim.id
        for zone in controller.zones
        for m, mim in enumerate(zone.layout.mims)
        if zone.cycle.last is None or zone.cycle.last.state.mims.quality[m] == Quality.BAD
    )


async def _first_reading(controller: ZoneController, device: str, clock: Clock, alive: Sequence[asyncio.Task[None]]) -> None:
    deadline_s = clock.monotonic_s() + _WITHIN_S
    while clock.monotonic_s() < deadline_s:
        if (died := first_death(alive)) is not None:
            raise died
        last = controller.cycle.last
        if last is not None and not controller.cycle.collector.starting() and last.state.mims.quality[0] > Quality.BAD:
            return
        await clock.sleep_until(clock.monotonic_s() + _LOOK_EVERY_S)
    error = controller.cycle.collector.errors().get(device)
    raise error or LinkDown(device, f"no reading within {_WITHIN_S:.0f} s")
