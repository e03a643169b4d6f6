"""What every shipped profile with setpoints owes the hardware, over every link: its golden frames, and what follows when they fail.

The device is nothing but registers: it is the driver that must put the right ones in, in the right order, by the right function,
and must know afterwards what the device holds.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from virtual_device import HASTY_S, LINKS, LOST_ANSWER, LOST_REQUEST, PATIENT_S, SHORT_ECHO, VirtualDevice

from fake_mim import mim
from mimctl.config.profiles.registers_profile import load_profile
from mimctl.drivers.discovery import MapSource, ProfileSource, SunSpecSource
from mimctl.drivers.register_mim import RegisterMim
from mimctl.model.clock import VirtualClock
from mimctl.model.command_vectors import CommandStep, CommandVector, ExpectedWrite, StepKind
from mimctl.model.errors import BadReply, DeviceRefusal, LinkError, LinkTimeout, Unencodable, WriteHeld
from mimctl.model.profile import DeviceClass, DeviceProfile
from mimctl.model.protocols import MimCommand
from mimctl.model.reason import Reason
from mimctl.model.resources import data_root
from mimctl.model.setpoints import Role
from mimctl.wire.transport import Transport

WHY = Reason("contract", "the contract suite asks")
ALL = [load_profile(path) for path in sorted((data_root() / "device_profiles").glob("*/*.yaml"))]
PROFILES = {p.id: p for p in ALL if p.register_map.mim is not None or p.command_vectors}
#: what somebody else writes to a device that was told what its first vector says: words of the vendor's, at the wire address
FOREIGN = {
    "victron/gx": (40, "0384"),
    "kostal/plenticore": (1034, "8000 c4bb"),
    "sungrow/sh": (13051, "0384"),
    "fronius/gen24": (40281, "03e8 fc18"),
    "kostal/plenticore_sunspec": (40158, "03e8"),
    "sunspec/inverter_1xx": (40192, "03e8 fc18"),
    "sunspec/der_7xx": (40301, "0000 0014"),
}
#: what cannot be read back cannot be seen to change
BLIND = {"sma/sunny_island"}
#: longer than any least time between two commands
LATER_S = 3600.0


@dataclass
class Bench:
    profile: DeviceProfile
    device: VirtualDevice
    transport: Transport
    clock: VirtualClock

    def driver(self, vector: CommandVector) -> RegisterMim:
        """A driver that has never met the device, which holds what the vector says."""
        self.device.registers.clear()
        self.device.frames.clear()
        self.device.put(vector.image)
        ports = {name.rpartition(".")[2] for v in self.profile.command_vectors for step in v.steps for name, _ in step.setpoints}
        given_back = (step.validity_s for step in vector.steps if step.kind is StepKind.RELEASE)
        site_says = mim(len(ports), validity_s=next(given_back, 10.0))
        return RegisterMim(site_says, self.transport, source=source_of(self.profile), clock=self.clock)

    def later(self) -> None:
        self.clock.advance_to(self.clock.monotonic_s() + LATER_S)

    def taken(self) -> list[ExpectedWrite]:
        """The frames since the last call."""
        frames = list(self.device.frames)
        self.device.frames.clear()
        return frames

    def holds(self, frames: Iterable[ExpectedWrite], driver: RegisterMim) -> bool:
        """Whether the device stands as these frames, one after another, leave it. Counters count on."""
        assert driver.mim_map is not None
        counters = {a for c in driver.mim_map.of(Role.HEARTBEAT) for a in range(c.point.address, c.point.end)}
        wanted = VirtualDevice()
        wanted.put((f.address, f.data) for f in frames)
        return all(self.device.registers.get(a, 0) == word for a, word in wanted.registers.items() if a not in counters)


def source_of(profile: DeviceProfile) -> MapSource:
    return ProfileSource(profile) if profile.chain is None else SunSpecSource(DeviceClass.MIM, profile=profile)


def command(step: CommandStep, ports: int, factor: float = 1.0, more_w: float = 0.0) -> MimCommand:
    watts = tuple(factor * w + more_w for w in step.powers("active_power", ports))
    return MimCommand(watts, step.powers("reactive_power", ports), step.validity_s, WHY)


def ports_of(driver: RegisterMim) -> int:
    return len(driver._mim.ports)


Place = tuple[str, str]
#: (link, profile): the frames of all are proved everywhere; what the driver makes of them where it can make a difference
EVERYWHERE: list[Place] = list(itertools.product(LINKS, PROFILES))
NEAR: list[Place] = [*itertools.product(["in memory", "Modbus/TCP"], PROFILES), ("RTU, serial", "victron/gx")]
FAULTY: list[Place] = [
    *itertools.product(["in memory"], PROFILES),
    *itertools.product(["Modbus/TCP", "RTU, serial"], ["victron/gx", "sunspec/der_7xx"]),
]


async def bench_at(place: Place, timeout_s: float) -> AsyncIterator[Bench]:
    link, profile = place
    device, clock = VirtualDevice(), VirtualClock(datetime(2026, 1, 5, tzinfo=UTC), monotonic_s=100.0)
    async with LINKS[link](device, timeout_s) as transport:
        yield Bench(PROFILES[profile], device, transport, clock)


@pytest.fixture(params=NEAR, ids="-".join)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async for made in bench_at(request.param, PATIENT_S):
        yield made


@pytest.fixture(params=FAULTY, ids="-".join)
async def hasty(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Where answers fail to come."""
    async for made in bench_at(request.param, HASTY_S):
        yield made


