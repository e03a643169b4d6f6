"""The few numbers that shape the control's own objective, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BalanceSettings:
    """Weights beside the reported objective J. All are dimensionless.

    `effort` and `movement` are fractions of the curvature that J itself has in each port's power, so they mean the same at a
    16 A rack and at a 1,000 A feed, and no site has to tune them.

    Args:
        effort: price of |x|². Makes the answer unique where J is flat (a MIM's circulating vars). At most this fraction of
            the achievable improvement is given away.
        movement: price of |x − anchor|². One cycle leaves movement/(1 + movement) of a step: under the meter noise, so it only
            stops the plan from wandering between equally good answers. The anchor is the plan itself: it costs nothing at rest.
        movement_fade: a port that J wants to move by more than this fraction of its rating is let go: its movement price
            falls with the square of the wanted step.
        concentration: weight of |I1|²/I_rated² beside 3(|I0|² + |I2|²)/I_rated² at the same node. Among plans that balance
            equally well it prefers the one that unloads the fuller branch; small enough not to buy vars instead of balance.
        margin: breakers are kept this far below their limit, so that forecast errors do not cross it.
        overload_linear: J per p.u. of overload. An exact penalty: the gain in J per p.u. of any current is below 2·Σ weights, so
            nothing is overloaded for better balance. A quadratic alone would overrun by a little for ever.
        overload_quadratic: J per p.u.² of overload. Spreads what cannot be avoided.
        head_import_factor: how much dearer a watt of backfeed at a head is than a watt over any breaker under it.
        near: a family of constraints is put into the solve at once if the anchor uses more than this share of one of them;
            others are checked after the solve.
        tolerance: relative duality gap and feasibility asked of the solver.
        active_max: at most so many binding limits are reported, dearest first.
    """

    effort: float = 1e-4
    movement: float = 0.01
    movement_fade: float = 0.02
    concentration: float = 5e-5
    margin: float = 0.03
    overload_linear: float = 2.0
    overload_quadratic: float = 20.0
    head_import_factor: float = 4.0
    near: float = 0.99
    tolerance: float = 1e-6
    active_max: int = 24


#: the yardstick: the reported J and the breaker penalty at the true limits, nothing else
YARDSTICK = BalanceSettings(effort=1e-5, movement=0.0, concentration=0.0, margin=0.0, tolerance=1e-7)
