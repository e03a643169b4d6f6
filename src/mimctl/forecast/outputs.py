"""What each MIM port puts out at any recent instant: the commands sent, a response model, and the device's own reports.

Measurements of one cycle are taken at different instants, and MIMs move in between. Adding a meter reading of one instant to a
MIM output of another destabilises the loop (the MIM's own step looks like a load step), so the output *at the meter's
instant* is needed: first-order response to each command, corrected by the last report at its own instant.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout

#: a first-order response is within 5 % after three time constants
_TIME_CONSTANTS_TO_95_PCT = 3.0
_KEPT_COMMANDS = 16


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    """From `since_s` on the ports move from `start_va` towards `target_va`."""

    since_s: float
    start_va: ComplexArray
    target_va: ComplexArray


class OutputModel:
    """Model of all ports of a site. K ports, M MIMs; injection positive."""

    def __init__(self, layout: SiteLayout) -> None:
        self._port_mim = layout.port_mim
        responses = np.array([mim.response_s for mim in layout.mims], dtype=np.float64)
        self._tau_s: FloatArray = np.maximum(responses / _TIME_CONSTANTS_TO_95_PCT, 1e-6)[self._port_mim]
        rest = np.zeros(len(layout.ports), dtype=np.complex128)
        self._segments: deque[_Segment] = deque([_Segment(-np.inf, rest, rest)], maxlen=_KEPT_COMMANDS)
        self._bias_va = rest.copy()

    def commanded(self, at_s: float, setpoint_va: ComplexArray) -> None:
        """From this instant the devices aim at these setpoints (K,) [VA]."""
        if np.array_equal(setpoint_va, self._segments[-1].target_va):
            return
        self._segments.append(_Segment(at_s, self._modelled(at_s), setpoint_va))

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
        modelled = self._modelled_at_each(np.where(usable, taken_at_s, np.nan)[self._port_mim], ports)
        self._bias_va = np.where(ports, output_va - modelled, self._bias_va)

    def at(self, instant_s: float) -> ComplexArray:
        """(K,) [VA] output of every port at one instant."""
        return self._modelled(instant_s) + self._bias_va

    def _modelled(self, instant_s: float) -> ComplexArray:
        """First-order response from the last segment that had begun."""
        segment = next((s for s in reversed(self._segments) if s.since_s <= instant_s), self._segments[0])
        if not np.isfinite(segment.since_s):
            return segment.target_va
        left: ComplexArray = np.exp(-(max(0.0, instant_s - segment.since_s)) / self._tau_s)
        return segment.target_va + (segment.start_va - segment.target_va) * left

    def _modelled_at_each(self, instants_s: FloatArray, ports: BoolArray) -> ComplexArray:
        """(K,) each usable port at its own instant; few distinct instants, so one evaluation for each."""
        result = np.zeros(len(ports), dtype=np.complex128)
        for instant in np.unique(instants_s[ports]):
            at_this = ports & (instants_s == instant)
            result[at_this] = self._modelled(float(instant))[at_this]
        return result
