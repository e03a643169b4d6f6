"""Harmonic distortion and the limits of IEEE Std 519 and EN 50160.

Spectra are rms magnitudes (…, H) for orders (H,), without the fundamental. Limits of both standards hold at the point of
common coupling and as percentiles over a week: one value above them is no breach.
"""

from __future__ import annotations

import numpy as np

from mimctl.analysis.sequence import ratio
from mimctl.model.layout import FloatArray, IntArray

#: first order of each column of the IEEE 519 current table; above order 50 nothing is limited
_ORDER_FROM = np.array([2, 11, 17, 23, 35])
#: short-circuit ratio Isc/IL from which each row holds
_RATIO_FROM = np.array([0, 20, 50, 100, 1000])
_ODD_PCT = np.array(
    [
        [4.0, 2.0, 1.5, 0.6, 0.3],
        [7.0, 3.5, 2.5, 1.0, 0.5],
        [10.0, 4.5, 4.0, 1.5, 0.7],
        [12.0, 5.5, 5.0, 2.0, 1.0],
        [15.0, 7.0, 6.0, 2.5, 1.4],
    ]
)
_TDD_PCT = np.array([5.0, 8.0, 12.0, 15.0, 20.0])

#: IEEE Std 519, bus voltage up to 1 kV: each voltage harmonic, and THD [% of the fundamental]
VOLTAGE_LIMIT_PCT = 5.0
VOLTAGE_THD_LIMIT_PCT = 8.0
#: EN 50160, low voltage, 95 % of the 10-minute values of a week: THD up to order 40 and negative sequence [%]
EN50160_THD_LIMIT_PCT = 8.0
EN50160_VUF2_LIMIT_PCT = 2.0


def thd_pct(harmonics: FloatArray, fundamental: FloatArray) -> FloatArray:
    """Total harmonic distortion relative to the fundamental of the same instant.

    Args:
        harmonics: (…, H) rms per order.
        fundamental: (…,) rms, same unit.

    Returns:
        (…,) [%]; NaN where there is no fundamental.

    Reference: IEC 61000-4-7 (THD); IEEE Std 519, definitions.
    """
    return 100 * ratio(np.sqrt((harmonics**2).sum(axis=-1)), fundamental, 0.0)


def tdd_pct(thd_current_pct: FloatArray, fundamental_a: FloatArray, demand_a: FloatArray) -> FloatArray:
    """Total demand distortion: the harmonic current relative to the demand current.

    THD explodes at low load where the harmonics hurt nobody; TDD does not.

    Args:
        thd_current_pct: THD of the current [%].
        fundamental_a: its fundamental [A].
        demand_a: maximum demand load current I_L [A], same shape or broadcastable.

    Returns:
        [%]; NaN where the demand is zero or unknown.

    Reference: IEEE Std 519, definitions: I_L is the mean of the twelve monthly maxima at the point of common coupling.
    """
    return ratio(thd_current_pct * fundamental_a, np.broadcast_to(demand_a, np.shape(fundamental_a)), 0.0)


def rms_with_thd(fundamental: FloatArray, distortion_pct: FloatArray) -> FloatArray:
    """Total rms = fundamental · √(1 + THD²)."""
    rms: FloatArray = fundamental * np.sqrt(1 + (distortion_pct / 100) ** 2)
    return rms


def fundamental_of_rms(rms: FloatArray, distortion_pct: FloatArray) -> FloatArray:
    """The fundamental of a total rms value of which the THD is known: rms / √(1 + THD²)."""
    fundamental: FloatArray = rms / np.sqrt(1 + (distortion_pct / 100) ** 2)
    return fundamental


def current_limits_pct(orders: IntArray, short_circuit_ratio: float, edition: int = 2022) -> FloatArray:
    """Limit of each harmonic current in % of the demand current, for systems of 120 V to 69 kV.

    Args:
        orders: (H,) from 2.
        short_circuit_ratio: Isc/IL at the point of common coupling.
        edition: 2022 limits even orders up to 6 to half of the odd limit and leaves higher even orders at it; before,
            every even order had a quarter.

    Returns:
        (H,) [%]; NaN above order 50, for which there is no limit.

    Reference: IEEE Std 519-2022, current distortion limits (2014, 1992 for the earlier even orders).
    """
    row = int(np.searchsorted(_RATIO_FROM, short_circuit_ratio, side="right")) - 1
    column = np.searchsorted(_ORDER_FROM, orders, side="right") - 1
    even_share = np.where(orders <= 6, 0.5, 1.0) if edition >= 2022 else np.full(len(orders), 0.25)
    limit = _ODD_PCT[row, column] * np.where(orders % 2 == 0, even_share, 1.0)
    return np.where(orders <= 50, limit, np.nan)


def tdd_limit_pct(short_circuit_ratio: float) -> float:
    """Limit of the total demand distortion by Isc/IL [%]. Reference: IEEE Std 519-2022, 120 V to 69 kV."""
    return float(_TDD_PCT[int(np.searchsorted(_RATIO_FROM, short_circuit_ratio, side="right")) - 1])


def k_factor(orders: IntArray, harmonics: FloatArray, fundamental: FloatArray) -> FloatArray:
    """What the harmonics do to a transformer's eddy losses: Σ(h·I_h)²/ΣI_h², the fundamental included.

    Args:
        orders: (H,)
        harmonics: (…, H) rms per order [A].
        fundamental: (…,) [A].

    Returns:
        (…,) 1 for a pure sine; NaN where there is no current.

    Reference: UL 1561, K-factor rating.
    """
    base = fundamental**2
    heating = ((orders * harmonics) ** 2).sum(axis=-1) + base
    return ratio(heating, (harmonics**2).sum(axis=-1) + base, 0.0)
