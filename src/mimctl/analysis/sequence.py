"""Symmetrical components and the unbalance factors made of them.

Every function works on arrays (…, 3) with the phases L1, L2, L3 in the last axis. NaN in gives NaN out, without a warning.
"""

from __future__ import annotations

import numpy as np

from mimctl.grid.tree import sequence_matrix
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray
from mimctl.model.phases import Rotation

#: below this share of the nominal voltage a phase counts as dead, and its reading says nothing about a current
LIVE_SHARE = 0.1


def components(phasors: ComplexArray, rotation: Rotation = Rotation.POSITIVE) -> ComplexArray:
    """Zero, positive and negative sequence of phase phasors.

    Args:
        phasors: (…, 3) phasors of L1, L2, L3, in any unit.
        rotation: order in which the phases peak; the positive sequence is the one that rotates with it.

    Returns:
        (…, 3) columns 0, 1, 2: zero, positive, negative sequence.

    Reference: C. L. Fortescue, "Method of symmetrical co-ordinates …", Trans. AIEE 37 (1918).
    """
    return phasors @ sequence_matrix(rotation).T


def magnitude(phasors: ComplexArray) -> FloatArray:
    """|x| of every element."""
    size: FloatArray = np.abs(phasors)
    return size


def ratio(numerator: FloatArray, denominator: FloatArray, floor: FloatArray | float) -> FloatArray:
    """numerator / denominator where the denominator is at least `floor` (and above zero), NaN elsewhere."""
    usable: BoolArray = (denominator >= floor) & (denominator > 0)
    quotient: FloatArray = numerator / np.where(usable, denominator, np.nan)
    return quotient


def voltage_unbalance_pct(
    voltages: ComplexArray, rotation: Rotation = Rotation.POSITIVE, floor_v: FloatArray | float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Negative and zero sequence voltage unbalance factors out of phase phasors.

    Args:
        voltages: (…, 3) line-to-neutral phasors [V].
        floor_v: positive sequence below which there is no ratio [V], broadcastable to (…,).

    Returns:
        |U2|/|U1| and |U0|/|U1|, each (…,) [%].

    Reference: IEC 61000-4-30, supply voltage unbalance (u2, u0).
    """
    u0, u1, u2 = np.moveaxis(magnitude(components(voltages, rotation)), -1, 0)
    return 100 * ratio(u2, u1, floor_v), 100 * ratio(u0, u1, floor_v)


def vuf2_from_line_to_line_pct(voltage_ll_v: FloatArray) -> FloatArray:
    """Negative sequence unbalance factor out of the three line-to-line magnitudes alone.

    Line-to-line voltages hold no zero sequence, and three sides fix a triangle: nothing but the magnitudes is needed.

    Args:
        voltage_ll_v: (…, 3) rms of U12, U23, U31 [V].

    Returns:
        (…,) [%]; NaN where the three are not the sides of a triangle (a meter error) or all zero.

    Reference: IEC 61000-4-30: u2 = √((1 − √(3 − 6β))/(1 + √(3 − 6β))), β = ΣU⁴/(ΣU²)².
    """
    squares = voltage_ll_v**2
    total = squares.sum(axis=-1)
    beta = (squares**2).sum(axis=-1) / np.where(total > 0, total, np.nan) ** 2
    # β = 1/3 is balanced, 1/2 a triangle folded flat; rounding may pass either end by a hair.
    root = np.sqrt(np.clip(3 - 6 * beta, 0, 1))
    factor: FloatArray = 100 * np.sqrt((1 - root) / (1 + root))
    return np.where(beta <= 0.5 + 1e-12, factor, np.nan)


def phasors_from_magnitudes(
    voltage_ln_v: FloatArray, voltage_ll_v: FloatArray, rotation: Rotation = Rotation.POSITIVE
) -> ComplexArray:
    """Phase voltage phasors out of six magnitudes: the angles between the phases follow from the law of cosines.

    Three angles are measured where two would do; what they miss from a full turn is shared equally.

    Args:
        voltage_ln_v: (…, 3) rms of L1, L2, L3 to neutral [V].
        voltage_ll_v: (…, 3) rms of U12, U23, U31 [V].

    Returns:
        (…, 3) [V], L1 at angle zero; NaN where a pair of phases and their line voltage make no triangle.
    """
    following = np.roll(voltage_ln_v, -1, axis=-1)
    product = 2 * voltage_ln_v * following
    cosine = (voltage_ln_v**2 + following**2 - voltage_ll_v**2) / np.where(product > 0, product, np.nan)
    between = np.arccos(np.where(np.abs(cosine) <= 1, cosine, np.nan))
    between = between + (2 * np.pi - between.sum(axis=-1, keepdims=True)) / 3
    turn = -1 if rotation is Rotation.POSITIVE else 1
    angles = np.stack([np.zeros_like(between[..., 0]), between[..., 0], between[..., 0] + between[..., 1]], axis=-1)
    return np.asarray(voltage_ln_v * np.exp(1j * turn * angles), dtype=np.complex128)


def working_voltage_v(voltage_ln_v: FloatArray, nominal_v: FloatArray) -> FloatArray:
    """Voltage that a current is worked out with: as measured, nominal where it is unknown or the phase is dead.

    Args:
        voltage_ln_v: (N, 3) [V], NaN = unknown.
        nominal_v: (N,) nominal line-to-neutral voltage [V].

    Returns:
        (N, 3) [V], always above zero.
    """
    nominal = nominal_v[:, None]
    return np.where(voltage_ln_v >= LIVE_SHARE * nominal, voltage_ln_v, nominal)


def current_phasors(power_va: ComplexArray, voltage_v: FloatArray, unit_voltages: ComplexArray) -> ComplexArray:
    """Fundamental phase currents of a meter that gives P, Q and voltage magnitudes, but no angles: I = conj(S/V).

    The voltage angles are taken as nominal: an error of δ in one of them turns that phase's current by δ, and moves I2 and
    I0 by up to a third of δ times that current (1° of one phase: 0.6 % of its current).

    Args:
        power_va: (N, 3) P + jQ, load positive [VA].
        voltage_v: (N, 3) [V], above zero.
        unit_voltages: (3,) nominal voltages per unit.

    Returns:
        (N, 3) [A].
    """
    phasors: ComplexArray = np.conj(power_va / (voltage_v * unit_voltages))
    return phasors
