"""How long breakers have rested on MIMs today outlives the service: a restart gives nobody the minutes of a rule twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from mimctl.control.rulebook.reliance_day import RelianceDay
from mimctl.drivers.write_budget import FileBudget
from mimctl.model.calendar import local_day
from mimctl.model.clock import Clock
from mimctl.model.site import Site

RELIANCE_FILE = "reliance.json"
#: the disk has it so often while some node rests on MIMs; what it has is as much ahead, so that a crash gives nothing away
KEEP_EVERY_S = 60.0
#: nobody waits longer for a disk: whoever calls `watch` has to hear an emergency stop as well
_WITHIN_S = 2.0


class RelianceStore:
    """Keeps the count of one site in a file of its state directory. One that cannot be read counts as a day that is used up."""

    def __init__(self, directory: Path, site: Site, day: RelianceDay, clock: Clock) -> None:
        self._file = FileBudget(directory / RELIANCE_FILE, "the day's reliance on MIMs counts")
        self._day, self._clock = day, clock
        self._kept_at_s = clock.monotonic_s()
        self._kept: object = None
        self._log = structlog.get_logger("mimctl.reliance")
        today = local_day(clock.utc(), site.timezone)
        used = {node.id: float(self._file.spent(node.id, today)) for node in site.nodes}
        day.restore(today, {name: seconds for name, seconds in used.items() if seconds > 0})

    async def watch(self) -> None:
        """Call each second or so: writes what has changed, now and then, beside the event loop."""
        if self._clock.monotonic_s() - self._kept_at_s >= KEEP_EVERY_S:
            await self._keep(KEEP_EVERY_S)

    async def close(self) -> None:
        """At the end nothing is ahead."""
        await self._keep(0.0)

    async def _keep(self, ahead_s: float) -> None:
        self._kept_at_s = self._clock.monotonic_s()
        found = self._day.kept(ahead_s)
        if found is None or found == self._kept or not (found[1] or self._kept):
            return
        day, used_s = found
        try:
            async with asyncio.timeout(_WITHIN_S):
                await asyncio.to_thread(self._file.keep, day, {name: round(seconds) for name, seconds in used_s.items()})
        except OSError as error:
            self._log.error("the day's reliance on MIMs does not outlive this service", reason=str(error))
        else:
            self._kept = found
