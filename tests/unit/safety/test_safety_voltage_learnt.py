"""Impedances that measurements correct: the judge believes them where they are worse than the site file, never where better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safety_cases import Scene, codes, power, rack_site

from mimctl.model.site import Site

REST = np.zeros(6, dtype=complex)
#: 300 W at 230 V raise a voltage by 78 mV, 0.34 thousandths, over the 60 mΩ of the path
MOVE = np.array([300, 0, -300, 0, 0, 0], dtype=complex)


def banded(**band: float) -> Site:
    found = rack_site(reverse_power_limit_w=1e6)
    return replace(found, control=replace(found.control, **band))


def given(scale: float | None, **band: float) -> np.ndarray:
    """Setpoints where every branch is said to have so many times the impedance of the site file, voltages at nominal."""
    s = Scene(banded(**band), np.full((4, 3), 500.0 + 0j), REST.copy(), MOVE.copy())
    if scale is not None:
        s.options["impedance_scale"] = np.full(4, scale)
    plan = s.run()
    assert set(codes(plan, "m1")) <= {"limit.voltage_high", "limit.voltage_low"}
    return power(plan)


@pytest.mark.parametrize("band", [{"max_voltage_pu": 1.0002}, {"min_voltage_pu": 0.9998}])
def test_a_branch_learnt_to_be_stiffer_than_said_gives_no_more_room(band: dict[str, float]) -> None:
    """A wrong meter can make a slope small; on it no voltage limit may be passed."""
    as_said = given(None, **band)
    assert 0 < as_said[0].real < 300
    assert np.array_equal(given(0.5, **band), as_said)


@pytest.mark.parametrize("band", [{"max_voltage_pu": 1.0002}, {"min_voltage_pu": 0.9998}])
def test_a_branch_learnt_to_be_weaker_than_said_gives_less(band: dict[str, float]) -> None:
    """Drops are linear: at twice the impedance half of the move is left, less what rounding to watts may add."""
    assert given(2.0, **band)[0].real == pytest.approx(given(None, **band)[0].real / 2, abs=4)


def test_no_figure_at_all_counts_as_the_site_file() -> None:
    assert np.array_equal(given(float("nan"), max_voltage_pu=1.0002), given(None, max_voltage_pu=1.0002))
