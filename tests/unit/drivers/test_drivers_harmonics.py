"""Harmonic shares on their way into the registers of a MIM: written where there is a filter, absent where there is none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.fake_mim import FakeMim, mim

from mimctl.drivers.discovery import SunSpecSource
from mimctl.drivers.register_mim import RegisterMim
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import Unencodable
from mimctl.model.harmonics import HarmonicShare
from mimctl.model.profile import DeviceClass
from mimctl.model.protocols import MimCommand
from mimctl.model.reason import Reason
from mimctl.wire.memory import MemoryTransport

WHY = Reason("test", "test")
#: registers of one port from W on: 2 active, 2 reactive power, then share and orders
SHARE_AT = 4
NOT_IMPLEMENTED = bytes.fromhex("ffff ffff ffff")


def setup(device: FakeMim) -> RegisterMim:
    transport = MemoryTransport("gw", {1: device.bank})
    clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC))
    return RegisterMim(mim(device.ports), transport, source=SunSpecSource(DeviceClass.MIM), clock=clock)


def filtering() -> FakeMim:
    control = {f"Ph[{n}].{name}": 0.0 for n in range(3) for name in ("HarmShr", "HarmOrd")}
    return FakeMim(control={"Pct_SF": -2, **control})


def command(shares: tuple[HarmonicShare, ...] | None) -> MimCommand:
    return MimCommand((100.0, -50.0, -50.0), (0.0, 0.0, 0.0), 10.0, WHY, shares)


def registers(device: FakeMim, port: int) -> bytes:
    assert device.map.mim is not None
    point = device.map.mim.setpoint_w[port]
    assert point is not None
    return device.bank.read(point.address + SHARE_AT, 3)


async def test_shares_go_with_the_setpoints_in_one_frame():
    device = filtering()
    driver = setup(device)
    held = await driver.apply(command((HarmonicShare(0.5, 0b10100), HarmonicShare(0.123456, 0b100), HarmonicShare(0.0, 0))))
    assert [len(data) // 2 for _, data in device.writes] == [1, 1, 26]  # expiry action, validity; then everything else
    # hundredths of a percent, never more than asked for
    assert [registers(device, n).hex(" ", 2) for n in range(3)] == ["1388 0000 0014", "04d2 0000 0004", "0000 0000 0000"]
    assert held.harmonics == (HarmonicShare(0.5, 0b10100), HarmonicShare(0.1234, 0b100), HarmonicShare(0.0, 0))


async def test_a_command_without_shares_leaves_them_alone():
    device = filtering()
    driver = setup(device)
    await driver.apply(command((HarmonicShare(0.5, 0b100),) * 3))
    await driver.apply(command(None))
    assert registers(device, 1).hex(" ", 2) == "1388 0000 0004"


async def test_a_device_given_back_filters_nothing():
    device = filtering()
    driver = setup(device)
    await driver.apply(command((HarmonicShare(0.5, 0b100),) * 3))
    await driver.release(WHY)
    assert [registers(device, n) for n in range(3)] == [bytes(6)] * 3


async def test_a_device_without_a_filter_is_never_told_a_share():
    device = FakeMim()
    driver = setup(device)
    before = registers(device, 0)
    assert before == NOT_IMPLEMENTED
    held = await driver.apply(command((HarmonicShare(0.0, 0),) * 3))
    assert held.harmonics is None
    assert registers(device, 0) == NOT_IMPLEMENTED
    held = await driver.apply(command((HarmonicShare(0.3, 4),) * 3))
    assert held.harmonics is None
    assert device.setpoints()[0] == [100, -50, -50]  # what the device can do is done all the same
    await driver.release(WHY)
    assert registers(device, 0) == NOT_IMPLEMENTED


async def test_a_share_without_a_scale_is_none():
    """A scale factor that is not implemented leaves no way to say a share."""
    device = filtering()
    assert device.map.mim is not None
    control = device.chain.models[-1]
    device.bank.write(control.address + 4, bytes.fromhex("8000"))  # Pct_SF: after ID, L, NPh and W_SF
    driver = setup(device)
    held = await driver.apply(command((HarmonicShare(0.0, 0),) * 3))
    assert held.harmonics is None
    await driver.release(WHY)


async def test_the_number_of_shares_must_fit():
    with pytest.raises(Unencodable, match="2 harmonic shares for 3 ports"):
        await setup(filtering()).apply(command((HarmonicShare(0.1, 4),) * 2))
