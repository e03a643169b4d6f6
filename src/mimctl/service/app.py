"""The service: links up, zones on their loops, the site level on its schedule, the door open; and all of it down again."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from mimctl.control.events import EventLog
from mimctl.control.loop import DeadlineLoop
from mimctl.control.scheduler import Schedule
from mimctl.control.site_controller import SiteController, build_site_controller
from mimctl.model.clock import Clock
from mimctl.model.problem import Severity
from mimctl.model.protocols import DriverGroup
from mimctl.model.site import Site
from mimctl.model.tasks import end_tasks, first_death
from mimctl.service.certificates import CERTIFICATES_EVERY_S, certificates_in_trouble, note_certificates
from mimctl.service.devices import DeviceDesk
from mimctl.service.door import Door, Handler
from mimctl.service.explain_desk import ExplainDesk
from mimctl.service.keepers import KeeperWatch
from mimctl.service.lease_desk import LeaseDesk
from mimctl.service.lease_store import LeaseStore, stored_book
from mimctl.service.left_behind import ENDS, STAYS, endless
from mimctl.service.link_status import links_status, note_link_news
from mimctl.service.operator_writes import OperatorWrites
from mimctl.service.reliance_store import RelianceStore
from mimctl.service.rule_status import rules_status
from mimctl.service.state_dir import socket_path
from mimctl.service.status import site_status
from mimctl.service.zigbee_desk import ZigbeeDesk

_WATCH_S = 1.0
#: zones that have just begun have seen nothing yet; after so many cycles they have, and need not keep to a fair share any longer
_CYCLES_BEFORE_ORDERS = 3.0


@dataclass(eq=False)
class Service:
    """One site under control. `run` lives until `stop` is set.

    Args:
        groups: the site's links; the service opens and closes them.
        door_directory: the state directory; None = nobody can ask (the caller looks at `status()` itself), nothing is kept.
        dry_run: everything but writing.
    """

    site: Site
    groups: Sequence[DriverGroup]
    clock: Clock
    door_directory: Path | None = None
    dry_run: bool = False
    events: EventLog = field(init=False)
    controller: SiteController = field(init=False)
    leases: LeaseDesk = field(init=False)
    schedule: Schedule = field(init=False)
    watch: DeadlineLoop = field(init=False)
    keepers: KeeperWatch = field(init=False)

    def __post_init__(self) -> None:
        self.events = EventLog(self.clock)
        store = None if self.door_directory is None else LeaseStore(self.door_directory, self.site.id)
        book = None if store is None else stored_book(self.site, self.clock, self.events, store)
        self.controller = build_site_controller(self.site, self.groups, self.clock, self.events, leases=book, dry_run=self.dry_run)
        self.leases = LeaseDesk(self.controller, self.clock, store)
        self._reliance = None
        if self.door_directory is not None:
            self._reliance = RelianceStore(self.door_directory, self.site, self.controller.day, self.clock)
        self.schedule = Schedule(self.clock, self.events)
        self.watch = DeadlineLoop(self.clock, _WATCH_S, self._look_around, self._watch_failed, self._watch_well)
        first_s = _CYCLES_BEFORE_ORDERS * max((zone.cycle_s for zone in self.site.zones), default=1.0)
        self.schedule.every(self.site.control.site_period_s, "site_level", self.controller.solve_site, first_in_s=first_s)
        if any(link.tls is not None or link.lorawan is not None for link in self.site.links):
            self.schedule.every(CERTIFICATES_EVERY_S, "certificates", self._look_at_certificates, first_in_s=1.0)
        self.keepers = KeeperWatch(self.groups, self.events)
        self._started = self.clock.utc()
        self._log = structlog.get_logger("mimctl.service")

    async def run(self, stop: asyncio.Event) -> tuple[str, ...]:
        """Run until `stop` is set; then release every touched device and close every link, whatever happened.

        Returns:
            The MIMs that could not be released; `left_behind` tells what becomes of them.
        """
        left: list[str] = []
        async with contextlib.AsyncExitStack() as stack:
            for group in self.groups:
                await group.open()
                stack.push_async_callback(group.close)
            if self.door_directory is not None:
                door = Door(socket_path(self.door_directory), self._handlers())
                await door.open()
                stack.push_async_callback(door.close)
            if self._reliance is not None:
                stack.push_async_callback(self._reliance.close)
            # after the door in this list, so before it at the end: nobody who talks at the door delays a release
            stack.push_async_callback(self._release, left)
            self.schedule.start()
            stack.callback(self.schedule.stop)
            self._log.info("running", site=self.site.id, zones=len(self.controller.zones), dry_run=self.dry_run)
            await self._run_loops(stop)
            self._log.info("stopping: releasing devices", site=self.site.id)
        self._log.info("stopped", site=self.site.id)
        return tuple(left)

    def _handlers(self) -> dict[str, Handler]:
        """What is answered at the door."""
        desk = DeviceDesk(self.groups, self.clock, OperatorWrites(self.controller.zones, self.clock), self.events)
        return {
            "status": lambda _: self.status(),
            "rules": lambda _: {"rules": rules_status(self.controller)},
            "device": desk.answer,
            "lease": self.leases.answer,
            "stop": self.leases.answer_stop,
            "zigbee": ZigbeeDesk(self.groups).answer,
            "explain": ExplainDesk(self.controller, self.clock, dry_run=self.dry_run).answer,
        }

    async def _release(self, left: list[str]) -> None:
        left += await self.controller.stop()
        stay = endless(self.controller, left)
        for mim in left:
            self._log.error("could not be released", mim=mim, then=STAYS if mim in stay else ENDS)

    async def _run_loops(self, stop: asyncio.Event) -> None:
        """A loop only ends by being cancelled; if one dies all the same, the service ends rather than half-live."""
        loops = {f"the loop of zone {zone.zone.id}": zone.loop for zone in self.controller.zones}
        loops["the watch over clock and leases"] = self.watch
        if self.controller.upper is not None:
            loops["the reading above the zones"] = self.controller.above_loop
        tasks = [asyncio.create_task(loop.run(), name=name) for name, loop in loops.items()]
        stopped = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
            died = first_death(tasks)
        finally:
            await end_tasks(*tasks, stopped)
        if died is not None:
            self.events.note("service.task_died", Severity.ERROR, self.site.id, str(died))
            raise died

    async def _look_around(self) -> None:
        """An emergency stop that was called by its file comes before everything else."""
        await self.leases.watch()
        self.schedule.watch_clock()
        if self._reliance is not None:
            await self._reliance.watch()
        note_link_news(self.groups, self.events)
        self.keepers.look()

    async def _look_at_certificates(self) -> None:
        note_certificates(await asyncio.to_thread(certificates_in_trouble, self.site, self.clock.utc()), self.events)

    def _watch_failed(self, error: Exception) -> None:
        self._log.error("the watch over clock and leases failed", error=repr(error), exc_info=error)
        text = f"steps of the clock, news of the links and an emergency stop by its file may go unnoticed: {error!r}"
        self.events.raise_("watch.failed", Severity.ERROR, self.site.id, text)

    def _watch_well(self) -> None:
        self.events.clear("watch.failed", self.site.id)

    def pause(self, paused: bool) -> None:
        """Watch only: touched devices are released by the next cycle, none is written after that."""
        for zone in self.controller.zones:
            zone.cycle.paused = paused

    def status(self) -> dict[str, Any]:
        """Plain values for people and machines."""
        extra = {
            "pid": os.getpid(),
            "since": self._started.isoformat(timespec="seconds"),
            "dry_run": self.dry_run,
            **self.leases.status(),
            "rules": rules_status(self.controller),
            "schedule": {
                "runs": dict(self.schedule.runs),
                "misses": self.schedule.misses,
                "errors": self.schedule.errors,
                "clock_steps": self.schedule.clock_steps,
            },
            "links": links_status(self.groups, self.controller),
        }
        return site_status(self.controller, self.events, extra)
