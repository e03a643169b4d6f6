"""One hand-made case for each rule of the judge; figures by hand at 230 V."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safety_cases import NOW_S, Scene, at, codes, mim, node, power, rack_site, site, three

from mimctl.model.plan import SolveStatus, Verdict
from mimctl.model.sample import Quality
from mimctl.model.site import Battery
from mimctl.safety.judge import Accepted, SafetySettings

#: 10 A of load on every phase of both racks
LOAD = np.array([[0] * 3, [0] * 3, [2300.0] * 3, [2300.0] * 3], dtype=complex)
REST = np.zeros(6, dtype=complex)
MOVE = np.array([300, 0, -300, 0, 0, 0], dtype=complex)


def scene(plan=MOVE, accepted=REST, load=LOAD, **more) -> Scene:
    return Scene(
        more.pop("site", None) or rack_site(), np.array(load), np.array(accepted, complex), np.array(plan, complex), **more
    )


def heard(plan, m: int) -> list[str]:
    """Which of the three writes one MIM gets."""
    return [kind for kind in ("send", "refresh", "release") if getattr(plan, kind)[m]]


def test_a_sound_plan_passes_as_it_is() -> None:
    plan = scene().run()
    assert np.array_equal(power(plan), MOVE)
    assert plan.send.tolist() == [True, False]
    assert plan.refresh.tolist() == [False, True]
    assert not plan.release.any()
    assert plan.judgements == ()
    assert plan.judged_at_s == NOW_S


def test_a_mim_never_told_gets_its_first_setpoint_even_if_it_is_zero() -> None:
    s = scene()
    s.accepted = Accepted(REST, np.array([NOW_S - 1, -np.inf]))
    assert s.run().send.tolist() == [True, True]


class TestRounding:
    def test_towards_zero_in_register_units(self) -> None:
        plan = scene(plan=[300.9 - 10.7j, 0.4, -300.9, 0, 0, 0])
        assert np.array_equal(power(plan.run())[:3], [300 - 10j, 0, -300])

    def test_coarser_registers(self) -> None:
        s = scene(plan=[390, 0, -390, 0, 0, 0], settings=SafetySettings(resolution=100.0))
        assert np.array_equal(power(s.run())[:3], [300, 0, -300])


class TestOwnLimits:
    def test_port_rating_even_if_the_bounds_are_wrong(self) -> None:
        """1500 VA ports: 2000 of 0 → 2000 is 75 % of the way."""
        s = scene(plan=[2000, 0, -2000, 0, 0, 0], load=at(LOAD, (2, 2), 0.0)).bound(port_s_max_va=np.full(6, 1e6))
        s = replace_mim(s, neutral_rating_a=100.0)
        plan = s.run()
        assert np.array_equal(power(plan)[:3], [1500, 0, -1500])
        assert codes(plan, "m1") == ["limit.port_rating"]
        assert plan.judgements[0].verdict is Verdict.SCALED
        assert "75.0%" in plan.judgements[0].reason.text

    def test_bounds_can_narrow_it(self) -> None:
        plan = scene().bound(port_s_max_va=np.full(6, 100.0)).run()
        assert np.array_equal(power(plan)[:3], [100, 0, -100])

    def test_neutral_of_the_mim(self) -> None:
        """+690 W on L1, −690 W on L2: 3 A each, 120° apart less reversed: 5.196 A in the neutral; 4 A permitted."""
        s = replace_mim(scene(plan=[690, -690, 0, 0, 0, 0]), neutral_rating_a=4.0)
        plan = s.run()
        assert codes(plan, "m1") == ["limit.mim_neutral"]
        neutral_a = abs(power(plan)[0] / 230 + power(plan)[1] / 230 / np.exp(-2j * np.pi / 3))
        assert 3.95 < neutral_a <= 4.0

    def test_a_binding_neutral_lets_the_setpoint_slide_along(self) -> None:
        """The plan stands at 2.598 A of 2.6 A; cutting off the fractions alone makes it 2.604 A. It gives way by a few units."""
        wanted = np.array([468.2 - 482.4j, 137.9 + 68.9j, -606.1 - 79.6j, 0, 0, 0])
        s = replace_mim(scene(plan=wanted, accepted=[450 - 482j, 130 + 68j, -580 - 79j, 0, 0, 0]), neutral_rating_a=2.6)
        plan = s.run()
        assert codes(plan, "m1") == []
        assert np.abs(power(plan) - wanted).max() < 8
        neutral = power(plan)[:3] / 230 * np.exp(2j * np.pi / 3 * np.arange(3))
        assert 2.57 < abs(neutral.sum()) <= 2.6

    def test_ramp(self) -> None:
        s = replace_mim(scene(), ramp_w_per_s=100.0)
        plan = s.run()
        assert np.array_equal(power(plan)[:3], [100, 0, -100])
        assert codes(plan, "m1") == ["limit.step"]

    def test_step_of_the_bounds(self) -> None:
        plan = scene(accepted=[100, 0, -100, 0, 0, 0]).bound(step_max_va=np.full(6, 50.0)).run()
        assert np.array_equal(power(plan)[:3], [150, 0, -150])

    def test_no_power_out_of_nothing(self) -> None:
        """But for 6 W, the tolerance of three ports of 1500 VA."""
        plan = scene(plan=[300, 0, 0, 0, 0, 0]).bound(mim_dc_w=np.array([300.0, 0.0])).run()
        assert power(plan)[0] == 6
        assert codes(plan, "m1") == ["limit.storage"]

    def test_a_plan_that_breaks_its_own_power_balance_is_refused(self) -> None:
        # losses of a few milliwatts are no "-0 W" to whoever reads the reason
        plan = scene(plan=[300, 0, 0, 0, 0, 0]).bound(mim_dc_w=np.full(2, -0.004)).run()
        assert np.array_equal(power(plan), REST)
        assert codes(plan, "m1") == ["plan.unbalanced"]
        assert "its ports sum to 300 W, its DC side gives 0 W" in str(plan.judgements)

    def test_accepted_outside_a_narrowed_rating_shrinks(self) -> None:
        s = scene(plan=[1000, 0, -1000, 0, 0, 0], accepted=[1000, 0, -1000, 0, 0, 0])
        plan = s.bound(port_s_max_va=np.full(6, 400.0)).run()
        assert np.array_equal(power(plan)[:3], [400, 0, -400])
        assert plan.send[0]
        assert "limit.accepted_outside" in codes(plan, "m1")


def replace_mim(s: Scene, **changes: object) -> Scene:
    """The same scene with m1 rated otherwise."""
    first = replace(s.site.mims[0], **changes)
    bounds = s.bounds
    other = Scene(replace(s.site, mims=(first, *s.site.mims[1:])), s.load_va, s.accepted_va, s.plan_va, s.settings, s.deadband_a)
    other.bounds = bounds
    return other


class TestStorage:
    @staticmethod
    def battery_scene(watts: float, soc_pct: float, accepted_w: float = 0.0) -> Scene:
        battery = Battery("b", "m1", 5000.0, 900.0, 900.0, reserve_pct=20.0, max_soc_pct=95.0)
        third = watts / 3
        s = scene(plan=[third] * 3 + [0] * 3, accepted=[accepted_w / 3] * 3 + [0] * 3, site=rack_site(batteries=(battery,)))
        return s.batteries(soc_pct=np.array([soc_pct]))

    @pytest.mark.parametrize(
        ("watts", "soc_pct", "passes"),
        [(600, 50, True), (600, 19, False), (600, 20, True), (-600, 96, False), (-600, 95, True), (600, np.nan, False)],
    )
    def test_reserve_full_and_unknown(self, watts: float, soc_pct: float, passes: bool) -> None:
        plan = self.battery_scene(watts, soc_pct).run()
        assert plan.inject_w[:3].sum() == (watts if passes else pytest.approx(0, abs=9))
        assert codes(plan, "m1") == ([] if passes else ["limit.storage"])

    def test_rating_of_the_battery(self) -> None:
        plan = self.battery_scene(1500, 50).run()
        assert 895 <= plan.inject_w[:3].sum() <= 910

    def test_discharge_stops_at_the_reserve_even_if_the_plan_goes_on(self) -> None:
        plan = self.battery_scene(600, 10, accepted_w=600).run()
        assert 0 <= plan.inject_w[:3].sum() < 9
        assert plan.send[0] or plan.release[0]


class TestData:
    @pytest.mark.parametrize(("age_s", "code"), [(6.0, "data.mim_stale"), (16.0, "data.mim_too_old"), (np.nan, "data.mim_too_old")])
    def test_own_sample(self, age_s: float, code: str) -> None:
        s = scene(accepted=MOVE / 2)
        plan = s.mims(taken_at_s=np.array([NOW_S - age_s, NOW_S])).run()
        assert code in codes(plan, "m1")
        assert plan.release[0] == (code == "data.mim_too_old")
        assert np.array_equal(power(plan), MOVE / 2 if not plan.release[0] else REST)
        assert codes(plan, "m2") == []

    def test_a_sample_from_the_future_is_none(self) -> None:
        plan = scene().mims(taken_at_s=np.array([NOW_S + 5, NOW_S])).run()
        assert "data.mim_too_old" in codes(plan, "m1")

    def test_bad_own_sample_silences(self) -> None:
        """Its setpoint stands at the device until its validity ends; nobody renews what nobody sees."""
        plan = scene(accepted=MOVE / 2).mims(quality=np.array([int(Quality.BAD), 2])).run()
        assert codes(plan, "m1")[0] == "data.mim_stale"
        assert np.array_equal(power(plan), MOVE / 2)
        assert heard(plan, 0) == []

    def test_suspect_own_sample_may_only_shrink(self) -> None:
        suspect = np.array([int(Quality.SUSPECT), 2])
        assert np.array_equal(power(scene(accepted=MOVE / 2).mims(quality=suspect).run()), MOVE / 2)
        assert np.array_equal(power(scene(accepted=MOVE * 2).mims(quality=suspect).run()), MOVE)

    def test_the_meter_over_the_ports_is_needed(self) -> None:
        s = scene(accepted=MOVE / 2)
        taken = at(s.state.nodes.taken_at_s, s.node_of("r1"), NOW_S - 7)
        plan = s.nodes(taken_at_s=taken).run()
        assert "data.meter_stale" in codes(plan, "m1")
        assert np.array_equal(power(plan), MOVE / 2)
        assert codes(plan, "m2") == []

    def test_and_its_long_silence_releases(self) -> None:
        s = scene(accepted=MOVE / 2)
        plan = s.nodes(taken_at_s=at(s.state.nodes.taken_at_s, s.node_of("r1"), np.nan)).run()
        assert plan.release.tolist() == [True, False]

    def test_a_lost_meter_further_up_lets_mims_only_shrink(self) -> None:
        def lost(accepted: np.ndarray) -> Scene:
            s = scene(accepted=accepted)
            return s.nodes(quality=at(s.state.nodes.quality, s.node_of("pdu"), int(Quality.BAD)))

        plan = lost(MOVE / 2).run()
        assert np.array_equal(power(plan), MOVE / 2)
        assert "data.flow_unknown" in codes(plan, "m1")
        assert "pdu" in plan.judgements[0].reason.text
        assert np.array_equal(power(lost(MOVE * 2).run()), MOVE)

    def test_an_uncovered_node_lets_mims_only_shrink(self) -> None:
        s = scene(accepted=MOVE / 2)
        s.forecast = replace(s.forecast, covered=at(s.forecast.covered, s.node_of("r1"), False))
        assert np.array_equal(power(s.run()), MOVE / 2)

    def test_a_load_that_is_no_number_counts_as_unknown(self) -> None:
        s = scene(accepted=MOVE / 2)
        s.forecast = replace(s.forecast, load_w=at(s.forecast.load_w, (s.node_of("r1"), 0), np.nan))
        assert np.array_equal(power(s.run()), MOVE / 2)

    def test_an_unknown_setpoint_in_force_releases(self) -> None:
        s = scene(accepted=at(MOVE, 0, np.nan))
        assert s.run().release.tolist() == [True, False]

    def test_a_slower_controller_gives_its_own_limit(self) -> None:
        s = scene(settings=SafetySettings(max_data_age_s=30.0))
        s = s.mims(taken_at_s=np.full(2, NOW_S - 10)).nodes(taken_at_s=np.full(4, NOW_S - 10))
        assert np.array_equal(power(s.run()), MOVE)


class TestObedience:
    @pytest.mark.parametrize(("status", "code"), [(2.0, "interlock.rejected"), (3.0, "interlock.reverted")])
    def test_rejected_and_reverted_release(self, status: float, code: str) -> None:
        plan = scene(accepted=MOVE / 2).mims(command_status=np.array([status, 0])).run()
        assert codes(plan, "m1") == [code]
        assert plan.release.tolist() == [True, False]
        assert not power(plan)[:3].any()

    def test_after_the_release_it_may_be_tried_again(self) -> None:
        plan = scene().mims(command_status=np.array([3.0, 0])).run()
        assert plan.send[0]

    def test_what_it_said_before_the_write_does_not_count(self) -> None:
        s = scene(accepted=MOVE / 2).mims(command_status=np.array([2.0, 0]))
        s.accepted = Accepted(s.accepted_va, np.full(2, NOW_S - 0.1))
        assert codes(s.run(), "m1") == []

    def test_a_heartbeat_does_not_hide_what_it_said_about_its_setpoint(self) -> None:
        """Samples a cycle old: taken before the last heartbeat, long after the last setpoint."""
        s = scene(accepted=MOVE / 2).mims(command_status=np.array([2.0, 0]), taken_at_s=np.full(2, NOW_S - 1))
        s.accepted = Accepted(s.accepted_va, np.full(2, NOW_S - 0.05), np.full(2, NOW_S - 3))
        plan = s.run()
        assert codes(plan, "m1") == ["interlock.rejected"]
        assert plan.release.tolist() == [True, False]

    def test_what_it_said_about_an_older_setpoint_does_not_count(self) -> None:
        s = scene(accepted=MOVE / 2).mims(command_status=np.array([3.0, 0]), taken_at_s=np.full(2, NOW_S - 1))
        s.accepted = Accepted(s.accepted_va, np.full(2, NOW_S - 0.05), np.full(2, NOW_S - 0.9))
        assert codes(s.run(), "m1") == []

    def test_a_reverted_one_is_told_anew_until_it_answers(self) -> None:
        """Released, told the plan's setpoint, and in peace from the first sample that is younger than it."""
        s = scene(accepted=MOVE).mims(command_status=np.array([3.0, 0]), taken_at_s=np.full(2, NOW_S - 0.5))
        s.accepted = Accepted(MOVE, np.full(2, NOW_S - 0.2), np.full(2, NOW_S - 60))
        assert heard(s.run(), 0) == ["release"]
        s.accepted = Accepted(REST, np.full(2, NOW_S - 0.4), np.full(2, NOW_S - 0.4))
        assert heard(s.run(), 0) == ["send"]
        s.accepted = Accepted(MOVE, np.full(2, NOW_S - 0.3), np.full(2, NOW_S - 0.3))
        assert heard(s.run(), 0) == ["refresh"]
        s.mims(command_status=np.zeros(2), taken_at_s=np.full(2, NOW_S - 0.1))
        assert heard(s.run(), 0) == ["refresh"]

    def test_a_heartbeat_is_not_enough_for_a_reverted_one_even_at_zero(self) -> None:
        """Its fallback need not be zero."""
        plan = scene(plan=REST).mims(command_status=np.array([3.0, 0])).run()
        assert heard(plan, 0) == ["send"]
        assert heard(plan, 1) == ["refresh"]

    def test_a_disabled_mim_hears_nothing(self) -> None:
        plan = scene(accepted=MOVE / 2).bound(mim_enabled=np.array([False, True])).run()
        assert heard(plan, 0) == []
        assert plan.judgements[0].verdict is Verdict.EXCLUDED

    def test_a_mim_given_back_is_released(self) -> None:
        given_back = np.array([True, False])
        plan = scene(accepted=MOVE / 2).bound(mim_enabled=~given_back, mim_release=given_back).run()
        assert heard(plan, 0) == ["release"]
        assert "interlock.given_back" in codes(plan, "m1")
        assert not power(plan)[:3].any()


