"""Modbus RTU servers over register banks, for twins: RTU frames over TCP, and a serial port that is a pseudo-terminal.

As on a real bus, a request to a unit that is not there gets no answer at all, nor does one with a wrong check sum.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from pymodbus.pdu import ModbusPDU

from mimctl.model.errors import Unreachable
from mimctl.wire.modbus_answers import Access, Answers, RegisterBank, everybody
from mimctl.wire.modbus_connection import reason_of
from mimctl.wire.modbus_frames import Frame
from mimctl.wire.rtu_frames import MAX_SIZE, next_request, rtu_frame

#: what is sent to everybody and answered by nobody
_BROADCAST = 0
_WRITES = frozenset({6, 16, 22})
#: a pause of so long in the middle of a request means that the rest was lost [s]
_PAUSE_S = 0.5
_MAX_PENDING = 64


class Server(Protocol):
    """What serves the units of one link."""

    async def start(self) -> object: ...

    async def stop(self) -> None: ...


class _Listener:
    """Requests out of a stream of bytes, answers in order."""

    def __init__(self, answers: Answers, send: Callable[[bytes], None]) -> None:
        self._answers = answers
        self._send = send
        self._received = b""
        self._heard_at_s = float("-inf")
        self._pending: deque[Frame] = deque(maxlen=_MAX_PENDING)
        self._worker: asyncio.Task[None] | None = None

    def hear(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._heard_at_s > _PAUSE_S:
            self._received = b""
        self._heard_at_s = loop.time()
        self._received += data
        used = 0
        while (frame := next_request(self._received, used)) is not None:
            used = frame.end
            self._pending.append(frame)
        self._received = self._received[used:][-MAX_SIZE:]
        if self._pending and self._worker is None:
            self._worker = loop.create_task(self._serve(), name="modbus rtu client")

    async def _serve(self) -> None:
        try:
            while self._pending:
                frame = self._pending.popleft()
                if frame.unit == _BROADCAST:
                    await self._broadcast(frame)
                elif frame.unit in self._answers.units:
                    answer = await self._answers.to(frame.unit, frame.pdu)
                    self._send(rtu_frame(frame.unit, _pdu(answer)))
        finally:
            self._worker = None

    async def _broadcast(self, frame: Frame) -> None:
        if frame.pdu[0] in _WRITES:
            for unit in self._answers.units:
                await self._answers.to(unit, frame.pdu)

    def stop(self) -> None:
        self._pending.clear()


def _pdu(answer: ModbusPDU) -> bytes:
    return bytes((answer.function_code,)) + answer.encode()


class _TcpClient(asyncio.Protocol):
    def __init__(self, owner: RtuTcpServer) -> None:
        self._owner = owner
        self._listener = _Listener(owner.answers, self._write)
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(type(transport).__name__)
        self.transport = transport
        self._owner.clients.add(self)
        if len(self._owner.clients) > self._owner.max_clients:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._listener.stop()
        self._owner.clients.discard(self)

    def data_received(self, data: bytes) -> None:
        self._listener.hear(data)

    def _write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)


class RtuTcpServer:
    """Serves RTU frames over TCP until stopped.

    Args:
        port: 0 = a free one.
        units: register bank by unit id.
        access: which function codes are served; a refusal is answered with exception 1 (illegal function).
        max_clients: further connections are closed at once.
    """

    def __init__(
        self, host: str, port: int, units: Mapping[int, RegisterBank], *, access: Access = everybody, max_clients: int = 64
    ) -> None:
        self._address = (host, port)
        self.answers = Answers(units, access)
        self.max_clients = max_clients
        self.clients: set[_TcpClient] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> tuple[str, int]:
        """Listen.

        Returns:
            The address in use.

        Raises:
            Unreachable: the address cannot be had.
        """
        host, port = self._address
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _TcpClient(self), host, port, reuse_address=True)
        except OSError as error:
            raise Unreachable(f"cannot listen on {host}:{port}: {reason_of(error)}") from error
        name = self._server.sockets[0].getsockname()
        return str(name[0]), int(name[1])

    async def stop(self) -> None:
        """Stop listening and close every client's connection."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for client in tuple(self.clients):
            if client.transport is not None:
                client.transport.abort()
        await server.wait_closed()


class RtuPtyServer:
    """Serves RTU frames on a pseudo-terminal made for it: a serial port that needs no hardware.

    Args:
        alias: a path at which the port shall also be found, as a link; None = only under its own name.
    """

    def __init__(self, units: Mapping[int, RegisterBank], alias: Path | None = None, *, access: Access = everybody) -> None:
        self._answers = Answers(units, access)
        self._alias = alias
        self._listener: _Listener | None = None
        self._ours = self._theirs = -1

    async def start(self) -> str:
        """Make the port.

        Returns:
            Its path: the alias if one was wanted.

        Raises:
            Unreachable: it cannot be made.
        """
        try:
            # their end is kept open here too: without it ours would end with the first client
            self._ours, self._theirs = os.openpty()
            tty.setraw(self._theirs)
            os.set_blocking(self._ours, False)
            path = os.ttyname(self._theirs)
            if self._alias is not None:
                self._link(self._alias, path)
        except OSError as error:
            self._close()
            raise Unreachable(f"cannot make a serial port: {reason_of(error)}") from error
        self._listener = _Listener(self._answers, self._write)
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        return path if self._alias is None else str(self._alias)

    async def stop(self) -> None:
        """Take the port away."""
        if self._listener is None:
            return
        asyncio.get_running_loop().remove_reader(self._ours)
        self._listener.stop()
        self._listener = None
        if self._alias is not None:
            self._alias.unlink(missing_ok=True)
        self._close()

    @staticmethod
    def _link(alias: Path, path: str) -> None:
        if alias.is_symlink() and not alias.exists():
            alias.unlink()  # left by one that was killed
        alias.symlink_to(path)

    def _close(self) -> None:
        for descriptor in (self._ours, self._theirs):
            if descriptor >= 0:
                os.close(descriptor)
        self._ours = self._theirs = -1

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._ours, 4096)
            if self._listener is not None:
                self._listener.hear(data)

    def _write(self, data: bytes) -> None:
        # as on a wire: what nobody takes in time is gone
        if self._ours >= 0:
            with contextlib.suppress(BlockingIOError):
                os.write(self._ours, data)
