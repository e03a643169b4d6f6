"""The count of reliance over restarts: it goes on where it was, at least, and a record that is lost counts as used up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from builders import START, rack_site
from mimctl.control.rulebook.reliance_day import RelianceDay
from mimctl.model.clock import VirtualClock
from mimctl.model.layout import SiteLayout
from mimctl.service.reliance_store import RELIANCE_FILE, RelianceStore

SITE = rack_site(1)
LAYOUT = SiteLayout(SITE)
PDU = np.array([node.id == "pdu" for node in SITE.nodes])


class Run:
    """One life of a service."""

    def __init__(self, directory: Path, clock: VirtualClock) -> None:
        self.clock, self.day = clock, RelianceDay(SITE)
        self.store = RelianceStore(directory, SITE, self.day, clock)

    async def rests(self, seconds: int, *, resting: bool = True) -> None:
        for _ in range(seconds):
            self.clock.advance_to(self.clock.monotonic_s() + 1)
            self.day.add(self.day.places(LAYOUT), PDU & resting, 1.0, self.clock.utc())
            await self.store.watch()

    def used_s(self) -> float:
        return float(self.day.used_s(self.day.places(LAYOUT), self.clock.utc()).sum())


async def test_an_orderly_restart_goes_on_with_the_very_second(tmp_path: Path) -> None:
    clock = VirtualClock(START)
    first = Run(tmp_path, clock)
    await first.rests(90)
    await first.store.close()
    assert Run(tmp_path, clock).used_s() == 90


async def test_a_crash_gives_nothing_away(tmp_path: Path) -> None:
    """Killed at 100 s, the disk has the second 60 and the minute after it."""
    clock = VirtualClock(START)
    await Run(tmp_path, clock).rests(100)
    assert Run(tmp_path, clock).used_s() == 120


async def test_nothing_is_written_where_nothing_rests_on_mims(tmp_path: Path) -> None:
    run = Run(tmp_path, VirtualClock(START))
    await run.rests(130, resting=False)
    await run.store.close()
    assert not (tmp_path / RELIANCE_FILE).exists()


async def test_the_next_day_begins_with_none(tmp_path: Path) -> None:
    clock = VirtualClock(START)
    run = Run(tmp_path, clock)
    await run.rests(70)
    await run.store.close()
    clock.advance_to(clock.monotonic_s() + 86_400)
    assert Run(tmp_path, clock).used_s() == 0


async def test_a_record_that_cannot_be_read_counts_as_a_day_that_is_used_up(tmp_path: Path) -> None:
    (tmp_path / RELIANCE_FILE).write_text("{")
    clock = VirtualClock(START)
    run = Run(tmp_path, clock)
    assert (run.day.used_s(run.day.places(LAYOUT), START) > 86_400).all()
    await run.store.close()
    assert Run(tmp_path, clock).used_s() > 86_400, "and stays so over another restart"
    clock.advance_to(clock.monotonic_s() + 86_400)
    assert Run(tmp_path, clock).used_s() == 0
