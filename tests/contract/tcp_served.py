"""A server on loopback whose connections a test can cut."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class TcpServed:
    """What devices on TCP have in common. `port` 0 takes a free one; `most` connections at a time are taken, more are cut."""

    accepted: int = 0
    most_at_once: int = 0
    most: int = 64
    port: int = 0
    tls: ssl.SSLContext | None = None
    server: asyncio.Server | None = None
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in tuple(self.writers):
            writer.transport.abort()
        for task in tuple(self.tasks):
            task.cancel()
        await self.server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.accepted += 1
        if len(self.writers) >= self.most:
            writer.transport.abort()
            return
        self.tasks.add(task)
        self.writers.add(writer)
        self.most_at_once = max(self.most_at_once, len(self.writers))
        try:
            await self._talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the end of this connection, by either side; asyncio's streams would log a cancelled task as an error
        finally:
            self.tasks.discard(task)
            self.writers.discard(writer)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it ends."""
        raise NotImplementedError
