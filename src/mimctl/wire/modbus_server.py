"""A Modbus/TCP server over register banks, plain or TLS: for the twin and for building management systems.

pymodbus's server with an own request handler: the stock one answers one request of those that arrive together, answers an
unknown unit with exception 4, and a bad register count with function code 0x80.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import struct
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerType
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.server import ModbusTcpServer, ModbusTlsServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from mimctl.model.errors import DeviceRefusal, Unreachable
from mimctl.wire.modbus_connection import reason_of
from mimctl.wire.modbus_frames import Frame, LostFraming, next_frame
from mimctl.wire.tls import role_of

#: function codes that a bank can serve: registers only
_SERVED = frozenset({3, 4, 6, 16, 22, 23, 43})
#: requests of one client that wait at most; beyond them nothing more is read from its socket
_MAX_PENDING = 64
_CLOSE_S = 0.2
_HANDSHAKE_S = 5.0
_log = logging.getLogger(__name__)

#: may a client with this role (None: no TLS or no role) use this function code?
Access = Callable[[str | None, int], bool]


class RegisterBank(Protocol):
    """The registers of one unit, big-endian bytes. Raises `DeviceRefusal` with the exception code to answer."""

    def read(self, address: int, count: int) -> bytes:
        """Exactly `2 * count` bytes."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """All of `data` or nothing."""
        ...


class _Banks:
    """The datastore that pymodbus's request PDUs ask."""

    def __init__(self, units: Mapping[int, RegisterBank]) -> None:
        self._units = units

    def device_ids(self) -> list[int]:
        return list(self._units)

    async def async_getValues(self, device_id: int, func_code: int, address: int, count: int = 1) -> list[int] | ExcCodes:
        try:
            return list(struct.unpack(f">{count}H", self._bank(device_id).read(address, count)))
        except DeviceRefusal as refusal:
            return ExcCodes(refusal.code)

    async def async_setValues(self, device_id: int, func_code: int, address: int, values: list[int]) -> ExcCodes | None:
        try:
            self._bank(device_id).write(address, struct.pack(f">{len(values)}H", *values))
        except DeviceRefusal as refusal:
            return ExcCodes(refusal.code)
        return None

    def _bank(self, unit: int) -> RegisterBank:
        if unit not in self._units:
            raise DeviceRefusal(f"unit {unit}", "no such unit", ExcCodes.GATEWAY_NO_RESPONSE)
        return self._units[unit]


class _Client(ServerRequestHandler):
    """One connected client: requests in, answers out, in order, with back-pressure both ways."""

    def __init__(self, owner: _Server) -> None:
        super().__init__(owner, None, None, None)  # type: ignore[no-untyped-call]
        self._owner = owner
        self._role: str | None = None
        self._received = b""
        self._pending: deque[Frame] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        secure = transport.get_extra_info("ssl_object")
        certificate = secure.getpeercert(binary_form=True) if secure else None
        self._role = role_of(certificate) if certificate else None
        self._owner.clients.add(self)
        if len(self._owner.clients) > self._owner.max_clients:
            self._abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pending.clear()
        self.gone.set()
        self._writable.set()
        self._owner.clients.discard(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        # not handed on: the stock method takes one request and forgets what came with it
        self._received += data
        used = 0
        try:
            while (frame := next_frame(self._received, used)) is not None:
                used = frame.end
                self._pending.append(frame)
        except LostFraming:
            self._abort()
            return
        self._received = self._received[used:]
        if self._pending and self._worker is None:
            self._worker = self.loop.create_task(self._serve(), name="modbus client")
        if len(self._pending) > _MAX_PENDING:
            cast(asyncio.Transport, self.transport).pause_reading()

    async def _serve(self) -> None:
        try:
            while self._pending and not self.gone.is_set():
                frame = self._pending.popleft()
                answer = await self._answer(frame)
                answer.transaction_id, answer.dev_id = frame.tid, frame.unit
                if self.transport:
                    cast(asyncio.Transport, self.transport).write(self.framer.buildFrame(answer))
                await self._writable.wait()
            if self.transport:
                cast(asyncio.Transport, self.transport).resume_reading()
        finally:
            self._worker = None

    async def _answer(self, frame: Frame) -> ModbusPDU:
        code = frame.pdu[0]
        if code not in _SERVED or not self._owner.access(self._role, code):
            return ExceptionResponse(code, ExcCodes.ILLEGAL_FUNCTION)
        if frame.unit not in self._owner.units:
            return ExceptionResponse(code, ExcCodes.GATEWAY_NO_RESPONSE)
        request = self.framer.decoder.decode(frame.pdu)
        if request is None:
            return ExceptionResponse(code, ExcCodes.ILLEGAL_VALUE)
        try:
            return await request.datastore_update(cast(Any, self._owner.context), frame.unit)
        except Exception:  # noqa: BLE001 a fault of one bank must not silence the whole connection
            _log.exception("unit %d failed to answer function %d", frame.unit, code)
            return ExceptionResponse(code, ExcCodes.DEVICE_FAILURE)

    def _abort(self) -> None:
        if self.transport:
            cast(asyncio.Transport, self.transport).abort()

    async def hang_up(self) -> None:
        """Close, by force if the other side does not agree in time."""
        transport = cast(asyncio.Transport | None, self.transport)
        if transport is None:
            return
        self._pending.clear()
        transport.close()
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.gone.wait(), _CLOSE_S)
            if self.gone.is_set():
                return
            transport.abort()


