"""Devices commanded by profile: the same driver as a MIM, with the write policy that the profile asks for."""

import struct
from datetime import UTC, date, datetime

import pytest

from fake_mim import mim
from mimctl.config.profiles.registers_profile import find_profile, load_profile
from mimctl.drivers.discovery import ProfileSource
from mimctl.drivers.register_mim import RegisterMim
from mimctl.drivers.write_budget import ALL_SPENT, FileBudget, MemoryBudget
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import BadReply, DeviceRefusal, LinkTimeout, Unencodable, WriteHeld
from mimctl.model.protocols import HeldSetpoint, MimCommand
from mimctl.model.reason import Reason
from mimctl.model.setpoints import Failsafe
from mimctl.wire.memory import MemoryBank, MemoryTransport

WHY = Reason("test", "because")

LIMITED = """\
schema: 1
id: acme/b1
vendor: ACME
models: [B1]
class: ess
provenance: {source: by hand, confidence: high}
conventions: {active_power: generation_positive}
points:
  active_power.port1: {address: 0, type: int16, unit: W}
setpoints:
  active_power.port1: {address: 10, type: int16, unit: W, min: -3000, max: 3000}
switches:
  - {name: remote, address: 12, type: uint16, on: 4, off: 1, when: before}
  - {name: enable, address: 11, type: uint16, on: 1, off: 0}
write_policy: {min_interval: 2 s, active_deadband: 20 W}
failsafe:
  kind: heartbeat
  within: 30 s
  action: zero
  heartbeat: {address: 20, type: uint16, words: [1, 2]}
"""


def driver_of(profile, ports, budget=None):
    bank = MemoryBank(0, bytearray(2 * 65536))
    transport = MemoryTransport("gw", {1: bank})
    clock = VirtualClock(datetime(2026, 1, 5, 12, tzinfo=UTC), monotonic_s=100.0)
    driver = RegisterMim(mim(ports), transport, source=ProfileSource(profile), clock=clock, budget=budget)
    return driver, transport, bank, clock


def shipped(profile_id, ports, budget=None):
    return driver_of(load_profile(find_profile(profile_id)), ports, budget)


@pytest.fixture
def limited(tmp_path):
    path = tmp_path / "acme" / "b1.yaml"
    path.parent.mkdir()
    path.write_text(LIMITED)
    return driver_of(load_profile(path), 1)


def command(*w, var=None, validity_s=10.0):
    return MimCommand(w, var or (0.0,) * len(w), validity_s, WHY)


def writes(transport):
    return [(address, count) for kind, _, address, count in transport.log if kind == "write"]


