"""Harmonic rules in the closed loop: shares end with a window, and a tighter limit holds while its window is open."""

from __future__ import annotations

from dataclasses import replace
from datetime import time

import numpy as np
from test_loop_harmonics import DEMAND_A, LIMITS, site, tdd_pct
from tests.loop.closed_loop import ClosedLoop

from mimctl.model.rules import HarmonicRule, Place, Window

#: from 40 s after the start of the loop on
LATER = Window(start=time(0, 0, 40), end=time(0, 2))
ONE = Place(mims=("mim-rack1",))


def loop_with(*rules: HarmonicRule) -> ClosedLoop:
    return ClosedLoop(replace(site(LIMITS), restraints=rules))


def shares(loop: ClosedLoop) -> np.ndarray:
    told = loop.controller.zones[0].cycle.dispatcher.held.harmonics
    assert told is not None
    return told.share


async def test_a_filter_works_no_more_than_its_rule_permits_from_the_moment_it_opens():
    loop = loop_with(HarmonicRule(id="h", place=ONE, max_share_pct=5.0, window=LATER))
    await loop.run(38)
    assert shares(loop)[:3].max() > 0.1
    await loop.run(5)
    assert shares(loop)[:3].max() <= 0.05 + 1e-6
    assert shares(loop)[3:].max() > 0.1, "the others go on"


async def test_a_tighter_limit_holds_in_its_window():
    """8 % of 50 A instead of the 10 % of the node."""
    loop = loop_with(HarmonicRule(id="h", place=Place(nodes=("pdu",)), tdd_pct=8.0, window=LATER))
    await loop.run(38)
    assert 8.4 < tdd_pct(loop) < 10.0, f"of {DEMAND_A:g} A"
    await loop.run(50)
    assert tdd_pct(loop) < 8.0
