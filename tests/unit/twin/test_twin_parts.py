"""Virtual devices with repeated parts: which circuit shows which of a node's values, and meters that share one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from test_twin_devices import Twin, small_site

from mimctl.config.profiles.registers_profile import find_profile, load_profile
from mimctl.drivers.discovery import ProfileSource, SunSpecSource
from mimctl.model.instances import instance_names
from mimctl.model.profile import DeviceClass, DeviceProfile
from mimctl.twin.parts import chosen_parts, every_part
from mimctl.wire.memory import MemoryTransport
from mimctl.wire.registers import CompiledMap

ALL = sorted(Path(__file__).parents[3].glob("device_profiles/*/*.yaml"))
#: of devices with a chain of models the twin has meters alone
PROFILES = [file for file in ALL if "\nsunspec:" not in file.read_text() or "\nclass: meter" in file.read_text()]


def profile(name: str) -> DeviceProfile:
    file = find_profile(name, Path())
    assert file is not None
    return load_profile(file)


async def shown(twin: Twin, meter: str, of: DeviceProfile, instances: Sequence[str] = ()) -> dict[str, float]:
    """What a driver reads of a meter after it has identified the device."""
    bank = twin.banks[meter]
    by_chain = SunSpecSource(DeviceClass.METER, None, profile=of)
    source = ProfileSource(of, tuple(instances)) if of.chain is None else by_chain
    register_map, _ = await source.discover(MemoryTransport("l", {1: bank}), 1, meter)
    assert register_map.points
    compiled = CompiledMap(register_map)
    values = compiled.decode([bank.read(r.address, r.count) for r in compiled.reads])
    return dict(zip(compiled.keys, values.tolist(), strict=True))


def site_with(of: DeviceProfile, **instances: Sequence[str]):
    """The small site, all the named meters at unit 9 of one link."""
    site = small_site()
    meters = tuple(
        replace(m, address=replace(m.address, link="gw", unit=9, profile=of.id, instances=tuple(instances[name])))
        if (name := m.id.replace("-", "_")) in instances
        else m
        for m in site.meters
    )
    return replace(site, meters=meters)


def test_circuits_are_dealt_to_the_phases_and_carry_equal_shares() -> None:
    """Four circuits: L1, L2, L3, L1; the two on L1 have half of it each."""
    keys = ["frequency", "voltage.L1", *(f"current.circuit{n}" for n in (1, 2, 3, 4)), "voltage.circuit4"]
    assert every_part(keys) == {
        "frequency": ("frequency", 1.0),
        "voltage.L1": ("voltage.L1", 1.0),
        "current.circuit1": ("current.L1", 0.5),
        "current.circuit2": ("current.L2", 1.0),
        "current.circuit3": ("current.L3", 1.0),
        "current.circuit4": ("current.L1", 0.5),
        "voltage.circuit4": ("voltage.L1", 1.0),
    }


def test_groups_with_phases_of_their_own_share_every_phase() -> None:
    keys = ["active_power.group1.L2", "active_power.group2.L2", "voltage.group2.L2", "frequency.group2"]
    assert every_part(keys) == {
        "active_power.group1.L2": ("active_power.L2", 0.5),
        "active_power.group2.L2": ("active_power.L2", 0.5),
        "voltage.group2.L2": ("voltage.L2", 1.0),
        "frequency.group2": ("frequency", 1.0),
    }


def test_a_meter_shows_its_own_parts_and_what_they_share_once() -> None:
    keys = ["voltage.L1", "current.circuit3", "current.circuit7", "current.circuit9"]
    mine = {"current.circuit7": ("current.L1", 1.0), "current.circuit9": ("current.L2", 1.0)}
    assert chosen_parts(keys, ("circuit7", "circuit9"), shared=False) == mine
    assert chosen_parts(keys, ("circuit7", "circuit9"), shared=True) == {"voltage.L1": ("voltage.L1", 1.0), **mine}


async def test_two_racks_behind_one_branch_circuit_monitor() -> None:
    """Rack 1: 3000, 1000, 2000 W at 0.5 kvar a kW; rack 2: nothing. Each at its own circuits of one device.

    14.58, 4.86, 9.72 A of fundamental, times √1.25 for 50 % distortion.
    """
    of = profile("schneider/bcpme")
    site = site_with(of, m_rack1=("circuit7", "circuit9", "circuit11"), m_rack2=("circuit8", "circuit10", "circuit12"))
    twin = Twin(site, {of.id: of})
    assert twin.banks["m-rack1"] is twin.banks["m-rack2"]
    one = await shown(twin, "m-rack1", of, site_of("m-rack1", site))
    assert [one[f"active_power.L{i}"] for i in (1, 2, 3)] == pytest.approx([3000, 1000, 2000], abs=30)
    assert [one[f"current.L{i}"] for i in (1, 2, 3)] == pytest.approx([16.30, 5.43, 10.87], rel=0.02)
    two = await shown(twin, "m-rack2", of, site_of("m-rack2", site))
    assert [two[f"current.L{i}"] for i in (1, 2, 3)] == pytest.approx([0, 0, 0], abs=0.1)
    assert twin.kinds["m-rack2"] == "meter schneider/bcpme circuit8 circuit10 circuit12"


def site_of(meter: str, site) -> tuple[str, ...]:
    return next(m.address.instances for m in site.meters if m.id == meter)


async def test_a_whole_branch_circuit_monitor_shows_all_of_its_circuits() -> None:
    """Together they carry what flows at the node."""
    of = profile("schneider/bcpme")
    site = site_with(of, m_rack1=())
    values = await shown(Twin(site, {of.id: of}), "m-rack1", of)
    powers = [value for key, value in values.items() if key.startswith("active_power.circuit")]
    assert len(powers) == len([n for n in instance_names(of.register_map) if n.startswith("circuit")])
    assert sum(powers) == pytest.approx(6000, rel=0.05)
    assert min(powers) > 0


@pytest.mark.parametrize("file", PROFILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
async def test_a_driver_takes_the_virtual_device_for_the_real_one(file: Path) -> None:
    """Its signs of identity are there, and every phase current and power that the profile has is the node's."""
    of = load_profile(file)
    values = await shown(Twin(site_with(of, m_rack1=()), {of.id: of}), "m-rack1", of)
    expected = {"active_power.L1": 3000.0, "active_power.L2": 1000.0, "active_power.L3": 2000.0, "frequency": 50.0}
    for key, value in expected.items():
        assert values.get(key, value) == pytest.approx(value, rel=0.02)
