"""The voltage band where a node's own meter tells no voltage: a MIM's, an estimate, or what the node above leaves of it.

At r1 300 W more raise a voltage by 78 mV, 0.34 thousandths, over the 60 mΩ of the path, of which the PDU sees two thirds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safety_cases import Scene, at, codes, power, rack_site

from mimctl.model.sample import Quality
from mimctl.model.site import Site
from mimctl.safety.case import make_case
from mimctl.safety.ratings import Ratings
from mimctl.safety.voltages import voltages

REST = np.zeros(6, dtype=complex)
MOVE = np.array([300, 0, -300, 0, 0, 0], dtype=complex)
RISE_PU = 300 * 0.06 / 230**2
BANDS = [{"max_voltage_pu": 1.0002}, {"min_voltage_pu": 0.9998}]


def banded(**band: float) -> Site:
    found = rack_site(reverse_power_limit_w=1e6)
    return replace(found, control=replace(found.control, **band))


def unread(accepted: np.ndarray = REST, plan: np.ndarray = MOVE, **band: float) -> Scene:
    """No load to speak of; r1's own meter tells everything but voltages."""
    s = Scene(banded(**band), np.zeros((4, 3), dtype=complex), np.array(accepted), np.array(plan))
    return s.nodes(voltage_ln_v=at(s.state.nodes.voltage_ln_v, 2, np.nan))


@pytest.mark.parametrize("band", BANDS)
def test_what_its_mim_measures_counts(band: dict[str, float]) -> None:
    plan = unread(**band).run()
    assert set(codes(plan, "m1")) <= {"limit.voltage_high", "limit.voltage_low"}
    # 0.2 of 0.34 thousandths, less what rounding to watts may add
    assert 0.9 * 300 * 0.0002 / RISE_PU < np.abs(power(plan)).max() <= 300 * 0.0002 / RISE_PU


def test_a_voltage_of_its_mim_beyond_the_band_lets_nobody_raise_it() -> None:
    s = unread(max_voltage_pu=1.001)
    s = s.ports(voltage_v=np.array([1.002 * 230, 230, 230, 230, 230, 230]))
    plan = s.run()
    assert power(plan)[0].real <= 0
    text = next(j.reason.text for j in plan.judgements if j.mim == "m1")
    assert "its own meter tells none" in text


def between(s: Scene) -> np.ndarray:
    """(2, 3) highest and lowest voltages of r1 as the judge sees them, without its MIM's [pu]."""
    s.ports(voltage_v=np.full(6, np.nan))
    case = make_case(
        Ratings(s.operators),
        s.settings,
        state=s.state,
        forecast=s.forecast,
        bounds=s.bounds,
        plan=s.plan,
        accepted=s.accepted,
        now_s=s.now_s,
        emergency_stop=False,
        locked=frozenset(),
    )
    high, low, told = voltages(case, [np.zeros((4, 3), dtype=complex)])
    assert told[2].all()
    return np.array([high[2], low[2]])


def estimated(voltage_pu: float, sigma_pu: float, **band: float) -> Scene:
    s = unread(**band)
    small = np.full((4, 3), 5.0)
    return s.nodes(
        voltage_ln_v=at(s.state.nodes.voltage_ln_v, 2, 230 * voltage_pu),
        estimated=np.arange(4) == 2,
        doubted=np.zeros(4, dtype=bool),
        quality=at(s.state.nodes.quality, 2, int(Quality.SUSPECT)),
        sigma_w=small,
        sigma_var=small,
        sigma_v=np.full((4, 3), 230 * sigma_pu),
    )


def test_an_estimate_counts_within_two_of_its_deviations() -> None:
    np.testing.assert_allclose(between(estimated(1.03, 0.01)), [[1.05] * 3, [1.01] * 3])


@pytest.mark.parametrize(("sigma_pu", "band"), [(0.06, {}), (0.01, {"max_voltage_pu": 1.01, "min_voltage_pu": 0.99})])
def test_an_estimate_vaguer_than_the_band_does_not_and_the_node_above_does(sigma_pu: float, band: dict[str, float]) -> None:
    s = estimated(1.03, sigma_pu, **band)
    s.nodes(voltage_ln_v=at(s.state.nodes.voltage_ln_v, 1, 230 * 0.997))
    np.testing.assert_allclose(between(s), [[0.997] * 3, [0.997] * 3])


def test_from_above_the_load_on_the_way_counts_where_it_is_the_worse() -> None:
    """2.3 kW on each phase of r1 and 20 mΩ from the PDU: 10 A drop 0.2 V, which may be gone the next moment."""
    load = np.zeros((4, 3), dtype=complex)
    load[2] = 2300.0
    s = Scene(banded(), load, REST.copy(), MOVE.copy())
    s.nodes(voltage_ln_v=at(s.state.nodes.voltage_ln_v, 2, np.nan))
    np.testing.assert_allclose(between(s), [[1.0] * 3, [1 - 0.2 / 230] * 3])


def test_where_nobody_above_tells_a_voltage_either_it_is_nominal_at_the_top() -> None:
    s = unread()
    s.nodes(voltage_ln_v=np.full((4, 3), np.nan))
    np.testing.assert_allclose(between(s), [[1.0] * 3, [1.0] * 3])


def test_a_move_back_towards_zero_is_never_in_its_way() -> None:
    """In force is what raises L1 too far; less of it is what the plan wants."""
    s = unread(accepted=MOVE * 4, plan=MOVE * 2, max_voltage_pu=1.0001)
    s = s.ports(voltage_v=np.full(6, 230 * 1.002))
    found = power(s.run())
    assert np.abs(found).max() <= 600
