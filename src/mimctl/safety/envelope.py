"""What one MIM by itself may be asked for: port ratings, its neutral, its storage, its ramp. All MIMs at once, no loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimctl.model.layout import BoolArray, ComplexArray, FloatArray
from mimctl.model.sample import Quality
from mimctl.model.state import SiteState
from mimctl.safety.case import Case
from mimctl.safety.ratings import Ratings
from mimctl.safety.segment import band_interval, disc_interval, furthest, narrower, whole

#: limits by their code, in the order of `_intervals`
_CODES = ("limit.port_rating", "limit.mim_neutral", "limit.storage", "limit.step", "limit.shrink_only")


#: a plan may be over a limit by this factor for no other reason than that solvers are not exact
_SOLVER_ACCURACY = 1.001


@dataclass(frozen=True, slots=True, eq=False)
class Envelope:
    """Limits of every MIM this cycle: the narrower of the site's figures and the cycle's bounds.

    Args:
        port_va: (K,) greatest |p + jq| [VA]
        neutral_a: (M,) greatest neutral current [A]
        sum_min_w, sum_max_w: (M,) least and greatest Σp before rounding, what the storage may take and give [W]
        step_va: (K,) greatest change from the accepted setpoint [VA]
        neutral_slack_a: (M,) what rounding to whole units may add [A]
        unit: register unit [W, var]
    """

    ratings: Ratings
    port_va: FloatArray
    neutral_a: FloatArray
    sum_min_w: FloatArray
    sum_max_w: FloatArray
    step_va: FloatArray
    neutral_slack_a: FloatArray
    unit: float


@dataclass(frozen=True, slots=True, eq=False)
class Trimmed:
    """The outcome for all MIMs.

    Args:
        hold_va: (K,) the accepted setpoint, shrunk where it no longer stays inside the MIM's own limits [VA]
        target_va: (K,) the furthest setpoint from there towards the candidate, in whole units [VA]
        share: (M,) how much of the way to the candidate was gone; NaN where the way is barred and `hold_va` is shrunk
        limit: (M,) index into the codes of what stopped it
        shrunk: (M,) `hold_va` is less than the accepted setpoint
        clear: nothing was taken from anybody
    """

    hold_va: ComplexArray
    target_va: ComplexArray
    share: FloatArray
    limit: FloatArray
    shrunk: BoolArray
    clear: bool = False

    def code(self, m: int) -> str:
        return _CODES[int(self.limit[m])]


def envelope(case: Case) -> Envelope:
    """The limits of this cycle. A bound that is not a number counts as nothing permitted."""
    ratings, bounds, unit = case.ratings, case.bounds, case.settings.resolution
    port_va = narrower(ratings.layout.port_rating_va, bounds.port_s_max_va)
    neutral_a = narrower(ratings.layout.mim_neutral_rating_a, bounds.mim_neutral_max_a)
    low, high = _storage_w(ratings, case.state)
    since_s = np.maximum(np.minimum(case.now_s - case.accepted.written_at_s, ratings.validity_s), ratings.cycle_s)
    step_va = narrower(ratings.ramp_va_per_s * since_s[ratings.layout.port_mim], bounds.step_max_va)
    slack = unit * ratings.neutral_slack_a
    return Envelope(ratings, port_va, neutral_a, low, high, step_va, slack, unit)


def _storage_w(ratings: Ratings, state: SiteState) -> tuple[FloatArray, FloatArray]:
    """(M,) least and greatest Σp. Without storage a MIM only draws its losses; an unknown charge is no charge."""
    tolerance = ratings.balance_tolerance_w
    low, high = -ratings.loss_max_w - tolerance, tolerance
    if not ratings.layout.batteries:
        return low, high
    soc, (reserve, most) = state.batteries.soc_pct, ratings.layout.battery_band_pct
    charge_w, discharge_w = ratings.layout.battery_limits_w
    mims, mim = len(high), ratings.layout.battery_mim
    known = (state.batteries.quality > Quality.BAD) & (soc >= 0) & (soc <= 100)
    high = high + np.bincount(mim, np.where(known & (soc >= reserve), discharge_w, 0.0), mims)
    low = low - np.bincount(mim, np.where(known & (soc <= most), charge_w, 0.0), mims)
    return low, high


def trim(limits: Envelope, accepted_va: ComplexArray, wanted_va: ComplexArray, shrink_only: BoolArray) -> Trimmed:
    """Bring every MIM inside its own limits: accepted towards zero until it is, then from there towards wanted.

    Args:
        accepted_va, wanted_va: (K,) [VA]
        shrink_only: (M,) no port may exceed its accepted |p + jq|.
    """
    port_mim, rounded = limits.ratings.layout.port_mim, _rounded(limits, wanted_va)
    unsafe, over = outside(limits, np.array([accepted_va, rounded]))
    over |= _stepped_over(limits, accepted_va, rounded)
    held = over | shrink_only
    if not (held.any() or unsafe.any()):
        return Trimmed(accepted_va, rounded, np.ones(len(over)), np.zeros(len(over)), unsafe, clear=True)
    hold = np.where(unsafe[port_mim], _shrunk(limits, accepted_va), accepted_va)
    lower, upper = _intervals(limits, hold, rounded - hold, accepted_va, shrink_only)
    share = np.where(held, furthest(lower.max(axis=0), upper.min(axis=0)), 1.0)
    part = share[port_mim]
    target = whole(hold + np.nan_to_num(part, nan=0.0) * (rounded - hold), limits.unit)
    target = np.where(part == 1.0, rounded, np.where(np.isnan(part), hold, target))
    wrong = (outside(limits, target) | _stepped_over(limits, accepted_va, target)) & (share != 1.0)
    target = np.where(wrong[port_mim], hold, target)
    return Trimmed(hold, target, share, np.argmin(upper, axis=0).astype(np.float64), unsafe)


def _rounded(limits: Envelope, wanted_va: ComplexArray) -> ComplexArray:
    """(K,) whole units, towards zero. Where that lifts a neutral over the limit it was planned at, the whole MIM gives way.

    Without it a MIM whose neutral binds could not slide along its limit: every next setpoint would stick out by a rounding.
    """
    ratings, rounded = limits.ratings, whole(wanted_va, limits.unit)
    neutral_a = np.abs(ratings.sums(rounded * ratings.layout.port_neutral_per_va))
    by_rounding = (neutral_a > limits.neutral_a) & (neutral_a <= limits.neutral_a * _SOLVER_ACCURACY + 2 * limits.neutral_slack_a)
    by_rounding &= limits.neutral_a > 2 * limits.neutral_slack_a
    if not by_rounding.any():
        return rounded
    share = np.where(by_rounding, (limits.neutral_a - limits.neutral_slack_a) / np.where(by_rounding, neutral_a, 1.0), 1.0)
    port_share = share[ratings.layout.port_mim]
    return np.where(port_share < 1.0, whole(port_share * wanted_va, limits.unit), rounded)


def outside(limits: Envelope, power_va: ComplexArray) -> BoolArray:
    """(…, M) setpoints (…, K) outside the MIM's own limits, whatever the step to get there."""
    ratings = limits.ratings
    port = np.abs(power_va) > limits.port_va * (1 + 1e-9)
    neutral = np.abs(ratings.sums(power_va * ratings.layout.port_neutral_per_va)) > limits.neutral_a * (1 + 1e-9)
    sum_w = ratings.sums(power_va.real)
    rounding_w = limits.unit * ratings.port_count
    result: BoolArray = ratings.any_of(port) | neutral
    result |= (sum_w > limits.sum_max_w + rounding_w) | (sum_w < limits.sum_min_w - rounding_w)
    return result


