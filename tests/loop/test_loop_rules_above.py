"""A limit rule above the zones: the site level keeps it through what it grants to the heads below."""

from __future__ import annotations

from dataclasses import replace
from datetime import time

import numpy as np
from tests.loop.level_loop import LevelLoop, zoned_hall

from mimctl.model.rules import Condition, LimitRule, Place, Watched, Window

PDU = Place(nodes=("pdu1",))


def hall(*rules):
    """Six racks, each a zone, under one PDU; nothing is balanced for its own sake."""
    site = zoned_hall(6)
    balance = replace(site.rules[0], weights=tuple((n.id, 0.0) for n in site.nodes))
    return replace(site, rules=(balance,), restraints=rules)


def pdu_a(loop: LevelLoop) -> np.ndarray:
    return np.abs(loop.plant.solve().current_a[loop.layout.node_index["pdu1"]])


async def without(site) -> np.ndarray:
    loop = LevelLoop(replace(site, restraints=()), site_every=5)
    await loop.run(20)
    return pdu_a(loop)


def granted_a(loop: LevelLoop) -> np.ndarray:
    """(3,) what the heads may draw together, by their zones' last bounds."""
    return np.sum([zone.cycle.last.bounds.node_limit_a[0] for zone in loop.controller.zones], axis=0)


async def test_in_its_window_the_heads_are_granted_no_more_than_the_limit():
    """However the currents of the heads add up, and however the loads of the zones stand to each other."""
    free = await without(hall())
    limit_a = float(1.1 * free.mean())
    window = Window(start=time(0, 0, 20), end=time(0, 0, 40))
    loop = LevelLoop(hall(LimitRule(id="l", place=PDU, max_a=limit_a, window=window)), site_every=5)
    await loop.run(15)
    assert (granted_a(loop) > limit_a).all(), "its window is not open yet"
    await loop.run(15)
    (state,) = loop.controller.rules_above.states()
    assert (state.where, state.in_force) == (("pdu1",), True)
    assert (granted_a(loop) <= limit_a).all()
    assert (granted_a(loop) > 0.9 * limit_a).all()
    assert pdu_a(loop).max() <= limit_a
    await loop.run(20)
    assert (granted_a(loop) > limit_a).all(), "it ended by itself"


async def test_a_limit_that_nobody_can_keep_is_told():
    loop = LevelLoop(hall(LimitRule(id="l", place=PDU, max_a=1.0)), site_every=5)
    await loop.run(11)
    assert ("rule.limit_unattainable", "pdu1") in [(e.code, e.where) for e in loop.events.open()]
    free = await without(hall())
    assert pdu_a(loop).max() < free.max(), "what can be done is done"


async def test_a_condition_above_the_zones_is_measured_there():
    free = await without(hall())
    for above, in_force in ((0.5 * free.max(), True), (2 * free.max(), False)):
        when = Condition(Watched.CURRENT, above, True, 0.9 * above, "pdu1")
        loop = LevelLoop(hall(LimitRule(id="l", place=PDU, max_a=1.0, when=when)), site_every=5)
        await loop.run(11)
        (state,) = loop.controller.rules_above.states()
        assert state.in_force == in_force
        assert state.value > 0.5 * free.max()