class TestInterlocks:
    def test_emergency_stop_releases_all(self) -> None:
        plan = scene(accepted=MOVE / 2, options={"emergency_stop": True}).run()
        assert plan.release.all()
        assert not power(plan).any()
        assert not plan.send.any()
        assert not plan.refresh.any()
        assert {j.reason.code for j in plan.judgements} >= {"interlock.emergency_stop"}

    @pytest.mark.parametrize(
        ("name", "released"), [("m1", [1, 0]), ("r2", [0, 1]), ("pdu", [1, 1]), ("gw", [1, 1]), ("nobody", [0, 0])]
    )
    def test_lock_out(self, name: str, released: list[int]) -> None:
        plan = scene(accepted=MOVE / 2, options={"locked": frozenset({name})}).run()
        assert plan.release.tolist() == [bool(r) for r in released]
        assert codes(plan, "nobody") == (["interlock.lock_unknown"] if name == "nobody" else [])

    def test_failed_solve_holds(self) -> None:
        s = scene(accepted=MOVE / 2)
        s.plan = replace(s.plan, status=SolveStatus.FAILED)
        plan = s.run()
        assert np.array_equal(power(plan), MOVE / 2)
        assert plan.refresh.all()
        assert codes(plan, "m1") == ["plan.failed"]

    @pytest.mark.parametrize("garbage", [np.nan, np.inf, -np.inf, 1e300])
    def test_figures_that_are_none(self, garbage: float) -> None:
        plan = scene(plan=at(MOVE, 1, garbage), accepted=MOVE / 2).run()
        assert np.array_equal(power(plan)[:3], (MOVE / 2)[:3])
        assert codes(plan, "m1") == ["plan.not_finite"]

    def test_a_plan_of_another_shape(self) -> None:
        s = scene(accepted=MOVE / 2)
        s.plan = replace(s.plan, inject_w=np.zeros(5))
        assert np.array_equal(power(s.run()), MOVE / 2)

    def test_dead_bus_by_the_mims_own_voltage(self) -> None:
        s = scene(accepted=MOVE / 2)
        plan = s.ports(voltage_v=at(s.state.ports.voltage_v, 1, 20.0)).run()
        assert plan.release.tolist() == [True, False]
        assert codes(plan, "m1") == ["interlock.dead_bus"]

    def test_dead_bus_upstream_though_the_port_has_voltage(self) -> None:
        """The MIM itself may be what keeps the island up."""
        s = scene(accepted=MOVE / 2)
        plan = s.nodes(voltage_ln_v=at(s.state.nodes.voltage_ln_v, s.node_of("pdu"), 3.0)).run()
        assert plan.release.all()
        assert "pdu" in plan.judgements[0].reason.text

    def test_no_voltage_measured_at_the_port(self) -> None:
        s = scene(accepted=MOVE / 2).ports(voltage_v=np.full(6, np.nan))
        assert codes(s.run(), "m1") == []
        plan = s.nodes(voltage_ln_v=at(s.state.nodes.voltage_ln_v, (s.node_of("r1"), 2), np.nan)).run()
        assert codes(plan, "m1") == ["interlock.voltage_unknown"]
        assert np.array_equal(power(plan), MOVE / 2)


