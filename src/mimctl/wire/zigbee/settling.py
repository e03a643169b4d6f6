"""Has the devices of a running coordinator report: sets up who is not, sees who went silent, asks for what nobody reports."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mimctl.model.clock import Clock
from mimctl.model.errors import BadReply
from mimctl.model.tasks import end_tasks
from mimctl.wire.zigbee.guard import Gate
from mimctl.wire.zigbee.pace import Pace
from mimctl.wire.zigbee.setup import read_unreported, set_up
from mimctl.wire.zigbee.watched import Watched


@dataclass(eq=False)
class Settling:
    """The devices of one life of a coordinator.

    Args:
        devices: by address, as the site file names them.
    """

    app: Any
    link: str
    devices: Mapping[str, Watched]
    gate: Gate
    clock: Clock
    pace: Pace
    #: listeners by the identity of their cluster object
    listening: dict[int, Any] = field(default_factory=dict)
    _busy: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def run(self) -> None:
        """Look after the devices until it is cancelled. One that takes long does not keep the others waiting."""
        try:
            while True:
                self._look()
                if self._busy:
                    await asyncio.wait(self._busy.values(), timeout=self.pace.look_s, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(self.pace.look_s)
        finally:
            await end_tasks(*self._busy.values())

    def _look(self) -> None:
        now_s = self.clock.monotonic_s()
        self._busy = {eui: task for eui, task in self._busy.items() if not task.done()}
        for device in self.devices.values():
            if device.ready and device.silent_s(now_s) > device.patience_s:
                self.gate.counts["silent device"] += 1
                device.ready, device.trouble = False, "it went silent"
        free = self.pace.at_a_time - len(self._busy)
        for device in sorted(self._due(now_s), key=lambda d: d.retry_at_s)[: max(0, free)]:
            self._busy[device.eui] = asyncio.create_task(self._serve(device), name=f"zigbee {self.link}: {device.eui}")

    def _due(self, now_s: float) -> Iterator[Watched]:
        for device in self.devices.values():
            asks = device.ready and bool(device.unreported)
            due = now_s >= (device.ask_at_s if device.ready else device.retry_at_s)
            if device.eui not in self._busy and due and (asks or not device.ready):
                yield device

    async def _serve(self, watched: Watched) -> None:
        asks, joins = watched.ready, watched.joins
        try:
            async with asyncio.timeout(self.pace.start_s):
                await (self._read(watched) if asks else self._set_up(watched))
        except BadReply as error:
            watched.trouble = error.what
        except Exception as error:  # noqa: BLE001 - one device must not keep the others from being set up
            watched.trouble = f"it does not answer ({type(error).__name__})"
        now_s = self.clock.monotonic_s()
        if watched.ready:
            watched.tries, watched.retry_at_s = 0, float("-inf")
            watched.ask_at_s = now_s + watched.ask_every_s
        elif watched.joins != joins:
            watched.retry_at_s = now_s
        else:
            watched.tries += 1
            pause_s = min(self.pace.most_s, self.pace.look_s * 2.0 ** min(watched.tries, 10))
            watched.retry_at_s = now_s + pause_s * random.uniform(0.75, 1.25)

    async def _set_up(self, watched: Watched) -> None:
        device = known_device(self.app, watched.eui)
        if device is None:
            watched.trouble = "not on the network yet"
            await self._call_for(watched.eui)
            return
        joins = watched.joins
        await set_up(device, watched, self.listening, self.clock.monotonic_s)
        if joins == watched.joins:
            watched.ready = watched.complete = True
            watched.trouble = ""

    async def _read(self, watched: Watched) -> None:
        device = known_device(self.app, watched.eui)
        if device is not None:
            await read_unreported(device, watched, self.clock.monotonic_s)

    async def _call_for(self, eui: str) -> None:
        """Ask everybody for a device that is not known here: it may be on the network since before our database."""
        import zigpy.types as t
        import zigpy.zdo
        from zigpy.zdo.types import AddrRequestType, ZDOCmd

        ieee = t.EUI64.convert(eui)
        await zigpy.zdo.broadcast(self.app, ZDOCmd.NWK_addr_req, None, 0, ieee, AddrRequestType.Single, 0)


def known_device(app: Any, eui: str) -> Any:
    """zigpy's device, where it knows what it is; else None. `app` None = the coordinator is away."""
    from zigpy.types import EUI64

    device = None if app is None else app.devices.get(EUI64.convert(eui))
    return device if device is not None and device.is_initialized else None
