"""Does each MIM do what it was told? One that does not is left out, and tried again later.

The echo of a sequence number proves that a setpoint arrived; only the measured output proves that it is obeyed.
"""

from __future__ import annotations

import numpy as np

from mimctl.control.events import EventLog
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout
from mimctl.model.problem import Severity
from mimctl.model.sample import Quality
from mimctl.model.state import SiteState

#: command_status values that mean the setpoint in force is not ours (64901 CmdSta: rejected, reverted)
_NOT_OURS = (2.0, 3.0)
_TOLERANCE_OF_RATING = 0.1
_TOLERANCE_W = 25.0
#: settled = this many response times after the last write
_SETTLE_RESPONSES = 2.0
_STRIKES = 3
_PROBATION_S = 60.0
_PROBATION_MOST_S = 3600.0


class Supervisor:
    """Watches M MIMs of one layout over the cycles."""

    def __init__(self, layout: SiteLayout, events: EventLog) -> None:
        count = len(layout.mims)
        self._layout = layout
        self._events = events
        self._strikes = np.zeros(count, dtype=np.int64)
        self._lapses = np.zeros(count, dtype=np.int64)
        self._excluded_until_s: FloatArray = np.full(count, -np.inf)
        self._settle_s = np.array([_SETTLE_RESPONSES * mim.response_s for mim in layout.mims])
        self._tolerance_va = np.maximum(_TOLERANCE_OF_RATING * layout.port_rating_va, _TOLERANCE_W)

    def check(self, state: SiteState, setpoint_va: ComplexArray, written_at_s: FloatArray, changed_at_s: FloatArray) -> BoolArray:
        """(M,) which MIMs follow their setpoints, as far as can be told; False = left out for now.

        Args:
            setpoint_va: (K,) what the devices were last told [VA].
            written_at_s: (M,) when they were last told anything, −inf = never [s].
            changed_at_s: (M,) when their setpoint last changed [s].
        """
        reported = state.mims.quality > Quality.BAD
        taken = state.mims.taken_at_s
        told = np.isfinite(written_at_s) & reported & (taken > changed_at_s + self._settle_s)
        strays = told & (self._disobeys(state, setpoint_va) | np.isin(state.mims.command_status, _NOT_OURS))
        self._strikes = np.where(strays, self._strikes + 1, np.where(told, 0, self._strikes))
        for m in np.flatnonzero(self._strikes >= _STRIKES):
            self._exclude(int(m), state.now_s)
        obeying: BoolArray = state.now_s >= self._excluded_until_s
        self._report(obeying)
        return obeying

    def _disobeys(self, state: SiteState, setpoint_va: ComplexArray) -> BoolArray:
        """(M,) some port is further from its setpoint than tolerance, common mode left out.

        A MIM shifts all its ports together to keep its DC link in balance, so the mean deviation is its own business.
        """
        deviation = np.nan_to_num(state.ports.inject_w + 1j * state.ports.inject_var) - setpoint_va
        port_mim = self._layout.port_mim
        count = np.bincount(port_mim, minlength=len(self._strikes))
        mean = np.bincount(port_mim, deviation.real, len(self._strikes)) / np.maximum(count, 1)
        off = np.abs(deviation - mean[port_mim]) > self._tolerance_va
        result = np.zeros(len(self._strikes), dtype=np.bool_)
        np.logical_or.at(result, port_mim, off)
        return result

    def _exclude(self, m: int, now_s: float) -> None:
        pause_s = min(_PROBATION_MOST_S, _PROBATION_S * 2.0 ** self._lapses[m])
        self._excluded_until_s[m] = now_s + pause_s
        self._lapses[m] += 1
        self._strikes[m] = 0

    def _report(self, obeying: BoolArray) -> None:
        holding = [
            (self._layout.mims[m].id, f"{self._layout.mims[m].id} does not follow its setpoints; left out of control for now")
            for m in np.flatnonzero(~obeying)
        ]
        self._events.keep_only("mim.ignores_setpoint", holding, Severity.WARNING)
