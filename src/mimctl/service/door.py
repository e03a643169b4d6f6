"""The local door: a Unix socket through which the command line asks the running service. One JSON line in, one out.

Who may open it is the state directory's owner: the socket is mode 0600 in a directory of mode 0700.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mimctl.model.errors import MimctlError, Unreachable

_LONGEST_LINE = 1 << 20
_IDLE_S = 10.0

Handler = Callable[[Mapping[str, Any]], Any]


class Door:
    """Serves named requests; every answer is `{"ok": …}` or `{"error": "one line"}`."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self._path = path
        self._handlers = handlers
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen; a socket file left by a killed service is replaced (the caller holds the site's lock)."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=_LONGEST_LINE)
        self._path.chmod(0o600)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), _IDLE_S)
            writer.write(json.dumps(self._answer(line)).encode() + b"\n")
            await asyncio.wait_for(writer.drain(), _IDLE_S)
        except (TimeoutError, ConnectionError, ValueError):
            pass  # a caller that says nothing, too much, or leaves is its own affair
        finally:
            writer.close()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            handler = self._handlers[request["ask"]]
        except (ValueError, TypeError, KeyError):
            return {"error": f"not understood; this service answers: {', '.join(sorted(self._handlers))}"}
        try:
            return {"ok": handler(request)}
        except MimctlError as error:
            return {"error": str(error)}


def ask(path: Path, question: str, timeout_s: float = 5.0, **arguments: Any) -> Any:
    """Ask the running service from another process.

    Raises:
        Unreachable: no service listens there, or it does not answer.
    """
    return asyncio.run(_ask(path, {"ask": question, **arguments}, timeout_s))


async def _ask(path: Path, request: Mapping[str, Any], timeout_s: float) -> Any:
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path, limit=_LONGEST_LINE)
            writer.write(json.dumps(request).encode() + b"\n")
            line = await reader.readline()
            writer.close()
    except (OSError, TimeoutError) as error:
        why = str(error) or "no answer in time"
        raise Unreachable(f"no running service at {path} ({why}); start it with: mimctl run SITE") from error
    answer = json.loads(line or b"{}")
    if "ok" not in answer:
        raise Unreachable(str(answer.get("error", "the service closed the connection")))
    return answer["ok"]
