"""What the drivers over Zigbee owe beyond the contract of all drivers: reports in place of answers, one frame for each command."""

import asyncio
import math

import pytest
from contract_zigbee import MIM_BENCHES, AirBench, on_the_air, until

from mimctl.drivers.zigbee_device import ZigbeeDevice
from mimctl.drivers.zigbee_mim import mim_map
from mimctl.drivers.zigbee_values import wanted
from mimctl.model.clock import SystemClock
from mimctl.model.errors import LinkError, LinkTimeout, Unencodable
from mimctl.model.harmonics import HarmonicShare
from mimctl.model.protocols import Commanded, HeldSetpoint, MimCommand
from mimctl.model.reason import Reason
from mimctl.model.site import ExpiryAction
from mimctl.model.zigbee import ZigbeeMap, ZigbeePoint
from mimctl.wire.zigbee import mim_layout as layout
from zigbee_mim import EUI, METER_PLACE, ZigbeeMeter

WHY = Reason("contract", "the contract suite asks")
METER = ZigbeeMap(
    (
        ZigbeePoint("voltage.L1", 0x0B04, 0x0505, multiplier=0x0600, divisor=0x0601),
        ZigbeePoint("active_power.L1", 0x0B04, 0x050B, multiplier=0x0604, divisor=0x0605),
        ZigbeePoint("active_power.L2", 0x0B04, 0x090B, multiplier=0x0604, divisor=0x0605),
        ZigbeePoint("apparent_power.L1", 0x0B04, 0x050F, multiplier=0x0604, divisor=0x0605),
    )
)


@pytest.fixture
async def mim(tmp_path):
    async for found in MIM_BENCHES["MIM, Zigbee"](tmp_path):
        yield found


def command(w=400.0, var=-60.0, validity_s=5.0, **more):
    return MimCommand((w, w - 10, w - 20), (var,) * 3, validity_s, WHY, **more)


async def settled(bench: AirBench, key, value):
    """Read until the report has come."""
    async with asyncio.timeout(5):
        while (await bench.driver.read()).get(key) != pytest.approx(value):
            bench.report()
            await asyncio.sleep(0.01)


async def test_a_mim_is_commanded(mim):
    assert isinstance(mim.driver, Commanded)


@pytest.mark.parametrize(("counts", "told"), [(0xFFFE, 655.34), (0xFFFF, None)])
async def test_impossible_values_are_not_believed(mim, counts, told):
    mim.fake.tell(layout.SOC, 1001 if told else None)
    mim.fake.node.attributes[METER_PLACE][0x0505].value = counts
    before = mim.driver.watched.reports
    mim.report()
    await until(lambda: mim.driver.watched.reports >= before + 20)
    sample = await mim.driver.read()
    assert sample.get("voltage.port1") == (None if told is None else pytest.approx(told))
    assert sample.get("soc") is None
    assert bool(mim.bridge.gate.counts["implausible value"]) is (told is not None)


async def test_a_silent_device_is_a_link_error(tmp_path):
    found = ZigbeeMap((ZigbeePoint("voltage.L1", 0x0B04, 0x0505, most_s=1.0),))

    def make(bridge):
        return ZigbeeDevice("m1", EUI, found, bridge, SystemClock())

    async for bench in on_the_air(tmp_path, make, ZigbeeMeter, {"voltage.L1": 230.0}, "voltage.L2"):
        bench.driver.watched.heard_at_s -= 4.0
        with pytest.raises(LinkTimeout, match="silent for 4 s"):
            await bench.driver.read()


async def test_a_command_carries_everything(mim):
    held = await mim.driver.apply(command())
    told = mim.fake.taken[-1]
    assert (told.enable, told.validity_s, told.expiry, told.sequence) == (True, 5, ExpiryAction.ZERO, 1)
    assert held == HeldSetpoint((400.0, 390.0, 380.0), (-60.0,) * 3) == mim.driver.held()
    await mim.driver.release(WHY)
    assert mim.driver.held() is None


async def test_a_new_controller_knows_what_is_held(mim):
    await mim.driver.apply(command())
    await settled(mim, "sequence_ack", 1)
    other = mim.another()
    await other.read()
    assert other.held() == HeldSetpoint((400.0, 390.0, 380.0), (-60.0,) * 3)


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
    mim.report()
    await settled(mim, "sequence_ack", 254)
    for _ in range(3):
        await mim.driver.apply(command())
    assert [told.sequence for told in mim.fake.taken] == [255, 0, 1]


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
    mim.report()
    await settled(mim, "sequence_ack", 1)
    mim.fake.in_force = 77
    mim.fake.tell(layout.SEQUENCE_ACK, 77)
    mim.report()
    await settled(mim, "sequence_ack", 77)
    assert mim.driver.foreign_write.sure
    await mim.driver.apply(command())
    assert mim.driver.foreign_write is None
    assert mim.fake.taken[-1].sequence == 78
    mim.fake.restart()
    mim.report()
    await settled(mim, "sequence_ack", 0)
    lost = mim.driver.foreign_write
    assert (lost.sure, lost.idle) == (False, True)
    mim.driver._sequence = 78
    with pytest.raises(LinkError, match="not in force"):
        await mim.driver.refresh()


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
