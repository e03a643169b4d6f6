"""A running service whose coordinator gets into trouble: its MIMs are unknown, all others go on, it ends when it is told to."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mimctl.config.site import load_site
from mimctl.model.clock import SystemClock
from mimctl.model.fault import FaultKind
from mimctl.model.layout import SiteLayout
from mimctl.model.resources import site_config
from mimctl.model.sample import Quality
from mimctl.service.app import Service
from mimctl.service.links import open_groups, site_profiles
from mimctl.twin.faults import EFFECTS
from mimctl.twin.firmware import MimFleet
from mimctl.twin.generator import GeneratedLoads
from mimctl.twin.loads import LoadSet
from mimctl.twin.plant import Plant
from mimctl.twin.server import TwinServer


class Hall:
    """The edge hall on wires and on Zigbee, its twin, and the service that runs it."""

    def __init__(self, server, plant, service):
        self.server, self.plant, self.service = server, plant, service
        self.zones = service.controller.zones
        (self.bridge,) = (group.bridge for group in service.groups if group.link == "zb")

    def mims(self, link):
        """Whether the MIMs of a link are known, one after another."""
        found = []
        for zone in self.zones:
            record = zone.cycle.last
            for m, mim in enumerate(zone.layout.mims):
                if mim.address.link == link:
                    found.append(record is not None and record.state.mims.quality[m] > Quality.BAD)
        return found

    def befall(self, how):
        """None = it has passed."""
        effect = EFFECTS[FaultKind.COORDINATOR](how=how or "unplugged")
        (effect.undo if how is None else effect.apply)(self.plant, "zb")

    @property
    def cycles(self):
        return [zone.loop.ticks for zone in self.zones]


async def until(condition, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it asks for what nobody signals
            await asyncio.sleep(0.02)


@pytest.fixture
async def hall(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMCTL_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("mimctl.wire.zigbee.memory_radio.WATCH_S", 0.2)
    monkeypatch.setattr("mimctl.wire.zigbee.memory_radio._PING_S", 0.5)
    monkeypatch.setattr("mimctl.wire.zigbee.air_socket._GREETING_S", 0.5)
    site = load_site(site_config("wireless_edge"))
    often = replace(next(mim.latency for mim in site.mims if mim.address.link == "zb"), report_every_s=1.0)
    mims = tuple(mim for mim in site.mims if mim.address.link in ("gw", "zb"))
    mims = tuple(replace(mim, latency=often) if mim.address.link == "zb" else mim for mim in mims)
    zones = tuple(replace(zone, cycle_s=0.5) for zone in site.zones)
    site = replace(site, control=replace(site.control, max_data_age_s=2.0), zones=zones)
    site = replace(site, links=tuple(link for link in site.links if link.id in ("gw", "zb")), mims=mims)
    layout, clock = SiteLayout(site), SystemClock()
    loads = LoadSet(layout, GeneratedLoads(site.twin.loads, 1, datetime(2026, 1, 5, 12, tzinfo=UTC)), seed=1)
    plant = Plant(layout, loads, fleet=MimFleet(layout))
    async with TwinServer(site, plant, clock, profiles=site_profiles(site), free_ports=True) as server:
        service = Service(server.site, open_groups(server.site, clock), clock)
        made, stop = Hall(server, plant, service), asyncio.Event()
        made.bridge.pace = replace(made.bridge.pace, first_s=0.05, most_s=0.2, look_s=0.05, command_s=0.3)
        running = asyncio.create_task(service.run(stop))
        made.stop, made.running = stop, running
        await until(lambda: all(made.mims("zb")) and all(made.mims("gw")))
        yield made
        stop.set()
        async with asyncio.timeout(30):
            await running


async def test_the_service_goes_on_through_every_trouble_of_its_coordinator_and_ends_in_the_midst_of_one(hall, caplog):
    caplog.set_level(logging.DEBUG)
    for how in ("unplugged", "garbled", "other_network", "silent"):
        starts = hall.bridge.starts
        hall.befall(how)
        # a connection that is gone is known at once; that nothing comes any more is known when something should have come
        await until(lambda: not any(hall.mims("zb")), 20.0 if how in ("garbled", "silent") else 5.0)
        before = hall.cycles
        await until(lambda before=before: all(now > was + 1 for now, was in zip(hall.cycles, before, strict=True)))
        assert all(hall.mims("gw")), how
        assert not any(hall.mims("zb")), how
        assert hall.bridge.connected is (how == "garbled")
        hall.befall(None)
        await until(lambda: all(hall.mims("zb")))
        assert hall.bridge.starts == starts + (how != "garbled")
    codes = {event.code for event in hall.service.events.recent()}
    assert "zigbee.away" in codes
    hall.befall("silent")
    await until(lambda: not hall.bridge.connected)
    hall.stop.set()
    async with asyncio.timeout(30):
        left = await hall.running
    assert set(left) <= {mim.id for mim in hall.service.site.mims if mim.address.link == "zb"}
    key = hall.server._airs["zb"].air.stick.network["network_key"]["key"]
    assert key.replace(":", "") not in caplog.text.replace(":", "").lower()