def word(bank, address, code="H"):
    return struct.unpack(">" + code, bank.read(address, struct.calcsize(">" + code) // 2))[0]


async def test_victron_takes_one_setpoint_per_phase_with_function_6():
    driver, transport, bank, _ = shipped("victron/gx", 3)
    await driver.read()
    assert writes(transport) == []
    await driver.apply(command(500.0, -200.0, 0.0))
    assert [word(bank, a, "h") for a in (37, 40, 41)] == [-500, 200, 0]
    assert writes(transport) == [(37, 1), (40, 1), (41, 1)]
    assert word(bank, 38) == 0  # what lies between is never written
    assert driver.mim_map.failsafe is Failsafe.REPEAT
    assert driver.mim_map.setpoint_var == (None, None, None)
    assert driver.held().inject_w == (500, -200, 0)


async def test_silence_brings_victron_down_so_refreshing_repeats_the_setpoints():
    driver, transport, bank, _ = shipped("victron/gx", 3)
    await driver.apply(command(500.0, -200.0, 30.0))
    transport.log.clear()
    await driver.refresh()
    assert writes(transport) == [(37, 1), (40, 1), (41, 1)]
    await driver.release(WHY)
    assert [word(bank, a, "h") for a in (37, 40, 41)] == [0, 0, 0]


async def test_measured_power_is_injection_positive_at_the_ports():
    driver, _, bank, _ = shipped("victron/gx", 3)
    bank.write(12, struct.pack(">hhh", 50, -120, 0))  # tens of watts taken from the grid
    sample = await driver.read()
    assert [sample.get(f"active_power.port{n}") for n in (1, 2, 3)] == [-500, 1200, 0]


async def test_a_setpoint_of_somebody_else_is_noticed_once_we_command():
    driver, _, bank, _ = shipped("victron/gx", 3)
    bank.write(37, struct.pack(">h", 77))
    await driver.read()
    assert driver.foreign_write is None  # what it held before us is nobody's fault
    await driver.apply(command(500.0, 0.0, 0.0))
    await driver.read()
    assert driver.foreign_write is None
    bank.write(40, struct.pack(">h", 900))
    await driver.read()
    assert "setpoint_active_power.port2" in driver.foreign_write.text
    assert driver.foreign_write.reads[:3] == (500, -900, 0)
    assert driver.in_force.inject_w == (500, -900, 0)
    await driver.apply(command(500.0, 0.0, 0.0))
    assert driver.foreign_write is None
    assert word(bank, 40, "h") == 0


async def test_a_device_that_falls_back_to_zero_by_itself_is_told_anew_and_nobody_else_is_blamed():
    driver, _, bank, _ = shipped("victron/gx", 3)
    await driver.apply(command(500.0, -200.0, 30.0))
    for address in (37, 40, 41):
        bank.write(address, bytes(2))
    await driver.read()
    lost = driver.foreign_write
    assert (lost.sure, lost.idle) == (False, True)
    assert "found with every setpoint at zero" in lost.text
    with pytest.raises(BadReply, match="another command is in force"):
        await driver.refresh()
    await driver.apply(command(500.0, -200.0, 30.0))
    assert [word(bank, a, "h") for a in (37, 40, 41)] == [-500, 200, -30]


async def test_a_device_that_does_not_take_a_setpoint_is_found_out_by_reading_back():
    driver, _, bank, _ = shipped("victron/gx", 3)
    stubborn = bytes(2)
    bank.on_write = lambda address, data: bank.registers.__setitem__(slice(80, 82), stubborn) if address == 40 else None
    with pytest.raises(BadReply, match=r"port2 was written as -200 and reads 0.*did not take"):
        await driver.apply(command(500.0, -200.0, 0.0))


async def test_sma_is_told_power_and_enable_in_one_frame_each_time_and_never_read():
    driver, transport, bank, _ = shipped("sma/sunny_island", 1)
    await driver.apply(command(-1500.0))
    assert writes(transport) == [(40149, 4)]
    assert (word(bank, 40149, "i"), word(bank, 40151, "I")) == (-1500, 802)
    transport.log.clear()
    await driver.refresh()
    assert transport.log == [("write", 1, 40149, 4)]
    await driver.release(WHY)
    assert (word(bank, 40149, "i"), word(bank, 40151, "I")) == (0, 803)


async def test_kostal_floats_have_the_low_word_first():
    driver, _, bank, _ = shipped("kostal/plenticore", 1)
    await driver.apply(command(2500.0))
    assert bank.read(1034, 2) == bytes.fromhex("4000 451c")


async def test_sungrow_gets_a_mode_a_size_and_a_direction():
    driver, transport, bank, clock = shipped("sungrow/sh", 1)
    await driver.apply(command(2000.0))
    assert writes(transport) == [(13049, 1), (13050, 1), (13051, 1)]
    assert (word(bank, 13049), word(bank, 13050), word(bank, 13051)) == (2, 187, 2000)
    clock.advance_to(200.0)
    await driver.apply(command(-1000.0))
    assert (word(bank, 13050), word(bank, 13051)) == (170, 1000)
    assert driver.held().inject_w == (-1000,)
    await driver.release(WHY)
    assert (word(bank, 13049), word(bank, 13050), word(bank, 13051)) == (0, 204, 0)
    assert driver.mim_map.failsafe is Failsafe.NONE


def watched(bank):
    """What each write carries, as (address, word)."""
    seen = []
    bank.on_write = lambda address, data: seen.append((address, struct.unpack(">H", data)[0]))
    return seen


async def test_a_reversal_goes_by_way_of_zero():
    driver, _, bank, clock = shipped("sungrow/sh", 1)
    await driver.apply(command(200.0))
    seen = watched(bank)
    clock.advance_to(200.0)
    await driver.apply(command(-5000.0))
    assert seen == [(13051, 0), (13050, 170), (13051, 5000)]
    clock.advance_to(300.0)
    seen.clear()
    await driver.apply(command(-4000.0))  # the same way: the size alone
    assert seen == [(13051, 4000)]
    clock.advance_to(400.0)
    seen.clear()
    await driver.apply(command(0.0))
    assert seen == [(13051, 0), (13050, 204)]
    clock.advance_to(500.0)
    seen.clear()
    await driver.apply(command(300.0))  # from rest there is nothing to bring to zero
    assert seen == [(13050, 187), (13051, 300)]


@pytest.mark.parametrize("arrive", [0, 1, 2, 3])
async def test_a_reversal_that_loses_a_frame_never_drives_the_new_size_the_old_way(arrive):
    """From 200 W of discharging to 5000 W of charging, with the link lost after so many frames."""
    driver, transport, bank, clock = shipped("sungrow/sh", 1)
    await driver.apply(command(200.0))
    clock.advance_to(200.0)
    left = [arrive]

    def lose(kind, unit, address, count):
        if kind == "write":
            left[0] -= 1
            if left[0] < 0:
                raise LinkTimeout("gw", "no answer")

    transport.before = lose
    if arrive < 3:
        with pytest.raises(LinkTimeout):
            await driver.apply(command(-5000.0))
    else:
        await driver.apply(command(-5000.0))
    assert (word(bank, 13050), word(bank, 13051)) == [(187, 200), (187, 0), (170, 0), (170, 5000)][arrive]


async def test_a_sign_of_life_after_a_lost_answer_turns_by_way_of_zero_too(tmp_path):
    text = LIMITED.replace(
        "min: -3000, max: 3000}", "min: 0, max: 3000, direction: {address: 9, type: uint16, inject: 1, absorb: 2, idle: 0}}"
    )
    text = text[: text.index("failsafe:")] + "failsafe: {kind: repeat, within: 30 s}\n"
    path = tmp_path / "acme" / "b1.yaml"
    path.parent.mkdir()
    path.write_text(text)
    driver, transport, bank, _ = driver_of(load_profile(path), 1)
    await driver.apply(command(200.0))
    bank.write(9, struct.pack(">HH", 2, 2500))  # what the device took of a command whose answer was lost
    driver._state = None
    transport.log.clear()
    await driver.refresh()
    assert writes(transport) == [(10, 1), (9, 2)]
    assert (word(bank, 9), word(bank, 10)) == (1, 200)


@pytest.mark.parametrize(("address", "other"), [(13049, 0), (13050, 170), (13051, 900)])
async def test_a_mode_a_direction_or_a_size_that_changes_by_itself_is_seen(address, other):
    driver, _, bank, clock = shipped("sungrow/sh", 1)
    await driver.apply(command(2000.0))
    await driver.read()
    bank.write(address, struct.pack(">H", other))
    await driver.read()
    with pytest.raises(BadReply, match="another command is in force"):
        await driver.refresh()
    clock.advance_to(200.0)
    await driver.apply(command(2000.0))
    assert [word(bank, a) for a in (13049, 13050, 13051)] == [2, 187, 2000]


async def test_wearing_memory_has_a_budget_for_the_day_and_zero_is_always_allowed():
    budget = MemoryBudget()
    driver, transport, _, clock = shipped("sungrow/sh", 1, budget)
    await driver.apply(command(2000.0))
    assert budget.spent("mim1", date(2026, 1, 5)) == 3
    budget.spend("mim1", date(2026, 1, 5), 42)
    clock.advance_to(200.0)
    transport.log.clear()
    with pytest.raises(WriteHeld, match=r"45 of the day's 50 .* 3 are kept"):
        await driver.apply(command(-1000.0))  # size to zero, direction and size: three
    assert writes(transport) == []
    clock.advance_to(300.0)
    await driver.refresh()
    assert writes(transport) == []  # a memory that wears is not refreshed
    await driver.release(WHY)
    assert budget.spent("mim1", date(2026, 1, 5)) == 48
    clock.advance_to(100.0 + 13 * 3600)  # another day
    await driver.apply(command(1000.0))


@pytest.mark.parametrize(("watts", "spends"), [(1500.0, 1), (0.0, 2)])
async def test_less_of_everything_is_never_held_back(watts, spends):
    """Neither by a budget that is spent nor by the least time between two commands: both are for asking more."""
    budget = MemoryBudget()
    driver, _, bank, _ = shipped("sungrow/sh", 1, budget)
    await driver.apply(command(2000.0))
    budget.spend("mim1", date(2026, 1, 5), 100)
    await driver.apply(command(watts))
    assert word(bank, 13051) == watts
    assert budget.spent("mim1", date(2026, 1, 5)) == 103 + spends
    for more in (2500.0, -100.0):
        with pytest.raises(WriteHeld):
            await driver.apply(command(more))


async def test_less_comes_before_its_time_and_more_does_not(limited):
    driver, _, bank, _ = limited
    await driver.apply(command(-1000.0))
    await driver.apply(command(-500.0))
    assert word(bank, 10, "h") == -500
    for more in (-600.0, 400.0):
        with pytest.raises(WriteHeld, match="every 2 s"):
            await driver.apply(command(more))
    await driver.apply(command(0.0))
    assert (word(bank, 10), word(bank, 11)) == (0, 1)


@pytest.mark.parametrize("content", ["", "{", '["x"]', '{"mim1": ["2026-01-05"]}', '{"mim1": ["yesterday", 3]}'])
def test_a_budget_that_cannot_be_read_is_spent_for_one_day(tmp_path, content):
    path = tmp_path / "budget.json"
    path.write_text(content)
    first = FileBudget(path)
    assert "cannot be read" in first.problem
    assert first.spent("mim1", date(2026, 1, 5)) >= ALL_SPENT
    first.spend("mim1", date(2026, 1, 5), 2)
    second = FileBudget(path)  # written anew, and still known to be incomplete
    assert second.problem is None
    assert second.spent("mim2", date(2026, 1, 5)) >= ALL_SPENT
    assert second.spent("mim2", date(2026, 1, 6)) == 0


def test_a_budget_makes_its_directory_when_there_is_something_to_keep(tmp_path):
    store = FileBudget(tmp_path / "state" / "site" / "budget.json")
    assert store.spent("mim1", date(2026, 1, 5)) == 0
    assert not (tmp_path / "state").exists()
    store.spend("mim1", date(2026, 1, 5), 1)
    assert FileBudget(tmp_path / "state" / "site" / "budget.json").spent("mim1", date(2026, 1, 5)) == 1


async def test_a_budget_that_cannot_be_recorded_holds_commands_back_but_never_a_release(tmp_path):
    (tmp_path / "file").touch()
    driver, transport, _, _ = shipped("sungrow/sh", 1, FileBudget(tmp_path / "file" / "budget.json"))
    await driver.read()
    with pytest.raises(WriteHeld, match="cannot be recorded"):
        await driver.apply(command(1000.0))
    assert writes(transport) == []
    await driver.release(WHY)
    assert writes(transport) != []


def test_a_budget_outlives_the_process_and_a_clock_that_is_set_back(tmp_path):
    path = tmp_path / "writes.json"
    first = FileBudget(path)
    first.spend("a", date(2026, 1, 5), 3)
    first.spend("a", date(2026, 1, 5), 4)
    second = FileBudget(path)
    assert second.spent("a", date(2026, 1, 5)) == 7
    assert second.spent("a", date(2026, 1, 4)) == 7
    assert second.spent("b", date(2026, 1, 5)) == 0
    assert second.spent("a", date(2026, 1, 6)) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["writes.json"]


async def test_limits_interval_and_deadband(limited):
    driver, transport, bank, clock = limited
    for w in (3001.0, -3001.0, float("nan")):
        with pytest.raises(Unencodable):
            await driver.apply(command(w))
    assert writes(transport) == []
    await driver.apply(command(1000.0))
    assert writes(transport) == [(12, 1), (10, 2), (20, 1)]  # mode; setpoint and enable; heartbeat
    transport.log.clear()
    await driver.apply(command(1019.0))  # inside the deadband: only a sign of life
    assert writes(transport) == [(20, 1)]
    with pytest.raises(WriteHeld, match="it takes a command every 2 s"):
        await driver.apply(command(1100.0))
    clock.advance_to(102.0)
    await driver.apply(command(1100.0))
    assert word(bank, 10) == 1100
    await driver.release(WHY)  # at once
    assert (word(bank, 10), word(bank, 11), word(bank, 12)) == (0, 0, 1)


async def test_a_heartbeat_of_two_words_takes_turns(limited):
    driver, _, bank, _ = limited
    seen = []
    await driver.apply(command(1000.0))
    for _ in range(3):
        seen.append(word(bank, 20))
        await driver.refresh()
    assert seen == [1, 2, 1]
    assert (driver.mim_map.failsafe, driver.mim_map.failsafe_s) == (Failsafe.HEARTBEAT, 30)


async def test_a_refused_write_leaves_nothing_assumed(limited):
    driver, transport, _, _ = limited

    def refuse(kind, unit, address, count):
        if kind == "write" and address == 10:
            raise DeviceRefusal("gw", "illegal value", 3)

    transport.before = refuse
    with pytest.raises(DeviceRefusal):
        await driver.apply(command(1000.0))
    assert driver.in_force is None
    assert driver.held() is None


async def test_a_command_that_comes_too_soon_is_told_after_a_sign_of_life(limited):
    driver, transport, _, clock = limited
    await driver.apply(command(1000.0))
    transport.log.clear()
    clock.advance_to(clock.monotonic_s() + 1.0)
    with pytest.raises(WriteHeld) as told:
        await driver.apply(command(2000.0))
    assert (told.value.passing, told.value.kept_alive) == (True, True)
    assert writes(transport) == [(20, 1)]  # the heartbeat alone
    assert driver.held().inject_w == (1000.0,)


async def test_the_driver_says_what_the_device_holds(limited):
    driver, _, _, clock = limited
    assert (await driver.apply(command(1000.7))) == HeldSetpoint((1000.0,), (0.0,))
    clock.advance_to(clock.monotonic_s() + 5.0)
    assert (await driver.apply(command(1015.0))) == HeldSetpoint((1000.0,), (0.0,), kept=True)
