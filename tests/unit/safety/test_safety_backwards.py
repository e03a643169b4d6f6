"""Loads do not feed back: where one seems to, nobody moves on the word of its meter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safety_cases import Scene, at, codes, power, rack_site

#: 10 A of load on every phase of both racks; 5 % of what their breakers permit are 184 W
LOAD = np.array([[0] * 3, [0] * 3, [2300.0] * 3, [2300.0] * 3], dtype=complex)
STANDS = np.array([200, -100, -100, 0, 0, 0], dtype=complex)
WANTED = np.array([-200, 100, 100, 300, 0, -300], dtype=complex)
RACK1, RACK2 = slice(0, 3), slice(3, 6)
CODE = "data.load_backwards"


def scene(load_w: float, **control: object) -> Scene:
    """The load on L1 of the first rack as its meter has it; neutrals and the head leave room for anything."""
    site = rack_site(reverse_power_limit_w=10_000.0)
    nodes = tuple(replace(n, neutral_rating_a=None) for n in site.nodes)
    site = replace(site, nodes=nodes, control=replace(site.control, **control))
    return Scene(site, at(LOAD, (2, 0), load_w), STANDS.copy(), WANTED.copy())


def test_the_mim_behind_a_reversed_current_transformer_stays_where_it_is() -> None:
    plan = scene(-2300.0).run()
    assert np.array_equal(power(plan)[RACK1], STANDS[RACK1])
    assert codes(plan, "m1") == [CODE]
    assert (plan.send.tolist(), plan.refresh.tolist()) == ([False, True], [True, False])


def test_its_neighbour_goes_on_while_the_sum_of_both_is_a_load() -> None:
    plan = scene(-2000.0).run()
    assert np.array_equal(power(plan)[RACK2], WANTED[RACK2])
    assert codes(plan, "m2") == []


def test_a_pdu_that_seems_to_feed_back_holds_all_below_it() -> None:
    plan = scene(-3300.0).run()
    assert codes(plan, "m1") == codes(plan, "m2") == [CODE]
    assert "the load at head, pdu, r1 seems to feed back" in next(j.reason.text for j in plan.judgements if j.mim == "m1")


@pytest.mark.parametrize("load_w", [0.0, -180.0])
def test_what_meters_are_off_by_is_no_sign(load_w: float) -> None:
    assert np.array_equal(power(scene(load_w).run()), WANTED)


def test_a_forecast_alone_is_no_proof() -> None:
    s = scene(2300.0)
    s.forecast = replace(s.forecast, load_w=at(s.forecast.load_w, (2, 0), -2300.0))
    assert CODE not in codes(s.run(), "m1")


def test_where_the_site_says_that_loads_feed_back_they_may() -> None:
    assert np.array_equal(power(scene(-1000.0, loads_feed_back=True).run()), WANTED)


def test_a_mim_that_is_not_heard_leaves_the_forecast_to_decide() -> None:
    s = scene(-2300.0)
    s.ports(inject_w=at(s.state.ports.inject_w, 0, np.nan))
    assert CODE in codes(s.run(), "m1")
