"""Rules in the closed loop: outside its window a rule wants nothing, and devices are given back."""

from __future__ import annotations

from dataclasses import replace
from datetime import time

from tests.loop.closed_loop import ClosedLoop, uneven_site

from mimctl.model.rules import Window
from mimctl.model.site import BalanceRule


def site_with(window: Window):
    return replace(uneven_site(), rules=(BalanceRule("balance", ("z",), window=window),))


async def test_when_the_window_closes_every_mim_is_released_and_when_it_opens_they_work_again():
    """The loop starts at midnight UTC: the window is open from 00:00:10 to 00:00:20, and again a day later."""
    loop = ClosedLoop(site_with(Window(start=time(0, 0, 10), end=time(0, 0, 20))))
    dispatcher = loop.controller.zones[0].cycle.dispatcher
    await loop.run(10)
    assert not dispatcher.held.in_force.any(), "not yet"
    await loop.run(9)
    assert dispatcher.held.in_force.all()
    assert loop.objectives[-1] < 0.1 * loop.without_control()
    await loop.run(3)
    assert not dispatcher.held.in_force.any(), "given back"
    assert not loop.fleet.enabled.any()


async def test_the_reason_is_on_record():
    loop = ClosedLoop(site_with(Window(days=(6,))))  # the loop starts on a Monday
    await loop.run(2)
    restrictions = loop.controller.zones[0].cycle.last.bounds.restrictions
    assert [r.reason.code for r in restrictions] == ["rule.none_in_force"]
