"""What every driver owes its callers, over Zigbee: the cases of the wired contract as far as reports instead of answers allow."""

import asyncio
import math
from dataclasses import dataclass

import pytest

from mimctl.drivers.zigbee_device import ZigbeeDevice
from mimctl.drivers.zigbee_mim import ZigbeeMim, mim_map
from mimctl.drivers.zigbee_values import wanted
from mimctl.model.address import DeviceAddress
from mimctl.model.clock import SystemClock
from mimctl.model.connection import Connection
from mimctl.model.errors import LinkDown, LinkError, LinkTimeout, Unencodable
from mimctl.model.harmonics import HarmonicShare
from mimctl.model.latency import Latency, LatencyClass
from mimctl.model.protocols import Commanded, Driver, HeldSetpoint, MimCommand, MimDriver
from mimctl.model.quantity import quantity_of
from mimctl.model.reason import Reason
from mimctl.model.sample import Quality
from mimctl.model.site import ExpiryAction, Mim, PortSpec
from mimctl.model.zigbee import RadioKind, ZigbeeMap, ZigbeePoint, ZigbeeRadio
from mimctl.wire.zigbee import mim_layout as layout
from mimctl.wire.zigbee.air import Air
from mimctl.wire.zigbee.bridge import Pace, ZigbeeBridge
from mimctl.wire.zigbee.guard import guarded
from mimctl.wire.zigbee.memory_radio import AirPort, memory_radio
from mimctl.wire.zigbee.network import form
from zigbee_mim import EUI, METER_PLACE
from zigbee_mim import ZigbeeMim as FakeMim

WHY = Reason("contract", "the contract suite asks")
RADIO = ZigbeeRadio(RadioKind.ZNP, "memory")
QUICK = Pace(first_s=0.02, most_s=0.1, look_s=0.02, command_s=0.3, close_s=1.0, start_s=5.0)
SHOWN = {"active_power.port1": -150.0, "reactive_power.port1": 25.0, "voltage.port1": 230.5, "soc": 61.5, "temperature": 41.5}
METER = ZigbeeMap(
    (
        ZigbeePoint("voltage.L1", 0x0B04, 0x0505, multiplier=0x0600, divisor=0x0601),
        ZigbeePoint("active_power.L1", 0x0B04, 0x050B, multiplier=0x0604, divisor=0x0605),
        ZigbeePoint("active_power.L2", 0x0B04, 0x090B, multiplier=0x0604, divisor=0x0605),
        ZigbeePoint("apparent_power.L1", 0x0B04, 0x050F, multiplier=0x0604, divisor=0x0605),
    )
)


def the_mim(ports=3, **more):
    places = tuple(PortSpec("rack1", Connection(f"L{1 + n % 3}"), 2000.0) for n in range(ports))
    latency = Latency(LatencyClass.MEDIUM, 1.0, 5.0, 5.0)
    return Mim("mim1", DeviceAddress("zb", 1, "mim/zigbee", eui=EUI), places, latency=latency, **more)


@dataclass
class Bench:
    air: Air
    port: AirPort
    bridge: ZigbeeBridge
    fake: FakeMim
    driver: Driver

    def show(self, values):
        self.fake.show(values)
        self.tick()

    def tick(self):
        """Everything is reported again, due or not."""
        for rule in self.fake.node.reporting.values():
            rule.told_at_s = -math.inf
        self.fake.node.tick(0.0)

    def cut(self):
        self.port.present = False
        self.air.unplug()

    def mend(self):
        self.port.present = True


