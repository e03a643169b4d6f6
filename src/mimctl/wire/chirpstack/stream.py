"""The event stream: one MQTT connection that comes back by itself, in a session that outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.model.link import Link
from mimctl.model.tasks import end_tasks
from mimctl.wire.tls import client_context

if TYPE_CHECKING:
    from aiomqtt import Client

#: silence after which a broker is asked whether it is there; half as much again, and it is gone [s]
_KEEPALIVE_S = 15
#: a connection that is given up is waited for so long, to leave it in order [s]
_LEAVE_S = 15.0
#: a flood fills this, and what comes then is lost rather than the memory
_MOST_WAITING = 20_000
#: in the answer to a subscription
_REFUSED = 0x80


class ForgivingLoop:
    """The event loop, for a library that asks it to look after a socket which was closed a moment ago, by another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._loop.add_reader(fd, callback, *args)

    def add_writer(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._loop.add_writer(fd, callback, *args)


@asynccontextmanager
async def connected(client: Client) -> AsyncIterator[Client]:
    """A client while it is connected. One that is cancelled half-way is not torn apart, which its library does not survive."""
    client._loop = ForgivingLoop(client._loop)  # type: ignore[assignment]
    entering = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(entering)
    except asyncio.CancelledError:
        try:
            await asyncio.wait({entering}, timeout=_LEAVE_S)
            if entering.done() and not entering.cancelled() and entering.exception() is None:
                await client.__aexit__(None, None, None)
        finally:  # also where the farewell fails
            _let_go(client)
        raise
    except BaseException:
        _let_go(client)
        raise
    try:
        yield client
    finally:
        try:
            await client.__aexit__(None, None, None)
        finally:
            _let_go(client)


def _let_go(client: Client) -> None:
    """Close what is left of a connection; the library leaves the socket of one that the broker never answered to the collector."""
    client._client._sock_close()
    for future in (client._connected, client._disconnected):
        if future.done() and not future.cancelled():
            future.exception()  # looked at: what was wrong has been raised already


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between tries [s]."""

    first_s: float = 1.0
    most_s: float = 60.0

    def pause_s(self, failures: int) -> float:
        """Longer each time, and never quite the same, so that many controllers do not come back as one."""
        whole_s = min(self.most_s, self.first_s * 2.0 ** min(failures, 16))
        return whole_s * random.uniform(0.75, 1.0)


class EventStream:
    """Keeps a connection to the broker of a link and hands on every message.

    Args:
        take: called with topic and payload; must not raise.
        answer_s: longest wait for the broker's answer, also to a farewell [s].
    """

    def __init__(
        self,
        link: Link,
        topic: str,
        client_id: str,
        clock: Clock,
        *,
        take: Callable[[str, bytes], None],
        answer_s: float = 5.0,
        backoff: Backoff | None = None,
    ) -> None:
        self._link, self._topic, self._client_id, self._clock = link, topic, client_id, clock
        self._take, self._answer_s = take, answer_s
        self._backoff = backoff or Backoff()
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("mimctl.lorawan")
        self._closing = False
        self.connected = False
        self.connections = 0
        #: when this connection came up, inf while there is none, monotonic [s]
        self.since_s = math.inf
        self.why = "not connected yet"

    async def open(self) -> None:
        """Start keeping the connection; returns at once."""
        if self._task is None:
            self._closing = False
            self._task = asyncio.create_task(self._keep(), name=f"events of {self._link.id}")

    async def close(self) -> None:
        """Leave the broker; it keeps the session."""
        task, self._task = self._task, None
        if task is not None:
            self._closing = True  # a farewell that fails takes the place of the cancellation
            await end_tasks(task, again_s=_LEAVE_S, within_s=2.0 * _LEAVE_S)

    def background(self) -> tuple[asyncio.Task[None], ...]:
        """What keeps the connection, from `open` to `close`."""
        return () if self._task is None else (self._task,)

    async def _keep(self) -> None:
        from aiomqtt import MqttError

        failures = faults = 0
        while not self._closing:
            try:
                async with connected(self._client()) as client:
                    _require_granted(await client.subscribe(self._topic, qos=1), self._topic)
                    if self._closing:  # the library lost the cancellation while it waited
                        return
                    failures = 0
                    self._up()
                    async for message in client.messages:
                        self._take(message.topic.value, message.payload if isinstance(message.payload, bytes) else b"")
                        faults = 0
            except (MqttError, OSError, ssl.SSLError, UserError) as error:
                self._down(error)
            except Exception as error:  # noqa: BLE001 - a fault of ours must not end the stream for good: it is told, and tried again
                self.why = f"a fault of mimctl, the log says where: {type(error).__name__}"
                self._log.error("broker.fault", link=self._link.id, exc_info=error)
                # it may come with each first message anew: a connection that stands is no reason for a short pause
                failures = faults
                faults += 1
            finally:
                self.connected, self.since_s = False, math.inf
            if self._closing:
                return
            await self._clock.sleep_until(self._clock.monotonic_s() + self._backoff.pause_s(failures))
            failures += 1

    def _client(self) -> Client:
        from aiomqtt import Client, ProtocolVersion

        tls: dict[str, Any] = {} if self._link.tls is None else {"tls_context": client_context(self._link.tls)}
        return Client(
            self._link.host,
            self._link.port,
            identifier=self._client_id,
            protocol=ProtocolVersion.V311,
            clean_session=False,
            keepalive=_KEEPALIVE_S,
            timeout=self._answer_s,
            max_queued_incoming_messages=_MOST_WAITING,
            logger=_quiet_logger(),
            **tls,
        )

    def _up(self) -> None:
        self.connected, self.why, self.since_s = True, "", self._clock.monotonic_s()
        self.connections += 1
        self._log.info("broker.connected", link=self._link.id, host=self._link.host, port=self._link.port)

    def _down(self, error: Exception) -> None:
        told = (
            f"the broker {self._link.host}:{self._link.port} is not there: {' '.join(str(error).split()) or type(error).__name__}"
        )
        if self.connected or told != self.why:
            self._log.warning("broker.lost", link=self._link.id, why=told)
        self.connected, self.why = False, told


def _require_granted(granted: Iterable[Any], topic: str) -> None:
    """Some brokers refuse what the access list does not allow; others grant it and send nothing."""
    if any(code >= _REFUSED if isinstance(code, int) else code.is_failure for code in granted):
        raise UserError(f"it refuses to let us read {topic}: its access list must allow that")


def _quiet_logger() -> logging.Logger:
    """The client's own chatter, for debugging alone: it names every message."""
    logger = logging.getLogger("mimctl.lorawan.mqtt")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.ERROR)
    return logger
