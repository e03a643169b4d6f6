"""What a zone believes of the site level: orders that are no figures, beyond all measure, or of another time are refused.

A zone that followed any of them would do what nobody wants as well as it can. It refuses all that is said of the head, tells why,
and goes on alone.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from mimctl.control.levels.grants import LONGEST_LIFE_S, HeadLimit
from mimctl.control.levels.upstream import HeadPrice
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


def wrong_price(told: HeadPrice, rating_va: float, now_s: float, before: HeadPrice | None = None) -> str | None:
    """Why a price is not believed; None where it is.

    Args:
        rating_va: V·I of one phase of the head [VA].
        before: what was believed last; the same curvature has a minimum still.
    """
    price = told.price
    if price.gradient.shape != (6,) or price.curvature.shape != (6, 6) or price.at.shape != (6,) or told.load_va.shape != (3,):
        return "its price has not six figures"
    figures = np.concatenate((price.gradient, price.at, np.abs(told.load_va), price.curvature.reshape(-1)))
    size = np.abs(figures) / _measure(rating_va)
    if not (size <= 1).all():
        return _beyond(figures, size)
    if before is not None and np.array_equal(price.curvature, before.price.curvature):
        return _wrong_time(price.expires_at_s, now_s, "price")
    curvature = price.curvature * rating_va**2
    least = -_ROUNDING * max(float(size[_CURVATURE].max()) * MOST_CURVATURE, _TINY)
    if np.abs(curvature - curvature.T).max() > -least or np.linalg.eigvalsh((curvature + curvature.T) / 2)[0] < least:
        return "its price has no minimum"
    return _wrong_time(price.expires_at_s, now_s, "price")


#: where what stands in the figures of a price
_GRADIENT, _LOADS, _CURVATURE = slice(0, 6), slice(6, 15), slice(15, 51)
_TINY = float(np.finfo(np.float64).tiny)


@cache
def _measure(rating_va: float) -> FloatArray:
    """(51,) what no figure of a price is larger than."""
    most = np.empty(51)
    most[_GRADIENT] = MOST_GRADIENT / rating_va
    most[_LOADS] = _MOST_LOAD * rating_va
    most[_CURVATURE] = MOST_CURVATURE / rating_va**2
    return most


def _beyond(figures: FloatArray, size: FloatArray) -> str:
    """Which of the figures (51,) are none, or too large: more than 1 in `size`."""
    if not np.isfinite(figures).all():
        return "its price is no number"
    if size[_GRADIENT].max() > 1 or size[_CURVATURE].max() > 1:
        return "its price is beyond all measure"
    return "it is made for a load that the head cannot have"


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
