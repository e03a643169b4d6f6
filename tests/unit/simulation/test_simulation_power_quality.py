"""Figures of distortion of a scenario, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders import rack_site
from mimctl.model.harmonics import HarmonicLimits
from mimctl.model.layout import SiteLayout
from mimctl.simulation.power_quality import METRICS, PowerQuality
from mimctl.twin.harmonics import HarmonicFlow


def layout() -> SiteLayout:
    """feed → pdu → rack1; the PDU has limits by Isc/IL = 30 (TDD 8 %) of 100 A."""
    site = rack_site(1)
    limits = HarmonicLimits(isc_il=30.0, demand_a=100.0)
    return SiteLayout(replace(site, nodes=tuple(replace(n, harmonic_limits=limits) if n.id == "pdu" else n for n in site.nodes)))


def flow(third_a: float, fifth_a: float) -> HarmonicFlow:
    """The same at every node: order 3 and 5 on L1 alone, 2 V of order 5."""
    current, voltage = np.zeros((3, 3, 2), complex), np.zeros((3, 3, 2), complex)
    current[:, 0] = [third_a, 1j * fifth_a]
    voltage[:, 0, 1] = 2.0
    nothing = np.full((3, 3), np.nan)
    return HarmonicFlow(
        orders=np.array([3.0, 5.0]),
        current_a=current,
        voltage_v=voltage,
        thd_i_pct=nothing,
        thd_v_pct=nothing,
        neutral_a=np.full(3, np.hypot(third_a, fifth_a)),
        loss_w=np.array([1.0, 2.0, 4.0]),
    )


def fundamental(amperes: float) -> tuple[np.ndarray, np.ndarray]:
    current = np.zeros((3, 3), complex)
    current[:, 0] = amperes
    return current, np.full((3, 3), 200.0 + 0j)


def test_means_peaks_and_losses():
    score = PowerQuality(layout())
    score.add(flow(6.0, 8.0), *fundamental(50.0), 3.0, 10.0)
    score.add(flow(3.0, 4.0), *fundamental(50.0), 0.0, 30.0)
    found = score.summary()
    node = found["nodes"]["pdu"]
    assert tuple(node) == METRICS
    # 10 A for 10 s, 5 A for 30 s: 6.25 A on average, of 50 A and of a demand of 100 A
    assert node["thd_i_mean_pct"] == pytest.approx(12.5)
    assert (node["tdd_mean_pct"], node["tdd_max_pct"], node["tdd_limit_pct"]) == pytest.approx((6.25, 10.0, 8.0))
    assert (node["thd_v_mean_pct"], node["thd_v_max_pct"], node["thd_v_limit_pct"]) == pytest.approx((1.0, 1.0, 8.0))
    # neutral: fundamental and harmonics of L1 come back through it
    assert node["neutral_a_mean"] == pytest.approx((np.hypot(50, 10) * 10 + np.hypot(50, 5) * 30) / 40)
    # K = Σ(h·I)²/ΣI²: (50² + (3·6)² + (5·8)²)/(50² + 10²)
    assert node["k_factor_max"] == pytest.approx((2500 + 324 + 1600) / 2600)
    # odd orders below 11 may have 7 % at Isc/IL = 30; 8 A of order 5 are 8 % of 100 A
    assert node["ieee519_worst_pct"] == pytest.approx(100 * 8 / 7)
    assert node["loss_kwh"] == pytest.approx(2.0 * 40 / 3.6e6)
    assert node["tdd_p95_pct"] is None
    site = found["site"]
    assert (site["loss_kwh"], site["filter_loss_kwh"]) == pytest.approx((7.0 * 40 / 3.6e6, 30 / 3.6e6))
    assert site["over_limit_min"] == pytest.approx(10 / 60)


def test_nodes_without_limits_have_none_and_little_current_has_no_ratio():
    score = PowerQuality(layout())
    score.add(flow(0.1, 0.1), *fundamental(0.2), 0.0, 600.0)
    node = score.summary()["nodes"]["rack1"]
    assert (node["tdd_limit_pct"], node["thd_v_limit_pct"], node["ieee519_worst_pct"]) == (None, None, None)
    assert (node["thd_i_mean_pct"], node["k_factor_max"]) == (None, None)
    assert node["tdd_p95_pct"] == pytest.approx(100 * np.hypot(0.1, 0.1) / (0.8 * 63.0))
