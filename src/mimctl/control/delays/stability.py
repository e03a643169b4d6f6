"""How far the control loops of a site are from ringing, by the delays that the site file declares."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from mimctl.model.latency import LatencyClass, integrator_gain_limit
from mimctl.model.site import Mim, Site, Zone
from mimctl.model.zoning import restrict

#: further than this many periods nobody asks
_MOST_PERIODS = 60


@dataclass(frozen=True, slots=True)
class LoopMargin:
    """One latency class of one zone.

    Args:
        every_s: time between two of its commands [s].
        dead_s: from the instant of a measurement until a MIM begins to act on it, one cycle of reading included [s].
        periods: the same in whole commands.
        gain_limit: largest gain of a plain integrator with this delay; the class does not integrate, but falls back on half of
            it when a device is found to be later than declared.
        later_s: how much later than declared its devices may be before the loop rings, if they did not report what they
            put out [s]; 0 = not at all, the loop lives on their reports.
        report_age_s: with reports it does not ring, however late a device acts, for what it puts out is taken from the load; one
            whose report is older than this is told nothing new [s].
    """

    zone: str
    kind: LatencyClass
    mims: int
    every_s: float
    dead_s: float
    periods: int
    gain_limit: float
    later_s: float
    report_age_s: float


def loop_margins(site: Site) -> tuple[LoopMargin, ...]:
    """Of every class of every zone, slowest last."""
    oldest_s = site.control.max_data_age_s
    return tuple(margin for zone in site.zones for margin in zone_margins(zone, restrict(site, zone).mims, oldest_s))


def zone_margins(zone: Zone, mims: tuple[Mim, ...], max_data_age_s: float) -> Iterator[LoopMargin]:
    """Of every class of one zone, whose MIMs are given.

    Args:
        max_data_age_s: of the site; a zone that runs slower than that looks at older data [s].
    """
    for kind in LatencyClass:
        own = [mim.latency for mim in mims if mim.latency.kind is kind]
        if not own:
            continue
        every_s = max(zone.cycle_s, *(latency.command_every_s for latency in own))
        dead_s = zone.cycle_s + max(latency.delay_s for latency in own)
        filter_s = max(latency.filter_s for latency in own)
        share = 1.0 if filter_s <= 0 else -math.expm1(-every_s / filter_s)
        periods = math.ceil(dead_s / every_s)
        later = tolerated_periods(share, periods)
        age_s = max(max_data_age_s, 3 * zone.cycle_s, min(latency.stale_s for latency in own))
        gain = integrator_gain_limit(periods)
        yield LoopMargin(zone.id, kind, len(own), every_s, dead_s, periods, gain, later * every_s, age_s)


def tolerated_periods(share: float, periods: int) -> int:
    """How many periods later than modelled a device may act, the loop knowing only its model.

    The plan follows the smoothed load, x ← x + share·(−d̂ − x), and d̂ is off by what the model says was put out `periods` ago and
    the device puts out only δ periods later: z^(m+δ+1) + (share − 1)·z^(m+δ) + share·z^δ − share has all roots inside the circle.
    """
    for late in range(1, _MOST_PERIODS + 1):
        polynomial = [0.0] * (periods + late + 2)
        polynomial[0] = 1.0
        polynomial[1] += share - 1.0
        polynomial[periods + 1] += share
        polynomial[-1] -= share
        if not _all_inside_the_circle(polynomial):
            return late - 1
    return _MOST_PERIODS


def _all_inside_the_circle(polynomial: list[float]) -> bool:
    """Whether every root of a real polynomial, highest power first, is smaller than 1.

    Reference: I. Schur, "Über Potenzreihen, die im Innern des Einheitskreises beschränkt sind", 1918; A. Cohn, 1922.
    """
    while len(polynomial) > 1:
        ratio = polynomial[-1] / polynomial[0]
        if abs(ratio) >= 1.0:
            return False
        polynomial = [a - ratio * b for a, b in zip(polynomial[:-1], polynomial[:0:-1], strict=True)]
    return True
