"""Values that are read now and then: they keep their own age, and never spoil the others."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from tests.builders import rack_site

from mimctl.drivers.discovery import ProfileSource
from mimctl.drivers.register_device import RegisterDevice
from mimctl.drivers.registry import build_groups
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import DeviceRefusal, LinkTimeout
from mimctl.model.profile import DeviceClass, DeviceProfile, PointSpec, PointType, Provenance, RegisterMap
from mimctl.model.sample import Quality
from mimctl.wire.memory import MemoryBank, MemoryTransport

PERIOD_S = 10.0
POINTS = (
    PointSpec("voltage.L1", 0, PointType.UINT16),
    PointSpec("energy_import.total", 200, PointType.UINT16),
    PointSpec("temperature", 400, PointType.UINT16),
)


class Counting(MemoryBank):
    """Every register holds how often it was read."""

    def read(self, address: int, count: int) -> bytes:
        data = super().read(address, count)
        value = int.from_bytes(data[:2], "big") + 1
        self.registers[2 * address : 2 * address + 2] = value.to_bytes(2, "big")
        return data


def setup(name="m1", points=POINTS):
    clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC), monotonic_s=100.0)
    transport = MemoryTransport("gw", {1: Counting(0, bytearray(1000))})
    profile = DeviceProfile("acme/m", "ACME", ("M",), Provenance("by hand", "high"), RegisterMap(DeviceClass.METER, points))
    device = RegisterDevice(name, transport, 1, source=ProfileSource(profile), clock=clock, slow_period_s=PERIOD_S)
    return device, transport, clock


async def cycles(device, transport, clock, count):
    """(samples, addresses read) of each cycle."""
    for _ in range(count):
        transport.log.clear()
        yield await device.read(), [address for _, _, address, _ in transport.log]
        clock.advance_to(clock.monotonic_s() + 1.0)


async def test_all_is_read_at_first_and_then_each_slow_read_once_a_period():
    device, transport, clock = setup()
    seen = [asked async for _, asked in cycles(device, transport, clock, 41)]
    assert seen[0] == [0, 200, 400]
    assert all(asked[0] == 0 for asked in seen)
    assert max(len(asked) for asked in seen[1:]) == 2  # never both slow ones in one cycle
    for address in (200, 400):
        times = [n for n, asked in enumerate(seen) if address in asked][1:]
        assert len(times) == 4
        assert set(np.diff(times)) == {10}


async def test_a_sample_has_all_keys_and_each_slow_value_its_own_instant():
    device, transport, clock = setup()
    last: dict[str, float] = {}
    async for sample, asked in cycles(device, transport, clock, 25):
        assert sample.keys == ("voltage.L1", "energy_import.total", "temperature")
        assert not np.isnan(sample.values).any()
        assert sample.quality is Quality.GOOD
        assert sample.taken_at_s == sample.instant_s("voltage.L1") == clock.monotonic_s()
        for address, key in ((200, "energy_import.total"), (400, "temperature")):
            if address in asked:
                last[key] = clock.monotonic_s()
            assert sample.instant_s(key) == last[key]


async def test_many_devices_do_not_read_their_slow_values_together():
    fleet = [setup(f"meter-{n}") for n in range(60)]
    load = np.zeros(30, dtype=int)
    for device, transport, clock in fleet:
        n = 0
        async for _, asked in cycles(device, transport, clock, 30):
            load[n] += len(asked) - 1
            n += 1
    assert load[0] == 120
    assert load[10:].mean() == 12
    assert load[10:].max() <= 24


async def test_a_slow_read_that_fails_spoils_nothing_until_it_is_long_ago():
    device, transport, clock = setup()
    await device.read()
    first = (await device.read()).get("temperature")

    def silent(kind, unit, address, count):
        if address == 400:
            raise LinkTimeout("gw", "no answer")

    transport.before = silent
    seen = [sample async for sample, _ in cycles(device, transport, clock, 60)]
    assert all(s.quality is Quality.GOOD and s.get("voltage.L1") is not None for s in seen)
    assert seen[25].get("temperature") == first
    assert seen[25].reason is None
    assert seen[-1].get("temperature") is None
    assert seen[-1].reason.code == "device.slow_values_missing"
    transport.before = None
    back = [sample async for sample, _ in cycles(device, transport, clock, 11)]
    assert back[-1].get("temperature") is not None
    assert back[-1].reason is None


async def test_a_fast_read_that_fails_fails_the_reading():
    device, transport, _ = setup()
    await device.read()

    def silent(kind, unit, address, count):
        raise LinkTimeout("gw", "no answer")

    transport.before = silent
    with pytest.raises(LinkTimeout):
        await device.read()


async def test_refused_slow_registers_are_told_as_refused():
    device, transport, clock = setup()

    def refuse(kind, unit, address, count):
        if address == 400:
            raise DeviceRefusal("gw", "illegal data address", 2)

    transport.before = refuse
    async for sample, _ in cycles(device, transport, clock, 12):
        assert sample.quality is Quality.SUSPECT
        assert sample.reason.code == "device.registers_refused"
        assert sample.get("temperature") is None


def test_the_devices_of_one_node_are_read_one_after_the_other():
    site = rack_site(3)
    (group,) = build_groups(site, lambda link: MemoryTransport(link.id, {}), {}, VirtualClock(datetime(2026, 1, 5, tzinfo=UTC)))
    assert list(group.drivers) == ["m-feed", "m-pdu", "m-rack1", "mim-rack1", "m-rack2", "mim-rack2", "m-rack3", "mim-rack3"]
