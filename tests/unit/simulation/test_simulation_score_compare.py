from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from score_site import LAYOUT, truth

from mimctl.simulation.compare import Comparison
from mimctl.simulation.limits import Above, LimitWatch, Overs

QUIET = truth()


def fed(
    *steps: tuple[float, ...], dt_s: float = 1.0, names: tuple[str, ...] = ("baseline", "controlled", "rule", "optimum")
) -> Comparison:
    """A comparison that was given these J."""
    comparison = Comparison(LAYOUT, dt_s)
    for step in steps:
        comparison.add(dict.fromkeys(names, QUIET), dict(zip(names, step, strict=True)), dt_s)
    return comparison


def test_shares_by_hand() -> None:
    summary = fed((1.0, 0.2, 0.6, 0.1), (1.0, 0.3, 0.8, 0.1)).summary()
    assert summary["achieved_share"] == pytest.approx(1.5 / 1.8)
    assert summary["rule_share"] == pytest.approx(0.6 / 1.8)
    assert summary["removed_share"] == pytest.approx(0.75)
    assert summary["worse_than_none_pct"] == 0


def test_long_steps_weigh_more() -> None:
    comparison = Comparison(LAYOUT, 1.0)
    truths = {"baseline": QUIET, "controlled": QUIET, "optimum": QUIET}
    comparison.add(truths, {"baseline": 1.0, "controlled": 0.0, "optimum": 0.0}, 1.0)
    comparison.add(truths, {"baseline": 1.0, "controlled": 2.0, "optimum": 0.0}, 3.0)
    summary = comparison.summary()
    assert summary["achieved_share"] == pytest.approx((1 - 3) / 4)
    assert summary["worse_than_none_pct"] == pytest.approx(75)
    assert summary["rule_share"] is None


def test_without_an_optimum_there_is_no_share() -> None:
    comparison = fed((1.0, 0.2, 0.5), names=("baseline", "controlled", "rule"))
    summary = comparison.summary()
    assert (summary["achieved_share"], summary["rule_share"]) == (None, None)
    assert summary["removed_share"] == pytest.approx(0.8)
    assert comparison.worst_step() is None


@pytest.mark.parametrize("step", [(0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, 1.0 - 1e-7)])
def test_where_nothing_can_be_removed_there_is_no_share(step: tuple[float, ...]) -> None:
    assert fed(step).summary()["achieved_share"] is None


def test_an_empty_run_says_nothing() -> None:
    summary = Comparison(LAYOUT, 1.0).summary()
    assert [summary[k] for k in ("achieved_share", "rule_share", "removed_share", "worse_than_none_pct")] == [None] * 4
    assert summary["limit_violations"] == 0


def test_equal_to_the_last_digits_is_not_worse() -> None:
    summary = fed((1.0, 1.0 + 5e-10, 1, 0.5), (0.0, 1e-15, 0, 0), (1.0, 1.0 + 2e-9, 1, 0.5)).summary()
    assert summary["worse_than_none_pct"] == pytest.approx(100 / 3)


def test_a_share_above_what_is_possible_is_told_and_not_clipped() -> None:
    comparison = fed((1.0, 0.5, 0.9, 0.5), (1.0, 0.3, 0.9, 0.5), (1.0, 0.45, 0.9, 0.5))
    assert comparison.summary()["achieved_share"] == pytest.approx(1.75 / 1.5)
    worst = comparison.worst_step()
    assert worst is not None
    assert (worst.step, worst.scenario) == (1, "controlled")
    assert worst.share == pytest.approx(1.4)
    fault = comparison.fault()
    assert fault is not None
    assert "step 1" in fault
    assert "controlled" in fault


def test_a_single_step_below_the_optimum_is_no_fault() -> None:
    comparison = fed((1.0, 0.5, 0.9, 0.4), (1.0, 0.399, 0.9, 0.4))
    assert comparison.fault() is None
    assert comparison.worst_step() is not None


def test_worst_step_without_anything_to_remove_has_an_infinite_share() -> None:
    comparison = fed((0.5, 0.4, 0.5, 0.5))
    worst = comparison.worst_step()
    assert worst is not None
    assert worst.share == float("inf")


def watched(*loads: tuple[float, float], cycle_s: float = 2.0, dt_s: float = 2.0) -> LimitWatch:
    """Currents on L1 of the rack (breaker 20 A, 16 A for hours) without and with MIMs."""
    watch = LimitWatch(LAYOUT, cycle_s)
    for without, with_mims in loads:
        watch.add(truth(r=(without, 1, 1)), truth(r=(with_mims, 1, 1)), dt_s)
    return watch