def _stepped_over(limits: Envelope, accepted_va: ComplexArray, power_va: ComplexArray) -> BoolArray:
    """(M,) the step is too large; it may be off by the rounding of both its ends."""
    return limits.ratings.any_of(np.abs(power_va - accepted_va) > limits.step_va + 1.5 * limits.unit)


def _shrunk(limits: Envelope, accepted_va: ComplexArray) -> ComplexArray:
    """(K,) as much of every accepted setpoint as the MIM's own limits permit; zero is always inside them."""
    lower, upper = _intervals(limits, np.zeros_like(accepted_va), accepted_va, None, None)
    share = np.nan_to_num(furthest(lower.max(axis=0), upper.min(axis=0)), nan=0.0)
    return whole(share[limits.ratings.layout.port_mim] * accepted_va, limits.unit)


def _intervals(
    limits: Envelope, start_va: ComplexArray, move_va: ComplexArray, accepted_va: ComplexArray | None, shrink_only: BoolArray | None
) -> tuple[FloatArray, FloatArray]:
    """(L, M) permitted intervals along start + t·move, one row for each kind of limit."""
    ratings = limits.ratings

    def ports(start: ComplexArray, radius: FloatArray) -> tuple[FloatArray, FloatArray]:
        lower, upper = disc_interval(start, move_va, radius)
        return ratings.largest(lower), ratings.smallest(upper)

    slack_a = np.minimum(limits.neutral_slack_a, 0.5 * limits.neutral_a)
    per_va = ratings.layout.port_neutral_per_va
    neutral = ratings.sums(start_va * per_va), ratings.sums(move_va * per_va)
    sums = ratings.sums(start_va.real), ratings.sums(move_va.real)
    above, below = band_interval(*sums, limits.sum_max_w), band_interval(-sums[0], -sums[1], -limits.sum_min_w)
    neutral_a = np.maximum(limits.neutral_a - slack_a, np.minimum(np.abs(neutral[0]), limits.neutral_a))
    rows = [
        ports(start_va, limits.port_va),
        disc_interval(*neutral, neutral_a),
        (np.maximum(above[0], below[0]), np.minimum(above[1], below[1])),
    ]
    if accepted_va is not None and shrink_only is not None:
        rows.append(ports(start_va - accepted_va, limits.step_va))
        rows.append(ports(start_va, np.where(shrink_only[ratings.layout.port_mim], np.abs(accepted_va), np.inf)))
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
