"""Plant drivers: the keys, frames, resolution and age of the real ones; faults as a controller meets them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from builders import rack_site
from mimctl.model.connection import Connection
from mimctl.model.errors import LinkDown, LinkTimeout
from mimctl.model.fault import Fault, FaultKind
from mimctl.model.layout import SiteLayout
from mimctl.model.phases import Phase
from mimctl.model.protocols import Driver, MimCommand, MimDriver
from mimctl.model.quantity import quantity_of
from mimctl.model.reason import Reason
from mimctl.model.sample import Sample
from mimctl.model.site import Battery, Site, TwinLoad, TwinSpec
from mimctl.twin.drivers import PlantDriverGroup
from mimctl.twin.faults import schedule
from mimctl.twin.firmware import MimFleet
from mimctl.twin.loads import LoadSet
from mimctl.twin.metering import resolution
from mimctl.twin.plant import Plant
from mimctl.twin.status import CommandStatus

WHY = Reason("test.because", "a test wants it")
LOADS = tuple(
    TwinLoad("rack1", connection, watts, power_factor=0.9)
    for connection, watts in ((Connection.L1, 3000.0), (Connection.L2, 1234.5), (Connection.L3, 700.0))
)


class Typical:
    """Every load at its typical power."""

    loads = LOADS

    def at(self, t_s: float) -> np.ndarray:
        return np.array([x.typical_w * (1 + 0.5j) for x in LOADS]) + t_s


def group_of(
    site: Site | None = None, *, noise_pct: float = 0.0, faults: Sequence[Fault] = (), **options: int
) -> tuple[Plant, PlantDriverGroup]:
    site = replace(site or rack_site(2), twin=TwinSpec(loads=LOADS, meter_noise_pct=noise_pct))
    layout = SiteLayout(site)
    fleet = MimFleet(layout)
    plant = Plant(layout, LoadSet(layout, Typical(), noise=False), fleet=fleet)
    schedule(plant, faults)
    return plant, PlantDriverGroup(plant, **options)


def step(plant: Plant, group: PlantDriverGroup, t_s: float) -> None:
    plant.advance_to(t_s)
    group.capture()


def read(driver: Driver) -> Sample:
    return asyncio.run(driver.read())


def mim_of(group: PlantDriverGroup, name: str = "mim-rack1") -> MimDriver:
    driver = group.drivers[name]
    assert isinstance(driver, MimDriver)
    return driver


def command(group: PlantDriverGroup, *watts: float, validity_s: float = 10.0) -> None:
    asyncio.run(mim_of(group).apply(MimCommand(watts, (0.0,) * len(watts), validity_s, WHY)))


def value(sample: Sample, key: str) -> float:
    found = sample.get(key)
    assert found is not None, key
    return found


def test_every_key_is_a_known_quantity_and_shared() -> None:
    plant, group = group_of()
    step(plant, group, 1.0)
    samples = [read(d) for d in group.drivers.values()]
    assert {s.device for s in samples} == {d.id for d in (*plant.layout.site.meters, *plant.layout.mims)}
    assert all(quantity_of(key) is not None for s in samples for key in s.keys)
    again = [read(d) for d in group.drivers.values()]
    assert all(a.keys is b.keys for a, b in zip(samples, again, strict=True))
    mims = [s for s in samples if s.device.startswith("mim")]
    assert mims[0].keys is mims[1].keys


def test_a_meter_tells_what_the_plant_does() -> None:
    plant, group = group_of()
    step(plant, group, 1.0)
    state, sample = plant.solve(), read(group.drivers["m-rack1"])
    node = plant.layout.node_index["rack1"]
    for i in range(3):
        assert value(sample, f"active_power.L{i + 1}") == pytest.approx(state.flow_va[node, i].real, abs=0.5)
        assert value(sample, f"reactive_power.L{i + 1}") == pytest.approx(state.flow_va[node, i].imag, abs=0.5)
        assert value(sample, f"voltage.L{i + 1}") == pytest.approx(abs(state.voltage_v[node, i]), abs=0.05)
        assert value(sample, f"current.L{i + 1}") == pytest.approx(abs(state.current_a[node, i]), abs=0.005)
    assert value(sample, "current.N") == pytest.approx(abs(state.current_a[node].sum()), abs=0.005)
    assert value(sample, "frequency") == 50.0
    assert sample.taken_at_s == 1.0


def test_resolution_of_16_bit_registers() -> None:
    assert resolution(1.2 * 63 * 230, 1.0) == 1.0
    assert resolution(1.2 * 400 * 230, 1.0) == 10.0
    assert resolution(1.2 * 400, 0.01) == 0.1
    assert resolution(1.2 * 63, 0.01) == 0.01


def test_a_meter_reads_in_its_own_frame() -> None:
    site = rack_site(1)
    turned = replace(site.meters[2], phase_map=(Phase.L3, Phase.L1, Phase.L2), sign=-1)
    plant, group = group_of(replace(site, meters=(*site.meters[:2], turned)))
    step(plant, group, 0.0)
    sample = read(group.drivers["m-rack1"])
    assert [value(sample, f"active_power.L{i}") for i in (1, 2, 3)] == pytest.approx([-700, -3000, -1234], abs=1)
    assert value(sample, "current.L2") > value(sample, "current.L3") > value(sample, "current.L1") > 0


def test_an_absent_phase_has_no_value() -> None:
    site = rack_site(1)
    nodes = (*site.nodes[:2], replace(site.nodes[2], phases=(Phase.L1, Phase.L2), neutral_rating_a=None))
    plant, group = group_of(replace(site, nodes=nodes))
    step(plant, group, 0.0)
    sample = read(group.drivers["m-rack1"])
    for key in ("voltage.L3", "current.L3", "active_power.L3", "thd_i.L3", "current.N"):
        assert sample.get(key) is None
    assert value(sample, "active_power.L2") == pytest.approx(1234, abs=1)


def test_noise_is_relative_and_seeded() -> None:
    rows = []
    for _ in range(2):
        plant, group = group_of(noise_pct=1.0)
        for i in range(300):
            step(plant, group, i * 1e-6)
            rows.append(value(read(group.drivers["m-rack1"]), "active_power.L1"))
    assert rows[:300] == rows[300:]
    assert np.std(rows) == pytest.approx(30, rel=0.2)
    assert np.mean(rows) == pytest.approx(3000, abs=6)


def test_readings_are_as_old_as_they_should_be() -> None:
    plant, group = group_of(delay_cycles=1)
    with pytest.raises(LinkTimeout, match="nothing has been measured"):
        read(group.drivers["m-feed"])
    group.skew("mim-rack2", 1)
    taken = {}
    for t in range(5):
        step(plant, group, float(t))
        taken = {name: read(group.drivers[name]).taken_at_s for name in ("m-feed", "mim-rack1", "mim-rack2")}
    assert taken == {"m-feed": 3.0, "mim-rack1": 3.0, "mim-rack2": 2.0}
    group.capture(taken_at_s=1004.5)
    group.capture(taken_at_s=1005.5)
    assert read(group.drivers["m-feed"]).taken_at_s == 1004.5


def test_a_mim_does_and_tells_what_it_is_told() -> None:
    battery = Battery("b", "mim-rack1", 1000.0, 1000.0, 1000.0)
    plant, group = group_of(replace(rack_site(2), batteries=(battery,)))
    step(plant, group, 0.0)
    command(group, 400.4, -300.0, -100.0)
    step(plant, group, 5.0)
    sample = read(mim_of(group))
    assert [value(sample, f"active_power.port{k}") for k in (1, 2, 3)] == [400, -300, -100]
    assert value(sample, "sequence_ack") == 1
    assert value(sample, "command_status") == CommandStatus.OK
    assert value(sample, "watchdog_remaining") == 5
    assert value(sample, "soc") == 60.0
    assert value(sample, "available_inject.port1") == pytest.approx(2000, abs=1)
    assert read(mim_of(group, "mim-rack2")).get("soc") is None
    asyncio.run(mim_of(group).refresh())
    step(plant, group, 6.0)
    assert value(read(mim_of(group)), "watchdog_remaining") == 9
    asyncio.run(mim_of(group).release(WHY))
    step(plant, group, 8.0)
    sample = read(mim_of(group))
    assert value(sample, "active_power.port1") == 0
    assert value(sample, "sequence_ack") == 2


def test_a_silent_meter() -> None:
    plant, group = group_of()
    step(plant, group, 0.0)
    schedule(plant, [Fault(FaultKind.OFFLINE, ("m-feed",))])
    with pytest.raises(LinkDown, match="m-feed"):
        read(group.drivers["m-feed"])


def test_a_lying_meter() -> None:
    plant, group = group_of(faults=[Fault(FaultKind.LYING, ("m-rack1",), values=(("gain", 2.0),))])
    step(plant, group, 0.0)
    sample = read(group.drivers["m-rack1"])
    assert value(sample, "active_power.L1") == pytest.approx(6000, abs=1)
    assert value(sample, "voltage.L1") == pytest.approx(230, abs=2)


def of_mim(kind: FaultKind, at_s: float, until_s: float = math.inf, **values: float) -> Fault:
    return Fault(kind, ("mim-rack1",), at_s, until_s, tuple(values.items()))


class TestFaults:
    def test_offline_runs_into_its_watchdog_and_comes_back(self) -> None:
        plant, group = group_of(faults=[of_mim(FaultKind.OFFLINE, 2.0, 20.0)])
        step(plant, group, 0.0)
        command(group, 600, -600, 0, validity_s=5.0)
        step(plant, group, 4.0)
        with pytest.raises(LinkDown):
            read(mim_of(group))
        with pytest.raises(LinkDown):
            command(group, 1, -1, 0)
        assert plant.solve().port_va[0].real == pytest.approx(600, abs=1)
        step(plant, group, 7.0)
        assert abs(plant.solve().port_va[0]) < 1
        step(plant, group, 21.0)
        assert value(read(mim_of(group)), "command_status") == CommandStatus.REVERTED

    @pytest.mark.parametrize(
        ("kind", "acknowledged", "status"),
        [
            (FaultKind.PRETENDING, 2, CommandStatus.OK),
            (FaultKind.READ_ONLY, 1, CommandStatus.OK),
            (FaultKind.REJECTING, 1, CommandStatus.REJECTED),
        ],
    )
    def test_setpoints_that_change_nothing(self, kind: FaultKind, acknowledged: int, status: CommandStatus) -> None:
        plant, group = group_of(faults=[of_mim(kind, 1.0)])
        command(group, 600, -600, 0, validity_s=60.0)
        step(plant, group, 5.0)
        command(group, 0, 0, 0, validity_s=60.0)
        step(plant, group, 9.0)
        sample = read(mim_of(group))
        assert value(sample, "active_power.port1") == 600
        assert (value(sample, "sequence_ack"), value(sample, "command_status")) == (acknowledged, status)

    def test_heartbeats_do_not_reach_what_is_read_only(self) -> None:
        plant, group = group_of(faults=[of_mim(FaultKind.READ_ONLY, 1.0)])
        command(group, 600, -600, 0, validity_s=5.0)
        for t_s in range(1, 10):
            step(plant, group, float(t_s))
            asyncio.run(mim_of(group).refresh())
        assert abs(plant.solve().port_va[0]) < 1, "the watchdog has run out"

    def test_what_is_stuck_outlives_its_watchdog_and_a_release(self) -> None:
        plant, group = group_of(faults=[of_mim(FaultKind.STUCK, 5.0, 40.0)])
        command(group, 600, -600, 0, validity_s=10.0)
        step(plant, group, 20.0)
        asyncio.run(mim_of(group).release(WHY))
        step(plant, group, 39.9)
        assert plant.solve().port_va[0].real == pytest.approx(600, abs=1)
        step(plant, group, 45.0)
        assert abs(plant.solve().port_va[0]) < 1

    def test_clipped_delivers_less_and_does_not_say_so(self) -> None:
        plant, group = group_of(faults=[of_mim(FaultKind.CLIPPED, 5.0, 15.0, delivers_pct=25.0)])
        command(group, 1000, -600, -400, validity_s=60.0)
        step(plant, group, 10.0)
        sample = read(mim_of(group))
        assert value(sample, "active_power.port1") == pytest.approx(250, abs=5), "and its standby losses"
        assert value(sample, "command_status") == CommandStatus.OK
        step(plant, group, 16.0)
        assert plant.solve().port_va[0].real == pytest.approx(1000, abs=1)

    def test_derated(self) -> None:
        plant, group = group_of(faults=[of_mim(FaultKind.DERATED, 5.0, 15.0, rating_pct=25.0)])
        command(group, 1000, -600, -400, validity_s=60.0)
        step(plant, group, 4.9)
        assert plant.solve().port_va[0].real == pytest.approx(1000, abs=1)
        step(plant, group, 9.0)
        assert np.abs(plant.solve().port_va).max() <= 500 + 1e-6
        command(group, 1000, -600, -400, validity_s=60.0)
        step(plant, group, 10.0)
        assert value(read(mim_of(group)), "command_status") == CommandStatus.CLIPPED
        assert value(read(mim_of(group)), "available_inject.port1") <= 500
        step(plant, group, 15.0)
        command(group, 1000, -600, -400, validity_s=60.0)
        step(plant, group, 20.0)
        assert value(read(mim_of(group)), "active_power.port1") == 1000

    def test_rebooted(self) -> None:
        plant, group = group_of(faults=[of_mim(FaultKind.REBOOTED, 5.0, 8.0)])
        command(group, 600, -600, 0, validity_s=60.0)
        step(plant, group, 5.0)
        assert plant.solve().port_va[0] == 0
        with pytest.raises(LinkDown):
            read(mim_of(group))
        step(plant, group, 8.0)
        sample = read(mim_of(group))
        assert (value(sample, "sequence_ack"), value(sample, "watchdog_remaining")) == (0, 0)
        command(group, 600, -600, 0)
        step(plant, group, 12.0)
        assert value(read(mim_of(group)), "active_power.port1") == 600

    def test_late(self) -> None:
        plant, group = group_of(faults=[of_mim(FaultKind.DELAYED, 0.0, delay_s=3.0)])
        step(plant, group, 0.0)
        command(group, 600, -600, 0)
        step(plant, group, 2.9)
        sample = read(mim_of(group))
        assert (value(sample, "active_power.port1"), value(sample, "sequence_ack")) == (0, 0)
        command(group, 300, -300, 0)
        step(plant, group, 5.8)
        assert plant.solve().port_va[0].real == pytest.approx(600, abs=1)
        step(plant, group, 9.0)
        assert value(read(mim_of(group)), "active_power.port1") == pytest.approx(300, abs=1)

    def test_lying(self) -> None:
        plant, group = group_of(faults=[of_mim(FaultKind.LYING, 0.0, gain=1.5)])
        command(group, 600, -600, 0)
        step(plant, group, 6.0)
        assert value(read(mim_of(group)), "active_power.port1") == 900
        assert plant.solve().port_va[0].real == pytest.approx(600, abs=0.1)
