"""Breakers with and without MIMs: what control overloaded, and what only stays inside because of it."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np

from mimctl.model.layout import BoolArray, FloatArray, SiteLayout
from mimctl.simulation.score import Truth, phase_peak_a

#: a node is over when it has more than this multiple of what its limit permits
TOLERANCE = 1.02
#: cycles in a row that it may be, before it is a violation: measurements are a cycle old and a MIM answers in about a second
FORGIVEN_CYCLES = 3
_VOLTAGE_SCALE = 4.0


@dataclass(frozen=True, slots=True)
class Overs:
    """Short excursions over a limit: how many, the worst as a multiple of it, the longest [s]."""

    count: int
    max: float
    longest_s: float


@dataclass(frozen=True, slots=True)
class Above:
    """Time that phases spent above what their breakers permit for hours, because of control.

    Args:
        count: how often.
        max_of_rating: the highest current of them, as a multiple of the breaker's whole rating.
        longest_s: the longest [s].
    """

    count: int
    max_of_rating: float
    longest_s: float


@dataclass(slots=True)
class _Tally:
    """Ended excursions."""

    violations: int = 0
    count: int = 0
    worst: float = 0.0
    longest_s: float = 0.0

    def add(self, seconds: float, worst: float, forgiven_s: float) -> None:
        if seconds > forgiven_s:
            self.violations += 1
            return
        self.count += 1
        self.worst = max(self.worst, worst)
        self.longest_s = max(self.longest_s, seconds)


class _Excursions:
    """From when on each limit has been over without a break, and what has ended.

    Args:
        limits: how many there are.
        forgiven_s: longer ones are violations [s].
    """

    def __init__(self, limits: int, forgiven_s: float) -> None:
        self._forgiven_s = forgiven_s
        self._over_s, self._worst = np.zeros(limits), np.zeros(limits)
        self._any = False
        self._ended = _Tally()

    def add(self, over: BoolArray, load: FloatArray, dt_s: float) -> None:
        """Which are over for `dt_s` [s], and how far all are."""
        any_over = bool(over.any())
        if any_over or self._any:
            self._end(~over & (self._over_s > 0), self._ended)
            self._over_s = np.where(over, self._over_s + dt_s, 0.0)
            self._worst = np.where(over, np.maximum(self._worst, load), 0.0)
        self._any = any_over

    def _end(self, limits: BoolArray, tally: _Tally) -> None:
        for n in np.flatnonzero(limits):
            tally.add(float(self._over_s[n]), float(self._worst[n]), self._forgiven_s)

    def tally(self) -> _Tally:
        """Everything so far; an excursion that lasts counts as if it ended now."""
        tally = copy(self._ended)
        self._end(self._over_s > 0, tally)
        return tally


class LimitWatch:
    """Compares the controlled plant with the same plant without MIMs.

    A limit is *over* while the controlled plant is above 1.02 × of it and the uncontrolled one is not: the breaker rating of
    every phase and neutral, the voltage band of every node, and the least import of every head. By itself the time is told that
    phases are above the limit for hours, which is lower than the rating.

    Args:
        layout: of the site.
        cycle_s: length of a control cycle [s].
    """

    def __init__(self, layout: SiteLayout, cycle_s: float) -> None:
        self._layout = layout
        self._limit_a = layout.limit_a
        nodes = len(layout.nodes)
        self._overs = _Excursions(3 * nodes + len(layout.guarded), FORGIVEN_CYCLES * cycle_s * (1 + 1e-9))
        self._aboves = _Excursions(nodes, np.inf)
        self._above_s = 0.0
        self._relied_on_s = 0.0

    def add(self, baseline: Truth, controlled: Truth, dt_s: float) -> None:
        """One instant of both plants; it stands for `dt_s` [s]."""
        with_mims, without = phase_peak_a(controlled), phase_peak_a(baseline)
        if ((without > self._limit_a) & (with_mims <= self._limit_a)).any():
            self._relied_on_s += dt_s
        load = self._loads(controlled, with_mims)
        over: BoolArray = load > TOLERANCE
        if over.any():
            over &= self._loads(baseline, without) <= TOLERANCE
        self._overs.add(over, load, dt_s)
        above = (with_mims > TOLERANCE * self._limit_a) & (without <= TOLERANCE * self._limit_a)
        self._aboves.add(above, with_mims / self._layout.rating_a, dt_s)
        if above.any():
            self._above_s += dt_s

    def _loads(self, truth: Truth, phase_a: FloatArray) -> FloatArray:
        """(3N + H,) phases, neutrals, voltages and imports as multiples of their limits; what is not known is not over."""
        layout, control = self._layout, self._layout.site.control
        volts = np.abs(truth.voltage_v) / layout.voltage_ln_v[:, None]
        beyond = np.maximum(volts - control.max_voltage_pu, control.min_voltage_pu - volts)
        # half a per cent of nominal voltage counts as much as 2 % of a current
        voltage = 1 + _VOLTAGE_SCALE * np.where(layout.phase_present, beyond, -1.0).max(axis=1)
        heads = layout.guarded
        missing_w = layout.head_min_import_w[:, None] - truth.flow_va.real[heads]
        imports = 1 + missing_w.max(axis=1) / (layout.rating_a[heads] * layout.voltage_ln_v[heads])
        neutral = truth.neutral_a / layout.neutral_rating_a
        loads: FloatArray = np.concatenate([phase_a / layout.rating_a, neutral, voltage, imports])
        return np.where(np.isfinite(loads), loads, 0.0)

    @property
    def violations(self) -> int:
        """Times that a limit, breakers at their whole rating, was exceeded for more than three cycles in a row."""
        return self._overs.tally().violations

    @property
    def transients(self) -> Overs:
        """Times that a limit was exceeded for up to three cycles."""
        tally = self._overs.tally()
        return Overs(tally.count, tally.worst, tally.longest_s)

    @property
    def above_limit_min(self) -> float:
        """Minutes in which control had some phase above 1.02 × what its breaker permits for hours."""
        return self._above_s / 60

    @property
    def above_limit(self) -> Above:
        """How often, how far and for how long at a stretch it was so."""
        tally = self._aboves.tally()
        return Above(tally.count, tally.worst, tally.longest_s)

    @property
    def relied_on_min(self) -> float:
        """Minutes in which some node would be over its limit for hours without the MIMs and is inside with them."""
        return self._relied_on_s / 60
