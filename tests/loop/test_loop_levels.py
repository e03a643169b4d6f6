"""Zones and site level in the closed loop: what they reach together, and what is left when one of them stops."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from tests.loop.level_loop import LevelLoop, zoned_hall

from mimctl.model.site import ExpiryAction
from mimctl.service.status import site_status

#: J may rise by this share of what control removes: meters show whole watts
_ROUNDING = 1e-5


def assert_never_rises(planned: list[float], removable: float) -> None:
    rises = np.diff(planned)
    assert rises.max() <= _ROUNDING * removable, f"by {rises.max() / removable:.2e} after cycle {int(rises.argmax())}"


@pytest.mark.parametrize("delay", [1, 2])
@pytest.mark.parametrize("refreshed", [True, False])
@pytest.mark.parametrize("zones", [2, 5, 12])
async def test_at_constant_load_nothing_ever_rises_and_the_end_is_the_optimum_of_the_whole_tree(zones, refreshed, delay):
    loop = LevelLoop(zoned_hall(zones), delay_cycles=delay, site_every=1)
    await loop.run(3)
    loop.site_every = 1 if refreshed else None
    await loop.run(22)
    before, best = loop.without_control(), loop.best()
    assert_never_rises(loop.planned[delay + 1 :], before - best)
    assert before - loop.planned[-1] >= 0.9995 * (before - best)


@pytest.mark.parametrize("delay", [1, 2])
async def test_fifty_zones_answer_at_once_and_nothing_rises(delay):
    loop = LevelLoop(zoned_hall(50), delay_cycles=delay, site_every=4)
    await loop.run(14)
    before, best = loop.without_control(), loop.best()
    assert_never_rises(loop.planned[2:], before - best)
    assert before - loop.planned[-1] >= 0.9995 * (before - best)


async def test_zones_go_on_without_the_site_level_with_less_and_say_so():
    loop = LevelLoop(zoned_hall(6), site_every=5)
    await loop.run(20)
    together = loop.planned[-1]
    loop.site_every = None
    await loop.run(30)
    assert loop.planned[-1] == pytest.approx(together, rel=1e-3), "orders are still good"
    await loop.run(50)
    before, best = loop.without_control(), loop.best()
    assert together < loop.planned[-1]
    assert before - loop.planned[-1] >= 0.5 * (before - best)
    assert {e.where for e in loop.events.open() if e.code == "zone.on_its_own"} == {f"z{i + 1}" for i in range(6)}
    assert all(zone.cycle.dispatcher.held.in_force.all() for zone in loop.controller.zones)
    loop.site_every = 5
    await loop.run(10)
    assert loop.planned[-1] == pytest.approx(together, rel=1e-3)
    assert "zone.on_its_own" not in {e.code for e in loop.events.open()}


async def test_without_the_site_level_from_the_start_it_is_never_worse_than_nothing():
    loop = LevelLoop(zoned_hall(6, upper_share=0.9))
    await loop.run(15)
    before = loop.without_control()
    assert max(loop.planned) <= before * (1 + 1e-9)
    assert loop.planned[-1] < 0.6 * before


async def test_the_others_go_on_without_a_zone_and_count_its_mims_at_zero_when_their_time_is_over():
    site = zoned_hall(4, upper_share=0.9)
    loop = LevelLoop(site, site_every=2)
    await loop.run(12)
    loop.stopped = {"z1"}
    await loop.run(30)
    ports = loop.layout.ports_of_mim[0]
    assert (loop.fleet.setpoint_va[ports] == 0).all(), "its device has gone to its expiry action"
    before, best = loop.without_control(), loop.best(without=["mim-rack1"])
    assert before - loop.planned[-1] >= 0.9995 * (before - best)
    loop.stopped = set()
    await loop.run(10)
    assert before - loop.planned[-1] >= 0.9995 * (before - loop.best())


async def test_a_device_that_holds_for_ever_is_counted_with_what_it_holds():
    site = zoned_hall(3, upper_share=0.9)
    holding = replace(site.mims[0], expiry_action=ExpiryAction.HOLD)
    loop = LevelLoop(replace(site, mims=(holding, *site.mims[1:])), site_every=2)
    await loop.run(12)
    together = loop.objectives[-1]
    loop.stopped = {"z1"}
    await loop.run(30)
    assert np.abs(loop.fleet.setpoint_va[loop.layout.ports_of_mim[0]]).max() > 100
    assert loop.objectives[-1] == pytest.approx(together, rel=1e-3)


@pytest.mark.parametrize(("site_every", "kept"), [(2, "limit_a"), (None, "rating_a")])
async def test_no_zone_fills_a_breaker_above_it_for_the_sake_of_its_own_balance(site_every, kept):
    """Rack 1 draws on L1 most of what the PDU has; rack 2 draws little there, and to balance itself would draw more.

    The site level keeps the PDU inside its limit for hours; without one its breaker must at least not trip.
    """
    site = zoned_hall(2, port_va=30_000.0, upper_share=0.0)
    nodes = tuple(replace(n, rating_a=600.0 if n.id.startswith("pdu") else n.rating_a) for n in site.nodes)
    mims = (replace(site.mims[0], ports=tuple(replace(p, rating_va=100.0) for p in site.mims[0].ports)), site.mims[1])
    loop = LevelLoop(replace(site, nodes=nodes, mims=mims), site_every=site_every)
    watts = np.array([58e3, 5e3, 5e3, 45e3, 130e3, 130e3])
    loop.source.power_va = watts * (1 + 0.1j)
    pdu = loop.layout.node_index["pdu1"]
    alone_a, balanced_a = (first * np.hypot(1, 0.1) / 230 for first in (58e3 + 45e3, 58e3 + 101e3))
    assert alone_a < loop.layout.limit_a[pdu] < loop.layout.rating_a[pdu] < balanced_a
    await loop.run(20)
    current_a = np.abs(loop.plant.solve().current_a[pdu, 0])
    assert current_a <= getattr(loop.layout, kept)[pdu]
    assert current_a > alone_a * 1.01, "and rack 2 does what it may"


async def test_pictures_are_of_one_instant_though_loads_move():
    """Meters above the zones are a cycle older than the zones' own: the picture takes the zones' images of that cycle."""
    loop = LevelLoop(zoned_hall(3), site_every=1)
    for meter in ("m-feed", "m-pdu1"):
        loop.group.skew(meter, 1)
    random = np.random.default_rng(3)
    beside = []
    for _ in range(12):
        loop.source.power_va = loop.source.power_va * random.uniform(0.7, 1.4, len(loop.source.power_va))
        await loop.run(1)
        picture = loop.controller.pictures.picture(loop.controller.upper_state, loop.clock.monotonic_s())
        beside.append(np.abs(picture.forecast.load_w[:2]).max())
    assert max(beside[3:]) < 100.0, "no load is seen at the feed and the PDU, where there is none"


async def test_status_shows_what_stands_above_the_zones():
    loop = LevelLoop(zoned_hall(2))
    await loop.run(2)
    assert site_status(loop.controller, loop.events, {})["above"] == {"devices": {"answering": 0, "total": 2}, "nodes": {}}
    await loop.controller.read_above()
    above = site_status(loop.controller, loop.events, {})["above"]
    assert above["devices"] == {"answering": 2, "total": 2}
    assert list(above["nodes"]) == ["feed", "pdu1"]
    watts = loop.source.power_va.reshape(2, 3).sum(axis=0)
    assert above["nodes"]["feed"]["current_a"] == pytest.approx(list(np.abs(watts) / 230), rel=0.05)
    loop.group.silent = {"m-feed"}
    loop.clock.advance_to(loop.clock.monotonic_s() + 60.0)
    await loop.controller.read_above()
    assert site_status(loop.controller, loop.events, {})["above"]["devices"]["answering"] < 2


async def test_two_who_read_above_the_zones_at_once_do_not_trip_each_other():
    loop = LevelLoop(zoned_hall(2))
    await loop.run(1)
    await asyncio.gather(loop.controller.read_above(), loop.controller.solve_site(), loop.controller.read_above())
    assert all(zone.orders.told for zone in loop.controller.zones)
