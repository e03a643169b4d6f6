"""A MIM over registers: one write a command, counting on after a restart, nothing written unasked."""

from datetime import UTC, datetime

import pytest

from fake_mim import FakeMim, mim
from mimctl.drivers.discovery import SunSpecSource
from mimctl.drivers.mim_commands import newer, next_count
from mimctl.drivers.register_mim import RegisterMim
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import BadReply, DeviceRefusal, LinkDown, LinkError, LinkTimeout, Unencodable
from mimctl.model.profile import DeviceClass, PointSpec, PointType
from mimctl.model.protocols import MimCommand, MimDriver
from mimctl.model.reason import Reason
from mimctl.model.site import ExpiryAction
from mimctl.wire.memory import MemoryTransport

WHY = Reason("test", "because")


def setup(device=None, **more):
    device = device or FakeMim()
    transport = MemoryTransport("gw", {1: device.bank})
    clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC))
    driver = RegisterMim(mim(device.ports, **more), transport, source=SunSpecSource(DeviceClass.MIM), clock=clock)
    return driver, device, transport


def command(w=(100.0, -200.0, 300.0), var=(10.0, 20.0, -30.0), validity_s=10.0):
    return MimCommand(w, var, validity_s, WHY)


def writes(transport):
    return [(address, count) for kind, _, address, count in transport.log if kind == "write"]


async def test_it_is_a_mim_driver():
    driver, _, _ = setup()
    assert isinstance(driver, MimDriver)
    assert driver.device == "mim1"


async def test_reading_gives_ports_and_state_and_writes_nothing():
    driver, device, transport = setup()
    device.show({"active_power.port2": -55.0, "reactive_power.port3": 7.0})
    sample = await driver.read()
    assert sample.get("active_power.port2") == -55
    assert sample.get("reactive_power.port3") == 7
    assert sample.get("voltage.port1") == 230.4
    wanted = {"sequence_ack": 7, "command_status": 0, "watchdog_remaining": 60, "soc": 61.5, "temperature": 41.5, "alarms": 0}
    assert {key: sample.get(key) for key in wanted} == wanted
    assert writes(transport) == []


async def test_polling_is_one_request():
    driver, _, transport = setup()
    await driver.read()
    transport.log.clear()
    sample = await driver.read()
    assert len(transport.log) == 1
    assert (await driver.read()).keys is sample.keys


async def test_a_command_is_one_write_with_heartbeat_and_sequence():
    driver, device, transport = setup(validity_s=60.0, expiry_action=ExpiryAction.HOLD)
    await driver.read()
    transport.log.clear()
    await driver.apply(command(validity_s=60.0))
    assert writes(transport) == [(device.map.mim.command.address, 26)]
    assert device.setpoints() == ([100, -200, 300], [10, 20, -30])
    assert (device.number("enable"), device.number("heartbeat"), device.number("sequence")) == (1, 6, 8)
    assert (await driver.read()).get("sequence_ack") == 8


async def test_expiry_action_and_validity_are_written_once_before_the_first_command():
    driver, device, transport = setup()
    await driver.apply(command())
    await driver.apply(command())
    state = device.map.mim
    assert writes(transport) == [
        (state.expiry_action.address, 1),
        (state.validity.address, 1),
        (state.command.address, 26),
        (state.command.address, 26),
    ]
    assert (device.number("expiry_action"), device.number("validity")) == (1, 10)


@pytest.mark.parametrize(("wanted_s", "written_s"), [(0.0, 1), (0.4, 1), (2.9, 2), (30.0, 30)])
async def test_the_validity_is_never_zero_and_never_longer_than_asked(wanted_s, written_s):
    driver, device, _ = setup()
    await driver.apply(command(validity_s=wanted_s))
    assert device.number("validity") == written_s


async def test_refreshing_changes_the_heartbeat_alone():
    driver, device, transport = setup()
    await driver.apply(command())
    transport.log.clear()
    await driver.refresh()
    assert transport.log == [("write", 1, device.map.mim.heartbeat.address, 2)]
    assert (device.number("heartbeat"), device.number("sequence")) == (7, 8)
    assert device.setpoints()[0] == [100, -200, 300]


async def test_releasing_writes_zero_and_disables():
    driver, device, _ = setup()
    await driver.apply(command())
    await driver.release(WHY)
    assert device.setpoints() == ([0, 0, 0], [0, 0, 0])
    assert (device.number("enable"), device.number("sequence")) == (0, 9)