def first(bench: Bench) -> tuple[RegisterMim, CommandStep]:
    """A driver for the first vector, and its command."""
    vector = bench.profile.command_vectors[0]
    assert vector.steps[0].kind is StepKind.COMMAND
    return bench.driver(vector), vector.steps[0]


def shown(bench: Bench, kind: StepKind) -> tuple[ExpectedWrite, ...]:
    """The frames of the first vector's sign of life or release; counters count on, so only their registers are compared."""
    return next(s.writes for s in bench.profile.command_vectors[0].steps if s.kind is kind)


def places(frames: Iterable[ExpectedWrite]) -> list[tuple[int, int, int]]:
    return [(f.function, f.address, len(f.data)) for f in frames]


async def meets(driver: RegisterMim) -> None:
    """Read until the device has answered."""
    for _ in range(50):
        try:
            await driver.read()
        except LinkError:
            await asyncio.sleep(0.02)
        else:
            return
    pytest.fail("the device never answered")


async def succeeds(bench: Bench, driver: RegisterMim, wanted: MimCommand) -> None:
    """Command until the link has come to itself again: an RTU line keeps quiet for a while."""
    for _ in range(50):
        bench.later()
        try:
            await driver.apply(wanted)
        except LinkError:
            await asyncio.sleep(0.02)
        else:
            return
    pytest.fail("the command never succeeded")


@pytest.mark.parametrize("bench", EVERYWHERE, indirect=True, ids="-".join)
async def test_the_frames_on_the_wire_are_those_of_the_golden_vectors(bench: Bench) -> None:
    assert bench.profile.command_vectors
    for vector in bench.profile.command_vectors:
        driver = bench.driver(vector)
        for step in vector.steps:
            bench.later()
            if step.kind is StepKind.RELEASE:
                await driver.release(WHY)
            elif step.kind is StepKind.KEEP_ALIVE:
                await driver.refresh()
            elif step.refused:
                with pytest.raises(Unencodable):
                    await driver.apply(command(step, ports_of(driver)))
            else:
                await driver.apply(command(step, ports_of(driver)))
            assert tuple(bench.taken()) == step.writes, vector.name


async def test_what_was_written_is_read_back_and_known(bench: Bench) -> None:
    driver, step = first(bench)
    held = await driver.apply(command(step, ports_of(driver)))
    assert held.inject_w == step.powers("active_power", ports_of(driver))
    assert not held.kept
    await driver.read()
    assert driver.held() is not None
    assert driver.held().inject_w == held.inject_w  # type: ignore[union-attr]
    assert driver.foreign_write is None


async def test_what_changes_nothing_is_a_sign_of_life_alone(bench: Bench) -> None:
    """The same again, or less of a change than the deadband."""
    driver, step = first(bench)
    await driver.apply(command(step, ports_of(driver)))
    bench.taken()
    assert driver.mim_map is not None
    for more_w in {0.0, 0.5 * driver.mim_map.policy.deadband_w}:
        bench.later()
        held = await driver.apply(command(step, ports_of(driver), more_w=more_w))
        assert held.kept
        assert places(bench.taken()) == places(shown(bench, StepKind.KEEP_ALIVE))