class TestNodes:
    """Racks: 20 A × 0.8 = 16 A, 3680 VA a phase. The pdu: 40 A, 9200 VA. The head: 80 A."""

    def test_overload_is_scaled_away(self) -> None:
        """15 A of load on L3 of rack 1 and 460 W more asked there: 17 A; half of it fits."""
        load = at(LOAD, (2, 2), 3450.0)
        plan = scene(plan=[460, 0, -460, 300, 0, -300], load=load).run()
        assert plan.inject_w[2] == pytest.approx(-230, abs=3)
        assert plan.inject_w[:3].sum() == 0
        assert codes(plan, "m1") == ["limit.node_current"]
        assert "r1 L3 would carry 17.0 A, 16.0 A permitted" in plan.judgements[0].reason.text
        assert np.array_equal(power(plan)[3:], [300, 0, -300])

    def test_harmonics_take_their_part(self) -> None:
        """15 A rms with 40 % distortion: fundamental 13.93 A, harmonics 5.57 A; √(16² − 5.57²) = 15.0 A left."""
        load = at(LOAD, (2, 2), 13.93 * 230)
        s = scene(plan=[690, 0, -690, 0, 0, 0], load=load)
        s.nodes(thd_i_pct=at(s.state.nodes.thd_i_pct, (2, 2), 40.0), current_a=at(s.state.nodes.current_a, (2, 2), 15.0))
        plan = s.run()
        assert 13.93 + -plan.inject_w[2] / 230 == pytest.approx(15.0, abs=0.02)

    def test_low_voltage_raises_the_current(self) -> None:
        """At 207 V 3312 VA are 16 A."""
        load = at(LOAD, (2, 2), 3200.0)
        s = scene(plan=[500, 0, -500, 0, 0, 0], load=load)
        s.nodes(voltage_ln_v=at(s.state.nodes.voltage_ln_v, 2, 207.5))
        assert 3200 - s.run().inject_w[2] == pytest.approx(16 * 207.5, abs=3)

    def test_neutral_of_a_node(self) -> None:
        """5.2 A fundamental neutral permitted once 19.3 A of triplens are in its 20 A."""
        s = scene(plan=[805, -805, 0, 0, 0, 0])
        s.nodes(neutral_a=at(s.state.nodes.neutral_a, 2, np.sqrt(400 - 5.2**2)))
        plan = s.run()
        assert codes(plan, "m1") == ["limit.node_neutral"]
        moved = power(plan)[:2] / 230
        assert abs(moved[0] + moved[1] * np.exp(2j * np.pi / 3)) == pytest.approx(5.17, abs=0.03)

    def test_what_overloads_without_mims_does_not_block_help(self) -> None:
        """20 A of load on a 16 A rack; taking 300 W off L1 helps, though it is still too much."""
        load = at(LOAD, (2, 0), 4600.0)
        plan = scene(load=load).run()
        assert np.array_equal(power(plan), MOVE)
        assert plan.judgements == ()

    def test_nor_may_it_get_worse(self) -> None:
        load = at(LOAD, (2, 0), 4600.0)
        plan = scene(plan=-MOVE, load=load).run()
        assert np.array_equal(power(plan), REST)
        assert codes(plan, "m1") == ["limit.node_current"]
        assert plan.judgements[0].verdict is Verdict.REFUSED

    def test_help_may_not_be_taken_back(self) -> None:
        load = at(LOAD, (2, 0), 4600.0)
        plan = scene(plan=MOVE, accepted=MOVE * 2, load=load).run()
        assert np.array_equal(power(plan), MOVE * 2)

    def test_reverse_power_of_a_head(self) -> None:
        """Loads of 100 W on L1: no more than that may be injected."""
        load = np.zeros((4, 3), complex)
        load[2] = [100, 2000, 2000]
        plan = scene(load=load).run()
        assert 90 < plan.inject_w[0] <= 100
        assert "limit.reverse_power" in codes(plan, "m1")

    def test_a_rack_that_trips_while_its_mim_injects_is_reduced_at_once(self) -> None:
        """The forecast still believes in 2300 W; the meters already see the rack gone and 600 W flowing back."""
        accepted = np.array([800, 0, -800, 0, 0, 0], complex)
        s = scene(plan=accepted, accepted=accepted)
        tripped = LOAD * 0
        tripped[3] = [200, 2300, 2300]
        flow = s.operators.flow(tripped, accepted)
        plan = s.nodes(import_w=flow.real.copy(), import_var=flow.imag.copy()).run()
        assert plan.send[0]
        assert 0 < plan.inject_w[0] <= 200 + 0.005 * 80 * 230 + 1
        assert plan.inject_w[2] == pytest.approx(-plan.inject_w[0], abs=2)
        assert "limit.reverse_power" in codes(plan, "m1")
        assert not power(plan)[3:].any()

    def test_nothing_left_to_feed_releases(self) -> None:
        accepted = np.array([800, 0, -800, 0, 0, 0], complex)
        plan = scene(plan=accepted, accepted=accepted, load=LOAD * 0).run()
        assert plan.release[0]
        assert not power(plan)[:3].any()

    def test_a_failed_solve_is_judged_again_each_cycle(self) -> None:
        accepted = np.array([800, 0, -800, 0, 0, 0], complex)
        load = np.zeros((4, 3), complex)
        load[2] = [400, 2000, 2000]
        s = scene(plan=accepted, accepted=accepted, load=load)
        s.plan = replace(s.plan, status=SolveStatus.FAILED)
        plan = s.run()
        assert 395 <= plan.inject_w[0] <= 400
        assert plan.send[0]

    def test_a_wrong_forecast_is_seen_through(self) -> None:
        """It believes in plenty of load where the meters see 100 W."""
        load = np.zeros((4, 3), complex)
        load[2] = [100, 2000, 2000]
        s = scene(load=load)
        s.forecast = replace(s.forecast, load_w=np.full((4, 3), 3000.0))
        assert s.run().inject_w[0] <= 100 + 0.005 * 80 * 230 + 1

    def test_two_mims_share_one_limit(self) -> None:
        """The pdu has 39 A on L3; each MIM wants 460 W more there, 230 W are left between them: the same share for both."""
        load = np.zeros((4, 3), complex)
        load[1, 2] = 39 * 230
        load[2:, 0] = 2300
        plan = scene(plan=[460, 0, -460, 460, 0, -460], load=load).run()
        assert plan.inject_w[2] == plan.inject_w[5]
        assert -115 <= plan.inject_w[2] <= -110

    def test_absorbing_together_may_not_overload_while_one_that_helps_is_out_of_hand(self) -> None:
        """m2 is silent and may stop helping: the plan must fit without its help too."""
        load = np.zeros((4, 3), complex)
        load[1, 2] = 39.5 * 230
        load[2:, 0] = 2300
        help_va = np.array([0, 0, 0, -460, 0, 460], complex)
        s = scene(plan=[460, 0, -460, -460, 0, 460], accepted=help_va, load=load)
        s.bound(mim_enabled=np.array([True, False]))
        assert -s.run().inject_w[2] <= 0.5 * 230

    def test_one_out_of_hand_may_still_get_to_where_it_was_told_to_go(self) -> None:
        """m2 was just told to absorb 460 W on L3 and has not begun; 2 A of the pdu's 40 A will be gone when it has."""
        load = np.zeros((4, 3), complex)
        load[1, 2] = 37.5 * 230
        load[2:, 0] = 2300
        told = np.array([0, 0, 0, 460, 0, -460], complex)
        s = scene(plan=[460, 0, -460, 460, 0, -460], accepted=told, load=load)
        flow = s.operators.flow(load)
        s.nodes(import_w=flow.real.copy(), import_var=flow.imag.copy()).ports(inject_w=np.zeros(6))
        s.bound(mim_enabled=np.array([True, False]))
        assert -s.run().inject_w[2] <= 0.5 * 230 + 0.005 * 40 * 230


