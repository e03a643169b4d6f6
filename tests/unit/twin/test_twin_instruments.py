"""Wrong instruments and ways: swapped and reversed current transformers, gains, missing values, late readings, lost frames."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import numpy as np
import pytest

from builders import START, rack_site
from mimctl.model.clock import VirtualClock
from mimctl.model.connection import Connection
from mimctl.model.errors import DeviceRefusal, LinkDown, LinkTimeout
from mimctl.model.fault import Fault, FaultKind, FaultValue
from mimctl.model.layout import SiteLayout
from mimctl.model.sample import Sample
from mimctl.model.site import TwinLoad, TwinSpec
from mimctl.twin.devices import virtual_devices
from mimctl.twin.drivers import PlantDriverGroup
from mimctl.twin.faults import schedule
from mimctl.twin.firmware import MimFleet
from mimctl.twin.loads import LoadSet
from mimctl.twin.picture import World
from mimctl.twin.plant import Plant
from mimctl.twin.reach import ReachedBank

LOADS = tuple(
    TwinLoad("rack1", connection, watts, power_factor=1.0)
    for connection, watts in ((Connection.L1, 3000.0), (Connection.L2, 1200.0), (Connection.L3, 600.0))
)


class Growing:
    """Unity power factor; L1 grows by 100 W a second."""

    loads = LOADS

    def at(self, t_s: float) -> np.ndarray:
        return np.array([3000.0 + 100 * t_s, 1200.0, 600.0], dtype=complex)


def group_of(*faults: Fault) -> tuple[Plant, PlantDriverGroup]:
    layout = SiteLayout(replace(rack_site(2), twin=TwinSpec(loads=LOADS, meter_noise_pct=0.0)))
    plant = Plant(layout, LoadSet(layout, Growing(), noise=False), fleet=MimFleet(layout))
    schedule(plant, faults)
    return plant, PlantDriverGroup(plant)


def wrong(kind: FaultKind, target: str = "m-rack1", until_s: float = math.inf, **values: FaultValue) -> Fault:
    return Fault(kind, (target,), 0.0, until_s, tuple(values.items()))


def reading(group: PlantDriverGroup, plant: Plant, t_s: float = 0.0, device: str = "m-rack1") -> Sample:
    plant.advance_to(t_s)
    group.capture()
    return asyncio.run(group.drivers[device].read())


def row(sample: Sample, quantity: str) -> list[float]:
    return [sample.get(f"{quantity}.L{i}") or 0.0 for i in (1, 2, 3)]


def test_swapped_transformers_show_each_others_current_against_their_own_voltage() -> None:
    """The current of L2 stands 120° behind the voltage of L1: P = V·I·cos 120°, Q = V·I·sin 120°."""
    plant, group = group_of(wrong(FaultKind.CT_SWAPPED, order=("L2", "L1", "L3")))
    sample = reading(group, plant)
    assert row(sample, "active_power") == pytest.approx([-600, -1500, 600], abs=10)
    assert row(sample, "reactive_power") == pytest.approx([1200 * math.sin(math.radians(120)), -2598, 0], abs=15)
    assert row(sample, "current") == pytest.approx([1200 / 230, 3000 / 230, 600 / 230], abs=0.1)
    assert row(sample, "voltage") == pytest.approx([230, 230, 230], abs=2)


def test_a_reversed_transformer_turns_the_power_and_not_the_current() -> None:
    plant, group = group_of(wrong(FaultKind.CT_REVERSED, phases=("L2",)))
    sample = reading(group, plant)
    assert row(sample, "active_power") == pytest.approx([3000, -1200, 600], abs=5)
    assert row(sample, "current")[1] == pytest.approx(1200 / 230, abs=0.1)


def test_gain_and_offset_by_phase_and_back() -> None:
    plant, group = group_of(wrong(FaultKind.LYING, until_s=5.0, gain=1.5, offset_w=100.0, phases=("L3",)))
    assert row(reading(group, plant), "active_power") == pytest.approx([3000, 1200, 1000], abs=5)
    assert row(reading(group, plant, 5.0), "active_power") == pytest.approx([3500, 1200, 600], abs=5)


@pytest.mark.parametrize(
    ("quantity", "gone", "kept"),
    [("voltage", "voltage", "active_power"), ("current", "current", "voltage"), ("power", "reactive_power", "current")],
)
def test_what_has_no_value(quantity: str, gone: str, kept: str) -> None:
    plant, group = group_of(wrong(FaultKind.NO_VALUES, quantity=quantity))
    sample = reading(group, plant)
    assert sample.get(f"{gone}.L1") is None
    assert sample.get(f"{kept}.L1") is not None


def test_noise_is_that_of_one_device() -> None:
    plant, group = group_of(wrong(FaultKind.NOISY, noise_pct=10.0))
    powers = [row(reading(group, plant, 0.001 * n), "active_power")[1] for n in range(200)]
    assert np.std(powers) == pytest.approx(120, rel=0.25)
    quiet = [row(reading(group, plant, 1 + 0.001 * n, "m-pdu"), "active_power")[1] for n in range(5)]
    assert np.ptp(quiet) <= 2


def test_late_readings_say_that_they_are_of_now() -> None:
    plant, group = group_of(wrong(FaultKind.SKEWED, late_s=2.0))
    samples = [reading(group, plant, float(t)) for t in range(6)]
    assert samples[-1].taken_at_s == 5.0
    assert row(samples[-1], "active_power")[0] == pytest.approx(3300, abs=5), "that of second 3"
    assert row(reading(group, plant, 6.0, "m-pdu"), "active_power")[0] == pytest.approx(3600, abs=5)


def test_a_share_of_the_frames_is_lost_and_a_link_is_down() -> None:
    plant, group = group_of(wrong(FaultKind.LINK_LOSS, "gw", loss_pct=20.0), Fault(FaultKind.LINK_DOWN, ("gw",), 50.0, 60.0))
    plant.advance_to(1.0)
    group.capture()
    lost = 0
    for _ in range(500):
        try:
            asyncio.run(group.drivers["m-rack1"].read())
        except LinkTimeout:
            lost += 1
    assert lost == pytest.approx(500 * (1 - 0.8**2), rel=0.15), "the request or the answer"
    plant.advance_to(55.0)
    with pytest.raises(LinkDown):
        asyncio.run(group.drivers["mim-rack1"].read())
    plant.advance_to(60.0)
    assert plant.instruments.mute.sum() == 0


def test_registers_behind_a_cut_way_are_answered_for_by_the_gateway() -> None:
    plant, _ = group_of(Fault(FaultKind.OFFLINE, ("m-rack1",), 0.0, 5.0), wrong(FaultKind.CT_REVERSED, "m-pdu"))
    clock = VirtualClock(START)
    banks = {d.id: d.bank for d in virtual_devices(plant.layout, World(plant, clock), {}, 1)}
    reached = ReachedBank(banks["m-rack1"], ("m-rack1",), plant.instruments)
    with pytest.raises(DeviceRefusal) as refused:
        reached.read(40000, 2)
    assert refused.value.is_silence
    clock.advance_to(5.0)
    plant.advance_to(5.0)
    assert reached.read(40000, 2) == b"SunS"


def test_a_dead_bus_has_no_voltage_and_its_mim_opens() -> None:
    plant, group = group_of(Fault(FaultKind.RACK_TRIPPED, ("rack1",), 2.0, 4.0))
    before, during = reading(group, plant, 1.0), reading(group, plant, 2.0)
    assert row(before, "voltage")[0] > 220
    assert row(during, "voltage") == row(during, "active_power") == [0, 0, 0]
    assert asyncio.run(group.drivers["mim-rack1"].read()).get("voltage.port1") == 0
    assert row(reading(group, plant, 3.0, "m-pdu"), "active_power")[0] == pytest.approx(0, abs=1)
    assert row(reading(group, plant, 4.0), "active_power")[0] == pytest.approx(3400, abs=5)
