"""Voltage unbalance by magnitudes and the limits of distortion in a report, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders import rack_site, state_of
from mimctl.analysis.harmonic_limits import node_limits
from mimctl.analysis.report import Analyst
from mimctl.grid.tree import TreeOperators
from mimctl.model.harmonics import HarmonicLimits
from mimctl.model.layout import SiteLayout
from mimctl.model.site import Site
from mimctl.model.state import SiteState


def site(limits: HarmonicLimits | None = None) -> Site:
    base = rack_site(1, mims=False)
    return replace(base, nodes=tuple(replace(n, harmonic_limits=limits) if n.id == "pdu" else n for n in base.nodes))


def image(at: Site, volts: tuple[float, float, float], thd_i_pct: float = 0.0) -> SiteState:
    """10 A on every phase of every node, these voltages at the PDU."""
    state = state_of(at, np.full((3, 3), 2300.0 + 0j))
    voltage = state.nodes.voltage_ln_v.copy()
    voltage[1] = volts
    return replace(state, nodes=replace(state.nodes, voltage_ln_v=voltage, thd_i_pct=np.full((3, 3), thd_i_pct)))


def test_unbalance_by_magnitudes():
    """220, 230 and 240 V: 10 V of 230 from the mean, 20 V from least to largest."""
    where = site()
    report = Analyst(TreeOperators(SiteLayout(where))).report(image(where, (220.0, 230.0, 240.0)))
    assert report.pvur_ieee112_pct is not None
    assert report.pvur_ieee936_pct is not None
    assert report.lvur_nema_pct is not None
    assert report.pvur_ieee112_pct[1] == pytest.approx(100 * 10 / 230)
    assert report.pvur_ieee936_pct[1] == pytest.approx(100 * 20 / 230)
    # lines at 120°: √(a² + ab + b²)
    lines = np.array([np.sqrt(a * a + a * b + b * b) for a, b in ((220, 230), (230, 240), (240, 220))])
    assert report.lvur_nema_pct[1] == pytest.approx(100 * np.abs(lines - lines.mean()).max() / lines.mean(), abs=1e-9)
    assert report.lvur_nema_pct[0] == pytest.approx(0.0, abs=1e-9)


def test_measured_line_voltages_win_and_dead_phases_have_no_rate():
    where = site()
    state = image(where, (0.0, 230.0, 230.0))
    lines = np.full((3, 3), np.nan)
    lines[2] = [400.0, 400.0, 370.0]
    state = replace(state, nodes=replace(state.nodes, voltage_ll_v=lines))
    report = Analyst(TreeOperators(SiteLayout(where))).report(state)
    assert report.pvur_ieee112_pct is not None
    assert report.lvur_nema_pct is not None
    assert np.isnan(report.pvur_ieee112_pct[1])
    assert np.isnan(report.lvur_nema_pct[1])
    assert report.lvur_nema_pct[2] == pytest.approx(100 * 20 / 390)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (HarmonicLimits(), (8.0, np.nan)),
        (HarmonicLimits(thd_v_pct=5.0, tdd_pct=10.0), (5.0, 10.0)),
        (HarmonicLimits(isc_il=60.0), (8.0, 12.0)),
        (HarmonicLimits(isc_il=15.0), (8.0, 5.0)),
        (None, (np.nan, np.nan)),
    ],
)
def test_limits_of_the_standards(limits: HarmonicLimits | None, expected: tuple[float, float]):
    """EN 50160: 8 % at low voltage; IEEE 519: TDD 5 % below Isc/IL = 20, 12 % from 50 to 100."""
    found = node_limits(SiteLayout(site(limits)))
    np.testing.assert_allclose([found.thd_v_pct[1], found.tdd_pct[1]], expected)


def test_tdd_refers_to_the_demand_of_the_site_file():
    """10 A with 20 % are 2 A: 4 % of 50 A, and 1.25 % of a limit for hours of 0.8 · 200 A."""
    for limits, tdd in ((HarmonicLimits(demand_a=50.0), 4.0), (None, 1.25)):
        where = site(limits)
        report = Analyst(TreeOperators(SiteLayout(where))).report(image(where, (230.0, 230.0, 230.0), 20.0))
        assert report.tdd_pct[1] == pytest.approx([tdd] * 3)
