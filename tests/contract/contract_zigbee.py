"""Devices on the air of an in-memory radio, for the driver contract: a MIM, and a meter of another make by its profile."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from contract_bench import LOADS, PORTS, Bench

from mimctl.config.profiles.zigbee_profile import find_zigbee_profile, load_zigbee_profile
from mimctl.drivers.zigbee_device import ZigbeeDevice
from mimctl.drivers.zigbee_mim import ZigbeeMim
from mimctl.model.address import DeviceAddress
from mimctl.model.clock import SystemClock
from mimctl.model.connection import Connection
from mimctl.model.latency import Latency, LatencyClass
from mimctl.model.protocols import Driver
from mimctl.model.site import Mim, PortSpec
from mimctl.model.zigbee import RadioKind, ZigbeeRadio
from mimctl.twin.zigbee_stick import formed_stick
from mimctl.wire.zigbee.air import Air
from mimctl.wire.zigbee.bridge import ZigbeeBridge
from mimctl.wire.zigbee.guard import guarded
from mimctl.wire.zigbee.memory_radio import AirPort, memory_radio
from mimctl.wire.zigbee.node import Node
from mimctl.wire.zigbee.pace import Pace
from zigbee_mim import EUI, ZigbeeMeter
from zigbee_mim import ZigbeeMim as FakeMim

QUICK = Pace(first_s=0.02, most_s=0.1, look_s=0.02, command_s=0.3, close_s=1.0, start_s=5.0)
RADIO = ZigbeeRadio(RadioKind.ZNP, "memory")
Fake = FakeMim | ZigbeeMeter


def the_mim(ports: int = 3) -> Mim:
    places = tuple(PortSpec("rack1", Connection(f"L{1 + n % 3}"), 2000.0) for n in range(ports))
    latency = Latency(LatencyClass.MEDIUM, 1.0, 5.0, 5.0)
    return Mim("mim1", DeviceAddress("zb", 1, "mim/zigbee", eui=EUI), places, latency=latency)


def a_mim(bridge: ZigbeeBridge, ports: int = 3) -> ZigbeeMim:
    return ZigbeeMim(the_mim(ports), bridge, SystemClock())


def a_meter(bridge: ZigbeeBridge) -> ZigbeeDevice:
    path = find_zigbee_profile("generic/meter_3ph")
    assert path is not None
    return ZigbeeDevice("m1", EUI, load_zigbee_profile(path).map, bridge, SystemClock())


@dataclass
class AirFirmware:
    """A MIM's own view."""

    fake: FakeMim

    @property
    def ports(self) -> int:
        return self.fake.ports

    @property
    def enabled(self) -> bool:
        return self.fake.taken[-1].enable

    @property
    def sequence(self) -> int:
        return self.fake.in_force

    @property
    def validity_s(self) -> int:
        return self.fake.taken[-1].validity_s

    @property
    def signs_of_life(self) -> int:
        return len(self.fake.taken) + self.fake.alive

    def setpoints(self) -> tuple[list[int], list[int]]:
        return self.fake.setpoints()


@dataclass
class AirBench(Bench):
    """One on the air; the radio can be pulled, the device can be asked what it heard."""

    air: Air | None = None
    bridge: ZigbeeBridge | None = None
    fake: Fake | None = None


def tell_again(node: Node) -> None:
    """Everything is reported, due or not."""
    for rule in node.reporting.values():
        rule.told_at_s = -math.inf
    node.tick(0.0)


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it asks for what nobody signals
            await asyncio.sleep(0.01)


async def on_the_air(
    folder: Path,
    make: Callable[[ZigbeeBridge], ZigbeeDevice],
    device: Callable[[Air], Fake],
    shown: Mapping[str, float],
    unknown: str,
) -> AsyncIterator[AirBench]:
    air = Air(stick=formed_stick("contract"))
    port = AirPort(air)
    radio = guarded(memory_radio(port))
    bridge = ZigbeeBridge("zb", RADIO, folder / "zb.db", SystemClock(), QUICK, lambda: radio)
    fake, driver = device(air), make(bridge)

    def report() -> None:
        tell_again(fake.node)

    def show(values: Mapping[str, float]) -> None:
        fake.show(values)
        report()

    async def cut() -> None:
        port.present = False
        air.unplug()

    async def mend() -> None:
        port.present = True

    def another() -> Driver:
        """Another controller that has heard the same."""
        held, fresh = bridge.devices[EUI], make(bridge)
        bridge.devices[EUI] = fresh._watched = held
        return fresh

    def written() -> list[object]:
        return list(fake.heard)

    fake.show(shown)
    fake.switch_on()
    firmware = AirFirmware(fake) if isinstance(fake, FakeMim) else None
    try:
        await bridge.open()
        await until(lambda: bridge.devices[EUI].ready)
        yield AirBench(
            driver, shown, unknown, show, cut, mend, written, another, firmware, report, air=air, bridge=bridge, fake=fake
        )
    finally:
        await bridge.close()


METER_BENCHES = {
    "meter by profile, Zigbee": partial(on_the_air, make=a_meter, device=ZigbeeMeter, shown=LOADS, unknown="active_power.L3")
}
MIM_BENCHES = {
    "MIM, Zigbee": partial(on_the_air, make=a_mim, device=FakeMim, shown=PORTS, unknown="thd_v.port1"),
    "MIM between two feeds, Zigbee": partial(
        on_the_air,
        make=partial(a_mim, ports=6),
        device=partial(FakeMim, ports=6),
        shown={**PORTS, "active_power.port6": 333.0, "voltage.port4": 229.5},
        unknown="thd_v.port6",
    ),
}
