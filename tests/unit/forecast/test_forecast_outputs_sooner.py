"""A device that acts sooner than declared: what it did is not counted twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
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


def test_by_what_was_declared_it_would_be_counted_twice():
    assert acted_early().at(40.0)[:3] == pytest.approx(2 * TOLD)


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
