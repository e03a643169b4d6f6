"""The factor between what a meter sees and what a MIM says, out of made-up moves."""

from __future__ import annotations

import numpy as np
import pytest
from tests.builders import rack_site

from mimctl.control.estimation.moves import MoveWatch
from mimctl.model.layout import SiteLayout

LAYOUT = SiteLayout(rack_site(1))
RACK = LAYOUT.node_index["rack1"]


def watch(
    factor: complex, *, seconds: int = 300, gain: float = 0.8, report_s: float = 0.0, dither_w: float = 5.0, rounded: bool = False
) -> tuple[float, float]:
    """A MIM that takes away most of the rack's unbalance of the second before; (factor, deviation) found at the rack."""
    rng = np.random.default_rng(5)
    watcher = MoveWatch(LAYOUT)
    load, output = np.array([3000.0, 1200.0, 700.0]), np.zeros(3)
    for second in range(seconds):
        load = load + np.array([15.0, -10.0, 5.0]) * (second % 60 < 30) + 40 * rng.standard_normal(3)
        net = np.zeros((3, 3), dtype=complex)
        net[:] = load - output
        behind = np.tile((np.rint(output) if rounded else output).astype(complex), (3, 1))
        net[RACK] *= factor
        watcher.learn(np.full(3, float(second)), net, behind, np.full(1, second - report_s))
        output = gain * (load - load.mean()) + dither_w * rng.standard_normal(3)
    found, sigma = watcher.factors()
    return float(found[RACK]), float(sigma[RACK])


@pytest.mark.parametrize("factor", [1.0, 1.5, 0.0, -1.0])
def test_a_control_that_answers_the_load_does_not_bend_the_factor(factor: float) -> None:
    found, sigma = watch(factor)
    assert abs(found - factor) < 4 * sigma + 0.02
    assert sigma < 0.1


def test_reports_of_another_instant_prove_nothing() -> None:
    assert np.isnan(watch(1.5, report_s=0.5)[0])


def test_moves_as_small_as_the_rounding_of_the_reports_prove_nothing() -> None:
    """The MIM really moves by some tenths of a watt, which its whole watts cannot tell: no factor of 0."""
    assert np.isnan(watch(1.0, gain=0.0, dither_w=0.3, rounded=True)[0])


def test_where_nothing_is_suspected_a_factor_may_be_a_few_samples_old_and_no_older() -> None:
    rng = np.random.default_rng(3)
    watcher = MoveWatch(LAYOUT)
    output, ages, sure = np.zeros(3), [], np.zeros(1)
    for second in range(120):
        net = np.tile((1000.0 - output).astype(complex), (3, 1))
        watcher.learn(np.full(3, float(second)), net, np.tile(output.astype(complex), (3, 1)), np.full(1, float(second)))
        output = 200 * rng.standard_normal(3)
        found = watcher.factors(lately=True)[1]
        ages.append(0 if found is not sure else ages[-1] + 1)
        sure = found
    assert 0 < max(ages) < 5
    assert watcher.factors()[0][RACK] == pytest.approx(1.0, abs=1e-4)
