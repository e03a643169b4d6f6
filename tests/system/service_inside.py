"""The service and its twin in one process, over real sockets, with a bent wire between them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from mimctl.model.clock import SystemClock
from mimctl.model.site import Site
from mimctl.service.app import Service
from mimctl.service.links import open_groups, site_profiles
from mimctl.simulation.loads import choose_loads
from mimctl.twin.firmware import MimFleet
from mimctl.twin.plant import Plant
from mimctl.twin.server import TwinServer

#: an answer as the device gave it → what the client gets; None closes the connection, `b""` says nothing
Bend = Callable[[bytes], bytes | None]
WRITE_MULTIPLE = 16


@contextlib.asynccontextmanager
async def twin_of(site: Site) -> AsyncIterator[TwinServer]:
    """The twin of a site on free ports."""
    loads = choose_loads(site, None, start=SystemClock().utc(), hours=None, step_s=1.0, seed=site.twin.seed).loads
    plant = Plant(loads.layout, loads, fleet=MimFleet(loads.layout))
    async with TwinServer(site, plant, SystemClock(), profiles=site_profiles(site), free_ports=True) as server:
        yield server


@contextlib.asynccontextmanager
async def service_of(site: Site) -> AsyncIterator[Service]:
    """A service at work; it ends in good order."""
    clock, stop = SystemClock(), asyncio.Event()
    service = Service(site, open_groups(site, clock), clock)
    running = asyncio.create_task(service.run(stop))
    try:
        yield service
    finally:
        stop.set()
        await running


async def until(wanted: Callable[[], Any]) -> Any:
    """The first answer that is true; the bound of the test bounds it."""
    while not (value := wanted()):  # noqa: ASYNC110 what is waited for has no event
        await asyncio.sleep(0.02)
    return value


def straight(frame: bytes) -> bytes:
    return frame


@dataclass(eq=False)
class Wire:
    """A relay in front of one server. Bends every answer, and keeps the writes that it saw."""

    upstream: tuple[str, int]
    bend: Bend = straight
    writes: list[bytes] = field(default_factory=list)
    address: tuple[str, int] = ("", 0)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()[:2]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await self._server.wait_closed()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        device_reader, device_writer = await asyncio.open_connection(*self.upstream)
        try:
            while True:
                request = await _frame(reader)
                if request[7] == WRITE_MULTIPLE:
                    self.writes.append(request)
                device_writer.write(request)
                answer = self.bend(await _frame(device_reader))
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the end of this connection, by either side
        finally:
            self._tasks.discard(task)
            device_writer.close()
            writer.close()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    header = await reader.readexactly(6)
    return header + await reader.readexactly(int.from_bytes(header[4:6], "big"))


@contextlib.asynccontextmanager
async def wires(site: Site) -> AsyncIterator[tuple[Site, dict[str, Wire]]]:
    """The site with a relay in front of every link, by link id."""
    made = {link.id: Wire((link.host, link.port)) for link in site.links}
    for wire in made.values():
        await wire.start()
    try:
        links = tuple(replace(k, host=made[k.id].address[0], port=made[k.id].address[1]) for k in site.links)
        yield replace(site, links=links), made
    finally:
        for wire in made.values():
            await wire.stop()
