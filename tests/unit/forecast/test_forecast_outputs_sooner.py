"""A device that acts sooner than declared: what it did is not counted twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import rack_site

from mimctl.forecast.outputs import OutputModel
from mimctl.model.latency import Latency, LatencyClass
from mimctl.model.layout import SiteLayout

SLOW = Latency(LatencyClass.SLOW, delay_s=30.0, command_every_s=60.0, report_every_s=60.0)
TOLD = np.array([600.0, 0.0, -600.0]) + 0j
#: both heard from
BOTH = np.array([True, True])


def model() -> OutputModel:
    """Two MIMs that act at once when their delay is over: one slow, one wired."""
    site = rack_site(2)
    slow, wired = (replace(mim, response_s=0.0) for mim in site.mims)
    return OutputModel(SiteLayout(replace(site, mims=(replace(slow, latency=SLOW), wired))))


def acted_early() -> OutputModel:
    """Told at 0 s, the slow one shows at 5 s that it has done it."""
    outputs = model()
    outputs.commanded(0.0, np.concatenate([TOLD, TOLD]))
    outputs.reported(np.array([5.0, 5.0]), np.concatenate([TOLD, TOLD]), BOTH)
    return outputs


def test_also_by_what_was_declared_it_is_never_counted_twice():
    outputs = acted_early()
    for instant_s in (6.0, 29.0, 31.0, 60.0):
        assert outputs.at(instant_s)[:3] == pytest.approx(TOLD)
        assert outputs.each_at(np.array([instant_s]), np.array([2])) == pytest.approx(np.array([-600.0]))


@given(
    declared_s=st.floats(0, 60),
    really_s=st.floats(0, 90),
    told=st.lists(st.floats(-2000, 2000), min_size=1, max_size=6),
    reports_at_s=st.lists(st.floats(0, 300), max_size=6, unique=True),
    asked_s=st.floats(0, 360),
)
@settings(max_examples=200)
def test_whatever_its_delay_a_port_is_taken_to_be_between_all_that_it_was_told(declared_s, really_s, told, reports_at_s, asked_s):
    """Commands a minute apart; reports of what it really does, at any instants; a wrong delay makes no move larger than it was."""
    site = rack_site(1)
    late = replace(SLOW, delay_s=declared_s)
    outputs = OutputModel(SiteLayout(replace(site, mims=(replace(site.mims[0], latency=late, response_s=0.0),))))

    def really(instant_s: float) -> float:
        acted = [power for n, power in enumerate(told) if 60.0 * n + really_s <= instant_s]
        return acted[-1] if acted else 0.0

    steps = [(60.0 * n, "told", power) for n, power in enumerate(told)] + [(at_s, "seen", really(at_s)) for at_s in reports_at_s]
    for at_s, what, power in sorted(step for step in steps if step[0] <= asked_s):
        vector = np.array([power, 0, -power], dtype=np.complex128)
        if what == "told":
            outputs.commanded(at_s, vector)
        else:
            outputs.reported(np.array([at_s]), vector, np.array([True]))
    known = [0.0, *(power for n, power in enumerate(told) if 60.0 * n <= asked_s)]
    found = outputs.at(asked_s)
    assert min(known) - 1e-6 <= found[0].real <= max(known) + 1e-6
    assert found[2].real == pytest.approx(-found[0].real, abs=1e-6)


def test_what_a_device_does_by_itself_it_goes_on_doing():
    """7 W more at every port than it was told, as one that keeps its DC link in balance: that is no question of delay."""
    outputs = model()
    outputs.commanded(0.0, np.concatenate([TOLD, TOLD]))
    outputs.reported(np.array([60.0, 60.0]), np.concatenate([TOLD, TOLD]) + 7.0, BOTH)
    assert outputs.at(61.0)[:3] == pytest.approx(TOLD + 7.0)
    outputs.commanded(62.0, np.concatenate([2 * TOLD, TOLD]))
    assert outputs.at(100.0)[:3] == pytest.approx([1207.0, 7.0, -1193.0])


def test_a_device_that_delivers_half_is_taken_for_one():
    outputs = model()
    outputs.commanded(0.0, np.concatenate([TOLD, TOLD]))
    outputs.reported(np.array([60.0, 60.0]), np.concatenate([TOLD, TOLD]) / 2, BOTH)
    assert outputs.at(70.0) == pytest.approx(np.concatenate([TOLD, TOLD]) / 2)
    outputs.commanded(80.0, np.concatenate([2 * TOLD, TOLD]))
    # the move counts in full until the next report tells how much of it came out
    assert outputs.at(120.0)[0] == pytest.approx(900.0)
    outputs.reported(np.array([120.0, 120.0]), np.concatenate([2 * TOLD, TOLD]) / 2, BOTH)
    assert outputs.at(130.0)[:3] == pytest.approx(TOLD)


def test_once_it_is_known_to_act_sooner_it_counts_once_from_then_on():
    outputs = acted_early()
    outputs.acts_after(np.array([2.0, 0.0]))
    for instant_s in (6.0, 29.0, 31.0, 60.0):
        assert outputs.at(instant_s) == pytest.approx(np.concatenate([TOLD, TOLD]))
    outputs.commanded(60.0, np.zeros(6, dtype=np.complex128))
    assert outputs.at(61.0)[:3] == pytest.approx(TOLD), "not before its delay is over"
    assert outputs.at(63.0) == pytest.approx(np.zeros(6))
    ports = np.array([0, 3])
    assert outputs.each_at(np.array([61.0, 61.0]), ports) == pytest.approx(np.array([600.0, 0.0]))


def test_what_is_known_no_better_changes_nothing():
    first, second = acted_early(), acted_early()
    second.acts_after(None)
    second.acts_after(np.array([30.0, 0.0]))
    assert second.at(40.0) == pytest.approx(first.at(40.0))


def test_a_device_that_never_reported_has_nothing_to_be_held_against():
    outputs = model()
    outputs.commanded(0.0, np.concatenate([TOLD, TOLD]))
    outputs.acts_after(np.array([2.0, 0.0]))
    assert outputs.at(1.0)[:3] == pytest.approx(np.zeros(3))
    assert outputs.at(3.0) == pytest.approx(np.concatenate([TOLD, TOLD]))
