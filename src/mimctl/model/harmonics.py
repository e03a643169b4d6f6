"""Harmonics in the site file and in commands: limits of a node, what a MIM can filter, what one port is told.

A share is a fraction of the harmonic current of the port's own node, in phase with it: the MIM measures that current against the
local fundamental voltage and does the waveform control itself. Only slow, dimensionless figures travel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: what the order set of a command can name: one bit each, from the fundamental's
HIGHEST_ORDER = 32


@dataclass(frozen=True, slots=True)
class HarmonicLimits:
    """How much distortion is permitted at a node.

    Args:
        thd_v_pct: total distortion of the phase voltages [%]; None = 8 %, as EN 50160 and IEEE 519 have it up to 1 kV.
        tdd_pct: total demand distortion of the phase currents [%]; None = by the table of IEEE 519 from `isc_il`.
        isc_il: short-circuit current over demand current; None with no `tdd_pct` = the current is not limited.
        demand_a: the demand current that TDD refers to [A]; None = the node's limit for hours.
    """

    thd_v_pct: float | None = None
    tdd_pct: float | None = None
    isc_il: float | None = None
    demand_a: float | None = None


@dataclass(frozen=True, slots=True)
class HarmonicFilter:
    """What the firmware of a MIM can do about the harmonic current of its node.

    Args:
        orders: the orders it can compensate, ascending.
        timing_error_s: how late or early the compensating current comes, at worst, as the maker declares it [s].
        response_s: time to reach 95 % of a changed share [s].
        reserve: largest part of a port's rated current that may be kept from the fundamental while a limit is passed.
    """

    orders: tuple[int, ...]
    timing_error_s: float = 0.0
    response_s: float = 1.0
    reserve: float = 0.5


@dataclass(frozen=True, slots=True)
class HarmonicShare:
    """What one port is told.

    Args:
        share: fraction of the harmonic current to compensate, 0 to 1.
        orders: bits of the orders that it applies to; see `order_bits`.
    """

    share: float
    orders: int


def order_bits(orders: Iterable[int]) -> int:
    """Orders as a set of bits: bit n is order n + 1.

    Raises:
        ValueError: an order below 2 or above 32.
    """
    bits = 0
    for order in orders:
        if not 2 <= order <= HIGHEST_ORDER:
            raise ValueError(f"order {order} cannot be named: 2 to {HIGHEST_ORDER} can")
        bits |= 1 << (order - 1)
    return bits


def orders_in(bits: int) -> tuple[int, ...]:
    """The orders of a set of bits, ascending."""
    return tuple(n + 1 for n in range(bits.bit_length()) if bits >> n & 1)