async def test_a_restarted_controller_goes_on_where_the_device_stands():
    first, device, _ = setup()
    await first.apply(command())
    second, _, transport = setup(device)
    await second.read()
    assert second.in_force.inject_w == (100, -200, 300)
    assert second.in_force.enabled
    assert writes(transport) == []
    await second.refresh()
    await second.apply(command(w=(1.0, 2.0, 3.0)))
    assert device.number("sequence") == 9
    assert device.shown("sequence_ack") == 9


async def test_the_next_number_follows_the_later_of_command_and_echo():
    """A device that restarted shows an old command register or an old echo; the next number must be new to both."""
    for commanded, echoed, following in ((3, 9, 10), (9, 3, 10)):
        driver, device, _ = setup(FakeMim(control={"Cmt.SeqCmd": commanded}))
        device.show({"sequence_ack": float(echoed)})
        await driver.read()
        await driver.apply(command())
        assert device.number("sequence") == following


async def test_counters_wrap_past_the_pattern_that_means_no_value():
    driver, device, _ = setup(FakeMim(control={"Cmt.SeqCmd": 0xFFFFFFFE, "Cmt.CtlHb": 0xFFFFFFFE}))
    device.show({"sequence_ack": float(0xFFFFFFFE)})
    await driver.read()
    await driver.apply(command())
    assert (device.number("heartbeat"), device.number("sequence")) == (0, 0)


def test_counting():
    narrow = PointSpec("sequence", 0, PointType.UINT16, sentinels=(0xFFFF,))
    assert [next_count(narrow, n) for n in (0, 0xFFFD, 0xFFFE, 0xFFFF)] == [1, 0xFFFE, 0, 0]
    plain = PointSpec("sequence", 0, PointType.UINT16)
    assert next_count(plain, 0xFFFE) == 0xFFFF
    assert newer(plain, 2, 0xFFFF) == 2
    assert newer(plain, 0xFFFF, 2) == 2
    assert newer(plain, 7, 7) == 7


async def test_another_command_in_force_makes_the_driver_ask_again():
    driver, device, transport = setup()
    await driver.apply(command())
    device.bank.registers[:] = FakeMim().bank.registers  # the device restarted: everything as at first
    await driver.read()
    transport.log.clear()
    await driver.apply(command())
    assert device.number("validity") == 10
    assert device.number("sequence") == 8
    assert len(writes(transport)) == 3


async def test_a_write_that_may_have_arrived_is_not_counted_on():
    driver, device, transport = setup()
    await driver.apply(command())

    def lost(kind, unit, address, count):
        if kind == "write":
            raise LinkTimeout("gw", "no answer")

    transport.before = lost
    with pytest.raises(LinkTimeout):
        await driver.apply(command())
    transport.before = None
    transport.log.clear()
    await driver.apply(command(w=(9.0, 9.0, 9.0)))
    assert [kind for kind, *_ in transport.log] == ["read", "write"]
    assert device.number("sequence") == 9


@pytest.mark.parametrize(
    "w", [(1e12, 0.0, 0.0), (float("nan"), 0.0, 0.0), (-2147483648.0, 0.0, 0.0), (1.0, 2.0), (1.0, 2.0, 3.0, 4.0)]
)
async def test_what_the_registers_cannot_hold_is_refused_before_anything_is_sent(w):
    driver, _, transport = setup()
    with pytest.raises(Unencodable):
        await driver.apply(command(w=w, var=(0.0,) * len(w)))
    assert writes(transport) == []
    assert issubclass(Unencodable, LinkError)


async def test_setpoints_are_rounded_towards_zero_in_register_units():
    driver, device, _ = setup(FakeMim(control={"W_SF": 1}))
    await driver.apply(command(w=(109.9, -109.9, 10.0), var=(0.0, 0.0, 0.0)))
    assert device.setpoints()[0] == [10, -10, 1]


async def test_what_mimctl_does_not_command_is_written_back_as_it_stood():
    device = FakeMim(control={"Ph[1].HarmShr": 50, "Ph[1].HarmOrd": 0b10100})
    driver, _, _ = setup(device)
    await driver.apply(command())
    address = device.map.mim.setpoint_w[1].address
    assert device.bank.read(address + 4, 3) == bytes.fromhex("0032 0000 0014")


