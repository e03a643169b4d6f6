"""What every driver owes its callers, whatever device and whatever link: the same cases for all of them."""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fake_mim import BASE, FakeMim, mim
from mimctl.config.profile import find_profile, load_profile
from mimctl.drivers.discovery import MapSource, ProfileSource, SunSpecSource
from mimctl.drivers.register_device import RegisterDevice
from mimctl.drivers.register_mim import RegisterMim
from mimctl.model.clock import SystemClock
from mimctl.model.errors import DeviceRefusal, LinkError
from mimctl.model.link import Link, LinkType, SerialLine
from mimctl.model.profile import DeviceClass, RegisterMap
from mimctl.model.protocols import Driver, MimCommand, MimDriver
from mimctl.model.quantity import quantity_of
from mimctl.model.reason import Reason
from mimctl.model.sample import Quality
from mimctl.wire.memory import MemoryBank, MemoryTransport
from mimctl.wire.modbus import LinkPolicy, ModbusLink
from mimctl.wire.modbus_server import ModbusServer
from mimctl.wire.rtu_server import RtuPtyServer, RtuTcpServer
from mimctl.wire.sunspec_image import ModelContent, build_chain
from mimctl.wire.sunspec_map import register_map_of
from mimctl.wire.sunspec_rules import corrected
from mimctl.wire.transport import Transport
from mimctl.wire.writes import write_image

UNIT = 1
WHY = Reason("contract", "the contract suite asks")
#: a load on L1, one that feeds back on L2, and nothing known of L3
LOADS = {"active_power.L1": 1520.0, "active_power.L2": -340.0, "voltage.L1": 230.5, "current.L1": 7.25, "frequency": 50.25}


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
    shown = {"active_power.port1": -150.0, "reactive_power.port1": 25.0, "soc": 61.5, "temperature": 41.5}

    def make(transport: Transport) -> Driver:
        return RegisterMim(mim(ports), transport, source=SunSpecSource(DeviceClass.MIM), clock=SystemClock())

    fake.show(shown)
    return Device(Gate(fake.bank), make, fake.show, shown, fake)


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
class Bench:
    """A driver, its device and the link between them."""

    driver: Driver
    device: Device
    cut: Callable[[], object]
    mend: Callable[[], object]

    @property
    def mim(self) -> MimDriver:
        assert isinstance(self.driver, MimDriver)
        return self.driver

    @property
    def fake(self) -> FakeMim:
        assert self.device.fake is not None
        return self.device.fake

    def written(self) -> list[tuple[int, int]]:
        return [(address, count) for kind, address, count in self.device.gate.asked if kind == "write"]


async def on_memory(device: Device) -> AsyncIterator[Bench]:
    transport = MemoryTransport("gw", {UNIT: device.gate})

    async def cut() -> None:
        transport.connected = False

    async def mend() -> None:
        transport.connected = True

    yield Bench(device.make(transport), device, cut, mend)


async def on_loopback(device: Device) -> AsyncIterator[Bench]:
    async for bench in _served(device, LinkType.MODBUS_TCP, lambda port: ModbusServer("127.0.0.1", port, {UNIT: device.gate})):
        yield bench


async def on_rtu_over_tcp(device: Device) -> AsyncIterator[Bench]:
    async for bench in _served(device, LinkType.MODBUS_RTU_TCP, lambda port: RtuTcpServer("127.0.0.1", port, {UNIT: device.gate})):
        yield bench


async def on_serial_port(device: Device) -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bus"
        async for bench in _served(device, LinkType.MODBUS_RTU, lambda _: RtuPtyServer({UNIT: device.gate}, path)):
            yield bench


async def _served(device: Device, kind: LinkType, make: Callable[[int], Any]) -> AsyncIterator[Bench]:
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
        yield Bench(device.make(transport), device, cut, mend)
    finally:
        await transport.close()
        for last in running:
            await last.stop()


LINKS = {"in memory": on_memory, "Modbus/TCP": on_loopback, "RTU over TCP": on_rtu_over_tcp, "RTU, serial": on_serial_port}


