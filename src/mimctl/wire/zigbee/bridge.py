"""The life of one Zigbee link: start the coordinator, have its devices report, notice when it goes, come back by itself.

Nothing on the air or on the stick raises out of here: a device that cannot be asked is a link error to whoever asks, everything
else is counted and told once.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import structlog

from mimctl.model.clock import Clock
from mimctl.model.errors import MissingExtra, TaskDied, Unreachable
from mimctl.model.tasks import end_tasks, first_death
from mimctl.model.zigbee import ZigbeeRadio
from mimctl.wire.zigbee import commands
from mimctl.wire.zigbee.coordinator import MakeRadio, opened, release, words
from mimctl.wire.zigbee.guard import Gate, plain_eui
from mimctl.wire.zigbee.mim_layout import SetPower
from mimctl.wire.zigbee.pace import Pace
from mimctl.wire.zigbee.radios import radio_class
from mimctl.wire.zigbee.settling import Settling, known_device
from mimctl.wire.zigbee.watched import Wanted, Watched

_LOST = "the coordinator was unplugged or restarted"
_T = TypeVar("_T")


@dataclass(eq=False)
class ZigbeeBridge:
    """One coordinator and what is watched behind it.

    Args:
        make_radio: zigpy's class for this radio; None = by the kind that the link names.
        database: where zigpy keeps its devices and backups. It holds the network key.
    """

    link: str
    radio: ZigbeeRadio
    database: Path
    clock: Clock
    pace: Pace = field(default_factory=Pace)
    make_radio: MakeRadio | None = None
    gate: Gate = field(default_factory=Gate)
    devices: dict[str, Watched] = field(default_factory=dict)
    #: why it is down, for people; None while it is up
    trouble: str | None = "not started"
    starts: int = 0
    _app: Any = None
    _keeper: asyncio.Task[None] | None = None
    #: what people have it do just now
    _by_hand: set[asyncio.Task[Any]] = field(default_factory=set)
    _told: str | None = None
    _log: Any = field(default_factory=lambda: structlog.get_logger("mimctl.zigbee"))

    @property
    def connected(self) -> bool:
        return self._app is not None

    def watch(self, eui: str, wanted: Iterable[Wanted]) -> Watched:
        """Have a device's attributes reported; call before `open`."""
        self.gate.expected.add(eui)
        self.devices[eui] = Watched(eui, tuple(wanted), self.gate.refuse)
        return self.devices[eui]

    async def open(self) -> None:
        """Start keeping the coordinator up. Returns at once: one that is away now is not an error here.

        Raises:
            MissingExtra: the packages are not installed: no waiting mends that.
        """
        if self.make_radio is None:
            radio_class(self.radio)
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name=f"zigbee {self.link}")

    async def close(self) -> None:
        """Let the coordinator go; bounded, whatever state it is in."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            await end_tasks(keeper, again_s=5 * self.pace.close_s, within_s=10 * self.pace.close_s)
        self._down("closed")

    def background(self) -> tuple[asyncio.Task[None], ...]:
        """What keeps the coordinator up, from `open` to `close`."""
        return () if self._keeper is None else (self._keeper,)

    async def set_power(self, eui: str, command: SetPower) -> tuple[int, int]:
        """Send one command at high priority. Returns and raises as `commands.send`."""
        return await self._command(eui, "set_power", command.encode())

    async def keep_alive(self, eui: str, sequence: int, validity_s: int) -> tuple[int, int]:
        """Start the validity anew. Returns and raises as `commands.send`."""
        return await self._command(eui, "keep_alive", sequence, validity_s)

    async def _command(self, eui: str, name: str, *fields: Any) -> tuple[int, int]:
        cluster = commands.mim_cluster(known_device(self._app, eui), eui, self.trouble or "it is not on the network")
        return await commands.send(cluster, eui, name, fields, self.pace.command_s)

    async def by_hand(self, work: Callable[[Any], Coroutine[Any, Any, _T]]) -> _T:
        """Have the running coordinator do one thing of `hands`.

        Raises:
            Unreachable: it is away, or went meanwhile.
        """
        if self._app is None:
            raise Unreachable(f"the coordinator of link '{self.link}' is away: {self.trouble}")
        task = asyncio.create_task(work(self._app), name=f"zigbee {self.link}: by hand")
        self._by_hand.add(task)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            await end_tasks(task)
            raise
        finally:
            self._by_hand.discard(task)
        if task.cancelled():
            raise Unreachable(f"the coordinator of link '{self.link}' went away meanwhile")
        return task.result()

    # the coordinator

    async def _keep(self) -> None:
        pause_s = self.pace.first_s
        while True:
            try:
                ran = await self._run_once()
            except MissingExtra:
                raise
            except TaskDied as error:
                ran = False
                fault = "it was cancelled" if error.__cause__ is None else type(error.__cause__).__name__
                self._note_down(f"what looks after its devices has failed ({fault}): a fault of mimctl, the log says where")
            except Exception as error:  # noqa: BLE001 - whatever befell the stick, the service goes on and it is tried again
                ran = False
                self._note_down(words(error))
            pause_s = self.pace.first_s if ran else min(self.pace.most_s, 2 * pause_s)
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.25))

    async def _run_once(self) -> bool:
        """One life of the coordinator. True where it had one."""
        app = await opened(self.radio, self.database, self.make_radio, self.gate)
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        app.add_listener(_LifeListener(self, app, lost))
        try:
            async with asyncio.timeout(self.pace.start_s):
                await app.startup(auto_form=False)
            if not lost.done():
                self._up(app)
                await self._live(app, lost)
        finally:
            self._down(self.trouble or "the coordinator is away")
            await end_tasks(*self._by_hand)
            await release(app, self.pace.close_s)
        self._note_down(_LOST)
        return True

    async def _live(self, app: Any, lost: asyncio.Future[None]) -> None:
        """Look after the devices until the coordinator is lost.

        Raises:
            TaskDied: nobody looks after them any more, though the coordinator is there.
        """
        settling = Settling(app, self.link, self.devices, self.gate, self.clock, self.pace)
        task = asyncio.create_task(settling.run(), name=f"zigbee {self.link}: devices")
        try:
            await asyncio.wait([lost, task], return_when=asyncio.FIRST_COMPLETED)
            died = first_death([task])
        finally:
            await end_tasks(task)
        if died is not None:
            error = died.__cause__
            # where it was, and not its words: they may hold keys
            at = "" if error is None else "".join(traceback.format_tb(error.__traceback__))
            self._log.error("the keeper of zigbee devices died", link=self.link, error=type(error).__name__, at=at)
            if not lost.done():
                raise died

    def _up(self, app: Any) -> None:
        self._app, self.trouble, self._told = app, None, None
        self.starts += 1
        self._log.info("zigbee coordinator is up", link=self.link)

    def _down(self, why: str) -> None:
        """At once and for all: nothing of before is believed when it comes back."""
        self._app = None
        self.trouble = why
        for device in self.devices.values():
            device.forget(why)

    def _note_down(self, why: str) -> None:
        self._down(why)
        if self._told != why:
            self._told = why
            self._log.warning("zigbee coordinator is down", link=self.link, why=why)


class _LifeListener:
    """zigpy calls these by the name of the event."""

    def __init__(self, bridge: ZigbeeBridge, app: Any, lost: asyncio.Future[None]) -> None:
        self._bridge, self._app, self._lost = bridge, app, lost

    def connection_lost(self, _: Exception | None) -> None:
        # at once, not when the task gets its turn; a late word of a coordinator that was let go is none of the next one
        if self._bridge._app in (None, self._app):
            self._bridge._down(_LOST)
        if not self._lost.done():
            self._lost.set_result(None)

    def device_joined(self, device: Any) -> None:
        self._came(device)

    def device_initialized(self, device: Any) -> None:
        self._came(device)

    def device_came(self, device: Any) -> None:
        self._came(device)

    def device_left(self, device: Any) -> None:
        watched = self._bridge.devices.get(plain_eui(device.ieee))
        if watched is not None:
            watched.forget("it left the network")

    def _came(self, device: Any) -> None:
        watched = self._bridge.devices.get(plain_eui(device.ieee))
        if watched is not None:
            watched.came()
