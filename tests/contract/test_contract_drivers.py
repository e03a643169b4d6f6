"""What every driver owes its callers, whatever device and whatever link: the same cases for all of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import contract_lorawan
import contract_registers
import contract_zigbee
import pytest
from contract_bench import Bench, MakeBench
from contract_registers import RegisterBench

from mimctl.model.clock import SystemClock
from mimctl.model.errors import LinkError
from mimctl.model.protocols import Driver, MimCommand, MimDriver
from mimctl.model.quantity import quantity_of
from mimctl.model.reason import Reason
from mimctl.model.sample import Quality, Sample

WHY = Reason("contract", "the contract suite asks")
#: one row for each medium
METERS: dict[str, MakeBench] = {
    **contract_registers.METER_BENCHES,
    **contract_zigbee.METER_BENCHES,
    **contract_lorawan.METER_BENCHES,
}
MIMS: dict[str, MakeBench] = {
    **contract_registers.MIM_BENCHES,
    **contract_zigbee.MIM_BENCHES,
    **contract_lorawan.MIM_BENCHES,
}
REGISTERS = {**contract_registers.METER_BENCHES, **contract_registers.MIM_BENCHES}


@pytest.fixture(params=[*METERS, *MIMS])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async for made in (METERS | MIMS)[request.param](tmp_path):
        yield made


@pytest.fixture(params=MIMS)
async def mim_bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async for made in MIMS[request.param](tmp_path):
        yield made


@pytest.fixture(params=REGISTERS)
async def register_bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RegisterBench]:
    async for made in REGISTERS[request.param](tmp_path):
        yield made


@pytest.fixture(params=contract_registers.MIM_BENCHES)
async def register_mim_bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RegisterBench]:
    async for made in contract_registers.MIM_BENCHES[request.param](tmp_path):
        yield made


def command(bench: Bench, w: float = 400.0, var: float = -60.0, validity_s: float = 5.0) -> MimCommand:
    ports = bench.holds.ports
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


async def sample_with(bench: Bench, key: str, value: float) -> Sample:
    """Read until a device that reports has told; one that is asked tells at once. The bound of the test bounds it."""
    while True:
        sample = await bench.driver.read()
        if sample.get(key) == pytest.approx(value, rel=1e-6):
            return sample
        bench.report()
        await asyncio.sleep(0.01)


async def test_it_is_a_driver_with_the_id_of_the_site_file(bench: Bench) -> None:
    assert isinstance(bench.driver, Driver)
    assert isinstance(bench.driver, MimDriver) is (bench.firmware is not None)
    assert (await bench.driver.read()).device == bench.driver.device


async def test_a_sample_tells_what_the_device_shows(bench: Bench) -> None:
    sample = await bench.driver.read()
    assert {key: sample.get(key) for key in bench.shown} == pytest.approx(bench.shown, rel=1e-6)
    assert sample.quality is Quality.GOOD


async def test_every_key_is_a_known_quantity(bench: Bench) -> None:
    sample = await bench.driver.read()
    assert all(quantity_of(key) is not None for key in sample.keys)
    assert len(set(sample.keys)) == len(sample.keys) == len(sample.values)


async def test_what_the_device_does_not_tell_is_unknown_not_zero(bench: Bench) -> None:
    assert (await bench.driver.read()).get(bench.unknown) is None


async def test_keys_are_the_same_object_from_reading_to_reading(bench: Bench) -> None:
    first = await bench.driver.read()
    assert (await bench.driver.read()).keys is first.keys


async def test_a_sample_shows_the_device_as_it_is_now_and_cannot_be_changed(bench: Bench) -> None:
    key = next(iter(bench.shown))
    first = await bench.driver.read()
    bench.show({key: 77.0})
    await sample_with(bench, key, 77.0)
    assert first.get(key) == pytest.approx(bench.shown[key], rel=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        first.values[0] = 1.0


async def test_the_instant_lies_between_what_was_shown_and_the_answer(bench: Bench) -> None:
    clock, key = SystemClock(), next(iter(bench.shown))
    await bench.driver.read()
    before_s = clock.monotonic_s()
    bench.show({key: 77.0})
    sample = await sample_with(bench, key, 77.0)
    assert before_s <= sample.instant_s(key) <= clock.monotonic_s()
    assert before_s <= sample.taken_at_s <= clock.monotonic_s()


@pytest.mark.parametrize("code", [1, 2, 4, 11])
async def test_exceptions_of_the_device_are_link_errors_and_pass(register_bench: RegisterBench, code: int) -> None:
    await register_bench.driver.read()
    register_bench.gate.code = code
    with pytest.raises(LinkError):
        await register_bench.driver.read()
    register_bench.gate.code = None
    await comes_back(register_bench)
    assert (await register_bench.driver.read()).quality is Quality.GOOD


async def test_a_lost_link_is_a_link_error_and_it_comes_back_by_itself(bench: Bench) -> None:
    await bench.driver.read()
    await bench.cut()
    with pytest.raises(LinkError):
        await bench.driver.read()
    await bench.mend()
    await comes_back(bench)


async def test_reading_never_writes(bench: Bench) -> None:
    for _ in range(3):
        await bench.driver.read()
    assert list(bench.written()) == []


async def test_a_command_is_taken_whole_and_echoed(mim_bench: Bench) -> None:
    await mim_bench.mim.apply(command(mim_bench))
    ports, holds = mim_bench.holds.ports, mim_bench.holds
    watts, vars_ = holds.setpoints()
    assert (list(watts), list(vars_)) == ([400 - 10 * n for n in range(ports)], [-60] * ports)
    assert holds.enabled
    sample = await sample_with(mim_bench, "sequence_ack", holds.sequence)
    assert sample.get("active_power.port1") == 400


async def test_after_the_first_a_command_is_exactly_one_write(mim_bench: Bench) -> None:
    await mim_bench.mim.apply(command(mim_bench))
    before = len(mim_bench.written())
    await mim_bench.mim.apply(command(mim_bench, w=100.0))
    assert len(mim_bench.written()) == before + 1


async def test_every_command_has_a_new_number_and_is_a_sign_of_life(mim_bench: Bench) -> None:
    seen = set()
    for _ in range(4):
        await mim_bench.mim.apply(command(mim_bench))
        seen.add((mim_bench.holds.sequence, mim_bench.holds.signs_of_life))
    assert len({s for s, _ in seen}) == len({h for _, h in seen}) == 4


async def test_refreshing_is_a_sign_of_life_and_leaves_the_setpoints(mim_bench: Bench) -> None:
    await mim_bench.mim.apply(command(mim_bench))
    holds = mim_bench.holds
    number, life, setpoints = holds.sequence, holds.signs_of_life, holds.setpoints()
    await mim_bench.mim.refresh()
    assert holds.signs_of_life != life
    assert (holds.sequence, holds.setpoints()) == (number + mim_bench.counts_all, setpoints)


async def test_releasing_leaves_zero_and_disabled(mim_bench: Bench) -> None:
    await mim_bench.mim.apply(command(mim_bench))
    await mim_bench.mim.release(WHY)
    watts, vars_ = mim_bench.holds.setpoints()
    assert [*watts, *vars_] == [0] * 2 * mim_bench.holds.ports
    assert not mim_bench.holds.enabled


async def test_a_validity_goes_with_every_command_and_is_never_endless(mim_bench: Bench) -> None:
    await mim_bench.mim.apply(command(mim_bench, validity_s=3.0))
    assert mim_bench.holds.validity_s == 3
    await mim_bench.mim.apply(command(mim_bench, validity_s=0.0))
    assert mim_bench.holds.validity_s == 1


async def test_a_validity_is_armed_before_setpoints(register_mim_bench: RegisterBench) -> None:
    await register_mim_bench.mim.apply(command(register_mim_bench, validity_s=3.0))
    assert register_mim_bench.device is not None
    assert register_mim_bench.device.fake is not None
    mim_map = register_mim_bench.device.fake.map.mim
    assert mim_map is not None
    assert register_mim_bench.order[-1] == mim_map.command.address


async def test_a_setpoint_that_cannot_be_written_sends_nothing(mim_bench: Bench) -> None:
    with pytest.raises(LinkError):
        await mim_bench.mim.apply(command(mim_bench, w=math.nan))
    assert list(mim_bench.written()) == []


async def test_a_new_controller_takes_over_without_a_bump(mim_bench: Bench) -> None:
    await mim_bench.mim.apply(command(mim_bench))
    holds = mim_bench.holds
    number, setpoints = holds.sequence, holds.setpoints()
    await sample_with(mim_bench, "sequence_ack", number)
    mim_bench.driver = mim_bench.another()
    await mim_bench.driver.read()
    await mim_bench.mim.refresh()
    number += mim_bench.counts_all
    assert (holds.sequence, holds.setpoints()) == (number, setpoints)
    await mim_bench.mim.apply(command(mim_bench, w=50.0))
    assert holds.sequence == number + 1
    await sample_with(mim_bench, "sequence_ack", number + 1)


async def test_a_command_over_a_lost_link_is_a_link_error_and_the_next_one_counts_on(mim_bench: Bench) -> None:
    await mim_bench.mim.apply(command(mim_bench))
    number = mim_bench.holds.sequence
    await mim_bench.cut()
    for call in (mim_bench.mim.apply(command(mim_bench)), mim_bench.mim.refresh(), mim_bench.mim.release(WHY)):
        with pytest.raises(LinkError):
            await call
    await mim_bench.mend()
    await comes_back(mim_bench)
    await mim_bench.mim.apply(command(mim_bench))
    assert mim_bench.holds.sequence == number + 1 + mim_bench.used_up
