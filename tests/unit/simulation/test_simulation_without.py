"""Controllers left out of a simulation."""

from __future__ import annotations

import pytest
from tests.builders import START
from tests.loop.level_loop import zoned_hall

from mimctl.model.errors import UserError
from mimctl.model.layout import SiteLayout
from mimctl.simulation.engine import Request, simulate
from mimctl.simulation.without import EVERYBODY, Without, cost, left_out
from mimctl.twin.generator import GeneratedLoads
from mimctl.twin.loads import LoadSet


def run(without: Without) -> dict:
    site = zoned_hall(3, upper_share=0.9)
    layout = SiteLayout(site)
    loads = LoadSet(layout, GeneratedLoads(site.twin.loads, 1, START), step_s=1.0, seed=1)
    return simulate(Request(site, loads, START, 40 / 3600, 1.0, 1, without=without))


def test_names_stand_for_controllers():
    site = zoned_hall(3)
    assert left_out([], site) == EVERYBODY
    assert left_out(["zone:z2", "site", "zone:z1", "site"], site) == Without(True, frozenset({"z1", "z2"}))
    assert left_out(["zone:z2", "site"], site).names() == ["site", "zone:z2"]
    link = f"link:{site.links[0].id}"
    assert left_out([link, "zone:z1"], site) == Without(zones=frozenset({"z1"}), links=frozenset({site.links[0].id}))
    assert left_out([link, "zone:z1"], site).names() == ["zone:z1", link]


@pytest.mark.parametrize("name", ["z1", "zone:z9", "zone", "Site", ""])
def test_what_is_no_controller_is_told_with_those_there_are(name):
    with pytest.raises(UserError, match="it has 'site', 'zone:z1', 'zone:z2', 'zone:z3'"):
        left_out([name], zoned_hall(3))


def test_what_is_left_out_does_nothing_and_costs_something():
    whole = run(EVERYBODY)
    no_site = cost(whole, run(Without(site=True)), Without(site=True))
    no_zone = cost(whole, run(Without(zones=frozenset({"z1"}))), Without(zones=frozenset({"z1"})))
    nobody = run(Without(True, frozenset({"z1", "z2", "z3"})))
    assert whole["achieved_share"] > 0.9
    assert nobody["writes"] == 0
    assert nobody["achieved_share"] == pytest.approx(0.0, abs=1e-9)
    assert no_zone["left_out"] == ["zone:z1"]
    assert no_zone["cost_points"] > 5
    assert 0 < no_site["cost_points"] < no_zone["cost_points"]
    assert no_site["cost_points"] == pytest.approx(100 * (whole["achieved_share"] - no_site["achieved_share"]))
    assert no_site["worse_than_none_pct"] < 10


def test_without_a_yardstick_there_are_no_points():
    whole = run(EVERYBODY) | {"achieved_share": None}
    assert cost(whole, whole, Without(site=True))["cost_points"] is None
