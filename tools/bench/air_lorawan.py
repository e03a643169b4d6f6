"""1,000 LoRaWAN MIMs through a real broker: CPU of the bridge, uplink to sample, lost frames, memory; JSON against protobuf.

The stand-in for ChirpStack runs in a process of its own, so that the figures are those of the bridge alone. One uplink a minute
of 1,000 devices is 17 a second; the bench sends them faster, by `--speed`, and tells the CPU for the real rate.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mimctl.config.payload import find_payload_profile, load_payload_profile
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
DEVICES, EVERY_S = 1000, 60.0


def eui(n: int) -> str:
    return f"70b3d57ed{n:07x}"


async def send(port: int, marshalling: str, frames: int, rate: float) -> None:
    """The other side: uplinks of all devices in turn, evenly spread."""
    server = ChirpStackStandIn(APPLICATION, "-", ("127.0.0.1", port), SystemClock(), marshalling=marshalling)  # type: ignore[arg-type]
    for n in range(DEVICES):
        server.add(eui(n), f"mim{n}", lambda _port, _payload: False)
    await server.start()
    began = time.monotonic()
    payload = bytes([0x11]) + bytes(36)
    for n in range(frames):
        await asyncio.sleep(max(0.0, began + n / rate - time.monotonic()))
        server.uplink(eui(n % DEVICES), 10, payload)
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


async def measure(marshalling: str, frames: int, speed: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        port, rate = free_port(), speed * DEVICES / EVERY_S
        broker = Mosquitto(Path(folder), port)
        await broker.start()
        link = Link("air", LinkType.LORAWAN, "127.0.0.1", port, lorawan=LorawanLink(APPLICATION, "127.0.0.1"))
        bridge, heard = LorawanBridge(link, SystemClock()), Heard()
        devices = [heard.device(n, bridge) for n in range(DEVICES)]
        await bridge.open()
        while not bridge.connected:  # noqa: ASYNC110 - neither has a connection
            await asyncio.sleep(0.02)
        used = time.process_time()
        other = await asyncio.create_subprocess_exec(sys.executable, __file__, "--send", f"{port},{marshalling},{frames},{rate}")
        await other.wait()
        cpu_s = time.process_time() - used
        await bridge.close()
        await broker.stop()
        known = sum(device._sample is not None for device in devices)
    p50, p99 = 1000 * np.percentile(heard.late_s, [50, 99])
    lost = frames - len(heard.late_s)
    per_frame_us = 1e6 * cpu_s / frames
    share = per_frame_us * 1e-6 * DEVICES / EVERY_S
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"{marshalling:9} {per_frame_us:7.0f} us a frame, {share:.2%} of a core at one a minute; "
        f"uplink -> sample p50 {p50:.1f} ms, p99 {p99:.1f} ms; lost {lost} of {frames}; {known} devices known; RSS {rss_mb:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=4000)
    parser.add_argument("--speed", type=float, default=20.0, help="times faster than one uplink a minute")
    parser.add_argument("--send", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        port, marshalling, frames, rate = options.send.split(",")
        asyncio.run(send(int(port), marshalling, int(frames), float(rate)))
        return
    print(f"{DEVICES} devices, {os.cpu_count()} cores, {options.speed:g} times the real rate")
    for marshalling in ("json", "protobuf"):
        print(asyncio.run(measure(marshalling, options.frames, options.speed)))


if __name__ == "__main__":
    main()
