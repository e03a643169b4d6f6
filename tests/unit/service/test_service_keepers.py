"""What keeps a link up and dies all the same is told, once, with where; the service goes on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from mimctl.control.events import EventLog
from mimctl.drivers.registry import RegisterGroup
from mimctl.model.clock import SystemClock
from mimctl.model.link import Link, LinkType
from mimctl.model.tasks import end_tasks
from mimctl.service.keepers import KeeperWatch
from mimctl.wire.modbus import ModbusLink


@dataclass
class Plain:
    """A link that needs nobody to keep it up."""

    link: str = "plain"
    drivers: dict[str, Any] = field(default_factory=dict)


@dataclass
class Kept(Plain):
    link: str = "kept"
    tasks: tuple[asyncio.Task[Any], ...] = ()

    def background(self) -> tuple[asyncio.Task[Any], ...]:
        return self.tasks


async def fails() -> None:
    raise KeyError("nobody thought of this")


async def ends() -> None:
    """What should go on."""


@pytest.mark.parametrize(("end", "how"), [(fails, "nobody thought of this"), (ends, "has ended")])
async def test_a_keeper_that_dies_is_told_once_and_one_that_goes_on_is_not(end, how) -> None:
    events, going, dying = EventLog(SystemClock()), asyncio.create_task(asyncio.sleep(3600)), asyncio.create_task(end())
    watch = KeeperWatch([Plain(), Kept("well", tasks=(going,)), Kept(tasks=(going, dying))], events)  # type: ignore[list-item]
    watch.look()
    assert not events.open()
    await asyncio.wait([dying])
    with structlog.testing.capture_logs() as told:
        watch.look()
        watch.look()
    (event,) = events.open()
    assert (event.code, event.where) == ("link.task_died", "kept")
    assert how in event.text
    (line,) = [line for line in told if line["log_level"] == "error" and "exc_info" in line]
    assert line["link"] == "kept"
    await end_tasks(going)


async def test_a_modbus_link_shows_what_keeps_it_up_from_open_to_close() -> None:
    group = RegisterGroup(ModbusLink(Link("gw", LinkType.MODBUS_TCP, "127.0.0.1", 9), SystemClock()))
    assert group.background() == ()
    await group.open()
    (task,) = group.background()
    assert not task.done()
    await group.close()
    assert group.background() == ()
