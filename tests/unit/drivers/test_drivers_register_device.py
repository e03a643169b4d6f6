"""Meters over registers: discovery, one sample a cycle, maps that move, reads that are refused."""

from datetime import UTC, datetime

import numpy as np
import pytest

from mimctl.config.profiles.registers_profile import find_profile, load_profile
from mimctl.drivers.discovery import ProfileSource, SunSpecSource
from mimctl.drivers.register_device import RESCAN_EVERY_S, RegisterDevice
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import BadReply, DeviceRefusal, LinkTimeout
from mimctl.model.profile import DeviceClass, DeviceProfile, PointSpec, PointType, Provenance, RegisterMap
from mimctl.model.protocols import Driver
from mimctl.model.sample import Quality
from mimctl.wire.memory import MemoryBank, MemoryTransport
from mimctl.wire.sunspec_image import ModelContent, build_chain
from mimctl.wire.sunspec_map import register_map_of
from mimctl.wire.writes import write_image

VALUES = {"active_power.L1": 1500.0, "voltage.L1": 230.5, "current.L2": 6.5, "frequency": 50.0}
SCALES = {"W_SF": 0, "V_SF": -1, "A_SF": -2, "Hz_SF": -2}


@pytest.fixture
def clock():
    return VirtualClock(datetime(2026, 1, 5, tzinfo=UTC), monotonic_s=100.0)


def meter_registers(*before, scales=SCALES):
    image, chain = build_chain([*before, ModelContent(1, {"Mn": "ACME", "Md": "M3", "SN": "42"}), ModelContent(203, scales)])
    write_image(register_map_of(chain.devices[-1], "m"), image, 40000, VALUES)
    return MemoryBank(40000, image), chain


def sunspec_meter(clock, bank, **more):
    transport = MemoryTransport("gw", {7: bank})
    return RegisterDevice("m1", transport, 7, source=SunSpecSource(DeviceClass.METER), clock=clock, **more), transport


async def test_a_meter_tells_its_values_and_what_it_is(clock):
    bank, _ = meter_registers()
    device, _ = sunspec_meter(clock, bank)
    assert isinstance(device, Driver)
    sample = await device.read()
    assert {key: sample.get(key) for key in VALUES} == VALUES
    assert sample.get("active_power.L2") is None
    assert (sample.device, sample.quality) == ("m1", Quality.GOOD)
    assert dict(device.discovered.identity) == {"manufacturer": "ACME", "model": "M3", "serial": "42"}


async def test_the_texts_of_a_device_are_one_request_and_may_be_refused(clock):
    bank, _ = meter_registers()
    device, transport = sunspec_meter(clock, bank)
    await device.read()
    assert ("read", 7, 40004, 64) in transport.log
    refusing, transport = sunspec_meter(clock, bank)

    def refuse(kind, unit, address, count):
        if address == 40004:
            raise DeviceRefusal("gw", "illegal address", 2)

    transport.before = refuse
    assert (await refusing.read()).get("active_power.L1") == 1500
    assert refusing.discovered.identity == ()


async def test_after_discovery_a_reading_is_one_request_with_the_same_keys(clock):
    bank, _ = meter_registers()
    device, transport = sunspec_meter(clock, bank)
    first = await device.read()
    transport.log.clear()
    second = await device.read()
    assert len(transport.log) == 1
    assert second.keys is first.keys


async def test_a_sample_was_true_between_request_and_answer(clock):
    bank, _ = meter_registers()
    device, transport = sunspec_meter(clock, bank)
    await device.read()
    clock.advance_to(200.0)
    transport.before = lambda *_: clock.advance_to(clock.monotonic_s() + 0.4)
    assert (await device.read()).taken_at_s == pytest.approx(200.2)


async def test_a_chain_with_an_inverter_first_gives_the_meter(clock):
    bank, _ = meter_registers(ModelContent(1, {"Mn": "ACME"}), ModelContent(103))
    device, _ = sunspec_meter(clock, bank)
    assert (await device.read()).get("active_power.L1") == 1500
    assert "sunspec.several_devices" in [code for code, _ in device.discovered.warnings]


async def test_a_device_of_another_kind_is_refused_by_name(clock):
    image, _ = build_chain([ModelContent(1), ModelContent(103)])
    device, _ = sunspec_meter(clock, MemoryBank(40000, image))
    with pytest.raises(BadReply, match="no meter: its SunSpec models are 1, 103"):
        await device.read()


async def test_a_map_that_moves_is_noticed_and_asked_for_again(clock):
    bank, _ = meter_registers()
    device, transport = sunspec_meter(clock, bank)
    await device.read()
    longer, _ = meter_registers(ModelContent(1), ModelContent(702))
    transport.units[7] = longer
    with pytest.raises(BadReply, match="the map was made for"):
        await device.read()
    clock.advance_to(clock.monotonic_s() + RESCAN_EVERY_S)
    assert (await device.read()).get("active_power.L1") == 1500


