"""Travel and writes of setpoints."""

from __future__ import annotations

import numpy as np
import pytest
from tests.builders import rack_site

from mimctl.model.layout import SiteLayout
from mimctl.simulation.calm import Travel, together


def test_changes_and_amperes_an_hour():
    travel = Travel(SiteLayout(rack_site(2)))  # two MIMs of three ports at 230 V
    moves = [[230, 0, 0, 0, 0, 0], [230, 0, 0, 0, 0, 0], [0, 0, 0, 230j, 0, 0], [np.nan, 0, 0, 230j, 0, 0]]
    for setpoints in moves:
        travel.add(np.array(setpoints, dtype=complex), 900.0)  # an hour in all
    found = together([travel])
    assert found["writes_per_mim_h"] == pytest.approx(1.5)  # 2 of the first MIM, 1 of the second
    assert found["writes_per_mim_h_max"] == pytest.approx(2.0)
    assert found["travel_a_per_port_h"] == pytest.approx(3 / 6)  # 1 A there, 1 A back, 1 A at the other
    assert found["travel_a_per_port_h_max"] == pytest.approx(2.0)


def test_a_site_without_mims_has_no_figures():
    travel = Travel(SiteLayout(rack_site(1, mims=False)))
    travel.add(np.zeros(0, dtype=complex), 1.0)
    assert set(together([travel]).values()) == {None}