async def bench_for(device: Device, link: str) -> AsyncIterator[Bench]:
    async for bench in LINKS[link](device):
        yield bench


@pytest.fixture(params=LINKS)
def link(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[*METERS, *MIMS])
async def bench(request: pytest.FixtureRequest, link: str) -> AsyncIterator[Bench]:
    async for made in bench_for((METERS | MIMS)[request.param](), link):
        yield made


@pytest.fixture(params=MIMS)
async def mim_bench(request: pytest.FixtureRequest, link: str) -> AsyncIterator[Bench]:
    async for made in bench_for(MIMS[request.param](), link):
        yield made


def command(bench: Bench, w: float = 400.0, var: float = -60.0, validity_s: float = 5.0) -> MimCommand:
    ports = bench.fake.ports
    return MimCommand(tuple(w - 10 * n for n in range(ports)), (var,) * ports, validity_s, WHY)


async def comes_back(bench: Bench) -> None:
    """Ask until the driver answers again; the bound of the test bounds it."""
    while True:
        try:
            await bench.driver.read()
        except LinkError:
            await asyncio.sleep(0.02)
        else:
            return


async def test_it_is_a_driver_with_the_id_of_the_site_file(bench: Bench) -> None:
    assert isinstance(bench.driver, Driver)
    assert (await bench.driver.read()).device == bench.driver.device


async def test_a_sample_tells_what_the_device_shows(bench: Bench) -> None:
    sample = await bench.driver.read()
    assert {key: sample.get(key) for key in bench.device.shown} == pytest.approx(bench.device.shown, rel=1e-6)
    assert sample.quality is Quality.GOOD


async def test_every_key_is_a_known_quantity(bench: Bench) -> None:
    sample = await bench.driver.read()
    assert all(quantity_of(key) is not None for key in sample.keys)
    assert len(set(sample.keys)) == len(sample.keys) == len(sample.values)


async def test_what_the_device_does_not_tell_is_unknown_not_zero(bench: Bench) -> None:
    key = "thd_v.port1" if bench.device.fake else "active_power.L3"
    assert (await bench.driver.read()).get(key) is None


async def test_keys_are_the_same_object_from_reading_to_reading(bench: Bench) -> None:
    first = await bench.driver.read()
    assert (await bench.driver.read()).keys is first.keys


