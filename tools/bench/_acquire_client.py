"""One way of `acquire.py`: poll every virtual device once a second, and say what it cost.

Usage: _acquire_client.py WAY LOOP     (first line of input: the ports; then a number of seconds a line, each answered with JSON)
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import os
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

#: a meter and a limits model: 123 registers from their first ID, one read
MODELS = (203, 128)
BASE, FIRST, COUNT, UNIT = 40000, 40070, 123, 1
#: time to connect, ask what the devices are, and settle [s]
_WITHIN_S = 60.0

Poll = Callable[[], Awaitable[object]]


async def bare(port: int) -> Poll:
    """Registers and nothing else."""
    from pymodbus.client import AsyncModbusTcpClient

    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=5, retries=0, reconnect_delay=0)
    if not await client.connect():
        raise ConnectionError(port)

    async def poll() -> list[int]:
        answer = await client.read_holding_registers(FIRST, count=COUNT, device_id=UNIT)
        if answer.isError() or len(answer.registers) != COUNT:
            raise ConnectionError(str(answer))
        return answer.registers  # type: ignore[no-any-return]

    return poll


async def decoded(port: int) -> Poll:
    """The same, decoded with pysunspec2."""
    import sunspec2.device

    registers = await bare(port)
    models: list[Any] = []

    async def poll() -> list[dict[str, Any]]:
        data = struct.pack(f">{COUNT}H", *await registers())
        if not models:
            at = 0
            for number in MODELS:
                length = struct.unpack_from(">H", data, 2 * at + 2)[0]
                models.append(
                    (sunspec2.device.Model(number, FIRST + at, length, data=data[2 * at :]), 2 * at, 2 * (at + length + 2))
                )
                at += length + 2
        found = []
        for model, start, end in models:
            model.set_mb(data[start:end], dirty=False)
            found.append(model.get_dict(computed=True))
        return found

    return poll


async def ours(port: int) -> Poll:
    """mimctl's link and driver: every point with its value, the reading with its quality."""
    from mimctl.drivers.register_device import RegisterDevice
    from mimctl.model.clock import SystemClock
    from mimctl.model.link import Link, LinkType
    from mimctl.model.sample import Quality
    from mimctl.wire.modbus import ModbusLink

    clock = SystemClock()
    link = ModbusLink(Link(f"d{port}", LinkType.MODBUS_TCP, "127.0.0.1", port, timeout_s=5.0), clock)
    await link.open()
    device = RegisterDevice(f"d{port}", link, UNIT, source=EveryPoint(), clock=clock)

    async def poll() -> object:
        sample = await device.read()
        if sample.quality is not Quality.GOOD:
            raise ConnectionError(str(sample.reason))
        return sample

    return poll


class EveryPoint:
    """All points of both models, not only those that mimctl has a use for; one map for all devices, as a profile would be."""

    maps: ClassVar[list[Any]] = []

    async def discover(self, transport: Any, unit: int, device: str) -> tuple[Any, tuple[tuple[str, str], ...]]:
        from dataclasses import replace

        from mimctl.wire.sunspec import walk
        from mimctl.wire.sunspec_map import model_map

        chain = await walk(transport, unit, (BASE,))
        if not self.maps:
            parts = [model_map(block) for block in chain.models if block.id in MODELS]
            points = [replace(p, key=f"{n}.{p.key}") for n, part in enumerate(parts) for p in part.points]
            guards = tuple(g for part in parts for g in part.guards)
            self.maps.append(replace(parts[0], points=tuple(points), guards=guards))
        return self.maps[0], ()


WAYS = {"pymodbus": bare, "pymodbus+pysunspec2": decoded, "mimctl": ours}


async def serve(way: str) -> None:
    """Connect, ask what the devices are, then measure as often as asked."""
    loop = asyncio.get_running_loop()
    ports = json.loads(sys.stdin.readline())
    async with asyncio.timeout(_WITHIN_S):
        polls = [await WAYS[way](port) for port in ports]
        for poll in polls:
            await poll()
    gc.collect()
    gc.freeze()
    answer("ready")
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        answer(await measure(polls, float(line)))


def answer(data: object) -> None:
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()


async def measure(polls: Sequence[Poll], seconds: float) -> dict[str, Any]:
    """Every device on its own instant of the second, as scrape slots are spread."""
    late_ms: list[float] = []
    errors = 0
    rounds = max(1, round(seconds))
    start_s = time.monotonic() + 0.2

    async def device(poll: Poll, offset_s: float) -> None:
        nonlocal errors
        for number in range(rounds):
            due_s = start_s + offset_s + number
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            try:
                await poll()
            except Exception:  # noqa: BLE001 - any error is one that the row counts
                errors += 1
            late_ms.append(1e3 * (time.monotonic() - due_s))

    cpu_s = time.process_time()
    await asyncio.gather(*(device(poll, n / len(polls)) for n, poll in enumerate(polls)))
    cpu_s = time.process_time() - cpu_s
    late_ms.sort()
    return {
        "cpu_us_per_poll": 1e6 * cpu_s / len(late_ms),
        "cpu_pct": 100 * cpu_s / rounds,
        "late_ms_p50": late_ms[len(late_ms) // 2],
        "late_ms_p99": late_ms[math.ceil(0.99 * len(late_ms)) - 1],
        "rss_mb": peak_rss_mb(),
        "polls": len(late_ms),
        "errors": errors,
    }


def peak_rss_mb() -> float:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def main() -> None:
    way, loop = sys.argv[1:3]
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    if loop == "uvloop":
        import uvloop

        uvloop.run(serve(way))
    else:
        asyncio.run(serve(way))


if __name__ == "__main__":
    main()
