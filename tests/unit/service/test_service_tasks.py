"""Whatever should go on as long as the service: its death is told, and ends the service in order; what can go on does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import structlog

from builders import rack_site
from mimctl.model.clock import SystemClock
from mimctl.model.errors import TaskDied
from mimctl.model.site import Site
from mimctl.service import alone
from mimctl.service.alone import zone_alone
from mimctl.service.app import Service

#: cycles are short, so that a test sees many of them
SITE = rack_site(1)
SITE = replace(SITE, zones=tuple(replace(zone, cycle_s=0.02) for zone in SITE.zones))


@pytest.fixture(autouse=True)
def quiet():
    """Tracebacks for people, with everything in them, take seconds each."""
    with structlog.testing.capture_logs():
        yield


class Lone(Service):
    """Of a site without a single link: everything runs, and nothing answers."""

    def __init__(self, site: Site = SITE) -> None:
        super().__init__(site, [], SystemClock())
        self.released = 0
        self.controller.stop = self._stopped  # type: ignore[method-assign]

    async def _stopped(self) -> tuple[str, ...]:
        self.released += 1
        return ()

    def codes(self) -> set[str]:
        return {event.code for event in (*self.events.open(), *self.events.recent())}


async def ends() -> None:
    """A loop that should go on."""


async def fails() -> None:
    raise OSError("no more")


async def is_cancelled() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 what is waited for has no event
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(("end", "how"), [(ends, "has ended"), (fails, "no more"), (is_cancelled, "cancelled by nobody")])
@pytest.mark.parametrize("which", ["zone", "watch"])
async def test_a_loop_that_dies_ends_the_service_in_order_with_its_name(end, how: str, which: str) -> None:
    service = Lone()
    loop = service.controller.zones[0].loop if which == "zone" else service.watch
    loop.run = end  # type: ignore[method-assign]
    with pytest.raises(TaskDied, match=how) as died:
        async with asyncio.timeout(10):
            await service.run(asyncio.Event())
    assert died.value.task == ("the loop of zone z" if which == "zone" else "the watch over clock and leases")
    assert service.released == 1
    assert "service.task_died" in service.codes()


async def test_a_failing_cycle_is_an_event_for_as_long_as_it_fails_and_control_goes_on() -> None:
    service, stop = Lone(), asyncio.Event()
    zone = service.controller.zones[0]
    sound, well = zone.loop.body, asyncio.Event()

    async def body() -> object:
        if not well.is_set():
            raise RuntimeError("tripped")
        return await sound()

    zone.loop.body = body
    running = asyncio.create_task(service.run(stop))
    await until(lambda: "cycle.failed" in {event.code for event in service.events.open()})
    well.set()
    await until(lambda: "cycle.failed" not in {event.code for event in service.events.open()})
    stop.set()
    await running
    assert "cycle.failed" in service.codes()


async def test_a_watch_that_fails_goes_on_and_hears_an_emergency_stop_by_its_file_all_the_same(monkeypatch) -> None:
    """News of the links that cannot be told keep nobody from hearing the stop."""
    service, stop, looks = Lone(), asyncio.Event(), []

    async def look() -> None:
        looks.append(1)

    def trips(*_: object) -> None:
        raise RuntimeError("no news")

    monkeypatch.setattr("mimctl.service.app.note_link_news", trips)
    service.watch.period_s = 0.02
    monkeypatch.setattr(service.leases, "watch", look)
    running = asyncio.create_task(service.run(stop))
    await until(lambda: len(looks) >= 3)
    assert "watch.failed" in {event.code for event in service.events.open()}
    stop.set()
    await running


@pytest.mark.parametrize("which", ["loop", "ear"])
async def test_a_setpoint_without_a_service_ends_when_its_cycle_or_the_ear_for_a_stop_dies(monkeypatch, tmp_path, which) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(alone, "open_groups", lambda *_: [])
    told, die = asyncio.Event(), asyncio.Event()

    async def first_reading(*_: object) -> None:
        """Nothing is there to be read."""

    async def dies(*_: object) -> None:
        await die.wait()
        raise OSError("no more")

    monkeypatch.setattr(alone, "_first_reading", first_reading)
    if which == "loop":
        monkeypatch.setattr("mimctl.control.loop.DeadlineLoop.run", dies)
    else:
        monkeypatch.setattr(alone, "_hear_stop", dies)

    async def setpoint() -> None:
        async with zone_alone(SITE, "mim-rack1", SystemClock(), dry_run=False, on_stop=told.set), asyncio.timeout(10):
            die.set()
            await told.wait()

    with pytest.raises(TaskDied, match="no more"):
        await setpoint()


async def test_who_waits_for_the_first_reading_hears_of_a_dead_cycle(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(alone, "open_groups", lambda *_: [])

    async def dies(*_: object) -> None:
        raise OSError("no more")

    monkeypatch.setattr("mimctl.control.loop.DeadlineLoop.run", dies)

    async def setpoint() -> None:
        async with asyncio.timeout(10), zone_alone(SITE, "mim-rack1", SystemClock(), dry_run=False):
            raise AssertionError("nothing was read")

    with pytest.raises(TaskDied, match="no more"):
        await setpoint()