async def test_a_command_that_comes_too_soon_is_held_back_and_one_that_asks_less_is_not(bench: Bench) -> None:
    driver, step = first(bench)
    await driver.apply(command(step, ports_of(driver), 0.5))
    bench.taken()
    assert driver.mim_map is not None
    if driver.mim_map.policy.min_interval_s:
        with pytest.raises(WriteHeld) as told:
            await driver.apply(command(step, ports_of(driver)))
        assert told.value.passing
        assert places(bench.taken()) == places(shown(bench, StepKind.KEEP_ALIVE))
    await driver.apply(command(step, ports_of(driver), 0.2))
    assert bench.taken() != []
    bench.later()
    await driver.apply(command(step, ports_of(driver)))
    assert bench.holds(step.writes, driver)


async def test_what_somebody_else_writes_is_seen_and_ours_is_written_again(bench: Bench) -> None:
    driver, step = first(bench)
    await driver.apply(command(step, ports_of(driver)))
    await driver.read()
    if bench.profile.id in BLIND:
        assert driver.mim_map is not None
        assert not any(c.readable for c in driver.mim_map.of(Role.ACTIVE))
        return
    address, words = FOREIGN[bench.profile.id]
    bench.device.put([(address, bytes.fromhex(words))])
    await driver.read()
    assert driver.foreign_write is not None
    assert driver.foreign_write.sure
    with pytest.raises(BadReply, match="another command is in force"):
        await driver.refresh()
    bench.later()
    await driver.apply(command(step, ports_of(driver)))
    assert driver.foreign_write is None
    assert bench.holds(step.writes, driver)


async def test_a_release_is_never_too_soon_and_leaves_nothing_in_force(bench: Bench) -> None:
    driver, step = first(bench)
    await driver.apply(command(step, ports_of(driver)))
    bench.taken()
    await driver.release(WHY)
    assert bench.taken() != []
    assert bench.holds(shown(bench, StepKind.RELEASE), driver)


@pytest.mark.parametrize("code", [1, 2, 3, 6])
async def test_a_device_that_refuses_holds_nothing_and_is_told_the_whole_again(hasty: Bench, code: int) -> None:
    """Code 6, busy, is asked again until the time is over."""
    driver, step = first(hasty)
    await meets(driver)
    hasty.device.refuses = code
    with pytest.raises(DeviceRefusal) as refusal:
        await driver.apply(command(step, ports_of(driver)))
    assert refusal.value.code == code
    assert driver.in_force is None
    assert hasty.taken() == []
    hasty.device.refuses = None
    await succeeds(hasty, driver, command(step, ports_of(driver)))
    assert tuple(hasty.taken()) == step.writes


@pytest.mark.parametrize("fault", [SHORT_ECHO, LOST_ANSWER, LOST_REQUEST])
async def test_a_write_without_a_proper_answer_is_not_taken_for_done_nor_for_undone(hasty: Bench, fault: str) -> None:
    driver, step = first(hasty)
    await meets(driver)
    hasty.device.faults = [fault]
    with pytest.raises((BadReply, LinkTimeout)):
        await driver.apply(command(step, ports_of(driver)))
    assert driver.in_force is None
    await succeeds(hasty, driver, command(step, ports_of(driver)))
    assert hasty.holds(step.writes, driver)
    held = driver.held()
    assert held is not None
    assert held.inject_w == step.powers("active_power", ports_of(driver))


@pytest.mark.parametrize("fault", [LOST_ANSWER, LOST_REQUEST])
async def test_a_command_that_breaks_off_between_two_frames_is_made_whole(hasty: Bench, fault: str) -> None:
    driver, step = first(hasty)
    if len(step.writes) < 2:
        return  # one frame: taken whole or not at all, see above
    await meets(driver)
    hasty.device.faults = [None, fault]
    with pytest.raises(LinkTimeout):
        await driver.apply(command(step, ports_of(driver)))
    assert len(hasty.taken()) == (2 if fault == LOST_ANSWER else 1)
    await succeeds(hasty, driver, command(step, ports_of(driver)))
    assert hasty.holds(step.writes, driver)


def test_every_profile_with_setpoints_is_here() -> None:
    commanded = {p.id for p in ALL if p.register_map.mim is not None or (p.chain is not None and p.chain.controls)}
    assert set(PROFILES) == commanded
    assert set(FOREIGN) | BLIND == commanded
