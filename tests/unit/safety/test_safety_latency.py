"""MIMs that act late before the judge: until their setpoint shows in a meter they go on as they are; figures at 230 V.

The pdu may carry 40 A for hours. m1, on r1, was told to put 800 W on L1; by its last report it does not yet. m2 wants to draw 700 W
(3.04 A) more on L1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safety_cases import Scene, codes, power, rack_site

from mimctl.model.latency import TYPICAL, WIRED, Latency, LatencyClass

MEDIUM, SLOW = TYPICAL[LatencyClass.MEDIUM], TYPICAL[LatencyClass.SLOW]
#: acts at once, and says so a minute later
SELDOM = Latency(LatencyClass.SLOW, report_every_s=60.0)
TOLD = np.array([800, 0, -800, 0, 0, 0], dtype=complex)
WANTED = np.array([800, 0, -800, -700, 0, 700], dtype=complex)


def scene(latency: Latency, load_a: float = 40.0) -> Scene:
    """The pdu draws `load_a` on L1 by its meter, and so by the model of m1."""
    site = rack_site()
    slow = replace(site.mims[0], latency=latency, validity_s=300.0)
    site = replace(site, mims=(slow, site.mims[1]))
    load = np.full((4, 3), 0j)
    load[1] = 230 * (load_a - 20), 2300, 2300
    load[2:, 0] = 2300
    s = Scene(site, load, TOLD.copy(), WANTED.copy())
    flow = s.operators.flow(load)
    return s.nodes(import_w=flow.real.copy(), import_var=flow.imag.copy()).ports(inject_w=np.zeros(6))


@pytest.mark.parametrize("latency", [MEDIUM, SLOW, SELDOM])
def test_nobody_uses_the_relief_that_a_late_mim_has_only_been_told_to_give(latency: Latency) -> None:
    """Whether it has acted already, unreported, or will in a minute: 40 A flow now, and a fast MIM would add to them at once."""
    plan = scene(latency).run()
    assert power(plan)[3].real > -50, "what meters may be off: 0.5 % of 40 A are 46 W"
    assert "limit.node_current" in codes(plan, "m2")
    assert np.array_equal(power(plan)[:3], TOLD[:3])


def test_a_wired_mim_acts_at_once() -> None:
    assert np.array_equal(power(scene(WIRED).run()), WANTED)


def test_with_room_for_both_ways_the_plan_passes() -> None:
    """30 A leave room for 3.04 A whether the 3.48 A of relief are there or not."""
    assert np.array_equal(power(scene(SLOW, 30.0).run()), WANTED)


@pytest.mark.parametrize(("sign", "band"), [(1, {"max_voltage_pu": 1.0002}), (-1, {"min_voltage_pu": 0.9998})])
@pytest.mark.parametrize("latency", [SLOW, WIRED])
def test_nor_the_voltage_that_it_may_have_made_already(sign: int, band: dict[str, float], latency: Latency) -> None:
    """m1 was told to pull L1 back into the middle; where the meters show that already, m2 has what the band leaves and no more."""

    def found(reported: np.ndarray) -> float:
        site = rack_site(reverse_power_limit_w=1e6)
        first = replace(site.mims[0], latency=latency, validity_s=300.0)
        site = replace(site, mims=(first, site.mims[1]), control=replace(site.control, **band))
        told = sign * np.array([-100, 0, 100, 0, 0, 0], dtype=complex)
        s = Scene(site, np.full((4, 3), 500 + 0j), told, told + sign * np.array([0, 0, 0, 300, 0, -300]))
        return float(sign * power(s.ports(inject_w=reported).run())[3].real)

    settled, unreported = found(sign * np.array([-100.0, 0, 100, 0, 0, 0])), found(np.zeros(6))
    assert 0 < settled < 300
    assert (unreported == settled) is (latency is SLOW)


@pytest.mark.parametrize(("age_s", "alive"), [(1.0, True), (89.0, True), (91.0, False), (179.0, False)])
def test_a_voltage_proves_a_bus_alive_for_little_longer_than_its_reports_are_apart(age_s: float, alive: bool) -> None:
    """The rack has no meter: only what the MIM itself last reported says that there is voltage. It reports once a minute."""
    s = scene(SLOW, 20.0)
    volts = s.state.nodes.voltage_ln_v.copy()
    volts[s.node_of("r1")] = np.nan
    s.nodes(voltage_ln_v=volts).mims(taken_at_s=np.array([s.now_s - age_s, s.now_s]))
    found = codes(s.run(), "m1")
    assert ("interlock.voltage_unknown" not in found) is alive


def test_where_a_meter_measures_the_bus_the_age_of_the_mims_own_voltage_is_nobodys_business() -> None:
    s = scene(SLOW, 20.0)
    s.mims(taken_at_s=np.array([s.now_s - 170.0, s.now_s]))
    assert "interlock.voltage_unknown" not in codes(s.run(), "m1")


def test_a_voltage_that_is_gone_counts_for_as_long_as_the_report_may_be_used() -> None:
    s = scene(SLOW, 20.0)
    s.mims(taken_at_s=np.array([s.now_s - 170.0, s.now_s])).ports(voltage_v=np.array([20.0, *s.state.ports.voltage_v[1:]]))
    assert "interlock.dead_bus" in codes(s.run(), "m1")
