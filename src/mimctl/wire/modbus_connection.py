"""pymodbus's asyncio client with every answer checked before it counts.

The stock client takes an answer of any length and function code, lets a malformed frame escape as an exception into the event
loop, loses the rest of a frame when the next request is sent, and lets a request wait out its timeout after the peer has closed.
All of that is closed here by overriding what asyncio itself calls (`data_received`, `connection_lost`); requests, transaction ids
and timeouts stay pymodbus's. What tells an answer from another one depends on the framing: `MbapConnection` goes by transaction
ids, `wire.rtu_connection` has none to go by.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from typing import Any, cast

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ModbusIOException
from pymodbus.framer import FramerBase, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.transaction import TransactionManager

from mimctl.model.link import Link, TlsFiles
from mimctl.wire.modbus_frames import Frame, LostFraming, WrongAnswer, decode_answer, is_settled, next_frame
from mimctl.wire.modbus_policy import LinkCounts
from mimctl.wire.rtu_frames import Expected
from mimctl.wire.tls import why_refused

#: seconds of silence before the kernel probes, between probes, and how many may stay unanswered
_KEEPALIVE_S = (10, 5, 3)
#: how long a peer may take to agree to the end of a connection
_CLOSE_S = 0.2


class ConnectionLost(Exception):
    """The connection ended before the answer came."""


class Connection(TransactionManager):
    """pymodbus's transactions on one connection; a request fails the moment it can no longer succeed.

    Made for one connection and never reused, so that the late end of an old one cannot touch its successor.

    Args:
        client: the stock client of the transport; it only lends its parameters and its `execute`.
        counts: where to count answers that are of no use.
    """

    response_future: asyncio.Future[ModbusPDU]

    def __init__(self, client: ModbusBaseClient, framer: FramerBase, counts: LinkCounts) -> None:
        super().__init__(client.comm_params, framer, 0, False, None, None, None)
        self._client = client
        client.ctx = self
        # silence is judged by the link over all its units, not by this counter
        self.max_until_disconnect = self.count_until_disconnect = 1 << 60
        self.response_future.cancel()
        self._received = b""
        self._counts = counts
        #: done as soon as the connection is of no use; says why
        self.lost: asyncio.Future[str] = self.loop.create_future()
        self._gone = asyncio.Event()

    async def dial(self, timeout_s: float) -> None:
        """Connect; unlike the stock `connect` it says why not.

        Raises:
            OSError, TimeoutError
        """
        raise NotImplementedError

    async def _dial_tcp(self, timeout_s: float, tls: ssl.SSLContext | None = None, server_name: str | None = None) -> None:
        host, port = self.comm_params.host, self.comm_params.port
        secure: dict[str, Any] = {"ssl": tls, "server_hostname": server_name or host} if tls else {}
        async with asyncio.timeout(timeout_s):
            self.transport, _ = await self.loop.create_connection(lambda: self, host, port, **secure)
        _keep_alive(self.transport.get_extra_info("socket"))

    async def ask(self, request: ModbusPDU) -> ModbusPDU:
        """One request and its answer, which may be an exception response. One at a time.

        Raises:
            WrongAnswer, LostFraming, ConnectionLost
            TimeoutError: nothing within the timeout.
        """
        if self.lost.done():
            raise ConnectionLost(self.lost.result())
        try:
            return cast(ModbusPDU, await self._client.execute(False, request))
        except ModbusIOException as error:
            raise TimeoutError from error
        finally:
            self._after()

    def _after(self) -> None:
        """A request has ended, perhaps without an answer."""

    def _answer(self, frame: Frame, *, any_unit: bool) -> None:
        """A whole frame for the request in flight."""
        try:
            self.response_future.set_result(decode_answer(frame, self.request_dev_id, any_unit=any_unit))
        except WrongAnswer as error:
            self._counts.wrong += 1
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self.response_future.done():
            self.response_future.set_exception(error)

    def drop(self, why: str) -> None:
        """Make an end now; a request in flight fails."""
        self._lose(why)
        if self.transport:
            cast(asyncio.Transport, self.transport).abort()
            self.transport = None  # type: ignore[assignment]

    def _lose(self, why: str) -> None:
        if not self.lost.done():
            self.lost.set_result(why)
        self._fail(ConnectionLost(why))

    def connection_lost(self, exc: Exception | None) -> None:
        # not handed on: the stock method only starts the stock reconnection, and leaves the request in flight waiting
        self._lose(self._why_lost(exc))
        self.transport = None  # type: ignore[assignment]
        self._gone.set()

    def _why_lost(self, exc: Exception | None) -> str:
        return reason_of(exc) if exc else "closed by the device"

    async def hang_up(self) -> None:
        """Close in good order within a bounded time, then by force."""
        self._lose("closed here")
        transport = cast(asyncio.Transport | None, self.transport)
        if transport is None:
            return
        transport.close()
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await self._gone.wait()
            if self._gone.is_set():
                return
            transport.abort()


class MbapConnection(Connection):
    """Modbus/TCP, plain or TLS: answers are told apart by their transaction ids.

    Where the device sends none (`tid_zero`), by the connection alone: it lives on only after an answer of exactly the unit,
    function and length (or echo) that was asked for, and one that no other can follow.

    Args:
        tls: context of a TLS link.
    """

    def __init__(self, link: Link, counts: LinkCounts, tls: ssl.SSLContext | None = None) -> None:
        client = AsyncModbusTcpClient(link.host, port=link.port, timeout=link.timeout_s, retries=0, reconnect_delay=0)
        super().__init__(client, FramerSocket(DecodePDU(False)), counts)
        self._link = link
        self._tls = tls
        self._heard = False
        #: where answers carry no transaction id: what the one to the request in flight looks like, and whether it was that
        self._wanted: Expected | None = None
        self._settled = False

    async def dial(self, timeout_s: float) -> None:
        await self._dial_tcp(timeout_s, self._tls, self._link.tls.server_name if self._link.tls else None)

    def _why_lost(self, exc: Exception | None) -> str:
        if isinstance(exc, ssl.SSLError) and self._link.tls is not None:
            return reason_of(exc, self._link.tls)
        why = super()._why_lost(exc)
        if self._link.tls is None or self._tls is None or self._heard:
            return why
        # TLS 1.3 shows the client's certificate last: a server that refuses it may just close, or its alert be lost with a reset
        return f"{why} before it answered anything: it may not accept {self._link.tls.certificate}"

    async def execute(self, no_response_expected: bool, request: ModbusPDU) -> ModbusPDU:
        """As the stock method, without its lock (the link asks one thing at a time on a connection) and with a bare timer.

        Raises:
            TimeoutError: nothing within the timeout.
        """
        request.transaction_id = self.getNextTID()
        self.response_future = future = self.loop.create_future()
        self.pdu_send(request)
        timer = self.loop.call_later(self._link.timeout_s, self._fail, TimeoutError())
        try:
            answer: ModbusPDU = await future
        finally:
            timer.cancel()
        return answer

    async def ask(self, request: ModbusPDU) -> ModbusPDU:
        if not self._link.tid_zero:
            return await super().ask(request)
        self._wanted = Expected.of(request, any_unit=self._link.any_unit or request.dev_id == 0)
        self._settled = False
        try:
            answer = await super().ask(request)
            self._settled = self._settled and is_settled(answer)
            return answer
        finally:
            if not self._settled:
                self.drop("the true answer may still come, and answers carry no transaction id to tell a late one by")

    def data_received(self, data: bytes) -> None:
        # not handed on: the stock method empties its buffer with every request, and with it the half of a late answer
        self._received += data
        self._heard = True
        used = 0
        try:
            while not self.lost.done() and (frame := next_frame(self._received, used)) is not None:
                used = frame.end
                self._receive(frame)
        except LostFraming as error:
            self._fail(error)
            self.drop(str(error))
        self._received = self._received[used:]

    def _receive(self, frame: Frame) -> None:
        mine = frame.tid == self.request_transaction_id or (frame.tid == 0 and self._link.tid_zero)
        if mine and not self.response_future.done():
            self._settled = self._wanted is not None and self._wanted.fits(frame)
            self._answer(frame, any_unit=self._link.any_unit)
            return
        self._counts.late += 1
        if self._link.tid_zero and frame.tid == 0:
            self.drop("an answer that nobody waits for, without a transaction id")


def reason_of(error: BaseException, files: TlsFiles | None = None) -> str:
    """One line of why a connection failed.

    Args:
        files: of a TLS link.
    """
    if isinstance(error, ssl.SSLError):
        return f"TLS: {why_refused(error, files) if files is not None else error.reason or error}"
    if isinstance(error, TimeoutError):
        return "no answer to the connection request"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, ConnectionError) and not str(error):
        return "closed by the device while connecting" + ("; does it speak TLS?" if files is not None else "")
    return str(error) or type(error).__name__


def _keep_alive(raw: socket.socket) -> None:
    """Find out by the kernel's own means that a silent peer is gone, also with data under way."""
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle_s, interval_s, probes = _KEEPALIVE_S
    options = {"TCP_KEEPIDLE": idle_s, "TCP_KEEPINTVL": interval_s, "TCP_KEEPCNT": probes, "TCP_USER_TIMEOUT": idle_s * 1000}
    for name, value in options.items():
        if hasattr(socket, name):  # not every system has every one
            raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
