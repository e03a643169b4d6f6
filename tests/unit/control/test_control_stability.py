"""Stability margins from declared delays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import rack_site

from mimctl.control.delays.stability import loop_margins, tolerated_periods
from mimctl.model.latency import TYPICAL, LatencyClass


def rings(share: float, periods: int, late: int) -> bool:
    """The loop itself, step by step, instead of its polynomial: x follows a load that is wrongly reconstructed."""
    x = np.zeros(30_000)
    x[: periods + late + 1] = 1e-6 * np.arange(periods + late + 1)
    for k in range(periods + late, len(x) - 1):
        load = x[k - periods] - x[k - periods - late]
        x[k + 1] = x[k] + share * (-load - x[k])
        if abs(x[k + 1]) > 1.0:
            return True
    return False


@pytest.mark.parametrize("share", [1.0, 0.632, 0.3])
@pytest.mark.parametrize("periods", [0, 1, 2])
def test_tolerance_is_where_the_stepped_loop_starts_to_ring(share, periods):
    most = tolerated_periods(share, periods)
    assert not any(rings(share, periods, late) for late in {most // 2, most} - {0})
    assert most == 60 or rings(share, periods, most + 1)  # further out nobody looks


def test_margins_of_a_mixed_zone():
    site = rack_site(3)
    kinds = (LatencyClass.FAST, LatencyClass.MEDIUM, LatencyClass.SLOW)
    site = replace(site, mims=tuple(replace(mim, latency=TYPICAL[kind]) for mim, kind in zip(site.mims, kinds, strict=True)))
    fast, medium, slow = loop_margins(site)
    assert (fast.kind, fast.every_s, fast.dead_s, fast.periods, fast.later_s) == (LatencyClass.FAST, 1.0, 1.0, 1, 0.0)
    assert fast.gain_limit == pytest.approx(1.0)  # 2·sin(π/6)
    assert (medium.every_s, medium.dead_s, medium.later_s) == (5.0, 3.0, 5.0)
    assert (slow.every_s, slow.dead_s, slow.later_s) == (60.0, 31.0, 60.0)
    # five seconds by the default of the site file, or three reports that are missing
    assert (fast.report_age_s, medium.report_age_s, slow.report_age_s) == (5.0, 15.0, 180.0)


def test_in_a_slow_zone_reports_may_be_three_cycles_old():
    site = rack_site(1)
    (fast,) = loop_margins(replace(site, zones=tuple(replace(zone, cycle_s=2.0) for zone in site.zones)))
    assert fast.report_age_s == 6.0