OVER, INSIDE = (10.0, 21.0), (10.0, 12.0)


def test_three_cycles_over_are_forgiven_and_four_are_not() -> None:
    three = watched(INSIDE, OVER, OVER, OVER, INSIDE)
    assert (three.violations, three.transients) == (0, Overs(1, pytest.approx(1.05), pytest.approx(6.0)))
    four = watched(INSIDE, OVER, OVER, OVER, OVER, INSIDE)
    assert (four.violations, four.transients.count) == (1, 0)


def test_an_excursion_that_still_lasts_counts_and_is_counted_once() -> None:
    watch = watched(OVER, OVER)
    assert watch.transients == Overs(1, pytest.approx(1.05), pytest.approx(4.0))
    for _ in range(5):
        watch.add(truth(r=(10, 1, 1)), truth(r=(21, 1, 1)), 2.0)
    assert (watch.violations, watch.violations, watch.transients.count) == (1, 1, 0)


def test_two_excursions_are_two() -> None:
    watch = watched(OVER, INSIDE, OVER, (10.0, 25.0), INSIDE)
    assert watch.transients == Overs(2, pytest.approx(1.25), pytest.approx(4.0))


def test_time_above_the_limit_for_hours_is_counted_below_the_rating_too() -> None:
    """16 A for hours, 20 A the breaker: 17 A are above it, 16.2 A inside 2 % of tolerance; 19 A without MIMs is nobody's fault."""
    watch = watched((10.0, 17.0), (10.0, 18.0), INSIDE, (10.0, 16.2), (19.0, 18.0), (10.0, 17.0), dt_s=30.0)
    assert (watch.violations, watch.transients.count) == (0, 0)
    assert watch.above_limit_min == pytest.approx(1.5)
    assert watch.above_limit == Above(2, pytest.approx(18 / 20), pytest.approx(60.0))


def test_what_is_above_the_rating_is_above_the_limit_for_hours_as_well() -> None:
    watch = watched(*[OVER] * 4, INSIDE)
    assert (watch.violations, watch.above_limit) == (1, Above(1, pytest.approx(1.05), pytest.approx(8.0)))


def limits_over(**changes: object) -> int:
    """Violations where the controlled plant differs by this from a sound one, for eight cycles."""
    sound, watch = truth(r=(10.0, 1, 1)), LimitWatch(LAYOUT, 1.0)
    for _ in range(8):
        watch.add(sound, replace(sound, **changes), 1.0)  # type: ignore[arg-type]
    return watch.violations


def test_voltages_and_heads_have_limits_too() -> None:
    sound = truth(r=(10.0, 1, 1))
    high = np.tile(1.11 * LAYOUT.voltage_ln_v[:, None], (1, 3)).astype(complex)
    assert limits_over(voltage_v=high) == len(LAYOUT.nodes)
    assert limits_over(voltage_v=high / 1.11 * 1.103) == 0
    back, head = sound.flow_va.copy(), int(LAYOUT.heads[0])
    reverse_w = LAYOUT.rating_a[head] * LAYOUT.voltage_ln_v[head]
    assert LAYOUT.head_min_import_w[0] == 0
    back[head, 1] = -0.03 * reverse_w
    assert limits_over(flow_va=back) == 1
    back[head, 1] = -0.01 * reverse_w
    assert limits_over(flow_va=back) == 0


def test_cycles_in_several_samples_are_still_cycles() -> None:
    assert watched(*[OVER] * 6, cycle_s=2.0, dt_s=1.0).violations == 0
    assert watched(*[OVER] * 7, cycle_s=2.0, dt_s=1.0).violations == 1


def test_two_percent_are_tolerated() -> None:
    assert watched(*[(10.0, 20.3)] * 6).transients.count == 0


def test_a_breaker_that_is_overloaded_anyway_is_not_controls_fault() -> None:
    watch = watched(*[(22.0, 21.0)] * 6)
    assert (watch.violations, watch.transients.count) == (0, 0)


def test_reliance_is_time_that_only_mims_keep_inside() -> None:
    watch = watched((17.0, 15.0), (17.0, 16.5), (15.0, 15.0), (17.0, 16.0), dt_s=30.0)
    assert watch.relied_on_min == pytest.approx(1.0)
