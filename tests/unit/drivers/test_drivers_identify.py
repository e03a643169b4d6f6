"""A device against its profile: refused by name, known by variant, cut down to the parts that are there."""

import struct
from datetime import UTC, datetime

import pytest

from mimctl.config.profiles.registers_profile import find_profile, load_profile
from mimctl.drivers.discovery import ProfileSource
from mimctl.drivers.identify import identified_map, match_profile
from mimctl.drivers.register_device import RegisterDevice
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import BadReply, DeviceRefusal
from mimctl.wire.memory import MemoryBank, MemoryTransport

COUNTED = """\
schema: 1
id: acme/bcm
vendor: ACME
models: [BCM]
class: branch_monitor
provenance: {source: by hand, confidence: high}
conventions: {active_power: load_positive}
identity: {version: {address: 90, type: string, count: 4}}
identify:
  - {address: 80, type: uint16, at_least: 10, below: 20}
  - {address: 81, type: uint16, equals: [1], weak: true}
points:
  voltage.L1: {address: 0, type: uint16, scale: 0.1}
instances:
  circuit:
    count: 6
    stride: 2
    count_register: {address: 70, type: uint16}
    points:
      current: {address: 10, type: uint16, scale: 0.1}
      active_power: {address: 11, type: int16}
variants:
  - name: before 1.10
    when: {identity: version, below: "1.10"}
    points: {voltage.L1: {address: 1, type: uint16, scale: 0.1}}
"""


@pytest.fixture
def counted(tmp_path):
    path = tmp_path / "acme" / "bcm.yaml"
    path.parent.mkdir()
    path.write_text(COUNTED)
    return load_profile(path)


def device(**registers):
    bank = MemoryBank(0, bytearray(2 * 65536))
    for name, value in registers.items():
        bank.write(int(name[1:]), value if isinstance(value, bytes) else struct.pack(">H", value))
    return MemoryTransport("gw", {1: bank}), bank


def version(text):
    return text.encode().ljust(8, b"\0")


async def test_a_device_of_another_kind_is_refused_by_what_it_holds(counted):
    transport, _ = device(r80=42)
    with pytest.raises(BadReply, match=r"unit 1 is no acme/bcm: register 80 holds 42, at least 10, less than 20 was expected"):
        await identified_map(transport, 1, "d", counted)


async def test_weak_signs_count_and_never_refuse(counted):
    transport, bank = device(r80=12)
    match = await match_profile(transport, 1, counted)
    assert (match.refuted, match.confirmed, match.hints) == ((), 1, 0)
    bank.write(81, b"\0\1")
    assert (await match_profile(transport, 1, counted)).hints == 1


async def test_a_sign_that_the_device_does_not_show_is_a_warning_and_no_refusal(counted):
    transport, _ = device(r0=2305)

    def refuse(kind, unit, address, count):
        if address >= 70:
            raise DeviceRefusal("gw", "illegal address", 2)

    transport.before = refuse
    register_map, warnings = await identified_map(transport, 1, "d", counted)
    assert len(register_map.points) == 13
    assert [code for code, _ in warnings] == ["profile.unconfirmed", "profile.unconfirmed", "profile.uncounted"]


async def test_only_the_parts_that_are_there_have_points(counted):
    transport, _ = device(r80=12, r70=2, r90=version("V1.12"))
    register_map, warnings = await identified_map(transport, 1, "d", counted)
    assert [p.key for p in register_map.points] == [
        "voltage.L1", "current.circuit1", "active_power.circuit1", "current.circuit2", "active_power.circuit2",
    ]  # fmt: skip
    assert warnings == ()


@pytest.mark.parametrize(("text", "address"), [("V1.9.3", 1), ("V1.10", 0), ("V1.12b", 0), ("V2", 0), ("", 0)])
async def test_versions_are_compared_number_by_number(counted, text, address):
    transport, _ = device(r80=12, r70=1, r90=version(text))
    register_map, warnings = await identified_map(transport, 1, "d", counted)
    assert register_map.points[0].address == address
    assert [code for code, _ in warnings] == ["profile.variant"] * (address == 1)


async def test_three_circuits_are_one_meter(counted):
    transport, bank = device(r80=12, r70=6, r90=version("2"), r0=2305)
    for circuit, amps in ((1, 125), (4, 102), (6, 7)):
        bank.write(10 + 2 * (circuit - 1), struct.pack(">Hh", amps, amps * 20))
    clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC))
    source = ProfileSource(counted, ("circuit1", "circuit4", "circuit6"))
    meter = RegisterDevice("m", transport, 1, source=source, clock=clock)
    sample = await meter.read()
    assert [sample.get(f"current.L{n}") for n in (1, 2, 3)] == [12.5, pytest.approx(10.2), pytest.approx(0.7)]
    assert [sample.get(f"active_power.L{n}") for n in (1, 2, 3)] == [2500, 2040, 140]
    assert sample.get("voltage.L1") == 230.5
    assert "current.circuit2" not in sample.keys


async def test_a_part_that_is_not_there_is_named(counted):
    transport, _ = device(r80=12, r70=2, r90=version("2"))
    with pytest.raises(BadReply, match=r"no part 'circuit3' \(there are: circuit1 to circuit2\)"):
        await identified_map(transport, 1, "d", counted, ("circuit3",))


async def test_a_group_of_three_keeps_its_phases_and_shares_the_voltages():
    profile = load_profile(find_profile("janitza/umg801"))
    transport, bank = device()
    bank.write(19000, struct.pack(">3f", 230.5, 229.75, 231.25))
    bank.write(19300, struct.pack(">3f", 1.5, 2.5, 3.5))
    register_map, _ = await identified_map(transport, 1, "d", profile, ("group3",))
    keys = [p.key for p in register_map.points]
    assert len(keys) == len(set(keys)) == 17
    clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC))
    meter = RegisterDevice("m", transport, 1, source=ProfileSource(profile, ("group3",)), clock=clock)
    sample = await meter.read()
    assert [sample.get(f"current.L{n}") for n in (1, 2, 3)] == [1.5, 2.5, 3.5]
    assert [sample.get(f"voltage.L{n}") for n in (1, 2, 3)] == [230.5, 229.75, 231.25]


async def test_a_socomec_says_its_name_one_letter_per_register():
    profile = load_profile(find_profile("socomec/diris_a10"))
    transport, bank = device(r50000=b"\0S\0O\0C\0O", r50058=b"DIRIS A-14\0\0\0\0\0\0")
    register_map, warnings = await identified_map(transport, 1, "d", profile)
    assert "A-14" in warnings[0][1]
    assert "energy_export.total" not in [p.key for p in register_map.points]
    bank.write(50058, b"COUNTIS E23\0")
    with pytest.raises(BadReply, match="'COUNTIS E23', 'DIRIS A-10"):
        await identified_map(transport, 1, "d", profile)
