"""Limits of distortion as the standards mean them, by counting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders import rack_site
from mimctl.analysis.harmonic_limits import node_limits
from mimctl.model.harmonics import HarmonicLimits
from mimctl.model.layout import SiteLayout
from mimctl.simulation.limit_verdicts import LimitVerdicts

TEN_MIN_S = 600.0


def verdicts(limits: HarmonicLimits, *, on: str = "pdu") -> LimitVerdicts:
    """feed → pdu → rack1, limits at one of them."""
    site = rack_site(1)
    layout = SiteLayout(replace(site, nodes=tuple(replace(n, harmonic_limits=limits) if n.id == on else n for n in site.nodes)))
    return LimitVerdicts(layout, node_limits(layout))


def run(
    judged: LimitVerdicts, tdd_pct: list[float], thd_v_pct: float = 2.0, dt_s: float = TEN_MIN_S
) -> dict[tuple[str, str, str], dict]:
    """The same at every node, one value each step."""
    for value in tdd_pct:
        judged.add(np.full(3, value), np.full(3, thd_v_pct), dt_s)
    [rows] = judged.summary().values()
    return {(row["standard"], row["quantity"], row["what"]): row for row in rows}


def test_a_few_high_values_are_no_breach():
    """TDD 8 %: 95 of 100 ten-minute values within; of 1.5 times the limit, 99 of 100."""
    limits = HarmonicLimits(isc_il=30.0)
    few = run(verdicts(limits), [5.0] * 95 + [12.5] * 5)
    assert (few["IEEE 519", "TDD", "95 % of 10 min"]["value_pct"], few["IEEE 519", "TDD", "95 % of 10 min"]["met"]) == (5.0, True)
    high = few["IEEE 519", "TDD", "99 % of 10 min"]
    assert (high["value_pct"], high["limit_pct"], high["met"]) == (12.5, 12.0, False)
    assert few["IEEE 519", "TDD", "99 % of 3 s"]["limit_pct"] == 16.0
    assert few["EN 50160", "THD-V", "95 % of 10 min"] == {
        "standard": "EN 50160",
        "quantity": "THD-V",
        "what": "95 % of 10 min",
        "value_pct": pytest.approx(2.0),
        "limit_pct": 8.0,
        "met": True,
    }
    more = run(verdicts(limits), [5.0] * 94 + [12.5] * 6)
    assert more["IEEE 519", "TDD", "95 % of 10 min"]["met"] is False


@pytest.mark.parametrize("bad_week", [0, 1])
def test_the_worst_week_counts(bad_week: int):
    """60 of the 1008 ten-minute values of a week are 6 %."""
    weeks = [[5.0] * 1008, [5.0] * 1008]
    weeks[bad_week][:60] = [9.0] * 60
    found = run(verdicts(HarmonicLimits(tdd_pct=8.0)), [value for week in weeks for value in week])
    assert found["IEEE 519", "TDD", "95 % of 10 min"]["value_pct"] == pytest.approx(9.0)
    assert found["IEEE 519", "TDD", "95 % of 10 min"]["met"] is False


def test_a_short_run_has_values_of_3_s_alone():
    found = run(verdicts(HarmonicLimits(tdd_pct=8.0)), [5.0] * 60, dt_s=1.0)
    assert found["IEEE 519", "TDD", "99 % of 3 s"]["value_pct"] == pytest.approx(5.0)
    ten_min = found["IEEE 519", "TDD", "95 % of 10 min"]
    assert (ten_min["value_pct"], ten_min["met"]) == (None, None)


def test_nodes_without_limits_are_not_judged():
    judged = verdicts(HarmonicLimits(thd_v_pct=5.0), on="rack1")
    found = run(judged, [50.0] * 3)
    assert list(judged.summary()) == ["rack1"]
    assert {quantity for _, quantity, _ in found} == {"THD-V"}
