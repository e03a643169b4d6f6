"""Do the MIMs act as soon as the site file says? The loop's stability rests on it, so one that is later is moved in parts.

A step that stands until half of it is seen in the device's own reports tells its delay, as exactly as the reports come. Wired MIMs
get new setpoints before that can be seen; they report in every cycle what they really put out, which is what the loop goes by.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from mimctl.control.events import EventLog
from mimctl.model.latency import LatencyClass, integrator_gain_limit
from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout, frozen
from mimctl.model.problem import Severity
from mimctl.model.sample import Quality
from mimctl.model.site import Mim
from mimctl.model.state import SiteState

#: a smaller step than this share of the rating is lost in noise and rounding
_LEAST_STEP = 0.1
#: a delay is believed after so many steps, and remembered over so many
_STEPS_BELIEVED, _STEPS_KEPT = 3, 7
#: later than declared by more than this share counts
_TOLERANCE = 0.3
#: of the gain that would just be stable
_OF_GAIN_LIMIT = 0.5
#: a first-order response passes its half after ln 2 time constants, three of which are its response time
_HALF_OF_RESPONSE = math.log(2) / 3


def declared_s(mim: Mim, step_va: float) -> float:
    """When half of a step should be there by the site file [s]."""
    return mim.latency.delay_s + _HALF_OF_RESPONSE * mim.response_s + 0.5 * step_va / mim.ramp_w_per_s


@dataclass(eq=False)
class _Step:
    """A step that is waited for, of one MIM; powers are those of its ports [VA]."""

    told_at_s: float
    start_va: ComplexArray
    target_va: ComplexArray
    seen_at_s: float

    def done(self, output_va: ComplexArray) -> bool:
        """Whether half of the way is gone."""
        way = self.target_va - self.start_va
        return float(np.vdot(way, output_va - self.start_va).real) >= 0.5 * float(np.vdot(way, way).real)


@dataclass(eq=False)
class ResponseWatch:
    """Watches the medium and slow MIMs of one layout."""

    layout: SiteLayout
    events: EventLog
    period_s: float
    _steps: dict[int, _Step] = field(default_factory=dict)
    _told_at_s: dict[int, float] = field(default_factory=dict)
    _excess_s: dict[int, deque[float]] = field(default_factory=dict)
    _measured_s: dict[int, deque[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._late = [m for m, mim in enumerate(self.layout.mims) if mim.latency.kind is not LatencyClass.FAST]
        self._all: FloatArray = frozen(np.ones(len(self.layout.mims)))

    def gains(self, state: SiteState, setpoint_va: ComplexArray, changed_at_s: FloatArray) -> FloatArray | None:
        """(M,) share of each move to make at once; None = all of it everywhere.

        Args:
            setpoint_va: (K,) in force, NaN = not known [VA].
            changed_at_s: (M,) since when, −inf = before our time [s].
        """
        if not self._late:
            return None
        output_va = state.ports.inject_w + 1j * state.ports.inject_var
        for m in self._late:
            if state.mims.quality[m] > Quality.BAD:
                ports = self.layout.ports_of_mim[m]
                self._look(m, output_va[ports], float(state.mims.taken_at_s[m]))
                self._begin(m, output_va[ports], setpoint_va[ports], float(changed_at_s[m]), float(state.mims.taken_at_s[m]))
        return self._gains()

    def measured_s(self, m: int) -> float | None:
        """When half of a step of this MIM was seen, median of the last ones [s]; None = not known yet."""
        known = self._measured_s.get(m)
        return float(np.median(known)) if known and len(known) >= _STEPS_BELIEVED else None

    def _begin(self, m: int, output_va: ComplexArray, target_va: ComplexArray, told_at_s: float, taken_at_s: float) -> None:
        if not math.isfinite(told_at_s) or self._told_at_s.get(m) == told_at_s:
            return
        self._told_at_s[m] = told_at_s
        self._steps.pop(m, None)  # the step before was not seen to its half: it tells nothing
        least_va = _LEAST_STEP * max(port.rating_va for port in self.layout.mims[m].ports)
        if np.isfinite(target_va).all() and np.isfinite(output_va).all() and np.abs(target_va - output_va).max() >= least_va:
            self._steps[m] = _Step(told_at_s, output_va, target_va, taken_at_s)

    def _look(self, m: int, output_va: ComplexArray, taken_at_s: float) -> None:
        step = self._steps.get(m)
        if step is None or taken_at_s <= step.seen_at_s or not np.isfinite(output_va).all():
            return
        before_s, step.seen_at_s = step.seen_at_s, taken_at_s
        if not step.done(output_va):
            return
        del self._steps[m]
        # it happened between two reports: not before the earlier one, or the command itself
        soonest_s = max(before_s, step.told_at_s) - step.told_at_s
        size_va = float(np.abs(step.target_va - step.start_va).max())
        self._measured_s.setdefault(m, deque(maxlen=_STEPS_KEPT)).append(taken_at_s - step.told_at_s)
        self._excess_s.setdefault(m, deque(maxlen=_STEPS_KEPT)).append(soonest_s - declared_s(self.layout.mims[m], size_va))

    def _gains(self) -> FloatArray | None:
        late: dict[int, float] = {}
        for m, excess in self._excess_s.items():
            declared = self.layout.mims[m].latency.delay_s
            if len(excess) >= _STEPS_BELIEVED and float(np.median(excess)) > max(_TOLERANCE * declared, self.period_s):
                late[m] = declared + float(np.median(excess))
        self._tell(late)
        if not late:
            return None
        gains = self._all.copy()
        for m, delay_s in late.items():
            each_s = max(self.layout.mims[m].latency.command_every_s, self.period_s)
            gains[m] = min(1.0, _OF_GAIN_LIMIT * integrator_gain_limit(math.ceil(delay_s / each_s)))
        return gains

    def _tell(self, late: dict[int, float]) -> None:
        holding = []
        for m, delay_s in late.items():
            mim = self.layout.mims[m]
            text = (
                f"{mim.id} acts after {delay_s:.0f} s or more, the site file says {mim.latency.delay_s:g} s: it is moved in parts; "
                f"correct its latency"
            )
            holding.append((mim.id, text))
        self.events.keep_only("mim.slower_than_declared", holding, Severity.WARNING)
