"""1,000 LoRaWAN MIMs through a real broker: CPU of the bridge, uplink to sample, lost frames, memory; JSON against protobuf.

The stand-in for ChirpStack runs in a process of its own, so that the figures are those of the bridge alone. One uplink a minute
of 1,000 devices is 17 a second; the bench sends them faster, by `--speed`, and tells the CPU for the real rate. `air.py` runs it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from _air import CoreTime, row

from mimctl.config.profiles.payload_profile import find_payload_profile, load_payload_profile
from mimctl.drivers.lorawan_device import LorawanDevice
from mimctl.model.clock import SystemClock
from mimctl.model.link import Link, LinkType
from mimctl.model.lorawan import LorawanLink
from mimctl.twin.lorawan import free_port
from mimctl.wire.chirpstack.bridge import LorawanBridge
from mimctl.wire.chirpstack.broker import Mosquitto
from mimctl.wire.chirpstack.events import Uplink
from mimctl.wire.chirpstack.stand_in import ChirpStackStandIn

APPLICATION = "3b1f2d64-0f8e-4c0a-9d59-1f4d7e1b6a01"
#: of each device [s]
EVERY_S = 60.0


def eui(n: int) -> str:
    return f"70b3d57ed{n:07x}"


async def send(port: int, devices: int, marshalling: str, frames: int, rate: float) -> None:
    """The other side: uplinks of all devices in turn, evenly spread."""
    server = ChirpStackStandIn(APPLICATION, "-", ("127.0.0.1", port), SystemClock(), marshalling=marshalling)  # type: ignore[arg-type]
    for n in range(devices):
        server.add(eui(n), f"mim{n}", lambda _port, _payload: False)
    await server.start()
    server.add("ffffffffffffffff", "nobody", lambda _port, _payload: False)
    server.uplink("ffffffffffffffff", 10, b"")  # taken once the broker has answered
    while not server._out.empty():  # noqa: ASYNC110 - a queue has no event for it
        await asyncio.sleep(0.02)
    began = time.monotonic()
    payload = bytes([0x11]) + bytes(36)
    for n in range(frames):
        await asyncio.sleep(max(0.0, began + n / rate - time.monotonic()))
        server.uplink(eui(n % devices), 10, payload)
    while not server._out.empty():  # noqa: ASYNC110 - a queue has no event for it
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)
    await server.stop()


class Heard:
    """Notes how late each sample is."""

    def __init__(self) -> None:
        self.late_s: list[float] = []

    def device(self, n: int, bridge: LorawanBridge) -> LorawanDevice:
        device = LorawanDevice(f"mim{n}", eui(n), bridge, PROFILE, SystemClock())
        take = device._heard

        def noted(uplink: Uplink, at_s: float) -> None:
            take(uplink, at_s)
            if uplink.at is not None:
                self.late_s.append((datetime.now(UTC) - uplink.at).total_seconds())

        bridge.watch(eui(n), f"mim{n}", noted, 600.0)
        return device


_PATH = find_payload_profile("mimctl/mim")
if _PATH is None:
    raise SystemExit("the profile mimctl/mim is missing")
PROFILE = load_payload_profile(_PATH)


async def one_turn(devices: int, marshalling: str, frames: int, speed: float) -> dict[str, object]:
    """All frames through one connection."""
    with tempfile.TemporaryDirectory() as folder:
        port, rate = free_port(), speed * devices / EVERY_S
        broker = Mosquitto(Path(folder), port)
        await broker.start()
        link = Link("air", LinkType.LORAWAN, "127.0.0.1", port, lorawan=LorawanLink(APPLICATION, "127.0.0.1"))
        bridge, heard = LorawanBridge(link, SystemClock()), Heard()
        listening = [heard.device(n, bridge) for n in range(devices)]
        await bridge.open()
        while not bridge.connected:  # noqa: ASYNC110 - neither has a connection
            await asyncio.sleep(0.02)
        core = CoreTime()
        order = f"{port},{devices},{marshalling},{frames},{rate}"
        other = await asyncio.create_subprocess_exec(sys.executable, __file__, order)
        await other.wait()
        cpu_s = core.used_s
        await bridge.close()
        await broker.stop()
        known = sum(device._sample is not None for device in listening)
    line = row(devices, heard.late_s, frames, len(heard.late_s), frames * EVERY_S / devices, cpu_s)
    return {"medium": f"LoRaWAN, {marshalling}", **line, "known": known, "us a frame": round(1e6 * cpu_s / frames)}


async def measure(devices: int, frames: int, speed: float, rounds: int) -> list[dict[str, object]]:
    """Both marshallings in turns, the best turn of each; what JSON takes of the processor against protobuf."""
    turns: dict[str, list[dict[str, object]]] = {"json": [], "protobuf": []}
    for _ in range(rounds):
        for marshalling, found in turns.items():
            found.append(await one_turn(devices, marshalling, frames, speed))
    best = [min(found, key=lambda turn: float(str(turn["us a frame"]))) for found in turns.values()]
    for line, found in zip(best, turns.values(), strict=True):
        line["lost"] = max(int(str(turn["lost"])) for turn in found)
        line["x protobuf"] = round(float(str(line["us a frame"])) / float(str(best[1]["us a frame"])), 2)
    return best


if __name__ == "__main__":  # the other side
    port_, devices_, marshalling_, frames_, rate_ = sys.argv[1].split(",")
    asyncio.run(send(int(port_), int(devices_), marshalling_, int(frames_), float(rate_)))
