"""Measured against declared delays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import START, rack_site, state_of

from mimctl.control.events import EventLog
from mimctl.control.response import ResponseWatch, declared_s
from mimctl.model.clock import VirtualClock
from mimctl.model.latency import WIRED, Latency, LatencyClass
from mimctl.model.layout import SiteLayout

RADIO = Latency(LatencyClass.MEDIUM, delay_s=2.0, command_every_s=30.0, report_every_s=1.0)


def watch_steps(
    true_delay_s: int, *, latency: Latency = RADIO, steps: int = 4
) -> tuple[ResponseWatch, np.ndarray | None, EventLog]:
    """A MIM that jumps to its setpoint after its true delay, reports each second, and gets another setpoint each half minute."""
    site = rack_site(1)
    site = replace(site, mims=(replace(site.mims[0], latency=latency, response_s=0.0),))
    layout, events = SiteLayout(site), EventLog(VirtualClock(START))
    watch = ResponseWatch(layout, events, period_s=1.0)
    told, old, told_at, gains = np.zeros(3, complex), np.zeros(3, complex), -np.inf, None
    for second in range(30 * steps):
        if second % 30 == 0:
            old, told, told_at = told, np.array([1.0, -1.0, 0.0]) * (1500 if (second // 30) % 2 == 0 else -1500) + 0j, second + 0.0
        output = told if second - told_at >= true_delay_s else old
        state = state_of(site, np.zeros((3, 3), complex), output, now_s=float(second), mim_taken_s=float(second))
        gains = watch.gains(state, told, np.array([told_at]))
    return watch, gains, events


def test_a_device_that_keeps_its_word_moves_at_once():
    watch, gains, events = watch_steps(2)
    assert gains is None
    assert watch.measured_s(0) == pytest.approx(2.0, abs=1.0)
    assert not events.open()


def test_a_device_that_is_much_later_is_moved_in_parts_and_told():
    watch, gains, events = watch_steps(12)
    assert watch.measured_s(0) == pytest.approx(12.0, abs=1.0)
    # 12 s are one command period of 30 s: half of 2·sin(π/6) = 0.5
    assert gains is not None
    assert gains.tolist() == pytest.approx([0.5])
    assert [event.code for event in events.open()] == ["mim.slower_than_declared"]
    assert "12 s" in events.open()[0].text or "11 s" in events.open()[0].text


def test_one_or_two_steps_prove_nothing():
    watch, gains, _ = watch_steps(12, steps=2)
    assert gains is None
    assert watch.measured_s(0) is None


def test_wired_mims_are_not_watched():
    watch, gains, _ = watch_steps(12, latency=WIRED)
    assert gains is None
    assert watch.measured_s(0) is None


def test_half_of_a_ramp_takes_half_its_time():
    mim = replace(rack_site(1).mims[0], latency=RADIO, response_s=3.0, ramp_w_per_s=100.0)
    # 2 s delay + ln 2 of a time constant of 1 s + half of 10 s
    assert declared_s(mim, 1000.0) == pytest.approx(2.0 + 0.6931 + 5.0, abs=1e-3)
