"""Estimated and doubted flows before the judge: they may keep things going, with their uncertainty as a margin; figures at 230 V.

Rack r1 may carry 16 A for hours; the move puts 300 W (1.30 A) more on its L3 and takes as much from its L1.
"""

from __future__ import annotations

import numpy as np
import pytest
from safety_cases import NOW_S, Scene, at, codes, power, rack_site

from mimctl.model.sample import Quality

REST = np.zeros(6, dtype=complex)
MOVE = np.array([300, 0, -300, 0, 0, 0], dtype=complex)


def scene(load_a: float, margin_a: float, *, estimated: bool = True, accepted: np.ndarray = REST) -> Scene:
    """r1 draws `load_a` on every phase, known to `margin_a`."""
    load = np.zeros((4, 3), dtype=complex)
    load[2], load[3] = 230 * load_a, 230 * 5.0
    s = Scene(rack_site(), load, np.array(accepted), np.array(MOVE))
    row = s.node_of("r1")
    sigma = np.full((4, 3), 5.0)
    # twice the standard deviation of P and Q together
    sigma[row] = 230 * margin_a / (2 * np.sqrt(2))
    flags = np.arange(4) == row
    none = np.zeros(4, dtype=bool)
    return s.nodes(
        quality=at(s.state.nodes.quality, row, int(Quality.SUSPECT)),
        estimated=flags if estimated else none,
        doubted=none if estimated else flags,
        sigma_w=sigma,
        sigma_var=sigma,
        sigma_v=sigma,
    )


@pytest.mark.parametrize("estimated", [True, False])
def test_with_room_for_its_uncertainty_the_plan_passes(estimated: bool) -> None:
    assert np.array_equal(power(scene(10.0, 2.0, estimated=estimated).run()), MOVE)


@pytest.mark.parametrize("estimated", [True, False])
def test_the_limit_shrinks_by_the_margin(estimated: bool) -> None:
    """13 A and 2 A of margin leave 1 A of 16 A for L3: 230 W of the 300 W, in whole watts."""
    plan = scene(13.0, 2.0, estimated=estimated).run()
    assert -230 <= power(plan)[2].real <= -227
    assert "limit.node_current" in codes(plan, "m1")


def test_the_same_load_measured_passes_whole() -> None:
    s = scene(13.0, 2.0)
    s = s.nodes(estimated=np.zeros(4, dtype=bool), quality=np.full(4, int(Quality.GOOD)))
    assert np.array_equal(power(s.run()), MOVE)


@pytest.mark.parametrize("margin_a", [4.0, np.nan, np.inf])
def test_what_is_known_too_roughly_lets_nothing_grow(margin_a: float) -> None:
    plan = scene(10.0, margin_a, accepted=MOVE / 2).run()
    assert np.array_equal(power(plan), MOVE / 2)
    assert "data.flow_unknown" in codes(plan, "m1")


def test_an_estimated_voltage_proves_no_bus_alive() -> None:
    """The MIM itself measures no voltage, and the node's is an estimate: the bus may be dead."""
    s = scene(10.0, 2.0, accepted=MOVE / 2).ports(voltage_v=np.full(6, np.nan))
    plan = s.run()
    assert "interlock.voltage_unknown" in codes(plan, "m1")
    assert np.array_equal(power(plan)[:3], MOVE[:3] / 2)


def test_an_old_estimate_counts_no_more_than_an_old_reading() -> None:
    s = scene(10.0, 2.0, accepted=MOVE / 2)
    plan = s.nodes(taken_at_s=at(s.state.nodes.taken_at_s, s.node_of("r1"), NOW_S - 7)).run()
    assert "data.meter_stale" in codes(plan, "m1")


def test_the_head_keeps_its_margin_of_import() -> None:
    """No power may flow back: 100 W imported on L1 and 80 W of margin leave 20 W for the MIM."""
    load = np.zeros((4, 3), dtype=complex)
    load[2] = (100, 2000, 2000)
    s = Scene(rack_site(), load, np.zeros(6, dtype=complex), np.array(MOVE))
    sigma = np.full((4, 3), 80 / (2 * np.sqrt(2)))
    none = np.zeros(4, dtype=bool)
    s = s.nodes(estimated=at(none, 0, True), doubted=none, sigma_w=sigma, sigma_var=sigma, sigma_v=sigma)
    plan = s.nodes(quality=at(s.state.nodes.quality, 0, int(Quality.SUSPECT))).run()
    assert 0 < power(plan)[0].real <= 21


def test_harmonics_that_the_node_had_take_their_part_of_its_limits() -> None:
    """9.6 A of harmonics leave √(16² − 9.6²) = 12.8 A of the 16 A; beside 12 A of load that is 0.8 A, 184 W of the 300 W."""
    kept = np.full((4, 4), np.nan)
    kept[2] = (9.6, 9.6, 9.6, 0.0)
    assert np.array_equal(power(scene(12.0, 1e-3).run()), MOVE)
    plan = scene(12.0, 1e-3).nodes(harmonic_a=kept).run()
    assert 180 <= power(plan)[0].real <= 184
    assert "limit.node_current" in codes(plan, "m1")


def test_triplens_that_the_node_had_take_their_part_of_its_neutral() -> None:
    """16 A of triplens leave √(20² − 16²) = 12 A of the neutral's 20 A; L1 alone draws 11.5 A of it, and L3 adds to that."""
    load = np.zeros((4, 3), dtype=complex)
    load[2, 2] = 230 * 11.5
    s = Scene(rack_site(reverse_power_limit_w=1e6), load, REST.copy(), MOVE.copy())
    row, sigma, none = s.node_of("r1"), np.full((4, 3), 0.01), np.zeros(4, dtype=bool)
    s.nodes(
        quality=at(s.state.nodes.quality, row, int(Quality.SUSPECT)),
        estimated=at(none, row, True),
        doubted=none,
        sigma_w=sigma,
        sigma_var=sigma,
        sigma_v=sigma,
    )
    assert np.array_equal(power(s.run()), MOVE)
    kept = np.full((4, 4), np.nan)
    kept[row] = (0.0, 0.0, 0.0, 16.0)
    plan = s.nodes(harmonic_a=kept).run()
    assert 0 < power(plan)[0].real < 300
    assert "limit.node_neutral" in codes(plan, "m1")
