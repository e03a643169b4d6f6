"""The queue of a link: who may use which of its connections next."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar


class Lane(Protocol):
    """One connection of a link, up or down."""

    @property
    def connected(self) -> bool: ...


L = TypeVar("L", bound=Lane)


class Lanes(Generic[L]):
    """The most urgent waiter gets the next free lane, first come first served among equals. Who has acquired one gives it back.

    A lane whose connection is down is given out only while every lane is down: the request then fails with the reason.
    """

    def __init__(self, lanes: Sequence[L]) -> None:
        self._free = list(lanes)
        self._all = tuple(lanes)
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[L]]] = []

    async def acquire(self, urgency: int) -> L:
        if not self._waiting and (lane := self._take()) is not None:
            return lane
        called: asyncio.Future[L] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._order), called))
        try:
            return await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():  # the turn came together with the cancellation
                self.give_back(called.result())
            raise

    def _take(self) -> L | None:
        up = next((lane for lane in self._free if lane.connected), None)
        if up is None and self._free and not any(lane.connected for lane in self._all):
            up = self._free[0]
        if up is not None:
            self._free.remove(up)
        return up

    def give_back(self, lane: L) -> None:
        self._free.append(lane)
        self.pass_on()

    def pass_on(self) -> None:
        """Serve those who wait; also to be called when a lane has gone up or down."""
        while self._waiting:
            if self._waiting[0][2].done():
                heapq.heappop(self._waiting)
            elif (lane := self._take()) is not None:
                heapq.heappop(self._waiting)[2].set_result(lane)
            else:
                return