async def until(condition, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it asks for what nobody signals
            await asyncio.sleep(0.01)


async def made(folder, make):
    air = Air()
    port = AirPort(air)
    radio = guarded(memory_radio(port))
    await form(RADIO, folder / "zb.db", make_radio=lambda: radio)
    bridge = ZigbeeBridge("zb", RADIO, folder / "zb.db", SystemClock(), QUICK, lambda: radio)
    fake = FakeMim(air)
    bench = Bench(air, port, bridge, fake, make(bridge))
    fake.show(SHOWN)
    fake.switch_on()
    await bridge.open()
    await until(lambda: bridge.devices[EUI].ready)
    return bench


MAKERS = {
    "MIM": lambda bridge: ZigbeeMim(the_mim(), bridge, SystemClock()),
    "meter": lambda bridge: ZigbeeDevice("m1", EUI, METER, bridge, SystemClock()),
}


@pytest.fixture(params=MAKERS)
async def bench(request, tmp_path):
    found = await made(tmp_path, MAKERS[request.param])
    yield found
    await found.bridge.close()


@pytest.fixture
async def mim(tmp_path):
    found = await made(tmp_path, MAKERS["MIM"])
    yield found
    await found.bridge.close()


def command(w=400.0, var=-60.0, validity_s=5.0, **more):
    return MimCommand((w, w - 10, w - 20), (var,) * 3, validity_s, WHY, **more)


async def settled(bench, key, value):
    """Read until the report has come."""

    async with asyncio.timeout(5):
        while (await bench.driver.read()).get(key) != pytest.approx(value):  # noqa: ASYNC110 - nobody signals it
            await asyncio.sleep(0.01)


async def comes_back(bench):
    async with asyncio.timeout(10):
        while True:
            try:
                await bench.driver.read()
            except LinkError:
                await asyncio.sleep(0.02)
            else:
                return


async def test_it_is_a_driver_with_the_id_of_the_site_file(bench):
    assert isinstance(bench.driver, Driver)
    sample = await bench.driver.read()
    assert sample.device == bench.driver.device
    assert sample.quality is Quality.GOOD


async def test_a_mim_is_commanded(mim):
    assert isinstance(mim.driver, MimDriver)
    assert isinstance(mim.driver, Commanded)


async def test_a_sample_tells_what_the_device_shows_in_our_signs(mim):
    sample = await mim.driver.read()
    assert {key: sample.get(key) for key in SHOWN} == pytest.approx(SHOWN)


async def test_a_meter_counts_load_positive(tmp_path):
    bench = await made(tmp_path, MAKERS["meter"])
    # the device takes 150 W: positive on the air, as the cluster library has it
    assert (await bench.driver.read()).get("active_power.L1") == pytest.approx(150.0)
    await bench.bridge.close()


async def test_every_key_is_a_known_quantity_and_the_same_object_each_time(bench):
    sample = await bench.driver.read()
    assert all(quantity_of(key) is not None for key in sample.keys)
    assert len(set(sample.keys)) == len(sample.keys) == len(sample.values)
    assert (await bench.driver.read()).keys is sample.keys


async def test_what_the_device_does_not_tell_is_unknown_not_zero(bench):
    sample = await bench.driver.read()
    for key in ("thd_v.port1", "active_power.port2") if "soc" in sample.keys else ("active_power.L2", "apparent_power.L1"):
        assert sample.get(key) is None


async def test_a_sample_cannot_be_changed_and_is_as_old_as_its_oldest_power(bench):
    first = await bench.driver.read()
    with pytest.raises(ValueError, match="read-only"):
        first.values[0] = 1.0
    key = "active_power.port1" if "soc" in first.keys else "active_power.L1"
    bench.show({"active_power.port1": 77.0, "voltage.port1": 231.0})
    await settled(bench, key, 77.0 if "soc" in first.keys else -77.0)
    second = await bench.driver.read()
    assert second.taken_at_s > first.taken_at_s
    assert second.instant_s(key) >= second.taken_at_s


@pytest.mark.parametrize(("counts", "told"), [(0xFFFE, 655.34), (0xFFFF, None)])
async def test_impossible_values_are_not_believed(mim, counts, told):
    mim.fake.node.attributes[METER_PLACE][0x0601].value = 100
    mim.fake.tell(layout.SOC, 1001 if told else None)
    mim.fake.node.attributes[METER_PLACE][0x0505].value = counts
    mim.tick()
    await asyncio.sleep(0.1)
    sample = await mim.driver.read()
    assert sample.get("voltage.port1") == (None if told is None else pytest.approx(told))
    assert sample.get("soc") is None
    assert bool(mim.bridge.gate.counts["implausible value"]) is (told is not None)


async def test_a_lost_coordinator_is_a_link_error_at_once_and_it_comes_back_by_itself(bench):
    await bench.driver.read()
    bench.cut()
    with pytest.raises(LinkDown):
        await bench.driver.read()
    bench.mend()
    await comes_back(bench)


async def test_a_silent_device_is_a_link_error(tmp_path):
    found = ZigbeeMap((ZigbeePoint("voltage.L1", 0x0B04, 0x0505, most_s=1.0),))
    clock = SystemClock()
    bench = await made(tmp_path, lambda bridge: ZigbeeDevice("m1", EUI, found, bridge, clock))
    bench.driver.watched.heard_at_s -= 4.0
    with pytest.raises(LinkTimeout, match="silent for 4 s"):
        await bench.driver.read()
    await bench.bridge.close()


async def test_reading_never_writes(mim):
    for _ in range(3):
        await mim.driver.read()
    assert mim.fake.heard == []


async def test_a_command_is_taken_whole_and_echoed(mim):
    held = await mim.driver.apply(command())
    assert mim.fake.setpoints() == ([400, 390, 380], [-60] * 3)
    told = mim.fake.taken[-1]
    assert (told.enable, told.validity_s, told.expiry, told.sequence) == (True, 5, ExpiryAction.ZERO, 1)
    assert held == HeldSetpoint((400.0, 390.0, 380.0), (-60.0,) * 3) == mim.driver.held()
    mim.tick()
    await settled(mim, "sequence_ack", 1)
    await settled(mim, "active_power.port1", 400.0)


async def test_setpoints_are_rounded_towards_zero(mim):
    held = await mim.driver.apply(command(w=99.9, var=-0.9))
    assert held.inject_w[0] == 99.0
    assert held.inject_var[0] == 0.0


async def test_each_command_is_one_frame_with_a_new_number(mim):
    for n in range(4):
        await mim.driver.apply(command(w=100.0 + n))
    assert [told.sequence for told in mim.fake.taken] == [1, 2, 3, 4]
    assert len(mim.fake.heard) == 4


async def test_a_number_goes_past_its_end(mim):
    mim.fake.in_force = 254
    mim.fake.tell(layout.SEQUENCE_ACK, 254)
    mim.tick()
    await settled(mim, "sequence_ack", 254)
    for _ in range(3):
        await mim.driver.apply(command())
    assert [told.sequence for told in mim.fake.taken] == [255, 0, 1]


async def test_refreshing_leaves_the_setpoints(mim):
    await mim.driver.apply(command())
    await mim.driver.refresh()
    assert (mim.fake.alive, len(mim.fake.taken)) == (1, 1)


async def test_releasing_leaves_zero_and_disabled(mim):
    await mim.driver.apply(command())
    await mim.driver.release(WHY)
    told = mim.fake.taken[-1]
    assert (told.enable, told.inject_w, told.inject_var) == (False, (0, 0, 0), (0, 0, 0))
    assert mim.driver.held() is None


async def test_a_validity_is_never_endless(mim):
    await mim.driver.apply(command(validity_s=0.0))
    assert mim.fake.taken[-1].validity_s == 1


@pytest.mark.parametrize("w", [math.nan, math.inf, 9e6])
async def test_a_setpoint_that_cannot_be_sent_sends_nothing(mim, w):
    with pytest.raises(Unencodable):
        await mim.driver.apply(command(w=w))
    with pytest.raises(Unencodable):
        await mim.driver.apply(MimCommand((1.0,), (1.0,), 5.0, WHY))
    assert mim.fake.heard == []


async def test_harmonic_shares_go_in_the_same_frame(mim):
    shares = (HarmonicShare(0.5, 0b10100),) * 3
    await mim.driver.apply(command(harmonics=shares))
    assert mim.fake.taken[-1].shares == shares
    assert len(mim.fake.heard) == 1


async def test_a_new_controller_takes_over_without_a_bump(mim):
    await mim.driver.apply(command())
    mim.tick()
    await settled(mim, "sequence_ack", 1)
    watched = mim.driver.watched
    other = MAKERS["MIM"](mim.bridge)
    mim.bridge.devices[EUI] = other._watched = watched
    await other.read()
    assert other.held() == HeldSetpoint((400.0, 390.0, 380.0), (-60.0,) * 3)
    await other.refresh()
    assert (mim.fake.alive, len(mim.fake.taken)) == (1, 1)
    await other.apply(command(w=50.0))
    assert mim.fake.taken[-1].sequence == 2


@pytest.mark.parametrize("fault", ["rejects", "deaf"])
async def test_a_command_that_is_not_echoed_is_not_applied(mim, fault):
    setattr(mim.fake, fault, True)
    with pytest.raises(LinkError, match="command"):
        await mim.driver.apply(command())
    assert mim.driver.held() is None
    setattr(mim.fake, fault, False)
    await mim.driver.apply(command())
    assert mim.driver.held() is not None


async def test_after_a_lost_answer_the_next_command_is_a_later_one(mim):
    await mim.driver.apply(command())
    mim.fake.node.send, send = lambda _: None, mim.fake.node.send  # it hears, and nobody hears it
    with pytest.raises(LinkTimeout):
        await mim.driver.apply(command(w=200.0))
    assert mim.driver.held() is None
    mim.fake.node.send = send
    await mim.driver.apply(command(w=300.0))
    assert [told.sequence for told in mim.fake.taken] == [1, 2, 3]
    assert mim.fake.setpoints()[0][0] == 300


async def test_a_restarted_device_is_noticed_and_told_from_somebody_else(mim):
    await mim.driver.apply(command())
    mim.tick()
    await settled(mim, "sequence_ack", 1)
    mim.fake.in_force = 77
    mim.fake.tell(layout.SEQUENCE_ACK, 77)
    mim.tick()
    await settled(mim, "sequence_ack", 77)
    assert mim.driver.foreign_write.sure
    await mim.driver.apply(command())
    assert mim.driver.foreign_write is None
    assert mim.fake.taken[-1].sequence == 78
    mim.fake.restart()
    mim.tick()
    await settled(mim, "sequence_ack", 0)
    lost = mim.driver.foreign_write
    assert (lost.sure, lost.idle) == (False, True)
    mim.driver._sequence = 78
    with pytest.raises(LinkError, match="not in force"):
        await mim.driver.refresh()


async def test_over_a_lost_link_commands_are_link_errors_and_go_on_afterwards(mim):
    await mim.driver.apply(command())
    mim.cut()
    for call in (mim.driver.apply(command()), mim.driver.refresh(), mim.driver.release(WHY)):
        with pytest.raises(LinkError):
            await call
    mim.mend()
    await comes_back(mim)
    await mim.driver.apply(command(w=70.0))
    assert mim.fake.setpoints()[0][0] == 70


def test_ports_four_to_six_are_on_the_second_endpoint():
    spots = {p.key: (p.endpoint, p.attribute) for p in mim_map(6, 5.0).points}
    assert spots["active_power.port4"] == (2, 0x050B)
    assert spots["voltage.port6"] == (2, 0x0A05)


def test_what_control_decides_on_is_told_as_often_as_the_site_says():
    every = {p.key: p.most_s for p in mim_map(3, 7.0).points}
    assert {every["active_power.port1"], every["reactive_power.port3"], every["sequence_ack"]} == {7.0}
    assert every["temperature"] == 60.0


def test_the_scales_are_read_once_and_never_reported():
    asked = list(wanted(METER.points))
    fixed = {w.spot[3] for w in asked if w.fixed}
    assert fixed == {0x0600, 0x0601, 0x0604, 0x0605}
    assert [w.spot[3] for w in asked if not w.fixed] == [0x0505, 0x050B, 0x090B, 0x050F]
