"""What control is held against has to put up with the same: faults, sources on probation, and what rules of the site take away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fault_cases import fault, hall, run
from tests.builders import START
from tests.loop.fault_cases import SteppedLoads

from mimctl.model.clock import VirtualClock
from mimctl.model.layout import SiteLayout
from mimctl.model.rules import LockRule, Place, ReserveRule
from mimctl.simulation.faults import FaultRun
from mimctl.twin.firmware import MimFleet
from mimctl.twin.loads import LoadSet
from mimctl.twin.plant import Plant

RESTING = ReserveRule(id="spare", place=Place(), rating_pct=20.0, spare_mims=1)
LOCKED = LockRule(id="lock", place=Place(mims=("mim-rack-b2",)))


@pytest.mark.parametrize("rules", [(), (RESTING,), (LOCKED,), (RESTING, LOCKED)])
def test_with_a_lost_feed_a_silent_mim_and_rules_control_does_better_than_a_clip(rules) -> None:
    """Neither commands a source that has just come back, nor what rules keep free."""
    faults = [fault("feed_lost", "A", until_s=14.0), fault("offline", "mim-rack-a1", until_s=40.0)]
    result = run(replace(hall(), restraints=rules), faults, 50.0)
    assert result["limit_violations"] == 0
    assert result["rule_share"] < result["achieved_share"] <= 1.0
    assert result["achieved_share"] > 0.9, (
        "of 50 s some go by before the first plan, and before the change of loads and the return are seen"
    )


def plant_run(*faults):
    site = hall()
    layout = SiteLayout(site)
    fleet = MimFleet(layout)
    plant = Plant(layout, LoadSet(layout, SteppedLoads(site.twin.loads, 99.0), noise=False), fleet=fleet)
    return plant, FaultRun(faults, plant, fleet, VirtualClock(START))


def shares(plant: Plant, found: FaultRun, until_s: int) -> list[list[float]]:
    """Second by second."""
    seen = []
    for t_s in range(until_s):
        plant.advance_to(float(t_s))
        given = found.given()
        seen.append([1.0] * len(plant.layout.mims) if given is None else given.share.tolist())
    return seen


def test_nobody_is_had_behind_a_source_that_has_just_come_back() -> None:
    """Back at 5 s, seen in readings of a step later, healthy for 10 s at 16 s."""
    plant, found = plant_run(fault("feed_lost", "A", at_s=2.0, until_s=5.0))
    assert shares(plant, found, 20) == [[1.0] * 4] * 2 + [[0.0] * 4] * 14 + [[1.0] * 4] * 4


def test_a_tripped_head_of_a_zone_costs_its_own_mims_and_a_tripped_rack_no_more_than_its_own_time() -> None:
    trips = [fault("rack_tripped", name, at_s=2.0, until_s=5.0) for name in ("pdu-b", "rack-a1")]
    seen = shares(*plant_run(*trips), 20)
    assert [seen[t_s] for t_s in (1, 3, 6, 15, 16)] == [[1, 1, 1, 1], [0, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]


def test_what_rules_leave_counts_with_what_faults_leave() -> None:
    plant, found = plant_run(fault("derated", "mim-rack-a1", at_s=1.0, until_s=9.0, rating_pct=50.0))
    plant.advance_to(2.0)
    given = found.given(np.array([0.8, 0.8, 0.0, 1.0]))
    assert given is not None
    assert given.share.tolist() == [0.5, 0.8, 0.0, 1.0]
