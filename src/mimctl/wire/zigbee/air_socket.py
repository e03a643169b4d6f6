"""The air of a twin behind a socket of this machine: what a stick is to its serial port. One line of JSON for each message.

It is no radio protocol and no security: keys cross it in the clear. It serves on the loopback address alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from mimctl.model.tasks import end_tasks
from mimctl.wire.zigbee.air import Air, Frame, Stick, Trouble

LOOPBACK = "127.0.0.1"
_GREETING_S, _CLOSE_S = 5.0, 1.0
_LINE = 1 << 16


def pack(frame: Frame) -> list[Any]:
    return [frame.src, frame.src_ep, frame.dst, frame.dst_ep, frame.profile, frame.cluster, frame.data.hex()]


def unpack(fields: Any) -> Frame:
    """Raises ValueError or TypeError where it is no frame."""
    *numbers, data = fields
    src, src_ep, dst, dst_ep, profile, cluster = map(int, numbers)
    return Frame(src, src_ep, dst, dst_ep, profile, cluster, bytes.fromhex(data))


class AirServer:
    """Serves an air to one coordinator at a time; a second one takes its place, as a second cable would."""

    def __init__(self, air: Air, port: int = 0) -> None:
        self._air, self._port = air, port
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def start(self) -> tuple[str, int]:
        """Host and port. Raises OSError where the port is taken."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self._port, limit=_LINE)
        host, port = self._server.sockets[0].getsockname()[:2]
        return str(host), int(port)

    async def stop(self) -> None:
        server, self._server = self._server, None
        self._drop()
        if server is not None:
            server.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await server.wait_closed()

    def _drop(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            self._air.detach()
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._drop()
        if self._air.trouble is Trouble.UNPLUGGED:
            writer.close()
            return
        self._writer = writer
        self._air.attach(lambda frame: _tell(writer, {"f": pack(frame)}), self._drop)
        self._tell({"stick": asdict(self._air.stick)})
        try:
            while line := await reader.readline():
                if self._air.trouble is not Trouble.SILENT:
                    self._obey(json.loads(line))
        except (ValueError, TypeError, KeyError, OSError):
            pass  # a client that speaks something else, or whose cable was cut
        finally:
            if self._writer is writer:
                self._drop()
            else:
                writer.close()

    def _tell(self, message: dict[str, Any]) -> None:
        if self._writer is not None and self._air.trouble is not Trouble.SILENT:
            _tell(self._writer, message)

    def _obey(self, message: dict[str, Any]) -> None:
        if "f" in message:
            self._air.carry(unpack(message["f"]))
        elif "ping" in message:
            self._tell({"pong": message["ping"]})
        elif "stick" in message:
            self._air.stick = Stick(**message["stick"])
        elif "permit" in message:
            eui, key = message["permit"]
            if key is None:
                self._air.open_to.clear()
            else:
                self._air.open_to[eui] = bytes.fromhex(key)


def _tell(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    if not writer.is_closing():
        writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")


class SocketPort:
    """The coordinator's side: a `memory_radio.Port` over a socket."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._writer: asyncio.StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()

    @classmethod
    def at(cls, address: str) -> SocketPort:
        """From `socket://host:port`."""
        parts = urlsplit(address)
        return cls(parts.hostname or LOOPBACK, parts.port or 0)

    async def connect(self, receive: Callable[[Frame], None], lost: Callable[[Exception], None]) -> Stick:
        async with asyncio.timeout(_GREETING_S):
            reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=_LINE)
            try:
                stick = Stick(**json.loads(await reader.readline())["stick"])
            except (ValueError, KeyError, TypeError) as error:
                await self.close()
                raise ConnectionError("what answers there is no twin") from error
        self._listener = asyncio.create_task(self._listen(reader, receive, lost), name="zigbee twin")
        return stick

    async def _listen(
        self, reader: asyncio.StreamReader, receive: Callable[[Frame], None], lost: Callable[[Exception], None]
    ) -> None:
        reason: Exception = ConnectionError("the twin went away")
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if "f" in message:
                    receive(unpack(message["f"]))
                elif "pong" in message:
                    self._answered.set()
        except (ValueError, TypeError, OSError) as error:
            reason = error
        lost(reason)

    async def close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None and listener is not asyncio.current_task():
            await end_tasks(listener)
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await writer.wait_closed()
            writer.transport.abort()

    def send(self, frame: Frame) -> bool:
        """The twin does not say whether somebody heard a frame: silence tells."""
        if self._writer is None or self._writer.is_closing():
            raise ConnectionError("the twin is not there")
        _tell(self._writer, {"f": pack(frame)})
        return True

    async def keep(self, stick: Stick) -> None:
        if self._writer is not None:
            _tell(self._writer, {"stick": asdict(stick)})

    async def permit(self, eui: str, key: bytes | None) -> None:
        if self._writer is not None:
            _tell(self._writer, {"permit": [eui, None if key is None else key.hex()]})

    async def ping(self) -> None:
        if self._writer is None or self._writer.is_closing():
            raise ConnectionError("the twin is not there")
        self._answered.clear()
        _tell(self._writer, {"ping": 1})
        await self._answered.wait()
