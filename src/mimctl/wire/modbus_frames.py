"""pymodbus's asyncio client with every answer checked before it counts.

The stock client takes an answer of any length and function code, lets a malformed frame escape as an exception into the event
loop, loses the rest of a frame when the next request is sent, and lets a request wait out its timeout after the peer has closed.
All of that is closed here through pymodbus's own extension points: PDU classes, a framer, a transaction manager.

Reference: MODBUS Application Protocol V1.1b3 and MODBUS Messaging on TCP/IP Implementation Guide V1.0b, Modbus Organization.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Any, cast

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException
from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.transaction import TransactionManager

from mimctl.wire.transport import READ_HOLDING, READ_INPUT, WRITE_MULTIPLE, WRITE_SINGLE

# What pymodbus logs is raised here as an error with the same content; its raw lines are for its own developers.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

_MBAP = struct.Struct(">HHHB")
#: unit id and a PDU of 1 to 253 bytes
_MIN_LENGTH, _MAX_LENGTH = 2, 254
#: seconds of silence before the kernel probes, between probes, and how many may stay unanswered
_KEEPALIVE_S = (10, 5, 3)
#: how long a peer may take to agree to the end of a connection
_CLOSE_S = 0.2


class ConnectionLost(Exception):
    """The connection ended before the answer came."""


class LostFraming(Exception):
    """Nobody can tell any more where the next frame begins: the connection is of no use."""


class WrongAnswer(Exception):
    """A whole frame that is not an answer to what was asked; the next one may be fine."""


class _Registers(ModbusPDU):
    """A PDU that keeps register bytes as they are: no list of integers on the way."""

    def __init__(self, dev_id: int = 1, address: int = 0, count: int = 0, data: bytes = b"") -> None:
        super().__init__(dev_id=dev_id, address=address, count=count)
        self.data = data

    def __str__(self) -> str:
        # pymodbus formats every PDU for a debug line, also when nobody logs
        return self.__class__.__name__


class ReadHolding(_Registers):
    """Request and answer of function 3."""

    function_code = READ_HOLDING

    def encode(self) -> bytes:
        return struct.pack(">HH", self.address, self.count)

    def decode(self, data: bytes) -> None:
        if len(data) < 1 or data[0] != len(data) - 1:
            raise LostFraming(f"byte count {data[0] if data else 'missing'} in an answer with {max(len(data) - 1, 0)} data bytes")
        self.data = data[1:]


class ReadInput(ReadHolding):
    """Request and answer of function 4."""

    function_code = READ_INPUT


class _Echo(_Registers):
    """A write, whose answer repeats address and count (or value)."""

    echo: bytes = b""

    def decode(self, data: bytes) -> None:
        self.echo = data


class WriteMultiple(_Echo):
    """Request and answer of function 16."""

    function_code = WRITE_MULTIPLE

    def encode(self) -> bytes:
        return struct.pack(">HHB", self.address, self.count, len(self.data)) + self.data

    def expected_echo(self) -> bytes:
        return struct.pack(">HH", self.address, self.count)


class WriteSingle(_Echo):
    """Request and answer of function 6."""

    function_code = WRITE_SINGLE

    def encode(self) -> bytes:
        return struct.pack(">H", self.address) + self.data

    def expected_echo(self) -> bytes:
        return self.encode()


READS: dict[int, type[ReadHolding]] = {READ_HOLDING: ReadHolding, READ_INPUT: ReadInput}
WRITES: dict[int, type[WriteMultiple | WriteSingle]] = {WRITE_MULTIPLE: WriteMultiple, WRITE_SINGLE: WriteSingle}


@dataclass(frozen=True, slots=True)
class Frame:
    """One MBAP frame. `pdu` has at least its function code; `end` is where the next one begins."""

    tid: int
    unit: int
    pdu: bytes
    end: int


def next_frame(data: bytes, start: int = 0) -> Frame | None:
    """The frame that begins at `start`, None while it is not complete.

    Raises:
        LostFraming: no frame can begin so.
    """
    if len(data) - start < _MBAP.size:
        return None
    tid, protocol, length, unit = _MBAP.unpack_from(data, start)
    if protocol != 0 or not _MIN_LENGTH <= length <= _MAX_LENGTH:
        raise LostFraming(f"not a Modbus frame: protocol id {protocol}, length {length}")
    end = start + _MBAP.size - 1 + length
    return Frame(tid, unit, data[start + _MBAP.size : end], end) if len(data) >= end else None


def decode_answer(frame: Frame, asked_unit: int, *, any_unit: bool) -> ModbusPDU:
    """The answer in a frame.

    Raises:
        WrongAnswer: another unit or an unknown function code.
        LostFraming: its lengths contradict each other.
    """
    code = frame.pdu[0]
    # an exception says what failed, whatever unit a gateway puts on it; a device asked as unit 0 answers as itself
    free = any_unit or code > 0x80 or asked_unit == 0
    if frame.unit != asked_unit and not free:
        raise WrongAnswer(f"the answer is from unit {frame.unit}")
    kind: type[ModbusPDU] | None = READS.get(code) or WRITES.get(code)
    if code > 0x80 and len(frame.pdu) == 2:
        pdu: ModbusPDU = ExceptionResponse(code & 0x7F)
    elif kind is not None:
        pdu = kind()
    else:
        raise WrongAnswer(f"an answer with function code {code} and {len(frame.pdu)} bytes")
    pdu.decode(frame.pdu[1:])
    pdu.dev_id, pdu.transaction_id = asked_unit, frame.tid
    return pdu


@dataclass(slots=True)
class LinkCounts:
    """What happened on a link since it was made.

    Args:
        late: answers to requests that nobody waited for any more; none was ever used.
        wrong: answers that did not fit their request.
    """

    requests: int = 0
    timeouts: int = 0
    late: int = 0
    wrong: int = 0
    busy: int = 0
    connections: int = 0


class Connection(TransactionManager):
    """pymodbus's transactions on one TCP or TLS connection; a request fails the moment it can no longer succeed.

    Made for one connection and never reused, so that the late end of an old one cannot touch its successor.

    Args:
        timeout_s: for one answer.
        any_unit: accept an answer that carries another unit id.
        tid_zero: accept an answer that carries transaction id 0.
        counts: where to count answers that are of no use.
    """

    response_future: asyncio.Future[ModbusPDU]

    def __init__(
        self, host: str, port: int, timeout_s: float, counts: LinkCounts, *, any_unit: bool = False, tid_zero: bool = False
    ) -> None:
        self._client = AsyncModbusTcpClient(host, port=port, timeout=timeout_s, retries=0, reconnect_delay=0)
        super().__init__(self._client.comm_params, FramerSocket(DecodePDU(False)), 0, False, None, None, None)
        self._client.ctx = self
        self._any_unit = any_unit
        self._tid_zero = tid_zero
        # silence is judged by the link over all its units, not by this counter
        self.max_until_disconnect = self.count_until_disconnect = 1 << 60
        self.response_future.cancel()
        self._received = b""
        self._counts = counts
        #: done as soon as the connection is of no use; says why
        self.lost: asyncio.Future[str] = self.loop.create_future()
        self._gone = asyncio.Event()

    async def dial(self, timeout_s: float, tls: ssl.SSLContext | None = None, server_name: str | None = None) -> None:
        """Connect; unlike the stock `connect` it says why not.

        Raises:
            OSError, TimeoutError
        """
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
        """A caller that gave up leaves an answer on its way: drop the connection where it could be taken for another one."""
        answered = self.response_future.done() and not self.response_future.cancelled()
        if self._tid_zero and not answered:
            self.drop("no answer, and answers carry no transaction id to tell a late one by")

    def data_received(self, data: bytes) -> None:
        # not handed on: the stock method empties its buffer with every request, and with it the half of a late answer
        self._received += data
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
        mine = frame.tid == self.request_transaction_id or (frame.tid == 0 and self._tid_zero)
        if not mine or self.response_future.done():
            self._counts.late += 1
            if self._tid_zero and frame.tid == 0:
                self.drop("an answer that nobody waits for, without a transaction id")
            return
        try:
            self.response_future.set_result(decode_answer(frame, self.request_dev_id, any_unit=self._any_unit))
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
        self._lose(reason_of(exc) if exc else "closed by the device")
        self.transport = None  # type: ignore[assignment]
        self._gone.set()

    async def hang_up(self) -> None:
        """Close in good order within a bounded time, then by force."""
        self._lose("closed here")
        transport = cast(asyncio.Transport | None, self.transport)
        if transport is None:
            return
        transport.close()
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), _CLOSE_S)
            if self._gone.is_set():
                return
            transport.abort()


def reason_of(error: BaseException) -> str:
    """One line of why a connection failed."""
    if isinstance(error, ssl.SSLError):
        return f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}"
    if isinstance(error, TimeoutError):
        return "no answer to the connection request"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
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
