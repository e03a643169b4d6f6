"""Devices with registers on each kind of link, for the driver contract."""

from __future__ import annotations

import math
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from contract_bench import LOADS, PORTS, Bench

from fake_mim import BASE, FakeMim, mim
from mimctl.config.profiles.registers_profile import find_profile, load_profile
from mimctl.drivers.discovery import MapSource, ProfileSource, SunSpecSource
from mimctl.drivers.register_device import RegisterDevice
from mimctl.drivers.register_mim import RegisterMim
from mimctl.model.clock import SystemClock
from mimctl.model.errors import DeviceRefusal
from mimctl.model.link import Link, LinkType, SerialLine
from mimctl.model.profile import DeviceClass, RegisterMap
from mimctl.model.protocols import Driver
from mimctl.wire.memory import MemoryBank, MemoryTransport
from mimctl.wire.modbus import LinkPolicy, ModbusLink
from mimctl.wire.modbus_server import ModbusServer
from mimctl.wire.rtu_server import RtuPtyServer, RtuTcpServer
from mimctl.wire.sunspec_image import ModelContent, build_chain
from mimctl.wire.sunspec_map import register_map_of
from mimctl.wire.sunspec_rules import corrected
from mimctl.wire.transport import Transport
from mimctl.wire.writes import write_image

Cable = Callable[[], Awaitable[None]]
UNIT = 1


