"""The local door: a Unix socket through which the command line asks the running service. One JSON line in, one out.

Who may open it is the state directory's owner: the socket is mode 0600 in a directory of mode 0700. Every request is handed on with
`peer`, whose process it came from by the word of the kernel, whatever the request itself says.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import pwd
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from mimctl.model.errors import LinkDown, LinkTimeout, MimctlError, Unreachable

_LONGEST_LINE = 1 << 26
_IDLE_S = 10.0
_CLOSE_WITHIN_S = 1.0
#: struct ucred of the kernel: pid, uid, gid
_CREDENTIALS = struct.Struct("3i")

#: gives its answer at once, or awaits it with a bound of its own
Handler = Callable[[Mapping[str, Any]], Any]


class NoService(Unreachable):
    """Nobody listens at the door of a site, or nobody may be asked there."""


class Door:
    """Serves named requests; every answer is `{"ok": …}` or `{"error": "one line", "unreachable": …}` (nobody answers)."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self._path = path
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        self._log = structlog.get_logger("mimctl.service")

    async def open(self) -> None:
        """Listen; a socket file left by a killed service is replaced (the caller holds the site's lock)."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=_LONGEST_LINE)
        self._path.chmod(0o600)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_WITHIN_S):
                    await self._server.wait_closed()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_IDLE_S):
                line = await reader.readline()
            writer.write(await self._answer(line, _peer(writer)))
            async with asyncio.timeout(_IDLE_S):
                await writer.drain()
        except (TimeoutError, ConnectionError, ValueError):
            pass  # a caller that says nothing, too much, or leaves is its own affair
        finally:
            writer.close()

    async def _answer(self, line: bytes, peer: Mapping[str, Any]) -> bytes:
        """One line, whatever a handler does: nobody who asks is left without a word."""
        try:
            request = {**json.loads(line), "peer": peer}
            handler = self._handlers[request["ask"]]
        except (ValueError, TypeError, KeyError):
            return _line({"error": f"not understood; this service answers: {', '.join(sorted(self._handlers))}"})
        try:
            answer = handler(request)
            return _line({"ok": await answer if inspect.isawaitable(answer) else answer})
        except MimctlError as error:
            return _line({"error": str(error), "unreachable": isinstance(error, Unreachable | LinkDown | LinkTimeout)})
        except Exception as error:  # noqa: BLE001 - a fault of ours: whoever asked is told, the log says where, control goes on
            self._log.error("a request failed", ask=request["ask"], exc_info=error)
            return _line({"error": f"internal error ({type(error).__name__}): the service's log says more", "unreachable": False})


def _line(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def _peer(writer: asyncio.StreamWriter) -> dict[str, Any]:
    """Process and user at the other end."""
    # a loop may hand out something that only looks like a socket: ask a real one
    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as end:
        pid, uid, _ = _CREDENTIALS.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = f"user {uid}"
    return {"pid": pid, "uid": uid, "user": user}


def somebody_listens(path: Path) -> bool:
    """Whether a service has its door open there."""
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(str(path))
        return True
    return False


def ask(path: Path, question: str, timeout_s: float = 5.0, **arguments: Any) -> Any:
    """Ask the running service from another process.

    Raises:
        NoService: none listens there, or it does not answer.
        Unreachable: what it needs does not answer.
        MimctlError: what it says is wrong.
    """
    return asyncio.run(_ask(path, {"ask": question, **arguments}, timeout_s))


async def _ask(path: Path, request: Mapping[str, Any], timeout_s: float) -> Any:
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path, limit=_LONGEST_LINE)
            try:
                writer.write(json.dumps(request).encode() + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError) as error:
        raise NoService(f"no running service at {path}: {_why(error)}") from error
    answer = json.loads(line or b"{}")
    if "ok" not in answer:
        wrong = MimctlError if "error" in answer and not answer.get("unreachable", True) else Unreachable
        raise wrong(str(answer.get("error", "the service closed the connection")))
    return answer["ok"]


def _why(error: Exception) -> str:
    """In words: a missing file, a refused connection and a missing right are what people meet."""
    match error:
        case FileNotFoundError():
            return "there is no such socket"
        case ConnectionRefusedError():
            return "nobody listens there any more"
        case PermissionError():
            return "it belongs to another user"
        case TimeoutError():
            return "no answer in time"
        case OSError():
            return error.strerror or str(error)
        case _:
            return str(error)
