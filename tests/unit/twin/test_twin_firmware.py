"""What a controller may rely on in a MIM: sequence, watchdog, ramps, ratings, the balance of its DC link."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import rack_site
from mimctl.model.layout import SiteLayout
from mimctl.model.site import Battery, ExpiryAction, LossModel, Mim, Site
from mimctl.twin.droop import VoltVarDroop
from mimctl.twin.firmware import MimFleet
from mimctl.twin.status import Alarm, CommandStatus

LOSSES = LossModel(standby_w=8.0, linear=0.012, quadratic_per_va=2e-6)


def site(racks: int = 1, *, battery: bool = False, **mim: object) -> Site:
    plain = rack_site(racks)
    mims = tuple(replace(m, **mim) for m in plain.mims)  # type: ignore[arg-type]
    stores = (Battery("b", "mim-rack1", 2000.0, 3000.0, 3000.0, round_trip_efficiency=0.81),) if battery else ()
    return replace(plain, mims=mims, batteries=stores)


def fleet_of(described: Site, *, running: bool = True, **options: float) -> MimFleet:
    fleet = MimFleet(SiteLayout(described), **options)
    if running:
        for m in range(len(described.mims)):
            fleet.enable(m, True)
            fleet.heartbeat(m, 1)
    return fleet


def beat(fleet: MimFleet, until_s: float, m: int = 0) -> None:
    """Live on to `until_s` with a heartbeat every second."""
    while fleet.now_s < until_s:
        fleet.heartbeat(m, int(fleet.now_s * 1000) + 2)
        fleet.advance_to(min(fleet.now_s + 1.0, until_s))


class TestCommands:
    def test_applied_only_when_the_sequence_changes(self) -> None:
        fleet = fleet_of(site())
        fleet.apply(0, (100, -100, 0), (0, 0, 0), 1)
        fleet.apply(0, (900, -900, 0), (0, 0, 0), 1)
        fleet.advance_to(8.0)
        np.testing.assert_allclose(fleet.inject_va.real, [100, -100, 0], atol=1e-3)
        fleet.apply(0, (900, -900, 0), (0, 0, 0), 2)
        assert fleet.sequence_ack[0] == 2

    def test_sequence_counts_modulo_its_width(self) -> None:
        fleet = fleet_of(site())
        fleet.apply(0, (1, 0, 0), (0, 0, 0), 2**32 - 1)
        assert fleet.sequence_ack[0] == 2**32 - 1
        fleet.apply(0, (0, 0, 0), (0, 0, 0), 2**32)
        assert fleet.sequence_ack[0] == 0

    def test_clipped_to_the_rating_along_the_ray(self) -> None:
        fleet = fleet_of(site())
        fleet.apply(0, (3000, -1000, 0), (4000, 0, 0), 1)
        assert fleet.command_status[0] == CommandStatus.CLIPPED
        np.testing.assert_allclose(fleet.setpoint_va, [1200 + 1600j, -1000, 0])

    @pytest.mark.parametrize("values", [(math.nan, 0, 0), (math.inf, 0, 0), (1, 2)])
    def test_nonsense_is_rejected_and_not_echoed(self, values: tuple[float, ...]) -> None:
        fleet = fleet_of(site())
        fleet.apply(0, (5, 0, 0), (0, 0, 0), 1)
        fleet.apply(0, values, (0,) * len(values), 2)
        assert (fleet.command_status[0], fleet.sequence_ack[0]) == (CommandStatus.REJECTED, 1)
        assert fleet.setpoint_va[0] == 5

    def test_rejected_while_switched_off_or_unwatched(self) -> None:
        fleet = fleet_of(site(), running=False)
        fleet.heartbeat(0, 1)
        fleet.apply(0, (5, 0, 0), (0, 0, 0), 1)
        assert (fleet.command_status[0], fleet.sequence_ack[0]) == (CommandStatus.REJECTED, 0)
        other = fleet_of(site(), running=False)
        other.enable(0, True)
        other.apply(0, (5, 0, 0), (0, 0, 0), 1)
        assert other.command_status[0] == CommandStatus.REJECTED

    def test_a_release_is_acknowledged(self) -> None:
        fleet = fleet_of(site())
        fleet.apply(0, (500, -500, 0), (0, 0, 0), 1)
        fleet.advance_to(3.0)
        fleet.enable(0, False)
        fleet.apply(0, (0, 0, 0), (0, 0, 0), 2)
        assert (fleet.command_status[0], fleet.sequence_ack[0]) == (CommandStatus.OK, 2)
        fleet.advance_to(4.0)
        assert not fleet.inject_va.any()
        assert fleet.mim_loss_w[0] == 0


class TestWatchdog:
    @pytest.mark.parametrize("step_s", [0.05, 0.7, 30.0])
    def test_expiry_starts_within_its_spread_and_is_over_a_second_after(self, step_s: float) -> None:
        fleet = fleet_of(site(8, validity_s=5.0))
        for m in range(8):
            fleet.apply(m, (1000, -1000, 0), (300, 0, 0), 1)
        over_s = np.full(8, np.inf)
        while fleet.now_s < 12.0:
            fleet.advance_to(fleet.now_s + step_s)
            size = np.abs(fleet.inject_va).reshape(8, 3).max(axis=1)
            if fleet.now_s < 5.0:
                assert (fleet.command_status == CommandStatus.OK).all()
            if fleet.now_s >= 6.0:
                assert (fleet.command_status == CommandStatus.REVERTED).all()
                over_s = np.where(size < 10.0, np.minimum(over_s, fleet.now_s), over_s)
        assert (over_s <= max(6.0, step_s) + step_s).all()
        assert (fleet.alarms & Alarm.WATCHDOG_EXPIRED).all()

    def test_the_site_does_not_step_as_one(self) -> None:
        fleet = fleet_of(site(8, validity_s=5.0))
        for m in range(8):
            fleet.apply(m, (1000, -1000, 0), (0, 0, 0), 1)
        largest, before = 0.0, None
        while fleet.now_s < 6.5:
            fleet.advance_to(fleet.now_s + 0.05)
            total = fleet.inject_va[0::3].real.sum()
            if before is not None and fleet.now_s > 5.0:
                largest = max(largest, before - total)
            before = total
        assert largest < 0.3 * 8000

    def test_the_same_history_whatever_the_steps(self) -> None:
        outputs = []
        for steps in ([7.0], [5.05, 5.4, 7.0], np.arange(0.1, 7.01, 0.1)):
            fleet = fleet_of(site(3, validity_s=5.0, ramp_w_per_s=400.0))
            for m in range(3):
                fleet.apply(m, (1000, -1000, 0), (200, 0, 0), 1)
            for t in steps:
                fleet.advance_to(float(t))
            fleet.advance_to(7.05)
            outputs.append(fleet.inject_va.copy())
        np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-6)
        np.testing.assert_allclose(outputs[2], outputs[0], atol=1e-6)

    def test_only_a_changed_heartbeat_feeds(self) -> None:
        fleet = fleet_of(site(validity_s=5.0))
        fleet.advance_to(4.0)
        fleet.heartbeat(0, 1)
        assert fleet.watchdog_remaining_s[0] == pytest.approx(1.0)
        fleet.apply(0, (1, 0, 0), (0, 0, 0), 1)
        assert fleet.watchdog_remaining_s[0] == pytest.approx(1.0)
        fleet.heartbeat(0, 7)
        assert fleet.watchdog_remaining_s[0] == pytest.approx(5.0)

    def test_a_late_heartbeat_brings_nothing_back(self) -> None:
        fleet = fleet_of(site(validity_s=5.0))
        fleet.apply(0, (1000, -1000, 0), (0, 0, 0), 1)
        fleet.advance_to(7.0)
        fleet.heartbeat(0, 9)
        fleet.advance_to(9.0)
        assert np.abs(fleet.inject_va).max() < 1.0
        assert fleet.command_status[0] == CommandStatus.REVERTED
        fleet.apply(0, (100, -100, 0), (0, 0, 0), 2)
        assert fleet.command_status[0] == CommandStatus.OK
        assert not fleet.alarms[0]

    @pytest.mark.parametrize(
        ("action", "expected"),
        [
            (ExpiryAction.ZERO, (0, 0, 0)),
            (ExpiryAction.REVERT, (200, -200, 0)),
            (ExpiryAction.DISCONNECT, (0, 0, 0)),
            (ExpiryAction.HOLD, (1000, -1000, 0)),
        ],
    )
    def test_expiry_actions(self, action: ExpiryAction, expected: tuple[float, ...]) -> None:
        fleet = fleet_of(site(validity_s=5.0, expiry_action=action))
        fleet.set_fallback(0, (200, -200, 0), (0, 0, 0))
        fleet.apply(0, (1000, -1000, 0), (0, 0, 0), 1)
        fleet.advance_to(6.5)
        np.testing.assert_allclose(fleet.inject_va.real, expected, atol=0.5)
        assert fleet.enabled[0] == (action is not ExpiryAction.DISCONNECT)
        assert fleet.command_status[0] == CommandStatus.REVERTED

    def test_the_watchdog_is_never_off_and_only_shortened_on_the_way(self) -> None:
        fleet = fleet_of(site(validity_s=5.0))
        for seconds in (0.0, -1.0, math.inf, math.nan):
            with pytest.raises(ValueError, match="above zero"):
                fleet.set_watchdog(0, seconds)
        fleet.set_watchdog(0, 60.0)
        assert fleet.watchdog_remaining_s[0] == pytest.approx(5.0)
        fleet.set_watchdog(0, 2.0, ExpiryAction.HOLD)
        assert fleet.watchdog_remaining_s[0] == pytest.approx(2.0)


class TestResponse:
    def test_95_per_cent_after_the_response_time(self) -> None:
        fleet = fleet_of(site(response_s=2.0))
        fleet.apply(0, (1000, -1000, 0), (0, 400, 0), 1)
        fleet.advance_to(2.0)
        np.testing.assert_allclose(fleet.inject_va, np.array([1000, -1000 + 400j, 0]) * 0.95, atol=1e-6)

    def test_the_ramp_holds_on_the_fastest_port_and_keeps_the_direction(self) -> None:
        fleet = fleet_of(site(ramp_w_per_s=100.0, response_s=0.001, validity_s=60.0))
        fleet.apply(0, (600, -1200, 600), (0, 0, 0), 1)
        fleet.advance_to(3.0)
        np.testing.assert_allclose(fleet.inject_va.real, [150, -300, 150], atol=0.1)
        fleet.advance_to(13.0)
        np.testing.assert_allclose(fleet.inject_va.real, [600, -1200, 600], atol=1e-6)

    def test_a_lag_behind_a_ramp_by_hand(self) -> None:
        """A first-order lag τ behind r = v·t is at v·(t − τ·(1 − e^(−t/τ)))."""
        tau = 3.0 / -math.log(0.05)
        fleet = fleet_of(site(ramp_w_per_s=100.0, response_s=3.0, validity_s=60.0))
        fleet.apply(0, (1000, -1000, 0), (0, 0, 0), 1)
        fleet.advance_to(4.0)
        assert fleet.inject_va[0].real == pytest.approx(100 * (4 - tau * (1 - math.exp(-4 / tau))))


class TestDcLink:
    def test_without_storage_the_losses_come_in_evenly(self) -> None:
        fleet = fleet_of(site(losses=LOSSES))
        fleet.apply(0, (1000, -1000, 0), (0, 0, 0), 1)
        fleet.advance_to(9.0)
        loss = 8 + 0.012 * 2000 + 2e-6 * 2e6  # first order: the loss itself passes through the ports too
        assert fleet.mim_loss_w[0] == pytest.approx(loss, rel=0.02)
        share = fleet.mim_loss_w[0] / 3
        np.testing.assert_allclose(fleet.inject_va.real, np.array([1000, -1000, 0]) - share, atol=1e-3)

    def test_a_sum_that_the_link_cannot_give_is_absorbed_evenly(self) -> None:
        fleet = fleet_of(site())
        fleet.apply(0, (900, 300, 0), (0, 0, 0), 1)
        fleet.advance_to(9.0)
        np.testing.assert_allclose(fleet.inject_va.real, [500, -100, -400], atol=1e-3)

    def test_absorption_stops_at_a_rating(self) -> None:
        """−1900 can take 100 more; the other two share the rest."""
        fleet = fleet_of(site())
        fleet.apply(0, (1900, 1900, -1900), (0, 0, 0), 1)
        fleet.advance_to(9.0)
        np.testing.assert_allclose(fleet.inject_va.real, [1000, 1000, -2000], atol=1e-3)

    def test_a_battery_gives_and_takes_with_losses(self) -> None:
        fleet = fleet_of(site(battery=True, losses=LOSSES, response_s=1e-6))
        fleet.apply(0, (500, 500, 500), (0, 0, 0), 1)
        beat(fleet, 1e-3)
        start = fleet.soc_pct[0]
        beat(fleet, 360.0)
        drawn_w = 1500 + fleet.mim_loss_w[0]
        assert fleet.discharge_w[0] == pytest.approx(drawn_w)
        # √0.81 = 0.9 each way, of 2000 Wh, for a tenth of an hour
        assert start - fleet.soc_pct[0] == pytest.approx(100 * drawn_w / 0.9 * 0.1 / 2000, rel=1e-3)

    def test_an_empty_battery_gives_nothing_and_a_full_one_takes_nothing(self) -> None:
        fleet = fleet_of(site(battery=True))
        fleet.apply(0, (900, 900, 900), (0, 0, 0), 1)
        beat(fleet, 5400.0)
        assert fleet.soc_pct[0] == pytest.approx(0.0, abs=0.1)
        assert fleet.inject_va.real.sum() == pytest.approx(0.0, abs=20.0)
        fleet.apply(0, (-900, -900, -900), (0, 0, 0), 2)
        beat(fleet, 5400.0 + 4200.0)
        assert fleet.soc_pct[0] == pytest.approx(100.0, abs=0.1)
        assert fleet.inject_va.real.sum() == pytest.approx(0.0, abs=20.0)

    def test_standby_losses_only_while_switched_on(self) -> None:
        fleet = fleet_of(site(2, losses=LOSSES), running=False)
        fleet.enable(1, True)
        fleet.advance_to(1.0)
        assert fleet.mim_loss_w[0] == 0
        assert fleet.mim_loss_w[1] == pytest.approx(8.0, rel=0.02)
        assert fleet.inject_va[3:].real.sum() == pytest.approx(-fleet.mim_loss_w[1])

    @settings(max_examples=60, derandomize=True, deadline=None)
    @given(
        commands=st.lists(
            st.tuples(
                st.floats(0.0, 4.0),
                st.lists(st.floats(-4000, 4000), min_size=6, max_size=6),
                st.sampled_from(["apply", "off", "derate", "quiet"]),
            ),
            min_size=1,
            max_size=8,
        ),
        battery=st.booleans(),
        ramp=st.sampled_from([150.0, math.inf]),
    )
    def test_never_above_the_rating_and_always_in_balance(
        self, commands: list[tuple[float, list[float], str]], battery: bool, ramp: float
    ) -> None:
        described: Site = site(1, battery=battery, losses=LOSSES, ramp_w_per_s=ramp, validity_s=6.0)
        fleet = fleet_of(described)
        for number, (wait_s, values, kind) in enumerate(commands, start=1):
            if kind == "off":
                fleet.enable(0, False)
            elif kind == "derate":
                fleet.derate(0, 0.5 if number % 2 else 1.0)
            elif kind == "apply":
                fleet.enable(0, True)
                fleet.heartbeat(0, 100 + number)
                fleet.apply(0, values[:3], values[3:], number)
            for _ in range(3):
                fleet.advance_to(fleet.now_s + wait_s / 3)
                limit = 2000.0 * fleet.derating[0]
                assert (np.abs(fleet.inject_va) <= limit * (1 + 1e-9)).all()
                discharge = fleet.inject_va.real.sum() + fleet.mim_loss_w[0]
                most = 3000.0 if battery else 0.0
                assert -most - 1e-6 <= discharge <= most + 1e-6
                assert 0 <= fleet.mim_loss_w[0] <= 8 + 3 * (0.012 * 2000 + 2e-6 * 2000**2) + 1e-6


def test_time_does_not_go_back() -> None:
    fleet = fleet_of(site())
    fleet.advance_to(2.0)
    with pytest.raises(ValueError, match="cannot go back"):
        fleet.advance_to(1.0)


def test_a_site_without_mims() -> None:
    fleet = MimFleet(SiteLayout(rack_site(1, mims=False)))
    fleet.advance_to(5.0)
    assert fleet.inject_va.shape == (0,)
    assert fleet.discharge_w.shape == (0,)


def test_warms_up_to_its_full_load_temperature() -> None:
    mim: Mim = site(losses=LOSSES).mims[0]
    assert mim.losses is LOSSES
    fleet = fleet_of(site(losses=LOSSES), ambient_degc=20.0)
    fleet.apply(0, (2000, -1000, -1000), (0, 0, 0), 1)
    beat(fleet, 6000.0)
    assert 40.0 < fleet.temperature_degc[0] < 60.0


def test_droop_supplies_vars_where_the_voltage_is_low() -> None:
    """5 pu of rating per pu of voltage, beyond 2 %: 4 % low gives a tenth of the rating, after its lag."""
    layout = SiteLayout(site())
    fleet = MimFleet(layout, droop=VoltVarDroop(gain=5.0, dead_band_pu=0.02, time_constant_s=2.0))
    fleet.enable(0, True)
    fleet.observe(np.array([0.96, 1.0, 1.2]) * 230.0)
    fleet.advance_to(2.0)
    np.testing.assert_allclose(fleet.inject_va.imag, np.array([200.0, 0.0, -880.0]) * (1 - math.exp(-1)), atol=1e-6)
    assert fleet.inject_va.real.sum() == pytest.approx(0.0, abs=1e-9)
