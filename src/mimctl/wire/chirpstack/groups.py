"""Frames to multicast groups. The server tells nobody what becomes of them: only the echo of each device does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from mimctl.model.clock import Clock
from mimctl.model.errors import LinkError
from mimctl.model.lorawan import DownlinkState
from mimctl.wire.chirpstack.lifecycle import DownlinkTracker
from mimctl.wire.chirpstack.server_api import ServerApi


@dataclass(frozen=True, slots=True)
class GroupPart:
    """What a frame for several does to one device.

    Args:
        sequence: that it echoes.
        due_s: not echoed by then, it counts as lost, monotonic [s].
    """

    eui: str
    sequence: int
    due_s: float


@dataclass(frozen=True, slots=True)
class Told:
    """A part, and who follows what becomes of it."""

    device: str
    part: GroupPart
    downlinks: DownlinkTracker


@dataclass(frozen=True, slots=True)
class _Waiting:
    group: str
    sequence: int
    until_s: float


class GroupQueues:
    """The queues of the groups of one link, beside those of its devices: what waits in one must not come after the other."""

    def __init__(self, api: ServerApi, clock: Clock) -> None:
        self._api, self._clock = api, clock
        self._waiting: dict[str, _Waiting] = {}
        self._log = structlog.get_logger("mimctl.lorawan")

    async def send(self, group: str, port: int, payload: bytes, valid_s: float, told: Sequence[Told]) -> None:
        """Queue a frame with the setpoints of several devices.

        Raises:
            LinkError: it is not in the queue.
        """
        for each in told:
            before = each.downlinks.current
            waits = before is not None and before.state in (DownlinkState.ENQUEUED, DownlinkState.GATEWAY_ERROR)
            if waits and each.part.eui not in self._waiting:  # in its own queue, where it would wait until after this frame
                await self._api.flush(each.device, each.part.eui)
        for each in told:
            each.downlinks.begin(each.part.sequence, each.part.due_s)
        try:
            item = await self._api.enqueue_group(told[0].device, group, port, payload, valid_s)
        except BaseException as error:
            why = error.what if isinstance(error, LinkError) else "given up before the server answered"
            for each in told:
                each.downlinks.refused(why)
            raise
        until_s = self._clock.monotonic_s() + valid_s
        for each in told:
            self._waiting[each.part.eui] = _Waiting(group, each.part.sequence, until_s)
            each.downlinks.enqueued(item)

    async def release(self, device: str, group: str, port: int, payload: bytes, valid_s: float) -> None:
        """Queue the release of a whole group in place of whatever waits there. Raises as `send`."""
        # before anything else: what goes to one of them meanwhile must not empty the queue of this very frame
        self._waiting = {eui: one for eui, one in self._waiting.items() if one.group != group}
        await self._api.flush_group(device, group)
        await self._api.enqueue_group(device, group, port, payload, valid_s)

    async def make_way(self, device: str, eui: str, downlinks: DownlinkTracker, *, urgent: bool) -> None:
        """Before something goes to a device by itself: a frame of its group that still waits must not come later.

        Raises:
            LinkError: the server does not drop it; not where the downlink is urgent.
        """
        waiting = self._waiting.pop(eui, None)
        if waiting is None or self._clock.monotonic_s() >= waiting.until_s:
            return
        now = downlinks.current
        if now is not None and now.sequence == waiting.sequence and now.state is DownlinkState.ECHOED:
            return
        try:
            await self._api.flush_group(device, waiting.group)
        except LinkError as error:
            self._log.warning("group.not_flushed", device=device, text=error.what)
            if not urgent:
                raise
