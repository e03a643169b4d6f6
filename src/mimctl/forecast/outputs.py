"""What each MIM port puts out at any recent instant: the commands sent, a response model, and the device's own reports.

Measurements of one cycle are taken at different instants, and MIMs move in between. Adding a meter reading of one instant to a
MIM output of another destabilises the loop (the MIM's own step looks like a load step), so the output *at the meter's
instant* is needed: first-order response to each command, corrected by the last report at its own instant.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mimctl.forecast.reach import Reach
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, SiteLayout

#: a first-order response is within 5 % after three time constants
_TIME_CONSTANTS_TO_95_PCT = 3.0
#: measurements that are asked about are younger than this, whatever the delay of a device [s]
_OLDEST_S = 15.0


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    """From `since_s` on the ports move from `start_va` towards `target_va`."""

    since_s: float
    start_va: ComplexArray
    target_va: ComplexArray

    def at(self, instants_s: FloatArray, tau_s: FloatArray, ports: IntArray) -> ComplexArray:
        """(E,) of single ports with these time constants, each at an instant not before `since_s` [VA]."""
        target_va = self.target_va[ports]
        return np.asarray(target_va + (self.start_va[ports] - target_va) * np.exp((self.since_s - instants_s) / tau_s))


def common(instants_s: FloatArray) -> float | None:
    """The instant that all of them are; None where they differ, or where there is none."""
    return float(instants_s[0]) if len(instants_s) and (instants_s == instants_s[0]).all() else None


class Outputs(Protocol):
    """Whoever knows what K ports put out, M MIMs; injection positive."""

    def at(self, instant_s: float) -> ComplexArray:
        """(K,) at one instant [VA]."""
        ...

    def each_at(self, instants_s: FloatArray, ports: IntArray) -> ComplexArray:
        """(E,) single ports (E,), each at a finite instant of its own [VA]."""
        ...

    def reported(self, taken_at_s: FloatArray, output_va: ComplexArray, usable: BoolArray) -> None:
        """What the devices measured themselves: instants (M,), outputs (K,), and which of them count (M,)."""
        ...

    def unsure_va(self, now_s: float, heard: BoolArray) -> FloatArray:
        """(K,) how far that may be from the truth [VA]; `heard` (M,) whose reports can be used."""
        ...


class OutputModel:
    """Model of all ports of a site. K ports, M MIMs; injection positive."""

    def __init__(self, layout: SiteLayout) -> None:
        self._port_mim = layout.port_mim
        self._every: IntArray = np.arange(len(layout.ports))
        responses = np.array([mim.response_s for mim in layout.mims], dtype=np.float64)
        self._tau_s: FloatArray = np.maximum(responses / _TIME_CONSTANTS_TO_95_PCT, 1e-6)[self._port_mim]
        rest = np.zeros(len(layout.ports), dtype=np.complex128)
        self._segments: deque[_Segment] = deque([_Segment(-np.inf, rest, rest)])
        self._bias_va = rest.copy()
        self._delay_s: FloatArray = np.array([mim.latency.delay_s for mim in layout.mims], dtype=np.float64)[self._port_mim]
        self._delays = _groups(self._delay_s)
        #: the last report of each port that counted: its instant, NaN = none, and what it said
        self._told_at_s: FloatArray = np.full(len(layout.ports), np.nan)
        self._told_va = rest.copy()
        self._late: BoolArray = np.array([mim.latency.is_late for mim in layout.mims], dtype=np.bool_)[self._port_mim]
        self._reach = Reach(self._late)
        reports_s = max((mim.latency.report_every_s for mim in layout.mims), default=0.0)
        #: commands are remembered for as long as any device may not have acted on them
        self._memory_s = float(self._delay_s.max(initial=0.0)) + reports_s + _OLDEST_S

    def commanded(self, at_s: float, setpoint_va: ComplexArray) -> None:
        """From this instant the devices aim at these setpoints (K,) [VA]."""
        if np.array_equal(setpoint_va, self._segments[-1].target_va):
            return
        self._segments.append(_Segment(at_s, self._undelayed(at_s), setpoint_va))
        self._reach.told(setpoint_va)
        while len(self._segments) > 2 and self._segments[1].since_s < at_s - self._memory_s:
            self._segments.popleft()

    def reported(self, taken_at_s: FloatArray, output_va: ComplexArray, usable: BoolArray) -> None:
        """Correct the model by what the devices measured at their own instants.

        Args:
            taken_at_s: (M,) [s]
            output_va: (K,) [VA]
            usable: (M,) only these reports count; the others keep their last correction.
        """
        if not usable.any():
            return
        ports = usable[self._port_mim]
        self._told_at_s = np.where(ports, taken_at_s[self._port_mim], self._told_at_s)
        self._told_va = np.where(ports, output_va, self._told_va)
        self._correct(ports)

    def acts_after(self, delay_s: FloatArray | None) -> None:
        """(M,) how long after a command each MIM begins to act, where that is better known than what was declared [s]."""
        if delay_s is None:
            return
        ports_s = delay_s[self._port_mim]
        changed = ports_s != self._delay_s
        if not changed.any():
            return
        self._delay_s, self._delays = ports_s, _groups(ports_s)
        # what was said last has another meaning now
        self._correct(changed & np.isfinite(self._told_at_s))

    def _correct(self, ports: BoolArray) -> None:
        """Hold the model against the last reports of some ports (K,)."""
        if ports.any():
            modelled = self._modelled_at_each(np.where(ports, self._told_at_s, np.nan), ports)
            self._bias_va = np.where(ports, self._told_va - modelled, self._bias_va)
            self._reach.found(ports, self._told_va, (segment.target_va for segment in self._segments))

    def at(self, instant_s: float) -> ComplexArray:
        """(K,) [VA] output of every port at one instant."""
        return self._reach.bound(self._modelled(instant_s) + self._bias_va)

    def each_at(self, instants_s: FloatArray, ports: IntArray) -> ComplexArray:
        """(E,) [VA] output of single ports (E,), each at a finite instant of its own."""
        return self._reach.bound(self._modelled_each(instants_s, ports) + self._bias_va[ports], ports)

    def unsure_va(self, now_s: float, heard: BoolArray) -> FloatArray:
        """(K,) how far ports may be from what the model says [VA], by all that they may be doing instead.

        A MIM that acts late may do what it was told before, or already what it was told last; one that nobody hears may have
        tripped as well. Wired ones that are heard are corrected in each cycle.

        Args:
            heard: (M,) the device's reports can be used.
        """
        silent = ~heard[self._port_mim]
        result = np.zeros(len(silent))
        if not (silent | self._late).any():
            return result
        now_va = self.at(now_s)
        for segment in reversed(self._segments):
            result = np.maximum(result, np.abs(segment.target_va - now_va))
            if segment.since_s < now_s - self._memory_s:
                break
        result = np.where(silent, np.maximum(result, np.abs(now_va)), result)
        return np.where(silent | self._late, result, 0.0)

    def _modelled(self, instant_s: float) -> ComplexArray:
        """Every port as late as its medium makes it."""
        if self._delays[0][1] is None:
            return self._undelayed(instant_s - self._delays[0][0])
        result = np.zeros(len(self._tau_s), dtype=np.complex128)
        for delay_s, ports in self._delays:
            result[ports] = self._undelayed(instant_s - delay_s)[ports]
        return result

    def _undelayed(self, instant_s: float) -> ComplexArray:
        """First-order response from the last segment that had begun."""
        segment = next((s for s in reversed(self._segments) if s.since_s <= instant_s), self._segments[0])
        if not math.isfinite(segment.since_s):
            return segment.target_va
        left: ComplexArray = np.exp(-(max(0.0, instant_s - segment.since_s)) / self._tau_s)
        return segment.target_va + (segment.start_va - segment.target_va) * left

    def _modelled_at_each(self, instants_s: FloatArray, ports: BoolArray) -> ComplexArray:
        """(K,) each usable port at its own instant, zero elsewhere."""
        if ports.all():
            together_s = common(instants_s)
            return self._modelled(together_s) if together_s is not None else self._modelled_each(instants_s, self._every)
        result, at = np.zeros(len(ports), dtype=np.complex128), np.flatnonzero(ports)
        result[at] = self._modelled_each(instants_s[at], at)
        return result

    def _modelled_each(self, instants_s: FloatArray, ports: IntArray) -> ComplexArray:
        """(E,) single ports, each at an instant of its own; few commands are in question, so one evaluation for each of those."""
        acted_s, newest = instants_s - self._delay_s[ports], self._segments[-1]
        if len(ports) and acted_s.min() >= newest.since_s:  # nobody acts on anything older, as in nearly every cycle
            return newest.at(acted_s, self._tau_s[ports], ports)
        begins_s = np.array([segment.since_s for segment in self._segments])
        which = np.maximum(np.searchsorted(begins_s, acted_s, side="right") - 1, 0)
        result = np.zeros(len(ports), dtype=np.complex128)
        for i in range(int(which.min(initial=len(begins_s))), int(which.max(initial=-1)) + 1):
            segment, at = self._segments[i], which == i
            own = ports[at]
            result[at] = segment.at(np.maximum(acted_s[at], segment.since_s), self._tau_s[own], own)
        return result


def _groups(delay_s: FloatArray) -> list[tuple[float, BoolArray | None]]:
    """(delay, its ports) for each delay of ports (K,) that there is; None = every port."""
    found: list[tuple[float, BoolArray | None]] = [(float(d), delay_s == d) for d in np.unique(delay_s)]
    return found if len(found) > 1 else [(d, None) for d, _ in found] or [(0.0, None)]
