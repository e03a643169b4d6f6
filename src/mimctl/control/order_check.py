"""What a zone believes of the site level: orders that are no figures, beyond all measure, or of another time are refused.

A zone that followed any of them would do what nobody wants as well as it can. It refuses all that is said of the head, tells why,
and goes on alone.
"""

from __future__ import annotations

import math

import numpy as np

from mimctl.control.grants import LONGEST_LIFE_S, HeadLimit
from mimctl.control.upstream import HeadPrice
from mimctl.model.layout import FloatArray

#: J per unit of the head's rating. The dearest that a solution tells are breakers over their limit: some hundred at the most
MOST_GRADIENT = 1e4
#: J per unit² of the head's rating: a limit that binds at hardly any current bends most
MOST_CURVATURE = 1e8
#: loads and flows beyond so many ratings of the head are none
_MOST_LOAD = 10.0
#: of the largest curvature: what is lost to rounding may be so far from symmetric, and from convex
_ROUNDING = 1e-6
#: clocks of one machine [s]
_SLACK_S = 1.0


def wrong_price(told: HeadPrice, rating_va: float, now_s: float) -> str | None:
    """Why a price is not believed; None where it is.

    Args:
        rating_va: V·I of one phase of the head [VA].
    """
    price, per_unit = told.price, rating_va
    gradient, curvature, at = price.gradient * per_unit, price.curvature * per_unit**2, price.at / per_unit
    if gradient.shape != (6,) or curvature.shape != (6, 6) or at.shape != (6,) or told.load_va.shape != (3,):
        return "its price has not six figures"
    if not (_finite(gradient, curvature, at) and np.isfinite(told.load_va).all()):
        return "its price is no number"
    if np.abs(gradient).max() > MOST_GRADIENT or np.abs(curvature).max() > MOST_CURVATURE:
        return "its price is beyond all measure"
    least = -_ROUNDING * max(float(np.abs(curvature).max()), np.finfo(np.float64).tiny)
    if np.abs(curvature - curvature.T).max() > -least or np.linalg.eigvalsh((curvature + curvature.T) / 2)[0] < least:
        return "its price has no minimum"
    if max(float(np.abs(at).max()), float(np.abs(told.load_va).max()) / per_unit) > _MOST_LOAD:
        return "it is made for a load that the head cannot have"
    return _wrong_time(price.expires_at_s, now_s, "price")


def wrong_limit(limit: HeadLimit, now_s: float) -> str | None:
    """Why a limit is not believed; None where it is."""
    if limit.phase_a.shape != (3,) or not (_finite(limit.phase_a) and math.isfinite(limit.min_import_w)):
        return "its limit is no number"
    if (limit.phase_a < 0).any() or not limit.neutral_a >= 0:
        return "its limit is less than nothing"
    return _wrong_time(limit.until_s, now_s, "limit")


def _wrong_time(until_s: float, now_s: float, what: str) -> str | None:
    if not until_s <= now_s + LONGEST_LIFE_S + _SLACK_S:
        return f"its {what} would stand for longer than {LONGEST_LIFE_S:.0f} s"
    return f"its {what} came {now_s - until_s:.0f} s after its end" if until_s <= now_s else None


def _finite(*arrays: FloatArray) -> bool:
    return all(bool(np.isfinite(array).all()) for array in arrays)
