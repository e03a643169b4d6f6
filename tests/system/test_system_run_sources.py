"""A transfer switch on a real link: the service sees a lost feed, lets go of everything, and takes it back on the generator."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.site_factory import write_site
from tests.system.service_harness import hall_dict
from tests.system.service_inside import service_of, twin_of, until

from mimctl.config.site import load_site
from mimctl.control.zone import ZoneController
from mimctl.model.fault import Fault, FaultKind
from mimctl.service.app import Service
from mimctl.twin.faults import schedule

STS = {
    "id": "sts-a",
    "kind": "sts",
    "feed": "A",
    "link": "gw-feed-a",
    "unit": 9,
    "profile": "liebert/sts2",
    "states": {1: "normal", 2: "generator", 3: "open"},
    "sources": {"generator": {"available": "60 kVA"}},
    "backup": "generator",
    "transfer": "1 s",
}


def state(service: Service) -> str | None:
    """What the service knows of the switch."""
    told = service.status()["zones"]["hall"].get("transfers", {})
    return told["sts-a"]["state"] if told else None


def commanded(zone: ZoneController) -> list[bool]:
    return zone.cycle.dispatcher.held.in_force.tolist()


async def test_a_lost_feed_is_left_alone_until_the_generator_has_proven_healthy(tmp_path: Path) -> None:
    data = hall_dict(racks=2, cycle_s=0.5) | {"transfers": [STS]}
    data["control"]["grid"] = {"resync": "1 s"}
    site = load_site(write_site(tmp_path, data))
    async with asyncio.timeout(60), twin_of(site) as twin, service_of(twin.site) as service:
        zone, plant = service.controller.zones[0], twin.world.plant
        await until(lambda: commanded(zone) == [True, True])
        await until(lambda: state(service) == "normal")
        schedule(plant, [Fault(FaultKind.FEED_LOST, ("A",), at_s=plant.t_s)])
        await until(lambda: state(service) == "open")
        await until(lambda: commanded(zone) == [False, False])
        assert {"grid.lost", "transfer.open"} <= {event.code for event in service.events.open()}
        await until(lambda: state(service) == "generator")
        await until(lambda: commanded(zone) == [True, True])
        assert "grid.lost" not in {event.code for event in service.events.open()}
        limits = zone.cycle.last.bounds.node_limit_a[0]
        assert limits == pytest.approx([60e3 / 3 / 230] * 3)
