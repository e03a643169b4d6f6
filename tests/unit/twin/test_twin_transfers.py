"""Virtual transfer devices: what they do with their supply, and what stands in their registers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.builders import START
from tests.loop.closed_loop import SteppedLoads, uneven_site

from mimctl.config.profiles.registers_profile import find_profile, load_profile
from mimctl.drivers.discovery import ProfileSource
from mimctl.drivers.register_device import RegisterDevice
from mimctl.model.address import DeviceAddress
from mimctl.model.clock import VirtualClock
from mimctl.model.fault import Fault, FaultKind
from mimctl.model.layout import SiteLayout
from mimctl.model.transfer import Transfer, TransferKind, TransferSource, TransferState
from mimctl.twin.devices import virtual_devices
from mimctl.twin.faults import schedule
from mimctl.twin.firmware import MimFleet
from mimctl.twin.loads import LoadSet
from mimctl.twin.picture import World
from mimctl.twin.plant import Plant

GENERATOR, NORMAL, OPEN = TransferState.GENERATOR, TransferState.NORMAL, TransferState.OPEN
SOURCES = (TransferSource(NORMAL, None, None), TransferSource(GENERATOR, 30e3, 0.0))


def plant_with(transfer_s: float, backup: TransferState | None) -> Plant:
    codes = ((1, NORMAL), (4, GENERATOR), (9, OPEN))
    address = DeviceAddress("gw", 50, "liebert/sts2")
    device = Transfer("ats", TransferKind.ATS, "feed", SOURCES, address, codes=codes, transfer_s=transfer_s, backup=backup)
    layout = SiteLayout(replace(uneven_site(1), transfers=(device,)))
    loads = layout.site.twin.loads
    source = SteppedLoads(loads, np.array([load.typical_w for load in loads]) + 0j)
    return Plant(layout, LoadSet(layout, source, step_s=1.0), fleet=MimFleet(layout))


def seen(plant: Plant, at_s: float) -> tuple[TransferState, bool]:
    """State, and whether the head has voltage."""
    plant.advance_to(at_s)
    return plant.switches.devices[0].state, bool(np.abs(plant.solve().voltage_v[0]).min() > 200)


def test_a_lost_feed_is_open_for_the_transfer_time_and_then_on_its_backup_and_back():
    plant = plant_with(5.0, GENERATOR)
    schedule(plant, [Fault(FaultKind.FEED_LOST, ("A",), 10.0, 60.0)])
    assert seen(plant, 9.0) == (NORMAL, True)
    assert seen(plant, 10.5) == (OPEN, False)
    assert seen(plant, 14.9) == (OPEN, False)
    assert seen(plant, 15.1) == (GENERATOR, True)
    assert seen(plant, 60.5) == (OPEN, False)
    assert seen(plant, 65.5) == (NORMAL, True)


def test_without_a_backup_it_stays_open_and_without_a_transfer_time_nothing_is_ever_dark():
    plant = plant_with(0.0, None)
    schedule(plant, [Fault(FaultKind.FEED_LOST, ("A",), 10.0, 60.0)])
    assert seen(plant, 30.0) == (OPEN, False)
    assert seen(plant, 60.5) == (NORMAL, True)
    plant = plant_with(0.0, TransferState.BATTERY)
    schedule(plant, [Fault(FaultKind.FEED_LOST, ("A",), 10.0)])
    assert seen(plant, 10.1) == (TransferState.BATTERY, True)


def test_a_feed_that_comes_back_during_the_change_ends_on_the_normal_source():
    plant = plant_with(5.0, GENERATOR)
    schedule(plant, [Fault(FaultKind.FEED_LOST, ("A",), 10.0, 12.0)])
    assert seen(plant, 16.0) == (OPEN, False)
    assert seen(plant, 17.5) == (NORMAL, True)
    assert seen(plant, 100.0) == (NORMAL, True)


class OneBank:
    """The registers of one virtual device as a transport."""

    link = "gw"

    def __init__(self, bank) -> None:
        self._bank = bank

    async def read(self, unit: int, address: int, count: int, *, function: int = 3) -> bytes:
        return self._bank.read(address, count)


async def reading(plant: Plant):
    """What a driver with the same profile reads of it."""
    clock = VirtualClock(START)
    profile = load_profile(find_profile("liebert/sts2", beside=Path()))
    device = next(d for d in virtual_devices(plant.layout, World(plant, clock), {"liebert/sts2": profile}, 1) if d.id == "ats")
    return await RegisterDevice("ats", OneBank(device.bank), 50, source=ProfileSource(profile, ()), clock=clock).read()


@pytest.mark.parametrize(("state", "code"), [(NORMAL, 1), (GENERATOR, 4), (OPEN, 9), (TransferState.FAULT, 0)])
async def test_a_driver_with_the_same_profile_reads_its_state(state, code):
    """A state that the site file has no value for reads as 0, which is unknown."""
    plant = plant_with(0.0, GENERATOR)
    plant.switches.move(plant.switches.devices[0], state)
    sample = await reading(plant)
    assert sample.get("status") == code
    spec = plant.layout.site.transfers[0]
    assert spec.state_of(sample.get("status")) is (state if code else TransferState.UNKNOWN)


@pytest.mark.parametrize(("state", "feeding", "idle"), [(NORMAL, "source1", "source2"), (GENERATOR, "source2", "source1")])
async def test_it_measures_what_flows_through_it_at_the_source_that_feeds(state, feeding, idle):
    """4.9 kW at rack1, power factor 1: 13.0 / 5.2 / 3.0 A, in whole amperes and kilowatts as its registers have them."""
    plant = plant_with(0.0, GENERATOR)
    plant.switches.move(plant.switches.devices[0], state)
    sample = await reading(plant)
    watts = np.array([3000.0, 1200.0, 700.0])
    for phase, watt in zip(("L1", "L2", "L3"), watts, strict=True):
        assert sample.get(f"current.{feeding}.{phase}") == pytest.approx(watt / 230, abs=1.0)
        assert sample.get(f"current.{idle}.{phase}") == 0.0
    assert sample.get(f"voltage.{feeding}.L1L2") == pytest.approx(400, rel=0.02)
    assert sample.get("active_power.total") == pytest.approx(watts.sum(), abs=1000)
    assert sample.get("active_power.total") > 0
    assert sample.get(f"frequency.{feeding}") == 50.0


async def test_of_a_source_that_does_not_feed_it_shows_the_voltage_that_is_there():
    plant = plant_with(0.0, TransferState.ALTERNATE)
    sample = await reading(plant)
    assert sample.get("voltage.source2.L1L2") == pytest.approx(400, rel=0.02)
    plant.switches.devices[0].lost = 1
    plant.switches.move(plant.switches.devices[0], TransferState.ALTERNATE)
    sample = await reading(plant)
    assert (sample.get("voltage.source1.L1L2"), sample.get("frequency.source1")) == (0.0, 0.0)
    assert sample.get("current.source2.L1") == pytest.approx(13.0, abs=1.0)


async def test_behind_an_open_device_nothing_flows():
    plant = plant_with(0.0, None)
    plant.switches.move(plant.switches.devices[0], OPEN)
    sample = await reading(plant)
    assert [sample.get(f"current.source{n}.L1") for n in (1, 2)] == [0.0, 0.0]
    assert sample.get("active_power.total") == 0.0
    assert sample.get("voltage.source1.L1L2") == pytest.approx(400, rel=0.02), "the source is there, it feeds nobody"
