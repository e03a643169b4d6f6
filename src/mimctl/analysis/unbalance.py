"""Unbalance of currents and voltages, each definition under its own name.

They do not measure the same thing. Magnitude definitions (NEMA, IEEE) see no angle: three equal currents at different power
factors have 0 % and yet a large negative sequence and a neutral current. Ratios of currents say nothing at low load, so
they are gated by absolute amperes.
"""

from __future__ import annotations

import numpy as np

from mimctl.analysis.sequence import magnitude, ratio
from mimctl.model.layout import ComplexArray, FloatArray

GATE_SHARE = 0.02
GATE_FLOOR_A = 0.2


def gate_a(rating_a: FloatArray) -> FloatArray:
    """Current below which no ratio is given: 2 % of the breaker rating, at least 0.2 A."""
    gate: FloatArray = np.maximum(GATE_SHARE * rating_a, GATE_FLOOR_A)
    return gate


def sequence_ratios(i0_a: FloatArray, i1_a: FloatArray, i2_a: FloatArray, gate: FloatArray) -> tuple[FloatArray, FloatArray]:
    """|I2|/|I1| and |I0|/|I1|, NaN where |I1| is below the gate [A].

    The gate stands on I1, the divisor: opposite currents on two phases have a large I2 and hardly an I1.
    """
    return ratio(i2_a, i1_a, gate), ratio(i0_a, i1_a, gate)


def max_deviation_pct(values: FloatArray, floor: FloatArray | float = 0.0) -> FloatArray:
    """Largest deviation from the mean of the three, relative to that mean.

    NEMA MG-1 asks for it of line-to-line voltages (LVUR) and it is in common use for currents; of line-to-neutral voltages
    it is the definition of IEEE Std 112 (PVUR), see `pvur_ieee112_pct`.

    Args:
        values: (…, 3) magnitudes.
        floor: mean below which there is no ratio, broadcastable to (…,).

    Returns:
        (…,) [%]

    Reference: NEMA MG-1, 14.36: "voltage unbalance"; it derates above 1 % and advises against running above 5 %.
    """
    # spelled out: reductions over an axis of three cost several times as much
    a, b, c = values[..., 0], values[..., 1], values[..., 2]
    mean = (a + b + c) / 3
    deviation = np.maximum(np.maximum(np.abs(a - mean), np.abs(b - mean)), np.abs(c - mean))
    return 100 * ratio(deviation, mean, floor)


def lvur_nema_pct(voltage_ll_v: FloatArray) -> FloatArray:
    """Line voltage unbalance rate of NEMA MG-1, out of line-to-line magnitudes (…, 3) [V]; (…,) [%]."""
    return max_deviation_pct(voltage_ll_v)


def current_nema_pct(current_a: FloatArray, gate: FloatArray | float) -> FloatArray:
    """The NEMA MG-1 definition applied to phase currents (…, 3) [A]; NaN where their mean is below the gate; (…,) [%]."""
    return max_deviation_pct(current_a, gate)


def pvur_ieee112_pct(voltage_ln_v: FloatArray) -> FloatArray:
    """Phase voltage unbalance rate of IEEE Std 112: largest deviation of a line-to-neutral voltage from the mean / mean.

    Args:
        voltage_ln_v: (…, 3) [V].

    Returns:
        (…,) [%]
    """
    return max_deviation_pct(voltage_ln_v)


def pvur_ieee936_pct(voltage_ln_v: FloatArray) -> FloatArray:
    """Phase voltage unbalance of IEEE Std 936: (largest − smallest) / mean. Up to twice that of IEEE Std 112.

    Args:
        voltage_ln_v: (…, 3) [V].

    Returns:
        (…,) [%]
    """
    mean = voltage_ln_v.mean(axis=-1)
    return 100 * ratio(voltage_ln_v.max(axis=-1) - voltage_ln_v.min(axis=-1), mean, 0.0)


def neutral_fundamental_a(currents: ComplexArray) -> FloatArray:
    """|I1 + I2 + I3| = 3|I0| of the phase current phasors (…, 3) [A]; (…,) [A]."""
    return magnitude(currents[..., 0] + currents[..., 1] + currents[..., 2])


def neutral_rms_a(currents: ComplexArray, triplen_a: FloatArray | ComplexArray) -> FloatArray:
    """Neutral current with the triplen harmonics.

    Orders 3, 9, 15, … of the three phases are in phase with each other where the fundamentals are symmetrical: they add up
    in the neutral instead of cancelling (which takes it to √3 times the phase rms of rectifiers that do not overlap).
    Different orders add as squares.

    Args:
        currents: (…, 3) fundamental phasors [A].
        triplen_a: (…, H, 3) per triplen order and phase: phasors, or rms magnitudes, which add arithmetically and so
            give the most that the neutral can carry [A].

    Returns:
        (…,) [A]
    """
    harmonic = magnitude(np.asarray(triplen_a, dtype=np.complex128).sum(axis=-1))
    rms: FloatArray = np.sqrt(neutral_fundamental_a(currents) ** 2 + (harmonic**2).sum(axis=-1))
    return rms
