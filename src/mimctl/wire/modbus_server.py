"""A Modbus/TCP server over register banks, plain or TLS: for the twin and for building management systems.

pymodbus's server with an own request handler: the stock one answers one request of those that arrive together, answers an
unknown unit with exception 4, and a bad register count with function code 0x80.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Any, cast

from pymodbus.framer import FramerType
from pymodbus.server import ModbusTcpServer, ModbusTlsServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from mimctl.model.errors import Unreachable
from mimctl.wire.modbus_answers import Access, Answers, RegisterBank, everybody
from mimctl.wire.modbus_connection import reason_of
from mimctl.wire.modbus_frames import Frame, LostFraming, next_frame
from mimctl.wire.tls import role_of

#: requests of one client that wait at most; beyond them nothing more is read from its socket
_MAX_PENDING = 64
_CLOSE_S = 0.2
_HANDSHAKE_S = 5.0


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
                answer = await self._owner.answers.to(frame.unit, frame.pdu, self._role)
                answer.transaction_id, answer.dev_id = frame.tid, frame.unit
                if self.transport:
                    cast(asyncio.Transport, self.transport).write(self.framer.buildFrame(answer))
                await self._writable.wait()
            if self.transport:
                cast(asyncio.Transport, self.transport).resume_reading()
        finally:
            self._worker = None

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
                async with asyncio.timeout(_CLOSE_S):
                    await self.gone.wait()
            if self.gone.is_set():
                return
            transport.abort()


class _Server(ModbusTcpServer):
    """pymodbus's server with our clients, and with the reason when it cannot listen."""

    answers: Answers
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
        access: Access = everybody,
        max_clients: int = 64,
    ) -> None:
        self._address = (host, port)
        self._answers = Answers(units, access)
        self._tls = tls
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
        server.context = cast(Any, self._answers.context)
        server.clients = set()
        server.answers, server.max_clients = self._answers, self._max_clients
        return server

    async def stop(self) -> None:
        """Stop listening and close every client's connection."""
        server, self._server = self._server, None
        if server is None:
            return
        cast(asyncio.Server, server.transport).close()
        await asyncio.gather(*(client.hang_up() for client in tuple(server.clients)))
        await cast(Any, server).shutdown()
