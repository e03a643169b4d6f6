"""One Modbus/TCP link, plain or TLS, kept up and shared by every unit behind it."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

from pymodbus.pdu import ExceptionResponse, ModbusPDU

from mimctl.model.clock import Clock
from mimctl.model.errors import BadReply, DeviceRefusal, LinkDown, LinkTimeout, UserError
from mimctl.model.site import Link, LinkType
from mimctl.wire import tls
from mimctl.wire.modbus_connection import Connection, ConnectionLost, LinkCounts, reason_of
from mimctl.wire.modbus_frames import READS, WRITES, LostFraming, WrongAnswer
from mimctl.wire.transport import READ_HOLDING, WRITE_MULTIPLE

#: exceptions that mean "ask again": 5 acknowledge (still at work), 6 server device busy
_BUSY = (5, 6)
#: names of the exception codes of the Modbus application protocol, section 7
EXCEPTION_NAMES = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
_MAX_READ, _MAX_WRITE = 125, 123
_WRITE_FIRST, _READ_LATER = 0, 1


@dataclass(frozen=True, slots=True)
class LinkPolicy:
    """How patient a link is.

    Args:
        reconnect_first_s: pause before the first new attempt; it doubles with each attempt [s].
        reconnect_max_s: longest pause [s].
        jitter: share of each pause that is random, so that many links do not come back at one instant.
        connect_timeout_s: for one attempt to connect [s].
        busy_first_s: pause before a busy device is asked again; it doubles [s].
        busy_deadline: how long a device may stay busy, in multiples of the link's timeout.
        max_silent: so many unanswered requests on end, over all units, end the connection: nobody may be there any more.
    """

    reconnect_first_s: float = 0.25
    reconnect_max_s: float = 10.0
    jitter: float = 0.5
    connect_timeout_s: float = 3.0
    busy_first_s: float = 0.02
    busy_deadline: float = 4.0
    max_silent: int = 4

    def pause_s(self, attempt: int, rng: random.Random) -> float:
        """Before attempt number `attempt` after the first, 0-based [s]."""
        longest: float = min(self.reconnect_max_s, self.reconnect_first_s * 2.0 ** min(attempt, 30))
        return longest * (1.0 - self.jitter * rng.random())


class _Line:
    """A lock that the most urgent waiter gets next, first come first served among equals."""

    def __init__(self) -> None:
        self._held = False
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @contextlib.asynccontextmanager
    async def turn(self, urgency: int) -> AsyncIterator[None]:
        await self._acquire(urgency)
        try:
            yield
        finally:
            self._pass_on()

    async def _acquire(self, urgency: int) -> None:
        if not self._held:
            self._held = True
            return
        called = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._order), called))
        try:
            await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():  # the turn came together with the cancellation
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            called = heapq.heappop(self._waiting)[2]
            if not called.done():
                called.set_result(None)
                return
        self._held = False


class ModbusLink:
    """A `wire.transport.Transport` over Modbus/TCP or Modbus/TCP Security.

    One request is under way at a time; writes overtake waiting reads. Make one per host and port: many devices serve a single
    client. An answer counts only with the right transaction id, unit, function code and lengths. A request fails at once when
    the peer closes or answers nonsense, after `link.timeout_s` when it is silent. Only "busy" is ever asked again.

    Holes that remain, by the protocol itself: with `tid_zero` an answer is told from an earlier one only by its connection, so
    every unanswered or abandoned request costs a reconnect; a device that answers the right transaction with another
    register's values cannot be found out here (register maps re-read their headers in the same frame).

    Args:
        rng: for the jitter of reconnection.
    """

    def __init__(self, link: Link, clock: Clock, *, policy: LinkPolicy = LinkPolicy(), rng: random.Random | None = None) -> None:
        self._spec = link
        self._clock = clock
        self._policy = policy
        self._rng = rng or random.Random()
        self._line = _Line()
        self._connection: Connection | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._down = "not opened"
        self._silent = 0
        self._answered = False
        self._quiet_until_s = float("-inf")
        self.counts = LinkCounts()

    @property
    def link(self) -> str:
        return self._spec.id

    @property
    def connected(self) -> bool:
        return self._connection is not None and not self._connection.lost.done()

    async def open(self) -> None:
        """Start keeping the link up. Requests made while the very first attempt runs wait for its outcome."""
        if self._keeper is None:
            self._down = "connecting"
            self._tried.clear()
            self._keeper = asyncio.create_task(self._keep_up(), name=f"modbus link {self.link}")

    async def close(self) -> None:
        """Stop, and fail whatever is under way."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
            if not keeper.cancelled():
                keeper.result()
        self._down = "closed"
        self._tried.set()

    async def read(self, unit: int, address: int, count: int, *, function: int = READ_HOLDING) -> bytes:
        """See `Transport.read`.

        Raises:
            LinkDown, LinkTimeout, BadReply, DeviceRefusal
        """
        if not (1 <= count <= _MAX_READ and 0 <= address <= 0x10000 - count and 0 <= unit <= 255):
            raise ValueError(f"no such read: unit {unit}, {count} registers at {address}")
        answer = await self._request(READS[function](unit, address, count), _READ_LATER)
        data: bytes = getattr(answer, "data", b"")
        if len(data) != 2 * count:
            self.counts.wrong += 1
            raise BadReply(self._name(unit), f"{len(data)} bytes instead of {2 * count} for {count} registers at {address}")
        return data

    async def write(self, unit: int, address: int, data: bytes, *, function: int = WRITE_MULTIPLE) -> None:
        """See `Transport.write`.

        Raises:
            LinkDown, LinkTimeout, BadReply, DeviceRefusal
        """
        count = len(data) // 2
        most = _MAX_WRITE if function == WRITE_MULTIPLE else 1
        if len(data) % 2 or not (1 <= count <= most and 0 <= address <= 0x10000 - count and 0 <= unit <= 255):
            raise ValueError(f"no such write: unit {unit}, {len(data)} bytes at {address} by function {function}")
        request = WRITES[function](unit, address, count, data)
        answer = await self._request(request, _WRITE_FIRST)
        echo: bytes = getattr(answer, "echo", b"")
        if echo != request.expected_echo():
            self.counts.wrong += 1
            raise BadReply(self._name(unit), f"the answer to a write at {address} repeats something else: {echo.hex()}")

    async def _request(self, request: ModbusPDU, urgency: int) -> ModbusPDU:
        """Ask, and ask again while the device says it is busy; other requests go through in between."""
        loop = asyncio.get_running_loop()
        deadline, pause_s = None, self._policy.busy_first_s
        while True:
            async with self._line.turn(urgency):
                deadline = deadline or loop.time() + self._policy.busy_deadline * self._spec.timeout_s
                answer = await self._exchange(request)
            if not isinstance(answer, ExceptionResponse):
                return answer
            code = answer.exception_code
            if code not in _BUSY or loop.time() + pause_s > deadline:
                name = EXCEPTION_NAMES.get(code, "unknown exception")
                raise DeviceRefusal(self._name(request.dev_id), f"{name} (function {request.function_code})", code)
            self.counts.busy += 1
            await asyncio.sleep(pause_s)
            pause_s *= 2

    async def _exchange(self, request: ModbusPDU) -> ModbusPDU:
        """One request on the line that the caller holds, one checked answer."""
        connection, name = await self._up(), self._name(request.dev_id)
        await self._clock.sleep_until(self._quiet_until_s)
        self.counts.requests += 1
        try:
            answer = await connection.ask(request)
        except TimeoutError as error:
            self._note_silence(connection)
            raise LinkTimeout(name, f"no answer within {self._spec.timeout_s:g} s") from error
        except ConnectionLost as error:
            raise LinkDown(name, str(error)) from error
        except (WrongAnswer, LostFraming) as error:
            raise BadReply(name, str(error)) from error
        finally:
            self._quiet_until_s = self._clock.monotonic_s() + self._spec.request_gap_s
        self._silent, self._answered = 0, True
        if answer.function_code & 0x7F != request.function_code:
            self.counts.wrong += 1
            raise BadReply(name, f"an answer to function {answer.function_code & 0x7F} instead of {request.function_code}")
        return answer

    def _note_silence(self, connection: Connection) -> None:
        self.counts.timeouts += 1
        self._silent += 1
        if self._silent >= self._policy.max_silent:
            connection.drop(f"{self._silent} requests on end without an answer")

    async def _up(self) -> Connection:
        if self._keeper is not None and not self._tried.is_set():
            await self._tried.wait()  # bounded by the timeout of the attempt
        if self._connection is None or self._connection.lost.done():
            raise LinkDown(self.link, self._down if self._connection is None else self._connection.lost.result())
        return self._connection

    async def _keep_up(self) -> None:
        """Connect for ever. The pauses grow until a device has answered, not merely accepted: some accept and close."""
        attempt = 0
        while True:
            try:
                await self._live_once()
            except (OSError, TimeoutError, UserError, ValueError) as error:  # ValueError: a host that is no name at all
                self._down = reason_of(error)
            if self._answered:
                attempt = 0
            self._tried.set()
            pause_s = self._policy.pause_s(attempt, self._rng)
            attempt += 1
            await self._clock.sleep_until(self._clock.monotonic_s() + pause_s)

    async def _live_once(self) -> None:
        """One connection from beginning to end.

        Raises:
            OSError, TimeoutError, UserError: there was no connection.
        """
        spec = self._spec
        self._silent, self._answered = 0, False
        context = self._tls_context()
        connection = Connection(spec.host, spec.port, spec.timeout_s, self.counts, any_unit=spec.any_unit, tid_zero=spec.tid_zero)
        try:
            await connection.dial(self._policy.connect_timeout_s, context, spec.tls.server_name if spec.tls else None)
            await self._clock.sleep_until(self._clock.monotonic_s() + spec.connect_delay_s)
            self._connection = connection
            self.counts.connections += 1
            self._tried.set()
            self._down = await asyncio.shield(connection.lost)
        finally:
            self._connection = None
            await connection.hang_up()

    def _tls_context(self) -> ssl.SSLContext | None:
        # loaded for every connection: renewed certificates are taken up without a restart
        if self._spec.type is not LinkType.MODBUS_TLS:
            return None
        if self._spec.tls is None:
            raise UserError(f"link {self.link} is {self._spec.type.value} but names no TLS files")
        return tls.client_context(self._spec.tls)

    def _name(self, unit: int) -> str:
        return f"{self.link} unit {unit}"