async def test_a_device_with_other_ports_than_the_site_says_is_not_commanded():
    device = FakeMim(ports=3)
    transport = MemoryTransport("gw", {1: device.bank})
    clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC))
    driver = RegisterMim(mim(6), transport, source=SunSpecSource(DeviceClass.MIM), clock=clock)
    with pytest.raises(BadReply, match="3 ports, the site file 6"):
        await driver.read()


async def test_a_mim_between_two_feeds_has_six_ports():
    driver, device, transport = setup(FakeMim(ports=6))
    await driver.apply(command(w=(1.0, 2.0, 3.0, -1.0, -2.0, -3.0), var=(0.0,) * 6))
    assert device.setpoints()[0] == [1, 2, 3, -1, -2, -3]
    transport.log.clear()
    assert (await driver.read()).get("active_power.port6") == -3
    assert len(transport.log) == 1


async def test_a_refused_command_is_a_link_error_and_the_device_is_asked_anew():
    driver, _, transport = setup()
    await driver.read()

    def refuse(kind, unit, address, count):
        if kind == "write":
            raise DeviceRefusal("gw", "illegal value", 3)

    transport.before = refuse
    with pytest.raises(DeviceRefusal):
        await driver.apply(command())
    assert driver.in_force is None


async def test_a_command_that_others_counted_on_is_a_foreign_write_until_our_next():
    driver, device, _ = setup()
    other, _, _ = setup(device)
    await driver.apply(command())
    await driver.read()
    assert driver.foreign_write is None
    await other.read()
    await other.apply(command(w=(777.0, 0.0, 0.0)))
    await driver.read()
    assert "command 9 is in force, our last was 8" in driver.foreign_write.text
    assert driver.held().inject_w == (777, 0, 0)
    await driver.apply(command())
    assert driver.foreign_write is None


async def test_a_command_of_ours_that_arrived_unanswered_is_not_somebody_elses():
    driver, device, transport = setup()
    await driver.apply(command())
    await driver.read()

    def lost(kind, unit, address, count):
        if kind == "write":
            transport.before = None
            device.bank.write(address, pending)
            raise LinkTimeout("gw", "no answer")

    block = device.map.mim.command
    pending = bytearray(device.bank.read(block.address, block.count))
    pending[-4:] = (9).to_bytes(4, "big")
    transport.before = lost
    with pytest.raises(LinkTimeout):
        await driver.apply(command(w=(50.0, 0.0, 0.0)))
    for _ in range(3):
        await driver.read()
    assert device.number("sequence") == 9
    assert driver.foreign_write is None


async def test_a_device_that_restarts_is_not_somebody_else():
    driver, device, _ = setup()
    await driver.apply(command())
    await driver.read()
    block = device.map.mim.command
    device.bank.write(block.address, bytes(2 * block.count))
    device.show({"sequence_ack": 0.0})
    await driver.read()
    lost = driver.foreign_write
    assert (lost.sure, lost.idle) == (False, True)
    assert "found switched off: it restarted or fell back by itself" in lost.text
    await driver.apply(command())
    assert driver.foreign_write is None


async def test_a_device_that_restarted_while_it_could_not_be_reached_is_found_out_at_its_first_answer():
    driver, device, transport = setup()
    await driver.apply(command())
    transport.connected = False
    with pytest.raises(LinkDown):
        await driver.read()
    transport.connected = True
    await driver.read()
    assert driver.foreign_write is None  # the link alone was gone
    transport.connected = False
    with pytest.raises(LinkDown):
        await driver.read()
    transport.connected = True
    block = device.map.mim.command
    device.bank.write(block.address, bytes(2 * block.count))
    device.show({"sequence_ack": 0.0})
    await driver.read()
    assert driver.foreign_write.idle
    with pytest.raises(BadReply, match="another command is in force"):
        await driver.refresh()


async def test_what_is_found_off_after_our_own_release_was_not_taken_back():
    driver, device, transport = setup()
    await driver.apply(command())
    await driver.read()

    def lose(kind, unit, address, count):
        if kind == "write":
            raise LinkTimeout("gw", "no answer")

    transport.before = lose
    with pytest.raises(LinkTimeout):
        await driver.release(Reason("test", "given back"))
    transport.before = None
    block = device.map.mim.command
    device.bank.write(block.address, bytes(2 * block.count))  # it had arrived
    device.show({"sequence_ack": 0.0})
    await driver.read()
    assert driver.foreign_write is None
