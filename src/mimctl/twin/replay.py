"""Register dumps as Modbus devices: any client sees what the real devices said, and can change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from mimctl.twin.server import LOOPBACK
from mimctl.wire.dump import DumpBank, RegisterDump
from mimctl.wire.modbus_server import ModbusServer
from mimctl.wire.transport import READ_HOLDING, READ_INPUT


@dataclass(frozen=True, slots=True)
class Replayed:
    """One dump and where it is served."""

    name: str
    host: str
    port: int
    units: tuple[int, ...]


class ReplayServer:
    """Serves each dump on a free loopback port of its own, under the unit ids that it was taken from.

    Args:
        dumps: (name, dump) pairs.
    """

    def __init__(self, dumps: Sequence[tuple[str, RegisterDump]]) -> None:
        self._dumps = tuple(dumps)
        self._servers: list[ModbusServer] = []
        self.served: tuple[Replayed, ...] = ()

    async def __aenter__(self) -> ReplayServer:
        """Listen.

        Raises:
            Unreachable: no port can be had; nothing is left behind.
        """
        try:
            self.served = tuple([await self._serve(name, dump) for name, dump in self._dumps])
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _serve(self, name: str, dump: RegisterDump) -> Replayed:
        banks = {unit: DumpBank(dump, unit) for unit in dump.units}
        server = ModbusServer(LOOPBACK, 0, banks, access=_reads_alone)
        self._servers.append(server)
        host, port = await server.start()
        return Replayed(name, host, port, dump.units)

    async def _stop(self) -> None:
        await asyncio.gather(*(server.stop() for server in self._servers))
        self._servers.clear()


def _reads_alone(role: str | None, function: int) -> bool:
    return function in (READ_HOLDING, READ_INPUT)
