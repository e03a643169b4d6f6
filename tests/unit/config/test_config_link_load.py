"""Time on a link, by hand calculation."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimctl.config.link_load import (
    Traffic,
    command_frames,
    link_load,
    mapped_device,
    read_s,
    sunspec_device,
    sunspec_meter,
    sunspec_mim,
    write_s,
)
from mimctl.config.profiles.registers_profile import find_profile, load_profile
from mimctl.config.site import check_site
from mimctl.model.link import Link, LinkType, Parity, SerialLine
from mimctl.model.points import PointSpec, PointType
from mimctl.model.profile import DeviceClass, RegisterMap
from site_factory import site_dict, write_site

TCP = Link("gw", LinkType.MODBUS_TCP, "192.0.2.1", 502)
#: 10 bits a character, 1 ms each; silences of 3.5 ms
BUS = Link("bus", LinkType.MODBUS_RTU, serial=SerialLine("/dev/x", 10000, Parity.NONE, 1))


@pytest.mark.parametrize(
    ("link", "read", "write"),
    [
        (TCP, 0.010, 0.010),
        (Link("gw", LinkType.MODBUS_TLS, "192.0.2.1", 802, request_gap_s=0.005), 0.015, 0.015),
        (Link("gw", LinkType.MODBUS_RTU_TCP, "192.0.2.1", 502), 0.030, 0.030),
        (Link("gw", LinkType.MODBUS_TCP, "127.0.0.1", 502), 0.001, 0.001),
        (Link("gw", LinkType.MODBUS_TCP, "192.0.2.1", 502, latency_s=0.2), 0.2, 0.2),
        # 10 registers: 8 characters out, 25 back; or 29 out and 8 back; and two silences
        (BUS, 0.033 + 0.007, 0.037 + 0.007),
        (Link("bus", LinkType.MODBUS_RTU, serial=BUS.serial, latency_s=0.02, request_gap_s=0.01), 0.063, 0.067),
    ],
)
def test_one_request_of_ten_registers(link: Link, read: float, write: float) -> None:
    assert (read_s(link, 10), write_s(link, 10)) == (pytest.approx(read), pytest.approx(write))


def test_devices_of_slower_zones_and_slow_reads_count_by_their_share() -> None:
    fast = Traffic((50, 20), (26,), (10,), 1.0)  # 3 requests a second, and one in ten seconds
    slow = Traffic((50,), (), (), 5.0)  # one in five
    load = link_load(TCP, [fast, slow])
    assert load is not None
    assert (load.devices, load.cycle_s) == (2, 1.0)
    assert (load.reads, load.writes) == (pytest.approx(2 + 0.1 + 0.2), 1)
    assert load.share == pytest.approx(0.033)


def test_many_slow_reads_wait_for_each_other() -> None:
    """Twenty slow reads, one a cycle of 1 s: not twenty in ten."""
    load = link_load(TCP, [Traffic((5,), (), (9,) * 20, 1.0)])
    assert load is not None
    assert load.reads == pytest.approx(2.0)


def test_connections_share_the_work_and_nothing_takes_no_time() -> None:
    assert link_load(TCP, []) is None
    two = Link("gw", LinkType.MODBUS_TCP, "192.0.2.1", 502, max_connections=2)
    load = link_load(two, [Traffic((50,) * 80, (), (), 1.0)])
    assert load is not None
    assert load.share == pytest.approx(0.4)


def test_sunspec_devices_are_of_the_usual_size_until_they_answer() -> None:
    assert sunspec_meter(TCP, 1.0) == Traffic((107,), (), (), 1.0)
    assert sunspec_mim(TCP, 3, 1.0) == Traffic((38, 38), (26,), (), 1.0)
    small = Link("gw", LinkType.MODBUS_TCP, "192.0.2.1", 502, max_registers=50)
    assert sunspec_meter(small, 1.0).reads == (50, 50, 7)


def test_a_profile_beside_a_chain_adds_its_own_registers_and_a_command_its_frames_and_its_reading_back() -> None:
    path = find_profile("solaredge/storedge")
    assert path is not None
    battery = load_profile(path).register_map
    assert sunspec_device(TCP, battery, 1.0, commanded=False) == Traffic((107, 2), (), (2,), 1.0)
    nothing = RegisterMap(DeviceClass.INVERTER, ())
    assert sunspec_device(TCP, nothing, 1.0, commanded=True) == Traffic((107, 67), (2, 2, 2, 2, 2), (), 1.0)
    assert sunspec_device(TCP, RegisterMap(DeviceClass.METER, (), max_registers=60), 1.0, commanded=False).reads == (60, 47)


def test_a_profile_says_what_is_read() -> None:
    points = (
        PointSpec("voltage.L1", 0, PointType.FLOAT32),
        PointSpec("energy_import.total", 300, PointType.UINT32),
        PointSpec("rating_current", 500, PointType.UINT16, static=True),
    )
    found = mapped_device(TCP, RegisterMap(DeviceClass.METER, points), 1.0, commanded=False)
    assert found == Traffic((2,), (), (2,), 1.0)


def test_a_command_by_profile_is_its_frames_and_what_is_read_back() -> None:
    path = find_profile("victron/gx")
    assert path is not None
    profile = load_profile(path)
    assert profile.register_map.mim is not None
    found = mapped_device(TCP, profile.register_map, 1.0, commanded=True)
    assert len(found.writes) == len(command_frames(profile.register_map.mim)) >= 1
    assert len(found.reads) >= len(profile.register_map.mim.state) + 1


HEARTBEAT = """\
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
failsafe: {kind: heartbeat, within: 6 s, action: zero, heartbeat: {address: 20, type: uint16}}
"""


@pytest.mark.parametrize(("cycle", "wrong"), [("2 s", False), ("2.1 s", True)])
def test_the_cycle_is_at_most_a_third_of_what_a_device_waits(tmp_path: Path, cycle: str, wrong: bool) -> None:
    path = tmp_path / "device_profiles" / "acme" / "b1.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(HEARTBEAT)
    data = site_dict(racks=2)
    data["zones"] = [{"id": "z", "heads": ["feed-a"], "cycle": cycle}]
    data["mims"][0] |= {"profile": "acme/b1", "ports": ["L1"]}
    problems = [p for p in check_site(write_site(tmp_path, data))[1] if p.code == "mim.failsafe_short"]
    assert [p.path for p in problems] == (["mims[0].profile"] if wrong else [])
    if wrong:
        assert "make the zone's cycle 2 s or shorter" in problems[0].message
