"""Keeps one connection of a link up, for ever."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable

from mimctl.model.clock import Clock
from mimctl.model.errors import LinkDown, UserError
from mimctl.model.link import Link, LinkType
from mimctl.model.tasks import end_tasks
from mimctl.wire import tls
from mimctl.wire.modbus_connection import Connection, MbapConnection, reason_of
from mimctl.wire.modbus_policy import LinkCounts, LinkPolicy
from mimctl.wire.rtu_connection import RtuConnection
from mimctl.wire.rtu_ghosts import Ghosts


class Keeper:
    """One connection of a link, made anew whenever it is lost.

    Args:
        changed: called when the connection has gone up or down.
    """

    def __init__(
        self, link: Link, clock: Clock, policy: LinkPolicy, rng: random.Random, counts: LinkCounts, changed: Callable[[], None]
    ) -> None:
        self._link = link
        self._clock = clock
        self._policy = policy
        self._rng = rng
        self._counts = counts
        self._changed = changed
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._down = "not opened"
        self._answered = False
        #: nothing is sent before this instant; belongs to whoever holds the lane
        self.quiet_until_s = float("-inf")
        # kept from one connection to the next: what comes late through a gateway may come through the new one
        self._ghosts = Ghosts()

    @property
    def connected(self) -> bool:
        return self._connection is not None and not self._connection.lost.done()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What keeps it up, from `open` to `close`."""
        return self._task

    def open(self) -> None:
        if self._task is None:
            self._down = "connecting"
            self._tried.clear()
            self._task = asyncio.create_task(self._keep_up(), name=f"modbus link {self._link.id}")

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await end_tasks(task)
            if task.done() and not task.cancelled():
                task.result()
        self._down = "closed"
        self._tried.set()
        self._changed()

    async def up(self) -> Connection:
        """The connection; while the very first attempt runs its outcome is waited for.

        Raises:
            LinkDown: there is none, and why.
        """
        if self._task is not None and not self._tried.is_set():
            await self._tried.wait()  # bounded by the timeout of the attempt
        if self._connection is None or self._connection.lost.done():
            raise LinkDown(self._link.id, self._down if self._connection is None else self._connection.lost.result())
        return self._connection

    def answered(self) -> None:
        """Somebody is there: only now the next pause may be short again."""
        self._answered = True

    async def _keep_up(self) -> None:
        """Connect for ever. The pauses grow until a device has answered, not merely accepted: some accept and close."""
        attempt = 0
        while True:
            try:
                await self._live_once()
            except (OSError, TimeoutError, UserError, ValueError) as error:  # ValueError: a host that is no name at all
                self._down = reason_of(error, self._link.tls)
            if self._answered:
                attempt = 0
            self._tried.set()
            self._changed()
            pause_s = self._policy.pause_s(attempt, self._rng)
            attempt += 1
            await self._clock.sleep_until(self._clock.monotonic_s() + pause_s)

    async def _live_once(self) -> None:
        """One connection from beginning to end.

        Raises:
            OSError, TimeoutError, UserError: there was no connection.
        """
        self._answered = False
        connection = self._make()
        try:
            await connection.dial(self._policy.connect_timeout_s)
            await self._clock.sleep_until(self._clock.monotonic_s() + self._link.connect_delay_s)
            self._connection = connection
            self._counts.connections += 1
            self._tried.set()
            self._changed()
            self._down = await asyncio.shield(connection.lost)
        finally:
            self._connection = None
            await connection.hang_up()

    def _make(self) -> Connection:
        if self._link.type.is_rtu:
            return RtuConnection(self._link, self._counts, self._ghosts)
        return MbapConnection(self._link, self._counts, self._tls_context())

    def _tls_context(self) -> ssl.SSLContext | None:
        # loaded for every connection: renewed certificates are taken up without a restart
        if self._link.type is not LinkType.MODBUS_TLS:
            return None
        if self._link.tls is None:
            raise UserError(f"link {self._link.id} is {self._link.type.value} but names no TLS files")
        return tls.client_context(self._link.tls)
