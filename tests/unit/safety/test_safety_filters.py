"""Harmonic shares before the judge: budgets by hand, missing data, and ratings that no share ever passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.safety.safety_cases import VOLTS, Scene, at, codes, rack_site

from mimctl.model.bounds import HarmonicBounds
from mimctl.model.harmonics import HarmonicFilter, order_bits
from mimctl.model.plan import NO_FILTER, HarmonicShares, SafePlan
from mimctl.model.sample import Quality

#: 1500 VA at 230 V
RATED_A = 1500 / VOLTS
FILTER = HarmonicFilter((3, 5, 7))
ORDERS = order_bits(FILTER.orders)
#: of the load at r1, from the meter there
FUNDAMENTAL_A = 10.0


def scene(
    share: float | np.ndarray | None = 1.0,
    *,
    thd_pct: float = 20.0,
    power: tuple[float, float, float] = (0.0, 0.0, 0.0),
    accepted: HarmonicShares | None = None,
    neutral_rating_a: float = 1e3,
) -> Scene:
    """Both racks draw 10 A a phase with that THD; m1 filters, m2 cannot."""
    site = rack_site()
    first = replace(site.mims[0], harmonic_filter=FILTER, neutral_rating_a=neutral_rating_a)
    site = replace(site, mims=(first, site.mims[1]))
    load = np.zeros((4, 3), complex)
    load[2:] = FUNDAMENTAL_A * VOLTS
    plan = np.array([*power, 0, 0, 0], complex)
    made = Scene(site, load, np.zeros(6, complex), plan)
    made.nodes(thd_i_pct=np.full((4, 3), thd_pct))
    made.ports(current_a=np.zeros(6), harmonic_share=np.zeros(6))
    if share is not None:
        wanted = np.array([share] * 3 + [np.nan] * 3) if np.isscalar(share) else share
        made.plan = replace(made.plan, harmonics=shares(wanted))
    made.accepted = replace(made.accepted, harmonics=accepted or shares([0.0] * 3 + [np.nan] * 3))
    return made


def shares(values: object) -> HarmonicShares:
    return HarmonicShares(np.array(values, dtype=float), np.full(6, ORDERS, dtype=np.int64))


def found(plan: SafePlan) -> np.ndarray:
    assert plan.harmonics is not None
    return plan.harmonics.share


def test_a_share_that_fits_goes_out():
    plan = scene(0.5).run()
    np.testing.assert_allclose(found(plan), [0.5, 0.5, 0.5, np.nan, np.nan, np.nan])
    assert plan.send.tolist() == [True, False]
    assert codes(plan, "m1") == []


def test_sites_without_filters_have_no_shares():
    site = rack_site()
    plan = Scene(site, np.zeros((4, 3), complex), np.zeros(6, complex), np.zeros(6, complex)).run()
    assert plan.harmonics is None
    assert plan.refresh.all()


def test_the_fundamental_comes_first():
    """900 of 1500 VA leave √(1 − 0.36) = 0.8 of 6.52 A, 5.22 A; of 10 A of harmonics that is 52 %. The idle port may take 65 %."""
    plan = scene(1.0, thd_pct=100.0, power=(900.0, -900.0, 0.0)).run()
    np.testing.assert_allclose(found(plan)[:3], [0.52, 0.52, 0.65])
    assert codes(plan, "m1") == ["limit.port_rms"]


def test_a_fundamental_on_its_way_down_still_counts():
    made = scene(1.0, thd_pct=100.0)
    made.accepted = replace(made.accepted, setpoint_va=np.array([1500, -1500, 0, 0, 0, 0], complex))
    made.accepted_va = made.accepted.setpoint_va
    made.state = made._state()
    made.nodes(thd_i_pct=np.full((4, 3), 100.0))
    made.ports(current_a=np.array([RATED_A, RATED_A, 0, 0, 0, 0]), harmonic_share=np.zeros(6))
    np.testing.assert_allclose(found(made.run())[:2], 0.0)


def test_a_low_voltage_leaves_less():
    """At 207 V 900 W take 4.35 A of 6.52 A: √(6.522² − 4.348²) = 4.86 A of 10 A."""
    made = scene(1.0, thd_pct=100.0, power=(900.0, -900.0, 0.0))
    made.ports(voltage_v=np.full(6, 207.0))
    np.testing.assert_allclose(found(made.run())[:2], 0.48)


def test_the_neutral_of_a_mim_counts_all_of_its_ports():
    """2 A a port could be triplens: 6 A in a neutral of 3 A are half too many."""
    plan = scene(1.0, neutral_rating_a=3.0).run()
    np.testing.assert_allclose(found(plan)[:3], 0.5)
    assert codes(plan, "m1") == ["limit.mim_neutral_rms"]


def test_what_the_filters_take_already_is_part_of_the_whole():
    """2 A left at the meter and 4 A in the port are 6 A at most; of 6.52 A a fundamental of 5 A leaves 4.18 A."""
    made = scene(1.0, thd_pct=20.0, power=(1150.0, -1150.0, 0.0), accepted=shares([0.8] * 3 + [np.nan] * 3))
    made.ports(current_a=np.array([4.0, 4.0, 4.0, 0, 0, 0]), harmonic_share=np.full(6, 0.8))
    np.testing.assert_allclose(found(made.run())[:3], [0.69, 0.69, 1.0])


@pytest.mark.parametrize("what", ["no thd", "bad meter", "no port current"])
def test_what_nobody_can_tell_is_not_filtered(what: str):
    made = scene(1.0, accepted=shares([0.8] * 3 + [np.nan] * 3))
    if what == "no thd":
        made.nodes(thd_i_pct=np.full((4, 3), np.nan), current_a=np.full((4, 3), np.nan))
    elif what == "bad meter":
        made.nodes(quality=at(made.state.nodes.quality, 2, int(Quality.BAD)))
    else:
        made.ports(current_a=np.full(6, np.nan))
    plan = made.run()
    np.testing.assert_allclose(found(plan)[:3], 0.0)
    assert "data.harmonics_unknown" in codes(plan, "m1")
    assert plan.send[0]


def test_rms_and_power_tell_the_harmonics_where_a_meter_has_no_thd():
    """√(10.2² − 10²) = 2.01 A."""
    made = scene(1.0, neutral_rating_a=3.0)
    made.nodes(thd_i_pct=np.full((4, 3), np.nan), current_a=np.full((4, 3), 10.2))
    np.testing.assert_allclose(found(made.run())[:3], 0.49)


def test_a_plan_without_shares_ends_the_filters():
    plan = scene(None, accepted=shares([0.5] * 3 + [np.nan] * 3)).run()
    np.testing.assert_allclose(found(plan)[:3], 0.0)
    assert plan.send[0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_what_is_no_share_is_none(value: float):
    np.testing.assert_allclose(found(scene(value).run())[:3], 0.0)


@pytest.mark.parametrize(("most", "given"), [(0.4, 0.4), (np.nan, 0.0), (2.0, 1.0)])
def test_a_bound_narrows_and_never_widens(most: float, given: float):
    made = scene(1.0)
    nothing = np.full(4, np.nan)
    made.bound(harmonics=HarmonicBounds(np.full(6, most), np.ones(6), nothing, nothing))
    np.testing.assert_allclose(found(made.run())[:3], given)


def test_no_order_is_added_and_no_share_above_one():
    made = scene(3.0)
    assert made.plan.harmonics is not None
    wide = replace(made.plan.harmonics, orders=np.full(6, order_bits((3, 9, 11)), dtype=np.int64))
    made.plan = replace(made.plan, harmonics=wide)
    plan = made.run()
    assert plan.harmonics is not None
    assert plan.harmonics.orders[0] == order_bits((3,))
    np.testing.assert_allclose(found(plan)[:3], 1.0)


def test_a_stale_meter_of_the_grid_never_lets_a_share_grow():
    made = scene(0.9, accepted=shares([0.4] * 3 + [np.nan] * 3))
    made.forecast = replace(made.forecast, covered=np.zeros(4, dtype=bool))
    plan = made.run()
    np.testing.assert_allclose(found(plan)[:3], 0.4)
    assert not plan.send[0]


def test_emergency_stop_and_silence():
    made = scene(0.9, accepted=shares([0.4] * 3 + [np.nan] * 3))
    made.options["emergency_stop"] = True
    plan = made.run()
    assert plan.release.all()
    np.testing.assert_allclose(found(plan)[:3], 0.0)
    quiet = scene(0.9, accepted=shares([0.4] * 3 + [np.nan] * 3))
    quiet.mims(quality=np.full(2, int(Quality.BAD)))
    plan = quiet.run()
    assert not (plan.send | plan.refresh).any()
    np.testing.assert_allclose(found(plan)[:3], 0.4)


def test_an_unknown_share_is_told_anew():
    plan = scene(0.5, accepted=shares([np.nan] * 6)).run()
    np.testing.assert_allclose(found(plan)[:3], 0.5)
    assert plan.send[0]


def test_a_share_that_stands_is_not_written_again():
    plan = scene(0.5, accepted=shares([0.5] * 3 + [np.nan] * 3)).run()
    assert plan.refresh.all()


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.integers(0, 100_000))
def test_no_share_takes_a_port_or_a_neutral_over_its_rating(seed: int):
    """True phasors of three orders in three phases; the judge knows what meters say of them while some share is in force."""
    rng = np.random.default_rng(seed)
    local = (rng.normal(size=(3, 3)) + 1j * rng.normal(size=(3, 3))) * rng.uniform(0, 6)
    told = rng.uniform(0, 1)
    residual = np.linalg.norm((1 - told) * local, axis=1)
    now_w, next_w = (rng.uniform(-750, 750, 2) for _ in range(2))
    now, after = (np.array([w[0], w[1], -w[0] - w[1], 0, 0, 0], complex) for w in (now_w, next_w))
    neutral_a = rng.uniform(1, 12)
    made = scene(rng.uniform(0, 1.2), accepted=shares([told] * 3 + [np.nan] * 3), neutral_rating_a=neutral_a)
    made.accepted_va = now
    made.accepted = replace(made.accepted, setpoint_va=now)
    made.plan = replace(made.plan, inject_w=after.real.copy(), inject_var=after.imag.copy())
    made.state = made._state()
    flow_a = np.hypot(made.state.nodes.import_w[2], made.state.nodes.import_var[2]) / VOLTS
    thd = np.full((4, 3), 5.0)
    thd[2] = 100 * residual / flow_a
    made.nodes(thd_i_pct=thd)
    port_a = np.zeros(6)
    port_a[:3] = np.hypot(np.abs(now[:3]) / VOLTS, np.linalg.norm(told * local, axis=1))
    made.ports(current_a=port_a, harmonic_share=np.array([told] * 3 + [np.nan] * 3))
    plan = made.run()
    share = found(plan)[:3]
    power = (plan.inject_w + 1j * plan.inject_var)[:3]
    taken = share[:, None] * local
    assert ((share >= 0) & (share <= 1)).all()
    room = np.maximum(RATED_A**2 - (np.abs(power) / VOLTS) ** 2, 0)
    assert (np.linalg.norm(taken, axis=1) ** 2 <= room + 1e-9).all()
    turned = (power * made.layout.port_neutral_per_va[:3]).sum()
    left = np.maximum(neutral_a**2 - abs(turned) ** 2, 0)
    assert np.linalg.norm(taken.sum(axis=0)) ** 2 <= left + 1e-9


@pytest.mark.parametrize(("wanted", "given"), [(0.51, 0.5), (0.52, 0.52), (0.49, 0.49)])
def test_little_more_is_not_worth_a_write_and_little_less_is(wanted: float, given: float):
    plan = scene(wanted, accepted=shares([0.5] * 3 + [np.nan] * 3)).run()
    np.testing.assert_allclose(found(plan)[:3], given)
    assert plan.send[0] == (given != 0.5)


def test_a_device_without_a_filter_is_told_nothing_about_one():
    """Whatever the site file says: its share stays unknown, and is no reason to write."""
    bare = HarmonicShares(np.full(6, np.nan), np.array([NO_FILTER] * 3 + [0] * 3, dtype=np.int64))
    plan = scene(0.5, accepted=bare).run()
    assert np.isnan(found(plan)).all()
    assert plan.refresh.all()


def test_an_estimated_flow_says_nothing_about_harmonics():
    """The estimate has a fundamental and no distortion: that is not known, and not nothing."""
    s = scene(0.5)
    row = s.node_of("r1")
    flags, sigma = np.arange(4) == row, np.full((4, 3), 5.0)
    s.nodes(
        estimated=flags,
        doubted=np.zeros(4, dtype=bool),
        sigma_w=sigma,
        sigma_var=sigma,
        sigma_v=sigma,
        thd_i_pct=at(s.state.nodes.thd_i_pct, row, np.nan),
        quality=at(s.state.nodes.quality, row, int(Quality.SUSPECT)),
    )
    plan = s.run()
    assert (found(plan)[:3] == 0).all()
    assert "data.harmonics_unknown" in codes(plan, "m1")