@dataclass
class Gate:
    """A register bank in front of another: refuses with a code while one is set."""

    inner: MemoryBank
    code: int | None = None
    asked: list[tuple[str, int, int]] = field(default_factory=list)

    def read(self, address: int, count: int) -> bytes:
        self._pass("read", address, count)
        return self.inner.read(address, count)

    def write(self, address: int, data: bytes) -> None:
        self._pass("write", address, len(data) // 2)
        self.inner.write(address, data)

    def _pass(self, kind: str, address: int, count: int) -> None:
        self.asked.append((kind, address, count))
        if self.code is not None:
            raise DeviceRefusal("bank", "not now", self.code)


@dataclass
class Device:
    """One kind of device, showing LOADS (a MIM: on its ports) until told otherwise."""

    gate: Gate
    make: Callable[[Transport], Driver]
    show: Callable[[Mapping[str, float]], None]
    shown: Mapping[str, float]
    fake: FakeMim | None = None


def sunspec_meter(model: int) -> Device:
    scales = {"W_SF": 0, "V_SF": -1, "A_SF": -2, "Hz_SF": -2} if model == 203 else {}
    image, chain = build_chain([ModelContent(1, {"Mn": "ACME"}), ModelContent(model, scales)])
    return register_meter(MemoryBank(BASE, image), register_map_of(chain.models, "m1"), SunSpecSource(DeviceClass.METER))


def turned_meter() -> Device:
    """A SunSpec meter that counts export positive, and the profile that knows it."""
    path = find_profile("solaredge/meter")
    assert path is not None
    profile = load_profile(path)
    assert profile.chain is not None
    scales = {"W_SF": 0, "V_SF": -1, "A_SF": -2, "Hz_SF": -2}
    image, chain = build_chain([ModelContent(1, {"Mn": "SolarEdge "}), ModelContent(203, scales)])
    found = corrected(register_map_of(chain.models, "m1"), chain.models, profile.chain, profile.register_map)
    return register_meter(MemoryBank(BASE, image), found, SunSpecSource(DeviceClass.METER, profile=profile))


def profile_meter() -> Device:
    path = find_profile("schneider/iem3155")
    assert path is not None
    profile = load_profile(path)
    return register_meter(MemoryBank(0, bytearray(2 * 4000)), profile.register_map, ProfileSource(profile))


def register_meter(bank: MemoryBank, register_map: RegisterMap, source: MapSource) -> Device:
    def make(transport: Transport) -> Driver:
        return RegisterDevice("m1", transport, UNIT, source=source, clock=SystemClock())

    def show(values: Mapping[str, float]) -> None:
        write_image(register_map, bank.registers, bank.origin, values)

    show({**LOADS, "active_power.L3": math.nan})
    return Device(Gate(bank), make, show, LOADS)


def sunspec_mim(ports: int) -> Device:
    fake = FakeMim(ports)

    def make(transport: Transport) -> Driver:
        return RegisterMim(mim(ports), transport, source=SunSpecSource(DeviceClass.MIM), clock=SystemClock())

    fake.show(dict(PORTS))
    return Device(Gate(fake.bank), make, fake.show, PORTS, fake)


METERS: dict[str, Callable[[], Device]] = {
    "SunSpec meter, integers": lambda: sunspec_meter(203),
    "SunSpec meter, floats": lambda: sunspec_meter(213),
    "SunSpec meter with a profile": turned_meter,
    "meter by profile": profile_meter,
}
MIMS: dict[str, Callable[[], Device]] = {
    "SunSpec MIM": lambda: sunspec_mim(3),
    "SunSpec MIM between two feeds": lambda: sunspec_mim(6),
}


@dataclass
class RegisterFirmware:
    """The firmware's own view, read out of its registers."""

    fake: FakeMim

    @property
    def ports(self) -> int:
        return self.fake.ports

    @property
    def enabled(self) -> bool:
        return bool(self.fake.number("enable"))

    @property
    def sequence(self) -> int:
        return self.fake.number("sequence")

    @property
    def validity_s(self) -> int:
        return self.fake.number("validity")

    @property
    def signs_of_life(self) -> int:
        return self.fake.number("heartbeat")

    def setpoints(self) -> tuple[list[int], list[int]]:
        return self.fake.setpoints()


@dataclass
class RegisterBench(Bench):
    """One with registers; `device` can refuse with an exception."""

    device: Device | None = None

    @property
    def gate(self) -> Gate:
        assert self.device is not None
        return self.device.gate

    @property
    def order(self) -> list[int]:
        """Addresses in the order in which they were written."""
        return [address for kind, address, _ in self.gate.asked if kind == "write"]


def register_bench(device: Device, transport: Transport, cut: Cable, mend: Cable) -> RegisterBench:
    def written() -> list[tuple[int, int]]:
        return [(address, count) for kind, address, count in device.gate.asked if kind == "write"]

    return RegisterBench(
        device.make(transport),
        device.shown,
        "thd_v.port1" if device.fake else "active_power.L3",
        device.show,
        cut,
        mend,
        written,
        lambda: device.make(transport),
        None if device.fake is None else RegisterFirmware(device.fake),
        device=device,
    )


async def on_memory(device: Device) -> AsyncIterator[RegisterBench]:
    transport = MemoryTransport("gw", {UNIT: device.gate})

    async def cut() -> None:
        transport.connected = False

    async def mend() -> None:
        transport.connected = True

    yield register_bench(device, transport, cut, mend)


async def on_loopback(device: Device) -> AsyncIterator[RegisterBench]:
    async for bench in _served(device, LinkType.MODBUS_TCP, lambda port: ModbusServer("127.0.0.1", port, {UNIT: device.gate})):
        yield bench


async def on_rtu_over_tcp(device: Device) -> AsyncIterator[RegisterBench]:
    async for bench in _served(device, LinkType.MODBUS_RTU_TCP, lambda port: RtuTcpServer("127.0.0.1", port, {UNIT: device.gate})):
        yield bench


async def on_serial_port(device: Device) -> AsyncIterator[RegisterBench]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bus"
        async for bench in _served(device, LinkType.MODBUS_RTU, lambda _: RtuPtyServer({UNIT: device.gate}, path)):
            yield bench


async def _served(device: Device, kind: LinkType, make: Callable[[int], Any]) -> AsyncIterator[RegisterBench]:
    server = make(0)
    at = await server.start()
    running = [server]
    host, port = ("", 0) if isinstance(at, str) else at
    line = SerialLine(at, 115200) if isinstance(at, str) else None
    patience_s = 0.6 if kind.is_rtu else 2.0  # after a broken request an RTU link keeps quiet for as long
    link = Link("gw", kind, host, port, timeout_s=patience_s, serial=line)
    transport = ModbusLink(link, SystemClock(), policy=LinkPolicy(reconnect_first_s=0.02, reconnect_max_s=0.1))
    await transport.open()

    async def cut() -> None:
        await running.pop().stop()

    async def mend() -> None:
        running.append(make(port))
        await running[-1].start()

    try:
        yield register_bench(device, transport, cut, mend)
    finally:
        await transport.close()
        for last in running:
            await last.stop()


LINKS = {"in memory": on_memory, "Modbus/TCP": on_loopback, "RTU over TCP": on_rtu_over_tcp, "RTU, serial": on_serial_port}


async def bench_for(device: Callable[[], Device], link: str, _: Path) -> AsyncIterator[RegisterBench]:
    async for bench in LINKS[link](device()):
        yield bench


def on_every_link(devices: Mapping[str, Callable[[], Device]]) -> dict[str, Callable[[Path], AsyncIterator[RegisterBench]]]:
    """By name of device and link."""
    return {f"{name}, {link}": partial(bench_for, make, link) for name, make in devices.items() for link in LINKS}


METER_BENCHES, MIM_BENCHES = on_every_link(METERS), on_every_link(MIMS)
