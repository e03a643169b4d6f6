"""One group per link, made by whoever registered for it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from builders import rack_site
from mimctl.config.profiles.registers_profile import find_profile, load_profile
from mimctl.drivers.register_device import RegisterDevice
from mimctl.drivers.register_mim import RegisterMim
from mimctl.drivers.registry import Registry, build_groups, devices_by_link, register_map_registry, source_of
from mimctl.model.address import DeviceAddress
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import UserError
from mimctl.model.link import Link, LinkType
from mimctl.model.profile import DeviceClass
from mimctl.wire.memory import MemoryTransport

CLOCK = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC))


def transport(link):
    return MemoryTransport(link.id, connected=False)


async def test_a_site_becomes_one_group_per_link_with_every_device():
    [group] = build_groups(rack_site(2), transport, {}, CLOCK)
    assert group.link == "gw"
    assert set(group.drivers) == {"m-feed", "m-pdu", "m-rack1", "m-rack2", "mim-rack1", "mim-rack2"}
    assert type(group.drivers["m-feed"]) is RegisterDevice
    assert type(group.drivers["mim-rack1"]) is RegisterMim
    await group.open()
    assert group.transport.connected
    await group.close()
    assert not group.transport.connected


def test_a_link_without_devices_has_no_group():
    site = rack_site(1)
    spare = Link("spare", LinkType.MODBUS_TCP, "127.0.0.1", 1503)
    assert [d.link.id for d in devices_by_link(replace(site, links=(spare, *site.links)))] == ["gw"]


def test_devices_find_their_profile_by_id():
    profile = load_profile(find_profile("schneider/iem3155"))
    address = DeviceAddress("gw", 1, "schneider/iem3155")
    assert source_of(address, DeviceClass.METER, {profile.id: profile}, 125).profile is profile
    with pytest.raises(UserError, match="'schneider/iem3155' was not loaded"):
        source_of(address, DeviceClass.METER, {}, 125)


def test_a_pinned_base_and_the_links_limit_reach_the_discovery():
    source = source_of(DeviceAddress("gw", 1, base=4096), DeviceClass.MIM, {}, 50)
    assert (source.base, source.max_registers, source.wanted) == (4096, 50, DeviceClass.MIM)


def test_a_later_registration_takes_over():
    """How a simulation puts its plant in the place of real links."""
    site = rack_site(1)
    registry = register_map_registry(transport, {})
    seen = []

    def plant(devices, clock):
        seen.append((devices.link.id, [m.id for m in devices.mims], clock))
        return "the plant"

    registry.register(LinkType.MODBUS_TCP, plant)
    assert registry.build_groups(site, CLOCK) == ["the plant"]
    assert seen == [("gw", ["mim-rack1"], CLOCK)]


def test_a_link_that_nobody_serves_is_named():
    with pytest.raises(UserError, match="link 'gw' is of type 'modbus_tcp'"):
        Registry().build_groups(rack_site(1), CLOCK)
