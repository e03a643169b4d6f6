"""Virtual SunSpec devices for `acquire.py`, each on a port of its own: read requests answered out of one image, nothing else.

Usage: _acquire_server.py COUNT IMAGE_HEX BASE       (prints the ports as JSON, ends when standard input does)
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys

_REQUEST = struct.Struct(">HHHBBHH")
_ANSWER = struct.Struct(">HHHBBB")


class Device(asyncio.Protocol):
    """One client's connection."""

    image = b""
    base = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= _REQUEST.size:
            tid, _, _, unit, function, address, count = _REQUEST.unpack_from(self._received)
            self._received = self._received[_REQUEST.size :]
            start = 2 * (address - self.base)
            registers = self.image[start : start + 2 * count] if start >= 0 else b""
            if len(registers) == 2 * count:
                answer = _ANSWER.pack(tid, 0, 3 + 2 * count, unit, function, 2 * count) + registers
            else:
                answer = struct.pack(">HHHBBB", tid, 0, 3, unit, function | 0x80, 2)
            self._transport.write(answer)  # type: ignore[attr-defined]


async def serve(count: int) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Device, "127.0.0.1", 0, backlog=8) for _ in range(count)]
    sys.stdout.write(json.dumps([s.sockets[0].getsockname()[1] for s in servers]) + "\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    for server in servers:
        server.close()


if __name__ == "__main__":
    Device.image, Device.base = bytes.fromhex(sys.argv[2]), int(sys.argv[3])
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(int(sys.argv[1])))
    else:
        uvloop.run(serve(int(sys.argv[1])))
