"""A real broker for twins and tests: mosquitto on loopback, with mutual TLS and an access list."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path

from mimctl.model.errors import UserError
from mimctl.wire.tls import ThrowawayPki

#: where Debian puts it, outside of the search path of users
_PLACES = (None, "/usr/sbin:/usr/local/sbin:/sbin")
_START_S, _STOP_S = 10.0, 5.0


def find_mosquitto() -> str:
    """
    Raises:
        UserError: it is not installed.
    """
    for path in _PLACES:
        if (found := shutil.which("mosquitto", path=path)) is not None:
            return found
    raise UserError("a LoRaWAN twin needs the broker mosquitto: apt-get install mosquitto")


@dataclass(eq=False)
class Mosquitto:
    """One broker, gone when it is stopped.

    Args:
        directory: for its files; of one's own.
        pki: mutual TLS; the common name of a client's certificate is its user name. None = plain, for anybody on this machine.
        acl: the access list; empty = everything is allowed.
    """

    directory: Path
    port: int
    pki: ThrowawayPki | None = None
    acl: str = ""
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)

    async def start(self) -> None:
        """Serve on 127.0.0.1.

        Raises:
            UserError: it is not installed, or does not start.
        """
        program = find_mosquitto()
        self.directory.mkdir(parents=True, exist_ok=True)
        file = self.directory / "mosquitto.conf"
        file.write_text(self._configuration(), encoding="ascii")
        quiet = asyncio.subprocess.DEVNULL
        log = os.open(self.directory / "mosquitto.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(program, "-c", str(file), stdin=quiet, stdout=log, stderr=log)
        finally:
            os.close(log)
        await self._listening()

    async def stop(self) -> None:
        """End it and wait for its end."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def _configuration(self) -> str:
        lines = [
            "per_listener_settings false",
            f"listener {self.port} 127.0.0.1",
            "set_tcp_nodelay true",
            # what waits for a bridge that is away
            "max_queued_messages 100000",
            "persistence true",
            f"persistence_location {self.directory}/",
            "autosave_interval 1",
            "allow_anonymous true" if self.pki is None else "allow_anonymous false",
        ]
        if os.geteuid() == 0:
            lines.append("user root")  # its files are in a directory that nobody else may enter
        if self.acl:
            acl = self.directory / "acl"
            acl.write_text(self.acl, encoding="ascii")
            acl.chmod(0o600)
            lines.append(f"acl_file {acl}")
        if self.pki is not None:
            server = self.pki.server
            lines += [f"cafile {server.ca}", f"certfile {server.certificate}", f"keyfile {server.key}"]
            lines += ["require_certificate true", "use_identity_as_username true", "tls_version tlsv1.2"]
        return "\n".join(lines) + "\n"

    async def _listening(self) -> None:
        process = self._process
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_S):
                while process is not None and process.returncode is None:
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    except OSError:
                        await asyncio.sleep(0.02)
                        continue
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
                    return
        await self.stop()
        told = (self.directory / "mosquitto.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise UserError(f"mosquitto does not start on port {self.port}: {told[-1] if told else 'it says nothing'}")
