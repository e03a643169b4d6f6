"""Measured against declared delays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import START, rack_site, state_of

from mimctl.control.delays.response import ResponseWatch, declared_s
from mimctl.control.events import EventLog
from mimctl.model.clock import VirtualClock
from mimctl.model.latency import TYPICAL, WIRED, Latency, LatencyClass
from mimctl.model.layout import SiteLayout

RADIO = Latency(LatencyClass.MEDIUM, delay_s=6.0, command_every_s=30.0, report_every_s=1.0)
SLOW = TYPICAL[LatencyClass.SLOW]


def watch(true_delay_s: int, *, latency: Latency = RADIO, commands: int = 12, report_every_s: int = 1, moves: bool = True):
    """A MIM that jumps to each setpoint after its true delay; random setpoints come as often as its medium carries them."""
    site = rack_site(1)
    site = replace(site, mims=(replace(site.mims[0], latency=latency, response_s=0.0),))
    layout, events = SiteLayout(site), EventLog(VirtualClock(START))
    responses = ResponseWatch(layout, events, period_s=1.0)
    rng, every_s = np.random.default_rng(1), int(latency.command_every_s) or 1
    told, gains, seen = [np.zeros(3, complex)] * 400, None, 0
    for second in range(every_s * commands):
        if second % every_s == 0:
            watts = rng.uniform(-1800, 1800) if moves else 10.0 * (second % 2)
            setpoint, told_at = np.array([watts, -watts, 0.0]) + 0j, float(second)
        told.append(setpoint)
        seen = second if second % report_every_s == 0 else seen
        output = told[len(told) - 1 - (second - seen) - true_delay_s]
        state = state_of(site, np.zeros((3, 3), complex), output, now_s=float(second), mim_taken_s=float(seen))
        gains = responses.gains(state, setpoint, np.array([told_at]))
    return responses, gains, [event.code for event in events.open()]


@pytest.mark.parametrize("true_delay_s", [0, 4, 6, 7])
def test_a_device_that_keeps_its_word_moves_at_once(true_delay_s):
    responses, gains, events = watch(true_delay_s)
    assert gains is None
    assert responses.measured_s(0) == pytest.approx(true_delay_s, abs=1.0)
    assert events == []


@pytest.mark.parametrize(("true_delay_s", "modelled_s"), [(0, 0.0), (2, 2.0), (4, 4.0), (6, 6.0), (20, 6.0)])
def test_a_device_is_modelled_as_soon_as_it_acts_and_never_later_than_declared(true_delay_s, modelled_s):
    responses, _, _ = watch(true_delay_s)
    assert responses.delays_s() == pytest.approx([modelled_s], abs=1.0)


def test_a_device_that_is_much_later_is_moved_in_parts_and_told():
    responses, gains, events = watch(20)
    assert responses.measured_s(0) == pytest.approx(20.0, abs=1.0)
    # 20 s are one command period of 30 s: half of 2·sin(π/6) = 0.5
    assert gains is not None
    assert gains.tolist() == pytest.approx([0.5])
    assert events == ["mim.slower_than_declared"]


def test_seldom_reports_and_a_delay_longer_than_the_pace_of_commands_are_told_apart():
    responses, gains, events = watch(70, latency=SLOW, report_every_s=60)
    # with a report and a command a minute, 70 s cannot be told from any other delay above one minute
    assert 60.0 <= responses.measured_s(0) <= 72.0
    assert gains is not None
    assert gains.tolist() == pytest.approx([np.sin(np.pi / 10)])  # two periods: half of 2·sin(π/10)
    assert events == ["mim.slower_than_declared"]


def test_few_commands_or_small_moves_prove_nothing():
    for few in (watch(20, commands=1), watch(20, moves=False)):
        assert few[0].measured_s(0) is None
        assert few[1] is None


def test_wired_mims_are_not_watched():
    assert watch(0, latency=WIRED)[0].delays_s() is None
    responses, gains, _ = watch(20, latency=WIRED)
    assert responses.measured_s(0) is None
    assert gains is None


def test_half_of_a_first_order_response_is_there_after_ln_2():
    mim = replace(rack_site(1).mims[0], latency=RADIO, response_s=3.0)
    assert declared_s(mim) == pytest.approx(6.0 + 0.6931, abs=1e-3)
