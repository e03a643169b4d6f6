"""How far one may go along a straight line inside discs and bands: exact answers, no search.

Every limit of the judge is convex in the setpoints: |complex affine| ≤ bound, or real affine ≤ bound. Along a line from
`start` to `start + move` the permitted part is therefore one interval, the intersection over all limits.
"""

from __future__ import annotations

import numpy as np

from mimctl.model.layout import ComplexArray, FloatArray

#: stands for no limit at all [VA, A]; finite, so that its square is
BOUNDLESS = 1e9


def narrower(limit: FloatArray, bound: FloatArray) -> FloatArray:
    """The smaller of a limit and a bound, both ≥ 0, element by element. A bound that is no number permits nothing."""
    result: FloatArray = np.fmax(np.minimum(limit, bound), 0.0)  # the minimum keeps a NaN, fmax takes the other for it
    return result


def disc_interval(start: ComplexArray, move: ComplexArray, radius: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The t with |start + t·move| ≤ radius, element by element.

    Returns:
        (lower, upper); ±inf where every t will do, (inf, −inf) where none will.
    """
    radius = np.clip(radius, 0.0, BOUNDLESS)
    square = move.real**2 + move.imag**2
    mixed = start.real * move.real + start.imag * move.imag
    rest = start.real**2 + start.imag**2 - radius**2
    moving = square > 0
    safe = np.where(moving, square, 1.0)
    discriminant = mixed**2 - square * rest
    root = np.sqrt(np.maximum(discriminant, 0.0))
    never = np.where(moving, discriminant < 0, rest > 0)
    lower = np.where(never, np.inf, np.where(moving, (-mixed - root) / safe, -np.inf))
    upper = np.where(never, -np.inf, np.where(moving, (root - mixed) / safe, np.inf))
    return lower, upper


def band_interval(start: FloatArray, move: FloatArray, bound: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The t with start + t·move ≤ bound, element by element, in the same form."""
    room = bound - start
    safe = np.where(move != 0, move, 1.0)
    edge = room / safe
    never = (move == 0) & (room < 0)
    lower = np.where(never, np.inf, np.where(move < 0, edge, -np.inf))
    upper = np.where(never, -np.inf, np.where(move > 0, edge, np.inf))
    return lower, upper


def furthest(lower: FloatArray, upper: FloatArray) -> FloatArray:
    """The greatest t in [0, 1] that the interval permits, NaN where it permits none."""
    best = np.minimum(upper, 1.0)
    return np.where(best >= np.maximum(lower, 0.0), best, np.nan)


def whole(power_va: ComplexArray, unit: float) -> ComplexArray:
    """Round both parts towards zero to whole units; a part that is whole but for the last bits of its float stays."""
    parts = np.trunc(np.ascontiguousarray(power_va).view(np.float64) * ((1 + 1e-12) / unit))
    rounded: ComplexArray = (parts * unit + 0.0).view(np.complex128)  # + 0: no minus zero
    return rounded