class TestVoltage:
    def test_over_voltage_is_not_made_worse(self) -> None:
        s = scene()
        plan = s.nodes(voltage_ln_v=at(s.state.nodes.voltage_ln_v, (2, 0), 255.0)).run()
        assert codes(plan, "m1") == ["limit.voltage_high"]
        assert np.array_equal(power(plan), REST)

    def test_over_voltage_may_be_relieved(self) -> None:
        s = scene(plan=-MOVE)
        s.nodes(voltage_ln_v=at(s.state.nodes.voltage_ln_v, (2, 0), 255.0))
        assert np.array_equal(power(s.run()), -MOVE)

    def test_under_voltage_is_not_made_worse(self) -> None:
        s = scene(plan=-MOVE)
        plan = s.nodes(voltage_ln_v=at(s.state.nodes.voltage_ln_v, (2, 0), 205.0)).run()
        assert "limit.voltage_low" in codes(plan, "m1")
        assert np.array_equal(power(plan), REST)

    def test_the_edge_of_the_band_is_seen_coming(self) -> None:
        """252.9 V is 0.1 V inside the band; the path has 60 mΩ and hardly any source: 300 W at 230 V raise 78 mV."""
        volts = 252.9
        s = scene()
        s.nodes(voltage_ln_v=at(s.state.nodes.voltage_ln_v, (2, 0), volts))
        assert np.array_equal(power(s.run()), MOVE)
        s = scene(plan=2 * MOVE)
        s.nodes(voltage_ln_v=at(s.state.nodes.voltage_ln_v, (2, 0), volts))
        assert 300 < s.run().inject_w[0] < 400


