"""Zigbee MIMs that report through the in-memory radio: what the bridge takes of a core, how late a value is, what is lost.

Every frame is real: encoded by the virtual device, parsed by zigpy, taken by the bridge. The same frames
parsed by zigpy alone, without a bridge that listens, are the other side of the ratio. `air.py` runs it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _air import CoreTime, row

from mimctl.model.clock import SystemClock
from mimctl.model.zigbee import RadioKind, ZigbeeRadio
from mimctl.wire.zigbee.air import Air
from mimctl.wire.zigbee.bridge import Pace, ZigbeeBridge
from mimctl.wire.zigbee.guard import guarded
from mimctl.wire.zigbee.memory_radio import AirPort, memory_radio
from mimctl.wire.zigbee.network import form
from mimctl.wire.zigbee.watched import Wanted

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from zigbee_mim import ACTIVE, CURRENT, METER_PLACE, REACTIVE, VOLTAGE, ZigbeeMim

#: V, I, P, Q of three phases, and the frequency
ATTRIBUTES = (*VOLTAGE, *CURRENT, *ACTIVE, *REACTIVE, 0x0300)
RADIO = ZigbeeRadio(RadioKind.ZNP, "memory")


class Hall:
    """So many MIMs on one air, and a bridge that hears them."""

    def __init__(self, folder: Path, mims: int, every_s: float) -> None:
        self.air, self.every_s = Air(), every_s
        self.radio = guarded(memory_radio(AirPort(self.air)))
        self.mims = [ZigbeeMim(self.air, eui=f"00124b00{n:08x}", nwk=0x1000 + n) for n in range(mims)]
        self.bridge = ZigbeeBridge("zb", RADIO, folder / "zb.db", SystemClock(), Pace(look_s=0.2), lambda: self.radio)
        wanted = [Wanted((1, METER_PLACE[1], None, number), 0, every_s) for number in ATTRIBUTES]
        self.watched = [self.bridge.watch(mim.eui, wanted) for mim in self.mims]
        self.database = folder / "zb.db"
        self.sent = 0

    async def start(self) -> float:
        """How long it took until every MIM was found and set up [s]."""
        await form(RADIO, self.database, make_radio=lambda: self.radio)
        for mim in self.mims:
            mim.node.online = True
            self.air.add(mim.node)
        began_s = time.perf_counter()
        await self.bridge.open()
        async with asyncio.timeout(120):
            while not all(watched.ready for watched in self.watched):  # noqa: ASYNC110 - nobody signals it
                await asyncio.sleep(0.05)
        return time.perf_counter() - began_s

    def report(self, mim: ZigbeeMim, count: int) -> None:
        """Every attribute with another value, in as many frames as they take."""
        for number in ATTRIBUTES:
            mim.node.attributes[METER_PLACE][number].value = 1000 + count % 500
        mim.node.tick(time.monotonic() + 10_000 + count)
        self.sent += len(ATTRIBUTES)


async def run(hall: Hall, seconds: float) -> tuple[list[float], int, int, float]:
    """Reports evenly spread over time, one look at what came after each: how late it was [s], values sent and got, how long [s]."""
    late_s: list[float] = []
    before = sum(w.reports for w in hall.watched)
    hall.sent = 0
    loop, gap_s = asyncio.get_running_loop(), hall.every_s / len(hall.mims)
    began_s, count = loop.time(), 0
    while loop.time() - began_s < seconds:
        mim, watched = hall.mims[count % len(hall.mims)], hall.watched[count % len(hall.mims)]
        told_s, had = time.perf_counter(), watched.reports
        hall.report(mim, count)
        while watched.reports < had + len(ATTRIBUTES) and time.perf_counter() - told_s < 1:  # noqa: ASYNC110 - it is timed
            await asyncio.sleep(0)
        late_s.append(time.perf_counter() - told_s)
        count += 1
        await asyncio.sleep(max(0.0, began_s + count * gap_s - loop.time()))
    wall_s = loop.time() - began_s
    got = sum(w.reports for w in hall.watched) - before
    return late_s, hall.sent, got, wall_s


async def measure(mims: int, every_s: float, seconds: float) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        hall = Hall(Path(folder), mims, every_s)
        ready_s = await hall.start()
        late_s, sent, got, wall_s = await run(hall, seconds)
        core, deaf = list[float](), list[float]()
        spots = [watched._spots for watched in hall.watched]
        for _ in range(3):
            for watched, known in zip(hall.watched, spots, strict=True):
                watched._spots = known
            core.append(await cpu(hall, seconds / 3))
            for watched in hall.watched:
                watched._spots = frozenset()  # the frames still come, are parsed and kept; nobody takes them
            deaf.append(await cpu(hall, seconds / 3))
        await hall.bridge.close()
    ours, alone = min(core), min(deaf)
    line = row(mims, late_s, sent, got, wall_s, ours * wall_s)
    extra = {"set up s": round(ready_s, 1), "zigpy alone %": round(100 * alone, 2), "ours/zigpy": round(ours / alone, 2)}
    return [{"medium": "Zigbee", **line, **extra}]


async def cpu(hall: Hall, seconds: float) -> float:
    """Share of a core that the frames of so long take, devices, radio and database included."""
    loop, gap_s = asyncio.get_running_loop(), hall.every_s / len(hall.mims)
    began_s, core, count = loop.time(), CoreTime(), 0
    while loop.time() - began_s < seconds:
        hall.report(hall.mims[count % len(hall.mims)], 10_000 + count)
        count += 1
        await asyncio.sleep(max(0.0, began_s + count * gap_s - loop.time()))
    return core.used_s / (loop.time() - began_s)