class _Server(ModbusTcpServer):
    """pymodbus's server with our clients, and with the reason when it cannot listen."""

    units: Mapping[int, RegisterBank]
    access: Access
    max_clients: int
    clients: set[_Client]

    def handle_new_connection(self) -> _Client:
        # the stock list of connections never forgets one whose TLS handshake failed
        return _Client(self)

    async def listen(self) -> bool:
        host, port = cast(tuple[str, int], self.comm_params.source_address)
        secure = self.comm_params.sslctx
        patience_s = _HANDSHAKE_S if secure else None
        self.is_listener = True
        self.transport = cast(
            asyncio.BaseTransport,
            await self.loop.create_server(
                self.handle_new_connection, host, port, ssl=secure, reuse_address=True, ssl_handshake_timeout=patience_s
            ),
        )
        return True


class _TlsServer(_Server, ModbusTlsServer):
    pass


def _everybody(role: str | None, function: int) -> bool:
    return True


class ModbusServer:
    """Serves units on one address until stopped.

    Args:
        port: 0 = a free one.
        units: register bank by unit id; others are answered with exception 11 (gateway target failed to respond).
        tls: context of `wire.tls.server_context`; None = plain TCP.
        access: which role may use which function code; a refusal is answered with exception 1 (illegal function).
        max_clients: further connections are closed at once.
    """

    def __init__(
        self,
        host: str,
        port: int,
        units: Mapping[int, RegisterBank],
        tls: ssl.SSLContext | None = None,
        *,
        access: Access = _everybody,
        max_clients: int = 64,
    ) -> None:
        self._address = (host, port)
        self._units = units
        self._tls = tls
        self._access = access
        self._max_clients = max_clients
        self._server: _Server | None = None

    async def start(self) -> tuple[str, int]:
        """Listen.

        Returns:
            The address in use.

        Raises:
            Unreachable: the address cannot be had.
        """
        server = self._make()
        try:
            await server.serve_forever(background=True)
        except OSError as error:
            host, port = self._address
            raise Unreachable(f"cannot listen on {host}:{port}: {reason_of(error)}") from error
        self._server = server
        host, port = cast(Any, server.transport).sockets[0].getsockname()[:2]
        return str(host), int(port)

    def _make(self) -> _Server:
        # pymodbus wants one of its own stores first; requests only ever see ours
        unused = SimDevice(0, simdata=[SimData(0, datatype=DataType.REGISTERS)])
        framer = FramerType.SOCKET
        server = (
            _Server(unused, framer=framer, address=self._address)
            if self._tls is None
            else _TlsServer(unused, framer=framer, address=self._address, sslctx=self._tls)
        )
        server.context = cast(Any, _Banks(self._units))
        server.clients = set()
        server.units, server.access, server.max_clients = self._units, self._access, self._max_clients
        return server

    async def stop(self) -> None:
        """Stop listening and close every client's connection."""
        server, self._server = self._server, None
        if server is None:
            return
        cast(asyncio.Server, server.transport).close()
        await asyncio.gather(*(client.hang_up() for client in tuple(server.clients)))
        await cast(Any, server).shutdown()
