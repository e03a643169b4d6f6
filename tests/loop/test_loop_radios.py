"""A fleet of which two thirds are on radios, in a closed loop with everything that radios do to frames."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimctl.config.site import load_site
from mimctl.model.errors import UserError
from mimctl.model.fault import Fault, FaultKind
from mimctl.model.latency import WIRED
from mimctl.model.link import LinkType
from mimctl.model.site import Site
from mimctl.simulation.engine import Request, _Simulation, simulate
from mimctl.simulation.loads import choose_loads
from mimctl.simulation.radio_compare import AS_IT_IS, AS_WIRED, NO_RADIOS, as_wired, compared, without_radios

CONFIGS = Path(__file__).resolve().parents[2] / "site_configs"


@pytest.fixture(scope="module")
def edge() -> Site:
    return load_site(CONFIGS / "wireless_edge.yaml")


def request_of(site: Site, hours: float, **more: Any) -> Request:
    chosen = choose_loads(site, None, start=None, hours=hours, step_s=1.0, seed=1)
    return Request(site, chosen.loads, chosen.start, chosen.hours, 1.0, 1, optimum=False, **more)


def test_the_mixed_fleet_keeps_nine_tenths_of_what_it_would_remove_if_wired(edge):
    results = {
        AS_WIRED: simulate(request_of(as_wired(edge), 0.06)),
        AS_IT_IS: simulate(request_of(edge, 0.06, frame_loss_pct=5.0)),
        NO_RADIOS: simulate(request_of(edge, 0.06, without=without_radios(edge))),
    }
    found = compared({name: result | {"achieved_share": None} for name, result in results.items()}, 5.0)
    assert found["of_wired"] >= 0.9
    assert found["without_of_wired"] < 0.85
    assert [row["limit_violations"] for row in found["rows"].values()] == [0, 0, 0]
    air = results[AS_IT_IS]["air"]
    assert {link: figures["mims"] for link, figures in air.items()} == {"zb": 8, "lora": 8}
    lost, frames = (sum(figures[key] for figures in air.values()) for key in ("lost", "frames"))
    assert 0.03 < lost / frames < 0.08
    lora = air["lora"]
    assert lora["gateway_share"] <= lora["gateway_limit"]
    assert lora["device_share"] <= lora["device_limit"]
    assert lora["downlinks"]["echoed"] > 8
    assert "air" not in results[AS_WIRED]


def test_radios_that_fall_silent_leave_their_mims_at_zero_and_the_others_at_work(edge):
    dead = Fault(FaultKind.LINK_LOSS, ("zb", "lora"), 70.0, values=(("loss_pct", 100.0),))
    late, over = (run_until(edge, seconds, dead) for seconds in (84, 380))
    assert active(late) == {"gw", "zb", "lora"}, "their validity has not run out yet"
    assert active(over) == {"gw"}
    held = over._controller.zones[0].cycle.dispatcher.held.in_force
    told = {mim.address.link for mim, holds in zip(over._layout.mims, held, strict=True) if holds}
    assert told == {"gw"}, "the controller knows"


def test_a_stop_of_which_the_radio_loses_every_frame_is_known_not_to_have_come_and_comes_a_minute_later(edge):
    """Nothing gets through from 70 to 82 s, the stop is called at 72 s, and a device is told something once a minute."""
    dead = Fault(FaultKind.LINK_LOSS, ("lora",), 70.0, until_s=82.0, values=(("loss_pct", 100.0),))
    simulation = _Simulation(request_of(edge, 145 / 3600, faults=(dead,)), lambda _: None)
    cycle, seen = simulation._controller.zones[0].cycle, {}
    judged = cycle.judged

    def look(*args: Any) -> Any:
        if cycle.clock.monotonic_s() >= 72 and not cycle.leases.stopped:
            cycle.leases.call_stop("a test", "frames are lost")
        unproven = set(cycle.dispatcher.held.unproven.names())
        seen[cycle.clock.monotonic_s()] = "lora" in active(simulation), unproven
        return judged(*args)

    cycle.judged = look
    asyncio.run(simulation.run())
    everyone = {mim.id for mim in edge.mims if mim.address.link == "lora"}
    held_s = [now_s for now_s, (holds, _) in seen.items() if holds]
    assert 72 + 60 <= max(held_s) <= 72 + 60 + 5, "so long they held on"
    assert all(unproven == everyone for now_s, (holds, unproven) in seen.items() if holds and now_s > 72), "and it was known"
    assert seen[144][1] == set()
    told = [event.where for event in cycle.events.recent() if event.code == "mim.release_unproven"]
    assert set(told) == everyone


def run_until(site: Site, seconds: int, fault: Fault) -> _Simulation:
    simulation = _Simulation(request_of(site, seconds / 3600, faults=(fault,)), lambda _: None)
    asyncio.run(simulation.run())
    return simulation


def active(simulation: _Simulation) -> set[str]:
    """Links with a MIM whose firmware has a setpoint in force."""
    layout, setpoint_va = simulation._layout, simulation._fleet.setpoint_va
    pairs = zip(layout.mims, layout.ports_of_mim, strict=True)
    return {mim.address.link for mim, ports in pairs if np.abs(setpoint_va[ports]).max() > 1}


def test_the_same_seed_loses_the_same_frames(edge):
    first, second = (simulate(request_of(edge, 0.01, frame_loss_pct=5.0)) for _ in range(2))
    assert first["air"] == second["air"]
    assert first["controlled"] == second["controlled"]
    assert first["air"]["zb"]["lost"] > 0
    without_loss = simulate(request_of(edge, 0.01))
    assert without_loss["air"]["zb"]["lost"] == 0


def test_as_if_wired_changes_nothing_but_the_medium(edge):
    wired = as_wired(edge)
    assert {link.type for link in wired.links} == {LinkType.MODBUS_TCP}
    assert {mim.latency for mim in wired.mims} == {WIRED}
    back = tuple(replace(mim, latency=before.latency) for mim, before in zip(wired.mims, edge.mims, strict=True))
    assert replace(wired, mims=back, links=edge.links) == edge


def test_a_site_without_radios_has_nothing_to_compare():
    with pytest.raises(UserError, match="site 'hpc-racks' has no MIM on a radio link"):
        as_wired(load_site(CONFIGS / "hpc_racks.yaml"))
