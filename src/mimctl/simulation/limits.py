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


class LimitWatch:
    """Compares the controlled plant with the same plant without MIMs.

    A limit is *over* while the controlled plant is above 1.02 × of it and the uncontrolled one is not: the breaker rating of
    every phase and neutral, the voltage band of every node, and the least import of every head.

    Args:
        layout: of the site.
        cycle_s: length of a control cycle [s].
    """

    def __init__(self, layout: SiteLayout, cycle_s: float) -> None:
        self._layout = layout
        self._limit_a = layout.limit_a
        self._forgiven_s = FORGIVEN_CYCLES * cycle_s * (1 + 1e-9)
        limits = 3 * len(layout.nodes) + len(layout.guarded)
        self._over_s = np.zeros(limits)
        self._worst = np.zeros(limits)
        self._any_over = False
        self._ended = _Tally()
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
        any_over = bool(over.any())
        if any_over or self._any_over:
            self._follow(over, load, dt_s)
        self._any_over = any_over

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

    def _follow(self, over: BoolArray, load: FloatArray, dt_s: float) -> None:
        self._end(~over & (self._over_s > 0), self._ended)
        self._over_s = np.where(over, self._over_s + dt_s, 0.0)
        self._worst = np.where(over, np.maximum(self._worst, load), 0.0)

    def _end(self, nodes: BoolArray, tally: _Tally) -> None:
        for n in np.flatnonzero(nodes):
            tally.add(float(self._over_s[n]), float(self._worst[n]), self._forgiven_s)

    def _tally(self) -> _Tally:
        """Everything so far; an excursion that lasts counts as if it ended now."""
        tally = copy(self._ended)
        self._end(self._over_s > 0, tally)
        return tally

    @property
    def violations(self) -> int:
        """Times that a limit was exceeded for more than three cycles in a row."""
        return self._tally().violations

    @property
    def transients(self) -> Overs:
        """Times that a limit was exceeded for up to three cycles."""
        tally = self._tally()
        return Overs(tally.count, tally.worst, tally.longest_s)

    @property
    def relied_on_min(self) -> float:
        """Minutes in which some node would be over its limit for hours without the MIMs and is inside with them."""
        return self._relied_on_s / 60