class TestWrites:
    def test_inside_the_deadband_the_setpoint_stands(self) -> None:
        accepted = np.array([320, 0, -320, 0, 0, 0], complex)
        s = scene(accepted=accepted, deadband_a=0.1)
        s.accepted = replace(s.accepted, changed_at_s=np.full(2, s.now_s - 10.0))
        plan = s.run()
        assert np.array_equal(power(plan), accepted)
        assert plan.refresh.all()

    def test_half_of_the_deadband_is_enough_for_a_setpoint_that_moves(self) -> None:
        accepted = np.array([320, 0, -320, 0, 0, 0], complex)  # 20 W at 230 V are 0.087 A
        for deadband_a, moved in ((0.17, True), (0.18, False)):
            s = scene(accepted=accepted, deadband_a=deadband_a)
            s.accepted = replace(s.accepted, changed_at_s=np.full(2, s.now_s - 1.0))
            assert np.array_equal(power(s.run()), MOVE if moved else accepted)

    def test_a_setpoint_stands_for_its_dwell_unless_the_move_is_large(self) -> None:
        accepted = np.array([320, 0, -320, 0, 0, 0], complex)
        for since_s, start, moved in ((5.0, accepted, False), (31.0, accepted, True), (5.0, -3 * accepted, True)):
            s = scene(accepted=start)
            s.plan = replace(s.plan, dwell_s=30.0)
            s.accepted = replace(s.accepted, changed_at_s=np.full(2, s.now_s - since_s))
            assert np.array_equal(power(s.run()), MOVE if moved else start)

    def test_a_mim_that_is_to_move_at_once_waits_for_neither(self) -> None:
        accepted = np.array([320, 0, -320, 0, 0, 0], complex)
        for at_once, moved in (([True, False], True), ([False, True], False)):
            s = scene(accepted=accepted, deadband_a=1.0)
            s.plan = replace(s.plan, dwell_s=30.0, mim_at_once=np.array(at_once))
            s.accepted = replace(s.accepted, changed_at_s=np.full(2, s.now_s - 5.0))
            assert np.array_equal(power(s.run()), MOVE if moved else accepted)

    def test_moves_to_safety_ignore_it(self) -> None:
        load = np.zeros((4, 3), complex)
        load[2] = [300, 2000, 2000]
        s = scene(accepted=MOVE * 1.1, load=load, deadband_a=5.0)
        s.plan = replace(s.plan, dwell_s=3600.0)
        plan = s.run()
        assert plan.send[0]
        assert 295 <= plan.inject_w[0] <= 300

    def test_release_all_asks_nothing(self) -> None:
        plan = scene().judge.release_all(5.0)
        assert plan.release.all()
        assert not power(plan).any()
        assert plan.judged_at_s == 5.0
        assert len(plan.judgements) == 2


def test_a_site_without_mims() -> None:
    s = Scene(site((node("head", None),), ()), np.zeros((1, 3), complex), np.zeros(0, complex), np.zeros(0, complex))
    assert s.run().judgements == ()
    assert s.judge.release_all(1.0).inject_w.shape == (0,)


def test_a_mim_between_two_feeds_answers_to_both() -> None:
    nodes = (node("A", None), node("B", None))
    bridge = mim("ab", ("A", "L1"), ("B", "L1"))
    s = Scene(
        site(nodes, (bridge, three("m", "A"))),
        np.array([[2300.0] * 3, [100.0] * 3], complex),
        np.zeros(5, complex),
        np.array([-500, 500, 0, 0, 0], complex),
    )
    assert 95 <= s.run().inject_w[1] <= 100
    s.nodes(taken_at_s=np.array([NOW_S, np.nan]))
    assert s.run().release.tolist() == [True, False]


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="out of range"):
        SafetySettings(resolution=0.0)
