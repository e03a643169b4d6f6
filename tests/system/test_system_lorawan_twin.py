"""MIMs of the twin that have no wire: certificates, a real broker, ChirpStack's interface, and the firmware behind them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from builders import rack_site
from conftest import free_ports
from lorawan_air import APPLICATION, QUICK, until
from mimctl.config.profiles.payload_profile import find_payload_profile, load_payload_profile
from mimctl.drivers.lorawan_group import lorawan_group
from mimctl.drivers.registry import devices_by_link
from mimctl.model.address import DeviceAddress
from mimctl.model.airtime import Region
from mimctl.model.clock import SystemClock
from mimctl.model.latency import Latency, LatencyClass
from mimctl.model.layout import SiteLayout
from mimctl.model.link import Link, LinkType
from mimctl.model.lorawan import LorawanLink, MulticastGroup, RadioPlan
from mimctl.model.protocols import MimCommand
from mimctl.model.reason import Reason
from mimctl.twin.firmware import MimFleet
from mimctl.twin.generator import GeneratedLoads
from mimctl.twin.loads import LoadSet
from mimctl.twin.lorawan import LorawanTwin
from mimctl.twin.picture import World
from mimctl.twin.plant import Plant
from mimctl.wire.chirpstack.stand_in import Timing

WHY = Reason("test", "to see what comes out")
AIR = Link("air", LinkType.LORAWAN, "127.0.0.1", 1883, lorawan=LorawanLink(APPLICATION, "127.0.0.1"))


def profiles():
    path = find_payload_profile("mimctl/mim")
    assert path is not None
    return {"mimctl/mim": load_payload_profile(path)}


def wireless_site(link=AIR, racks=1):
    site = rack_site(racks)
    latency = Latency(LatencyClass.SLOW, 1.0, 10.0, 0.2)
    mims = tuple(
        replace(mim, address=DeviceAddress("air", 1, "mimctl/mim", eui=f"70b3d57ed000{n:04x}"), latency=latency, validity_s=30.0)
        for n, mim in enumerate(site.mims)
    )
    return replace(site, links=(*site.links, link), mims=mims)


@asynccontextmanager
async def running(site, timing: Timing = QUICK):
    clock = SystemClock()
    layout = SiteLayout(site)
    plant = Plant(layout, LoadSet(layout, GeneratedLoads((), 1, clock.utc()), seed=1), fleet=MimFleet(layout))
    world = World(plant, clock)
    link = next(each for each in site.links if each.type is LinkType.LORAWAN)
    twin = LorawanTwin(link, plant.layout, world, clock, profiles(), timing=timing, echo_s=(0.0, 0.2))
    moved = await twin.start(*free_ports(1))
    served = replace(site, links=tuple(moved if each.id == link.id else each for each in site.links))
    devices = next(each for each in devices_by_link(served) if each.link.id == link.id)
    group = lorawan_group(devices, profiles(), clock, site.frequency_hz)

    async def live():
        while True:
            world.advance()
            twin.tick(clock.monotonic_s())
            await asyncio.sleep(0.05)

    living = asyncio.create_task(live())
    await group.open()
    try:
        yield group, plant, moved
    finally:
        await group.close()
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
        await twin.stop()


async def heard(group, name):
    driver = group.drivers[name]
    await until(lambda: driver._sample is not None and group.bridge.connected)
    return driver


async def test_a_setpoint_reaches_the_firmware_and_what_comes_out_is_reported():
    site = wireless_site()
    async with running(site) as (group, plant, moved):
        driver = await heard(group, site.mims[0].id)
        ports = len(site.mims[0].ports)
        before = await driver.read()
        assert before.get("voltage.port1") == pytest.approx(230, abs=15)
        await driver.apply(MimCommand((200.0,) + (0.0,) * (ports - 2) + (-200.0,), (50.0,) * ports, 30.0, WHY))
        await until(lambda: driver.held() is not None)
        assert plant.fleet.setpoint_va[0] == pytest.approx(200 + 50j)
        await until(lambda: abs((driver._sample.get("active_power.port1") or 0.0) - 200) < 10)
        await driver.release(WHY)
        await until(lambda: not plant.fleet.enabled[0])
        assert moved.tls is not None
        assert group.status()["connected"]


async def test_mims_of_a_multicast_group_are_told_by_one_frame_and_released_by_one():
    names = [mim.id for mim in rack_site(3).mims]
    group_of = MulticastGroup("6a0f4c1e-52a7-4a39-8c55-0d6a2e7b9f10", tuple((name, n) for n, name in enumerate(names, 7)), 3)
    plan = RadioPlan(downlink_dr=3)  # 115 bytes
    site = wireless_site(replace(AIR, lorawan=replace(AIR.lorawan, plan=plan, multicast=(group_of,))), racks=3)
    async with running(site) as (group, plant, _):
        drivers = [await heard(group, name) for name in names]
        told = [MimCommand((100.0 + n, 0.0, -100.0 - n), (50.0, 0.0, -50.0), 30.0, WHY) for n in range(3)]
        await asyncio.gather(*(driver.apply(command) for driver, command in zip(drivers, told, strict=True)))
        await until(lambda: all(driver.held() is not None for driver in drivers))
        assert group.bridge.counts["group frames"] == 1
        assert plant.fleet.setpoint_va[[0, 3, 6]].tolist() == [100 + 50j, 101 + 50j, 102 + 50j]
        await asyncio.gather(*(driver.release(WHY) for driver in drivers))
        await until(lambda: not plant.fleet.enabled.any())
        assert group.bridge.counts["group frames"] == 2


async def test_a_setpoint_that_comes_late_does_not_replace_a_newer_one():
    site = wireless_site()
    async with running(site) as (group, plant, _):
        driver = await heard(group, site.mims[0].id)
        ports = len(site.mims[0].ports)
        await driver.apply(MimCommand((200.0,) * ports, (0.0,) * ports, 30.0, WHY))
        await until(lambda: driver.held() is not None)
        number = driver._acknowledged
        late = MimCommand((-200.0,) * ports, (0.0,) * ports, 30.0, WHY)
        before = driver._sample
        await driver._send(driver._encoded(late)[0], (number - 2) % 255 + 1, 30.0)
        await until(lambda: driver._sample is not before)
        assert plant.fleet.setpoint_va[0] == 200


async def test_a_setpoint_that_is_not_renewed_runs_out_and_that_is_told():
    site = wireless_site()
    async with running(site) as (group, plant, _):
        driver = await heard(group, site.mims[0].id)
        ports = len(site.mims[0].ports)
        await driver.apply(MimCommand((100.0,) * ports, (0.0,) * ports, 1.0, WHY))
        await until(lambda: driver.held() is not None)
        await until(lambda: driver.foreign_write is not None)
        assert driver.foreign_write.idle
        assert plant.fleet.setpoint_va[0] == 0


async def test_at_the_slowest_american_rate_the_short_report_is_sent():
    link = replace(AIR, lorawan=replace(AIR.lorawan, plan=RadioPlan(Region.US915, 0, 8)))
    site = wireless_site(link)
    async with running(site) as (group, _, _moved):
        driver = await heard(group, site.mims[0].id)
        sample = await driver.read()
        assert sample.get("active_power.port1") is not None
        assert sample.get("voltage.port1") is None


async def test_a_mim_that_is_off_says_nothing():
    site = wireless_site()
    async with running(site) as (group, plant, _):
        driver = await heard(group, site.mims[0].id)
        plant.fleet.online[0] = False
        await asyncio.sleep(0.3)
        last = driver._sample
        await asyncio.sleep(0.5)
        assert driver._sample is last