async def test_rescans_are_rationed(clock):
    bank, _ = meter_registers()
    device, transport = sunspec_meter(clock, bank)
    await device.read()
    bank.registers[2 * 70 + 3] ^= 1  # L of model 203 flickers
    for _ in range(2):
        with pytest.raises(BadReply):
            await device.read()
    transport.log.clear()
    with pytest.raises(BadReply, match="asked again in 10 s"):
        await device.read()
    assert transport.log == []


async def test_link_errors_pass_through(clock):
    device, _ = sunspec_meter(clock, MemoryBank(0, bytearray()))
    with pytest.raises(BadReply):
        await device.read()
    silent = RegisterDevice("m1", MemoryTransport("gw"), 7, source=SunSpecSource(DeviceClass.METER), clock=clock)
    with pytest.raises(LinkTimeout):
        await silent.read()


async def test_a_meter_whose_values_are_all_sentinels_is_bad(clock):
    image, _ = build_chain([ModelContent(1), ModelContent(213)])
    device, _ = sunspec_meter(clock, MemoryBank(40000, image))
    sample = await device.read()
    assert sample.quality is Quality.BAD
    assert sample.reason.code == "device.no_values"
    assert np.isnan(sample.values).all()


def profile_of(*points, **more):
    register_map = RegisterMap(DeviceClass.METER, points, **more)
    return DeviceProfile("acme/m1", "ACME", ("M1",), Provenance("hand", "high"), register_map)


def profile_meter(clock, profile, bank):
    transport = MemoryTransport("gw", {7: bank})
    return RegisterDevice("m1", transport, 7, source=ProfileSource(profile), clock=clock), transport


async def test_a_refused_hole_is_not_read_again(clock):
    points = [PointSpec(f"voltage.L{n}", 10 * n, PointType.UINT16) for n in (1, 2, 3)]
    device, transport = profile_meter(clock, profile_of(*points, max_gap=50), MemoryBank(0, bytearray(80)))

    def hole(kind, unit, address, count):
        if count > 1:
            raise DeviceRefusal("gw", "illegal address", 2)

    transport.before = hole
    with pytest.raises(DeviceRefusal):
        await device.read()
    sample = await device.read()
    assert sample.quality is Quality.GOOD
    assert [count for *_, count in transport.log] == [21, 1, 1, 1]


async def test_a_model_that_refuses_does_not_take_its_neighbour_along(clock):
    points = [PointSpec("voltage.L1", 0, PointType.UINT16), PointSpec("thd_v.L1", 1, PointType.UINT16)]
    device, transport = profile_meter(clock, profile_of(*points), MemoryBank(0, bytearray.fromhex("00E6 0002")))

    def second(kind, unit, address, count):
        if address <= 1 < address + count:
            raise DeviceRefusal("gw", "illegal address", 2)

    transport.before = second
    with pytest.raises(DeviceRefusal):
        await device.read()
    sample = await device.read()
    assert sample.get("voltage.L1") == 230
    assert sample.get("thd_v.L1") is None
    assert sample.quality is Quality.SUSPECT
    assert sample.reason.code == "device.registers_refused"


@pytest.mark.parametrize("code", [5, 6, 10, 11])
async def test_not_now_is_not_the_same_as_not_these(clock, code):
    device, transport = profile_meter(clock, profile_of(PointSpec("voltage.L1", 0, PointType.UINT16)), MemoryBank(0, bytearray(2)))

    def busy(*_):
        raise DeviceRefusal("gw", "busy", code)

    transport.before = busy
    for _ in range(2):
        with pytest.raises(DeviceRefusal):
            await device.read()
    assert len(transport.log) == 2


async def test_a_profile_device_is_read_by_its_map(clock):
    profile = load_profile(find_profile("schneider/iem3155"))
    bank = MemoryBank(0, bytearray(2 * 4000))
    bank.registers[2 * 129 : 2 * 131] = (123456).to_bytes(4, "big")
    write_image(profile.register_map, bank.registers, 0, {"active_power.L2": -1250.0, "voltage.L3": 231.25})
    device, _ = profile_meter(clock, profile, bank)
    sample = await device.read()
    assert sample.get("active_power.L2") == -1250
    assert sample.get("voltage.L3") == 231.25
    assert dict(device.discovered.identity) == {"serial": "123456"}


async def test_ratings_are_read_once(clock):
    points = [PointSpec("voltage.L1", 0, PointType.UINT16), PointSpec("rating_active_power", 5, PointType.UINT16, static=True)]
    device, transport = profile_meter(clock, profile_of(*points), MemoryBank(0, bytearray.fromhex("00E6 0000 0000 0000 0000 1388")))
    sample = await device.read()
    assert sample.keys == ("voltage.L1",)
    assert device.discovered.nameplate == (("rating_active_power", 5000.0),)
    transport.log.clear()
    await device.read()
    assert len(transport.log) == 1
