"""MIMs of one multicast group that are commanded together: their setpoints go in as few frames as can be, a release of all in one.

Nobody is told what becomes of a frame to a group. Each MIM's echo is the only proof, as ever; one that does not echo is told anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import structlog

from mimctl.model.clock import Clock
from mimctl.model.errors import LinkError
from mimctl.model.lorawan import MulticastGroup
from mimctl.model.numbering import next_number
from mimctl.model.payload import GroupFrames
from mimctl.model.tasks import end_tasks
from mimctl.wire.chirpstack.groups import GroupPart
from mimctl.wire.payload import encode_payload
from mimctl.wire.payload_group import encode_group

#: what is commanded within so long goes together [s]
GATHER_S = 0.05
#: what still goes out when the link is closed has so long [s]
_FAREWELL_S = 1.0


class GroupWay(Protocol):
    """The way to a multicast group; `wire.chirpstack.bridge.LorawanBridge` is one."""

    async def send_group(self, group: str, port: int, payload: bytes, valid_s: float, parts: Sequence[GroupPart]) -> None: ...

    async def release_group(self, device: str, group: str, port: int, payload: bytes, valid_s: float) -> None: ...


class GroupMember(Protocol):
    """A MIM of the group, as far as the others of it need to know."""

    @property
    def device(self) -> str: ...

    @property
    def may_hold(self) -> bool:
        """Whether a setpoint may be in force at it."""
        ...

    def numbers_used(self) -> Iterable[int]:
        """Of commands that are in force, or may still come to it."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """The setpoint of one MIM: encoded, for as long as it is to stand [s], worth sending for so long [s], and whose."""

    payload: bytes
    validity_s: float
    valid_s: float
    target: GroupPart


@dataclass(eq=False)
class _Round:
    """What is gathered now. `sent`: whether it went with others; `number`: of the release of all, None where there is none."""

    parts: list[tuple[Part, asyncio.Future[bool]]] = field(default_factory=list)
    leaving: list[tuple[GroupMember, asyncio.Future[int | None]]] = field(default_factory=list)
    valid_s: float = 0.0


class GroupWriter:
    """Of one multicast group.

    Args:
        frames: of the profile that all its MIMs have.
        most_bytes: of a frame at the data rate of the group.
        most_number: the last number before they begin again.
    """

    def __init__(
        self, group: MulticastGroup, frames: GroupFrames, most_bytes: int, most_number: int, way: GroupWay, clock: Clock
    ) -> None:
        self._group, self._frames, self._way, self._clock = group, frames, way, clock
        self._most_parts, self._most_number = frames.capacity(most_bytes), most_number
        self._members: list[GroupMember] = []
        self._round: _Round | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._farewells: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("mimctl.lorawan")

    @property
    def frames(self) -> GroupFrames:
        return self._frames

    def join(self, member: GroupMember) -> int:
        """Take a MIM in; its number in the group."""
        self._members.append(member)
        return dict(self._group.members)[member.device]

    async def close(self) -> None:
        """A release of all that is on its way is waited for a moment."""
        if self._farewells:
            await asyncio.wait(set(self._farewells), timeout=_FAREWELL_S)
        await end_tasks(*self._tasks, *self._farewells)

    async def put(self, part: Part) -> bool:
        """Have a setpoint sent together with those of others; False where nobody else is told now: it is not sent then.

        Raises:
            LinkError: the frame is not in the queue.
        """
        found: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._gathering().parts.append((part, found))
        return await found  # who is cancelled meanwhile is left out: the future is

    async def leave(self, member: GroupMember, valid_s: float) -> int | None:
        """Have a MIM released together with the others; the number of that release.

        None: not all that may hold a setpoint are released now. In any case the MIM is to be released by itself as well, for it may
        miss the frame, and nobody would tell.
        """
        found: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        now = self._gathering()
        now.valid_s = max(now.valid_s, valid_s)
        now.leaving.append((member, found))
        return await found

    def _gathering(self) -> _Round:
        if self._round is None:
            self._round = _Round()
            task = asyncio.create_task(self._end(self._round), name=f"multicast group {self._group.id}")
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, self._round))
        return self._round

    def _ended(self, gathered: _Round, task: asyncio.Task[None]) -> None:
        """Nobody waits for what will not come: also where the round was ended before it began."""
        self._tasks.discard(task)
        if self._round is gathered:
            self._round = None
        waiting: list[asyncio.Future[Any]] = [*(found for _, found in gathered.parts), *(found for _, found in gathered.leaving)]
        error = None if task.cancelled() else task.exception()
        for found in (each for each in waiting if not each.done()):
            found.cancel() if error is None else found.set_exception(error)

    async def _end(self, gathered: _Round) -> None:
        """Send what has come together."""
        await self._clock.sleep_until(self._clock.monotonic_s() + GATHER_S)
        self._round = None
        await self._release([one for one in gathered.leaving if not one[1].done()], gathered.valid_s)
        await self._send([one for one in gathered.parts if not one[1].done()])

    async def _send(self, parts: list[tuple[Part, asyncio.Future[bool]]]) -> None:
        by_validity: dict[float, list[tuple[Part, asyncio.Future[bool]]]] = {}
        for part, waiting in parts:
            by_validity.setdefault(part.validity_s, []).append((part, waiting))
        for validity_s, alike in by_validity.items():
            for first in range(0, len(alike), max(1, self._most_parts)):
                await self._send_frame(validity_s, alike[first : first + max(1, self._most_parts)])

    async def _send_frame(self, validity_s: float, parts: list[tuple[Part, asyncio.Future[bool]]]) -> None:
        parts = [one for one in parts if not one[1].done()]
        if len(parts) < 2 or self._most_parts < 2:
            for _, waiting in parts:
                waiting.set_result(False)
            return
        valid_s, targets = min(part.valid_s for part, _ in parts), [part.target for part, _ in parts]
        try:
            payload = encode_group(self._group.id, self._frames, validity_s, [part.payload for part, _ in parts])
            await self._way.send_group(self._group.id, self._frames.head.port, payload, valid_s, targets)
        except LinkError as error:
            for _, waiting in parts:
                if not waiting.done():
                    waiting.set_exception(error)
            return
        for _, waiting in parts:
            if not waiting.done():
                waiting.set_result(True)

    async def _release(self, leaving: list[tuple[GroupMember, asyncio.Future[int | None]]], valid_s: float) -> None:
        if not leaving:
            return
        names = {member.device for member, _ in leaving}
        # a command that looks at a part of the site knows nothing of the others
        others = len(self._members) < len(self._group.members)
        others |= any(member.may_hold for member in self._members if member.device not in names)
        number = None if others or len(names) < 2 else self._common_number()
        for _, waiting in leaving:  # each goes on by itself at once, whatever the server makes of the frame for all
            if not waiting.done():
                waiting.set_result(number)
        if number is not None:
            frame = asyncio.create_task(self._release_all(leaving[0][0].device, number, valid_s), name="release of all")
            self._farewells.add(frame)
            frame.add_done_callback(self._farewells.discard)
            await asyncio.wait({frame})

    async def _release_all(self, device: str, number: int, valid_s: float) -> None:
        payload = encode_payload(self._group.id, self._frames.release, {"sequence": float(number)})
        try:
            await self._way.release_group(device, self._group.id, self._frames.release.port, payload, valid_s)
        except LinkError as error:
            self._log.warning("group.not_released", group=self._group.id, text=error.what)
        else:
            self._log.info("group.released", group=self._group.id, members=len(self._members))

    def _common_number(self) -> int:
        """One that is in force nowhere, so that every echo of it proves something."""
        used = [number for member in self._members for number in member.numbers_used()]
        number = next_number(max(used, default=0), self._most_number)
        for _ in range(self._most_number):
            if number not in used:
                break
            number = next_number(number, self._most_number)
        return number
