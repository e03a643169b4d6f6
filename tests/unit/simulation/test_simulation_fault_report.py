"""Recovery from faults: gaps and times by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from builders import rack_site
from mimctl.model.fault import Fault, FaultKind
from mimctl.model.layout import SiteLayout
from mimctl.simulation.fault_report import FaultReport, gap
from mimctl.simulation.limits import LimitWatch
from mimctl.simulation.score import Truth

LAYOUT = SiteLayout(rack_site(1))
N = len(LAYOUT.nodes)


@pytest.mark.parametrize(
    ("baseline", "controlled", "optimum", "expected"),
    [
        (1.0, 0.2, 0.2, 0.0),
        (1.0, 0.6, 0.2, 0.5),
        (1.0, 1.4, 0.2, 1.5),
        (1.0, 0.1, 0.2, 0.0),  # better than the yardstick at one step: it weighs losses too
        (1.0, 1.05, 1.0, 0.5),  # nothing could be removed: measured by a tenth of the baseline
        (1.0, 1.3, 1.2, 1.0),  # a stuck MIM does harm that nobody can undo
        (0.0, 0.5, 0.0, 0.0),
    ],
)
def test_the_gap(baseline: float, controlled: float, optimum: float, expected: float) -> None:
    assert gap(baseline, controlled, optimum) == pytest.approx(expected)


def truth(amps: float) -> Truth:
    volts = np.full((N, 3), 230.0, dtype=complex)
    current = np.full((N, 3), amps, dtype=complex)
    return Truth(volts * np.conj(current), volts, current, np.zeros(N), 0.0, 0.0)


def told(gaps: list[float], *, amps: dict[int, float] | None = None, at_s: float = 2.0, until_s: float = 5.0) -> dict[str, Any]:
    """One step of a second for each gap."""
    report = FaultReport([Fault(FaultKind.SITE_PAUSED, (), at_s, until_s)], LAYOUT, 1.0, 1, yardstick=True)
    for t, size in enumerate(gaps):
        truths = {"baseline": truth(10.0), "controlled": truth((amps or {}).get(t, 10.0))}
        report.add(truths, {"baseline": 1.0, "controlled": size, "optimum": 0.0}, 1.0)
    return report.summary()[0]


def test_recovery_counts_from_the_beginning_and_from_the_end() -> None:
    found = told([0.9, 0.0, 0.5, 0.5, 0.0, 0.3, 0.0, 0.0])
    assert (found["recovery_s"], found["recovery_after_s"], found["worst_gap"]) == (2.0, 1.0, 0.5)
    assert [found[key] for key in ("recovered", "recovered_after", "happened")] == [True] * 3


def test_at_once_not_yet_and_never() -> None:
    assert told([0.0] * 8)["recovery_s"] == 0.0
    assert told([0.0, 0.0, 0.0, 0.0, 0.2, 0.0])["recovered"] is False
    stays = told([0.0, 0.0, 0.2, 0.0], until_s=math.inf)
    assert (stays["until_s"], stays["recovery_s"], stays["recovered_after"]) == (None, 1.0, None)
    never = told([0.0, 0.0])
    assert (never["happened"], never["recovered"], never["worst_gap"]) == (False, None, None)


def test_limits_are_watched_from_the_beginning_of_the_fault() -> None:
    over = LAYOUT.rating_a.max() * 1.1
    assert told([0.0] * 12, amps=dict.fromkeys(range(3, 8), over))["limit_violations"] == N
    assert told([0.0] * 12, amps=dict.fromkeys(range(3, 5), over))["limit_violations"] == 0
    for_hours = told([0.0] * 12, amps=dict.fromkeys(range(3, 8), 0.9 * LAYOUT.rating_a.max()))
    assert for_hours["above_limit_min"] == pytest.approx(5 / 60)
    assert for_hours["above_limit"]["longest_s"] == pytest.approx(5.0)
    before = told([0.0] * 20, amps=dict.fromkeys(range(0, 6), over), at_s=8.0, until_s=9.0)
    assert before["above_limit_min"] == 0.0
    assert (before["limit_violations"], before["transient_overs"]) == (0, 0)


def test_events_belong_to_the_faults_that_last() -> None:
    report = FaultReport([Fault(FaultKind.SITE_PAUSED, (), 2.0, 4.0)], LAYOUT, 1.0, 1, yardstick=False)
    log: list[Any] = []
    events = SimpleNamespace(open=lambda: tuple(log), recent=lambda: ())
    for t in range(6):
        log.append(SimpleNamespace(code=f"code.{t}", where="x", since=t))
        report.hear(events, float(t))  # type: ignore[arg-type]
    assert [event["code"] for event in report.summary()[0]["events"]] == ["code.2", "code.3"]


def test_neutrals_have_limits_too() -> None:
    watch, sound = LimitWatch(LAYOUT, 1.0), truth(10.0)
    for _ in range(8):
        watch.add(sound, replace(sound, neutral_a=1.03 * LAYOUT.neutral_rating_a), 1.0)
    assert watch.violations == N
