"""The life of one Zigbee link: start the coordinator, have its devices report, notice when it goes, come back by itself.

Nothing on the air or on the stick raises out of here: a device that cannot be asked is a link error to whoever asks, everything
else is counted and told once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from mimctl.model.clock import Clock
from mimctl.model.errors import BadReply, DeviceRefusal, LinkDown, LinkTimeout, MissingExtra
from mimctl.model.tasks import end_tasks
from mimctl.model.zigbee import ZigbeeRadio
from mimctl.wire.zigbee import mim_layout
from mimctl.wire.zigbee.guard import Gate, plain_eui
from mimctl.wire.zigbee.mim_layout import SetPower
from mimctl.wire.zigbee.radios import check_database, configuration, hush, make_private, radio_class
from mimctl.wire.zigbee.setup import set_up
from mimctl.wire.zigbee.watched import Wanted, Watched


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient the bridge is [s].

    Args:
        first_s, most_s: pause after the first failed start, and after the hundredth.
        look_s: how often it looks which devices are not set up.
        command_s: longest wait for the answer to one attempt of a command; there are two.
        close_s: longest wait for the stick when it is let go.
        start_s: longest a start may take.
    """

    first_s: float = 1.0
    most_s: float = 60.0
    look_s: float = 1.0
    command_s: float = 2.0
    close_s: float = 5.0
    start_s: float = 60.0
    at_a_time: int = 4


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
    make_radio: Callable[[], Any] | None = None
    gate: Gate = field(default_factory=Gate)
    devices: dict[str, Watched] = field(default_factory=dict)
    #: why it is down, for people; None while it is up
    trouble: str | None = "not started"
    starts: int = 0
    _app: Any = None
    _keeper: asyncio.Task[None] | None = None
    _listening: dict[int, Any] = field(default_factory=dict)
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
            await end_tasks(keeper)
        self._down("closed")

    async def set_power(self, eui: str, command: SetPower) -> tuple[int, int]:
        """Send one command at high priority.

        Returns:
            The sequence that is in force then, and a status of `mim_layout`.

        Raises:
            LinkError: it did not arrive, or nobody knows.
        """
        return await self._command(eui, "set_power", command.encode())

    async def keep_alive(self, eui: str, sequence: int, validity_s: int) -> tuple[int, int]:
        """Start the validity anew. Returns and raises as `set_power`."""
        return await self._command(eui, "keep_alive", sequence, validity_s)

    # commands

    async def _command(self, eui: str, name: str, *fields: Any) -> tuple[int, int]:
        from zigpy.exceptions import DeliveryError, ZigbeeException
        from zigpy.types import PacketPriority

        cluster = self._mim_cluster(eui)
        how = {"timeout": self.pace.command_s, "retries": 1, "priority": PacketPriority.HIGH}
        try:
            # the bound is of everything: waiting for a free slot of the radio too
            async with asyncio.timeout(3 * self.pace.command_s):
                answer = await getattr(cluster, name)(*fields, **how)
        except TimeoutError as error:
            raise LinkTimeout(eui, f"no answer to {name}") from error
        except (DeliveryError, OSError) as error:
            raise LinkDown(eui, f"{name} was not delivered") from error
        except (ZigbeeException, ValueError, AttributeError, AssertionError) as error:
            raise BadReply(eui, f"{name} failed: {type(error).__name__}") from error
        if not hasattr(answer, "in_force"):
            status = int(getattr(answer, "status", 0xFF))
            raise DeviceRefusal(eui, f"it does not take {name} (status 0x{status:02x})", status)
        return int(answer.in_force), int(answer.status)

    def _mim_cluster(self, eui: str) -> Any:
        device = self._device(eui)
        endpoint = None if device is None else device.endpoints.get(1)
        cluster = None if endpoint is None else endpoint.in_clusters.get(mim_layout.CLUSTER)
        if device is None:
            raise LinkDown(eui, self.trouble or "it is not on the network")
        if cluster is None or not hasattr(cluster, "set_power"):
            raise BadReply(eui, "it does not say that it is a MIM")
        return cluster

    def _device(self, eui: str) -> Any:
        from zigpy.types import EUI64

        device = None if self._app is None else self._app.devices.get(EUI64.convert(eui))
        return device if device is not None and device.is_initialized else None

    # the coordinator

    async def _keep(self) -> None:
        pause_s = self.pace.first_s
        while True:
            try:
                ran = await self._run_once()
            except MissingExtra:
                raise
            except Exception as error:  # noqa: BLE001 - whatever befell the stick, the service goes on and it is tried again
                ran = False
                self._note_down(_words(error))
            pause_s = self.pace.first_s if ran else min(self.pace.most_s, 2 * pause_s)
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.25))

    async def _run_once(self) -> bool:
        """One life of the coordinator. True where it had one."""
        app = await self._made()
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        app.add_listener(_LifeListener(self, lost))
        try:
            async with asyncio.timeout(self.pace.start_s):
                await app.startup(auto_form=False)
            self._app, self.trouble = app, None
            self.starts += 1
            self._log.info("zigbee coordinator is up", link=self.link)
            await self._live(lost)
        finally:
            self._down(self.trouble or "the coordinator is away")
            await self._release(app)
        self._note_down("the coordinator was unplugged or restarted")
        return True

    async def _made(self) -> Any:
        """A controller with its database open. One that is made while it is called off is let go again: its thread would stay."""
        making = asyncio.create_task(self._new(), name=f"zigbee {self.link}: database")
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            done, _ = await asyncio.wait([making], timeout=self.pace.close_s)
            if done and making.exception() is None:
                await self._release(making.result())
            raise

    async def _new(self) -> Any:
        from mimctl.wire.zigbee.cluster import with_mim_cluster

        hush()
        make_private(self.database)
        check_database(self.database)
        kind = radio_class(self.radio) if self.make_radio is None else self.make_radio()
        app = await kind.new(configuration(self.radio, self.database), start_radio=False, device_resolver=with_mim_cluster)
        app.gate = self.gate
        return app

    async def _release(self, app: Any) -> None:
        """Shut down, bounded: the database's thread must end, or the process never would."""
        try:
            async with asyncio.timeout(self.pace.close_s):
                await app.shutdown()
        except TimeoutError:
            self._log.warning("zigbee coordinator did not let go in time", link=self.link)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.pace.close_s):
                    if app._dblistener is not None:
                        await app._dblistener.shutdown()

    def _down(self, why: str) -> None:
        self._app = None
        self.trouble = why
        self._listening.clear()
        for device in self.devices.values():
            device.forget(why)

    def _note_down(self, why: str) -> None:
        if self.trouble != why or self.starts:
            self._log.warning("zigbee coordinator is down", link=self.link, why=why)
        self._down(why)

    # the devices

    async def _live(self, lost: asyncio.Future[None]) -> None:
        """Set devices up until the coordinator is lost."""
        settling = asyncio.create_task(self._settle(), name=f"zigbee {self.link}: devices")
        try:
            await asyncio.wait([lost, settling], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks(settling)

    async def _settle(self) -> None:
        while True:
            await self._set_up_those_that_wait()
            await asyncio.sleep(self.pace.look_s)

    async def _set_up_those_that_wait(self) -> None:
        now_s = self.clock.monotonic_s()
        for device in self.devices.values():
            if device.ready and device.silent_s(now_s) > device.patience_s:
                self.gate.counts["silent device"] += 1
                device.ready, device.trouble = False, "it went silent"
        due = [d for d in self.devices.values() if not d.ready and now_s >= d.retry_at_s]
        slots = asyncio.Semaphore(self.pace.at_a_time)
        async with asyncio.TaskGroup() as group:
            for device in due:
                group.create_task(self._set_up(device, slots))

    async def _set_up(self, watched: Watched, slots: asyncio.Semaphore) -> None:
        async with slots:
            try:
                async with asyncio.timeout(self.pace.start_s):
                    await self._find_and_set_up(watched)
            except BadReply as error:
                watched.trouble = error.what
            except Exception as error:  # noqa: BLE001 - one device must not keep the others from being set up
                watched.trouble = f"it does not answer ({type(error).__name__})"
            else:
                if watched.ready:
                    watched.tries = 0
                    return
            watched.tries += 1
            pause_s = min(self.pace.most_s, self.pace.look_s * 2.0 ** min(watched.tries, 10))
            watched.retry_at_s = self.clock.monotonic_s() + pause_s * random.uniform(0.75, 1.25)

    async def _find_and_set_up(self, watched: Watched) -> None:
        device = self._device(watched.eui)
        if device is None:
            watched.trouble = "not on the network yet"
            await self._call_for(watched.eui)
            return
        await set_up(device, watched, self._listening, self.clock.monotonic_s)
        watched.ready = watched.complete = True
        watched.trouble = ""

    async def _call_for(self, eui: str) -> None:
        """Ask everybody for a device that is not known here: it may be on the network since before our database."""
        import zigpy.types as t
        import zigpy.zdo
        from zigpy.zdo.types import AddrRequestType, ZDOCmd

        ieee = t.EUI64.convert(eui)
        await zigpy.zdo.broadcast(self._app, ZDOCmd.NWK_addr_req, None, 0, ieee, AddrRequestType.Single, 0)

    def set_up_again(self, eui: str) -> None:
        """A device came back: it may have forgotten what it was to report."""
        watched = self.devices.get(eui)
        if watched is not None:
            watched.ready, watched.trouble = False, "it joined again"
            watched.retry_at_s = float("-inf")


class _LifeListener:
    """zigpy calls these by the name of the event."""

    def __init__(self, bridge: ZigbeeBridge, lost: asyncio.Future[None]) -> None:
        self._bridge, self._lost = bridge, lost

    def connection_lost(self, _: Exception | None) -> None:
        # at once, not when the task gets its turn
        self._bridge._down("the coordinator was unplugged or restarted")
        if not self._lost.done():
            self._lost.set_result(None)

    def device_joined(self, device: Any) -> None:
        self._bridge.set_up_again(plain_eui(device.ieee))

    def device_initialized(self, device: Any) -> None:
        self._bridge.set_up_again(plain_eui(device.ieee))

    def device_left(self, device: Any) -> None:
        watched = self._bridge.devices.get(plain_eui(device.ieee))
        if watched is not None:
            watched.forget("it left the network")


def _words(error: BaseException) -> str:
    """What went wrong, without a word of the error itself: some hold keys."""
    names = {
        "NetworkNotFormed": "no network was formed on it: `mimctl zigbee form` does",
        "NetworkSettingsInconsistent": "it holds another network than the last backup: `mimctl zigbee restore`, or another stick",
        "TransientConnectionError": "it is not there",
        "FileNotFoundError": "its serial port is not there",
        "PermissionError": "its serial port may not be opened: on most systems the user must be in the group dialout",
        "TimeoutError": "it does not answer",
        "DatabaseError": "its database is damaged: move it away, devices are found again",
    }
    return names.get(type(error).__name__, f"it failed to start ({type(error).__name__})")
