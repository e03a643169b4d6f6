"""Form mode on real links: refused while the grid is there, a bus fed by one MIM after it is lost, the grid again after that."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.site_factory import write_site
from tests.system.service_harness import hall_dict
from tests.system.service_inside import service_of, twin_of, until

from mimctl.config.site import load_site
from mimctl.control.what_if import form_objections
from mimctl.control.zone import ZoneController
from mimctl.model.errors import UserError
from mimctl.model.fault import Fault, FaultKind
from mimctl.model.lease import Form, LeaseSource
from mimctl.twin.faults import schedule

CONTACTOR = {
    "id": "k-a1",
    "kind": "contactor",
    "node": "pdu-a1",
    "link": "gw-feed-a",
    "unit": 9,
    "profile": "liebert/sts2",
    "states": {1: "normal", 2: "open"},
}
REQUEST: dict[str, Any] = {"kind": "form", "scope": "mim-a1-1", "bus": "pdu-a1", "seconds": 600, "reason": "feed A is out"}


def commanded(zone: ZoneController) -> list[bool]:
    return zone.cycle.dispatcher.held.in_force.tolist()


async def test_a_mim_feeds_its_pdu_while_the_feed_is_out_and_lets_go_when_it_is_back(tmp_path: Path) -> None:
    data = hall_dict(racks=2, cycle_s=0.5) | {"transfers": [CONTACTOR]}
    data["batteries"] = [{"id": "b1", "mim": "mim-a1-1", "capacity": "10 kWh", "max_charge": "6 kW", "max_discharge": "6 kW"}]
    data["islands"] = [{"id": "i1", "contactor": "k-a1", "formers": ["mim-a1-1"], "dead_time": "1 s"}]
    data["control"]["grid"] = {"resync": "1 s"}
    site = load_site(write_site(tmp_path, data))
    async with asyncio.timeout(60), twin_of(site) as twin, service_of(twin.site) as service:
        zone, plant = service.controller.zones[0], twin.world.plant
        formers, rack = plant.fleet.formers, plant.layout.node_index["rack-a1-2"]
        await until(lambda: commanded(zone) == [True, True])
        with pytest.raises(UserError, match="may not form the bus of pdu-a1 now: k-a1 is normal, not open"):
            await service.leases.grant(REQUEST)
        schedule(plant, [Fault(FaultKind.FEED_LOST, ("A",), at_s=plant.t_s)])
        await until(lambda: zone.cycle.last.state.transfers.state[0] == 5 and not any(commanded(zone)))
        book, action = service.controller.leases, Form("pdu-a1")
        lease = book.draft(LeaseSource.OPERATOR, "ann", "mim-a1-1", action, seconds=60.0, reason="try")
        await until(lambda: not form_objections(zone.cycle, lease))
        await service.leases.grant(REQUEST)
        assert formers.forming.tolist() == [True, False]
        assert np.abs(plant.solve().voltage_v[rack]) == pytest.approx([230] * 3)
        assert service.status()["zones"]["hall"]["islands"]["i1"]["formed_by"] == "mim-a1-1"
        plant.restore(plant.layout.node_index["feed-a"])  # the grid is back above the contactor
        await until(lambda: not formers.any)
        await until(lambda: not service.status()["leases"])
        plant.switches.regain(plant.switches.devices[0], lambda _, action: action())
        await until(lambda: commanded(zone) == [True, True])
        assert not plant.islands.damages