async def test_a_sample_shows_the_device_as_it_is_now_and_cannot_be_changed(bench: Bench) -> None:
    key = next(iter(bench.device.shown))
    first = await bench.driver.read()
    bench.device.show({key: 77.0})
    assert (await bench.driver.read()).get(key) == pytest.approx(77.0, rel=1e-6)
    assert first.get(key) == pytest.approx(bench.device.shown[key], rel=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        first.values[0] = 1.0


async def test_the_instant_lies_between_question_and_answer(bench: Bench) -> None:
    clock = SystemClock()
    await bench.driver.read()
    before_s = clock.monotonic_s()
    sample = await bench.driver.read()
    assert before_s <= sample.taken_at_s <= clock.monotonic_s()


@pytest.mark.parametrize("code", [1, 2, 4, 11])
async def test_exceptions_of_the_device_are_link_errors_and_pass(bench: Bench, code: int) -> None:
    await bench.driver.read()
    bench.device.gate.code = code
    with pytest.raises(LinkError):
        await bench.driver.read()
    bench.device.gate.code = None
    await comes_back(bench)
    assert (await bench.driver.read()).quality is Quality.GOOD


async def test_a_lost_link_is_a_link_error_and_it_comes_back_by_itself(bench: Bench) -> None:
    await bench.driver.read()
    await bench.cut()  # type: ignore[misc]
    with pytest.raises(LinkError):
        await bench.driver.read()
    await bench.mend()  # type: ignore[misc]
    await comes_back(bench)


async def test_reading_never_writes(bench: Bench) -> None:
    for _ in range(3):
        await bench.driver.read()
    assert bench.written() == []


async def test_a_command_is_taken_whole_and_echoed(mim_bench: Bench) -> None:
    await mim_bench.mim.apply(command(mim_bench))
    ports = mim_bench.fake.ports
    assert mim_bench.fake.setpoints() == ([400 - 10 * n for n in range(ports)], [-60] * ports)
    assert mim_bench.fake.number("enable") == 1
    sample = await mim_bench.driver.read()
    assert sample.get("sequence_ack") == mim_bench.fake.number("sequence")
    assert sample.get("active_power.port1") == 400


async def test_after_the_first_a_command_is_exactly_one_write(mim_bench: Bench) -> None:
    await mim_bench.mim.apply(command(mim_bench))
    before = len(mim_bench.written())
    await mim_bench.mim.apply(command(mim_bench, w=100.0))
    assert len(mim_bench.written()) == before + 1


async def test_every_command_has_a_new_number_and_a_new_heartbeat(mim_bench: Bench) -> None:
    seen = set()
    for _ in range(4):
        await mim_bench.mim.apply(command(mim_bench))
        seen.add((mim_bench.fake.number("sequence"), mim_bench.fake.number("heartbeat")))
    assert len({s for s, _ in seen}) == len({h for _, h in seen}) == 4


async def test_refreshing_beats_and_leaves_the_setpoints(mim_bench: Bench) -> None:
    await mim_bench.mim.apply(command(mim_bench))
    number, beat, setpoints = mim_bench.fake.number("sequence"), mim_bench.fake.number("heartbeat"), mim_bench.fake.setpoints()
    await mim_bench.mim.refresh()
    assert mim_bench.fake.number("heartbeat") != beat
    assert (mim_bench.fake.number("sequence"), mim_bench.fake.setpoints()) == (number, setpoints)


async def test_releasing_leaves_zero_and_disabled(mim_bench: Bench) -> None:
    await mim_bench.mim.apply(command(mim_bench))
    await mim_bench.mim.release(WHY)
    ports = mim_bench.fake.ports
    assert mim_bench.fake.setpoints() == ([0] * ports, [0] * ports)
    assert mim_bench.fake.number("enable") == 0


async def test_a_validity_is_armed_before_setpoints_and_never_endless(mim_bench: Bench) -> None:
    await mim_bench.mim.apply(command(mim_bench, validity_s=3.0))
    assert mim_bench.fake.number("validity") == 3
    order = [address for address, _ in mim_bench.written()]
    assert mim_bench.fake.map.mim is not None
    assert order[-1] == mim_bench.fake.map.mim.command.address
    await mim_bench.mim.apply(command(mim_bench, validity_s=0.0))
    assert mim_bench.fake.number("validity") == 1


async def test_a_setpoint_that_cannot_be_written_sends_nothing(mim_bench: Bench) -> None:
    with pytest.raises(LinkError):
        await mim_bench.mim.apply(command(mim_bench, w=math.nan))
    assert mim_bench.written() == []


async def test_a_new_controller_takes_over_without_a_bump(mim_bench: Bench) -> None:
    await mim_bench.mim.apply(command(mim_bench))
    number, setpoints = mim_bench.fake.number("sequence"), mim_bench.fake.setpoints()
    mim_bench.driver = mim_bench.device.make(mim_bench.driver._transport)  # type: ignore[attr-defined]  # the same link
    await mim_bench.driver.read()
    await mim_bench.mim.refresh()
    assert (mim_bench.fake.number("sequence"), mim_bench.fake.setpoints()) == (number, setpoints)
    await mim_bench.mim.apply(command(mim_bench, w=50.0))
    assert mim_bench.fake.number("sequence") == number + 1
    assert (await mim_bench.driver.read()).get("sequence_ack") == number + 1


async def test_a_command_over_a_lost_link_is_a_link_error_and_the_next_one_counts_on(mim_bench: Bench) -> None:
    await mim_bench.mim.apply(command(mim_bench))
    number = mim_bench.fake.number("sequence")
    await mim_bench.cut()  # type: ignore[misc]
    with pytest.raises(LinkError):
        await mim_bench.mim.apply(command(mim_bench))
    await mim_bench.mend()  # type: ignore[misc]
    await comes_back(mim_bench)
    await mim_bench.mim.apply(command(mim_bench))
    assert mim_bench.fake.number("sequence") == number + 1
