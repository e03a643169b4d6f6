"""Form mode over registers, against the twin's MIM: one frame, counting on, one sign of life, and an end whatever happens."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from tests.island_site import island_site
from tests.loop.closed_loop import SteppedLoads

from mimctl.drivers.discovery import SunSpecSource
from mimctl.drivers.register_mim import RegisterMim
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import BadReply, DeviceRefusal, LinkTimeout
from mimctl.model.layout import SiteLayout
from mimctl.model.profile import DeviceClass
from mimctl.model.protocols import FormCommand, Former, MimCommand
from mimctl.model.reason import Reason
from mimctl.model.transfer import TransferState
from mimctl.twin.devices import virtual_devices
from mimctl.twin.firmware import MimFleet
from mimctl.twin.loads import LoadSet
from mimctl.twin.picture import World
from mimctl.twin.plant import Plant
from mimctl.wire.memory import MemoryTransport

WHY = Reason("test", "because")
COMMAND = FormCommand(229.5, 50.2, 0.0, 10.9, WHY)


class Rig:
    """A driver on the registers of one MIM of `island_site`; its bus is dead and cut off."""

    def __init__(self, m: int = 0) -> None:
        site = island_site(rating_va=8000)
        site = replace(site, twin=replace(site.twin, meter_noise_pct=0.0))
        self.m, self.clock = m, VirtualClock(datetime(2026, 1, 5, tzinfo=UTC), 100.0)
        layout = SiteLayout(site)
        watts = np.array([load.typical_w for load in site.twin.loads])
        self.fleet = MimFleet(layout)
        self.plant = Plant(layout, LoadSet(layout, SteppedLoads(site.twin.loads, watts * (1 + 0.25j))), fleet=self.fleet)
        self.plant.switches.move(self.plant.switches.devices[0], TransferState.OPEN)
        world = World(self.plant, self.clock, refresh_s=0.0)
        bare = replace(site, transfers=(replace(site.transfers[0], address=None),))  # the contactor needs no registers here
        self.plant.switches.devices[0].device = bare.transfers[0]
        banks = {device.id: device.bank for device in virtual_devices(layout, world, {}, seed=1)}
        mim = site.mims[m]
        self.transport = MemoryTransport("gw", {mim.address.unit: banks[mim.id]})
        self.driver = RegisterMim(mim, self.transport, source=SunSpecSource(DeviceClass.MIM), clock=self.clock)

    @property
    def forming(self) -> bool:
        return bool(self.fleet.formers.forming[self.m])

    def pass_s(self, seconds: float) -> None:
        self.clock.advance_to(self.clock.monotonic_s() + seconds)

    def writes(self) -> list[int]:
        """Registers of each write."""
        return [count for kind, _, _, count in self.transport.log if kind == "write"]


async def test_one_frame_has_the_bus_formed_as_commanded_and_the_state_says_so():
    rig = Rig()
    assert isinstance(rig.driver, Former)
    assert rig.driver.can_form is None, "it has told nothing yet"
    assert (await rig.driver.read()).get("operating_state") == 1
    assert rig.driver.can_form
    await rig.driver.form(COMMAND)
    assert rig.writes() == [9]
    assert rig.forming
    sample = await rig.driver.read()
    assert sample.get("operating_state") == 3
    assert sample.get("voltage.port1") == pytest.approx(229.5, abs=0.02)
    assert sample.get("frequency") == pytest.approx(50.2)
    assert sample.get("watchdog_remaining") == 10, "whole seconds, never more than asked for"


async def test_signs_of_life_keep_it_and_nothing_else_does():
    rig = Rig()
    await rig.driver.read()
    await rig.driver.form(COMMAND)
    for _ in range(4):
        rig.pass_s(6)
        await rig.driver.read()  # traffic is no sign of life
        await rig.driver.keep_forming()
    assert rig.forming
    assert rig.writes() == [9, 2, 2, 2, 2]
    rig.pass_s(10.5)
    assert (await rig.driver.read()).get("operating_state") == 1
    await rig.driver.keep_forming()
    assert not rig.forming, "a sign of life begins nothing"


async def test_another_controller_counts_on_and_can_end_it():
    rig = Rig()
    await rig.driver.read()
    await rig.driver.form(COMMAND)
    other = RegisterMim(rig.plant.layout.mims[0], rig.transport, source=SunSpecSource(DeviceClass.MIM), clock=rig.clock)
    await other.read()
    await other.keep_forming()
    assert rig.forming
    await other.release(WHY)
    assert not rig.forming
    await other.form(COMMAND)
    assert rig.forming, "its number goes on from where the device is"


async def test_a_release_before_anything_was_read_ends_what_a_run_before_began():
    rig = Rig()
    await rig.driver.read()
    await rig.driver.form(COMMAND)
    other = RegisterMim(rig.plant.layout.mims[0], rig.transport, source=SunSpecSource(DeviceClass.MIM), clock=rig.clock)
    await other.release(WHY)
    assert not rig.forming


async def test_release_ends_it_first_and_is_the_safe_state():
    rig = Rig()
    await rig.driver.read()
    await rig.driver.form(COMMAND)
    await rig.driver.release(WHY)
    assert not rig.forming
    assert not rig.fleet.enabled[0]


@pytest.mark.parametrize("lost", [0, 1])
async def test_half_a_release_that_is_lost_does_not_keep_back_the_other(lost):
    rig = Rig()
    await rig.driver.read()
    await rig.driver.form(COMMAND)
    count = []

    def before(kind, *_):
        if kind == "write":
            count.append(1)
            if len(count) - 1 == lost:
                raise LinkTimeout("mim-rack1", "no answer")

    rig.transport.before = before
    with pytest.raises(LinkTimeout):
        await rig.driver.release(WHY)
    assert len(count) == 2
    assert rig.forming == (lost == 0)


async def test_a_mim_that_follows_or_sees_voltage_does_not_begin():
    rig = Rig()
    rig.plant.switches.move(rig.plant.switches.devices[0], TransferState.NORMAL)
    await rig.driver.read()
    await rig.driver.form(COMMAND)
    assert not rig.forming
    assert rig.fleet.formers.live_bus_commands[0] == 1
    await rig.driver.apply(MimCommand((100.0, 0.0, 0.0), (0.0, 0.0, 0.0), 10.0, WHY))
    assert (await rig.driver.read()).get("operating_state") == 2


async def test_one_without_the_model_has_no_form_mode_and_is_released_as_ever():
    rig = Rig(m=2)
    await rig.driver.read()
    assert rig.driver.can_form is False
    with pytest.raises(BadReply, match="no registers for form mode"):
        await rig.driver.form(COMMAND)
    await rig.driver.release(WHY)
    assert rig.writes() == [26]


async def test_the_device_refuses_what_makes_no_sense():
    rig = Rig()
    await rig.driver.read()
    with pytest.raises(DeviceRefusal, match="makes no sense"):
        await rig.driver.form(replace(COMMAND, voltage_ln_v=0.0))
    assert not rig.forming


async def test_a_reboot_forgets_everything():
    rig = Rig()
    await rig.driver.read()
    await rig.driver.form(COMMAND)
    rig.fleet.reboot(0)
    assert (await rig.driver.read()).get("operating_state") == 1
    await rig.driver.form(COMMAND)
    assert rig.forming
