"""Does each MIM do what it was told? One that does not is left out, and tried again later.

The echo of a sequence number proves that a setpoint arrived; only the measured output proves that it is obeyed. Setpoints may
move in every cycle and the output follows with a delay, so it is compared with all that was in force a short while back: an
output outside the span of those setpoints obeys none of them.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from mimctl.control.events import EventLog
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout
from mimctl.model.problem import Severity
from mimctl.model.sample import BAD
from mimctl.model.site import Mim
from mimctl.model.state import SiteState

#: command_status values that mean the setpoint in force is not ours (64901 CmdSta: rejected, reverted)
_NOT_OURS = (2.0, 3.0)
_TOLERANCE_OF_RATING = 0.1
_TOLERANCE_W = 25.0
#: a setpoint can no longer be seen in the output after this many response times
_SETTLE_RESPONSES = 2.0
#: a medium may be so much later than declared before that counts as disobedience; the response watch sees to it before
_SETTLE_DELAYS = 3.0
#: samples that a cycle may still look at are younger than this
_OLDEST_SAMPLE_S = 10.0
_STRIKES = 3
_PROBATION_S = 60.0
_PROBATION_MOST_S = 3600.0


def _settle_s(mim: Mim) -> float:
    """How long the largest move of a MIM may take: its medium's delay, its response, and its whole range at its ramp."""
    swing_w = 2 * max((port.rating_va for port in mim.ports), default=0.0)
    return _SETTLE_DELAYS * mim.latency.delay_s + _SETTLE_RESPONSES * mim.response_s + swing_w / mim.ramp_w_per_s


class Supervisor:
    """Watches M MIMs of one layout over the cycles.

    Args:
        oldest_sample_s: samples may be looked at until they are so old; what was in force then must be remembered.
    """

    def __init__(self, layout: SiteLayout, events: EventLog, oldest_sample_s: float = _OLDEST_SAMPLE_S) -> None:
        count = len(layout.mims)
        self._layout = layout
        self._events = events
        self._strikes = np.zeros(count, dtype=np.int64)
        self._lapses = np.zeros(count, dtype=np.int64)
        self._excluded_until_s: FloatArray = np.full(count, -np.inf)
        self._settle_s = np.array([_settle_s(mim) for mim in layout.mims])
        seldom_s = max((mim.latency.stale_s for mim in layout.mims), default=0.0)
        self._oldest_s = max(_OLDEST_SAMPLE_S, oldest_sample_s) + seldom_s + float(self._settle_s.max(initial=0.0))
        self._judged_at_s: FloatArray = np.full(count, -np.inf)
        self._held_since_s: FloatArray = np.full(count, np.inf)
        #: (from, until, setpoints of all ports): what was in force lately, newest last
        self._past: deque[tuple[float, float, ComplexArray]] = deque()
        self._tolerance_va = np.maximum(_TOLERANCE_OF_RATING * layout.port_rating_va, _TOLERANCE_W)

    def check(self, state: SiteState, setpoint_va: ComplexArray, written_at_s: FloatArray, in_force: BoolArray) -> BoolArray:
        """(M,) which MIMs follow their setpoints, as far as can be told; False = left out for now.

        Args:
            setpoint_va: (K,) what the devices were last told [VA].
            written_at_s: (M,) when they were last told anything, −inf = never [s].
            in_force: (M,) they hold a setpoint of ours, as far as is known.
        """
        self._remember(state.now_s, setpoint_va)
        taken = state.mims.taken_at_s
        told = np.isfinite(written_at_s) & (state.mims.quality > BAD) & (taken > self._judged_at_s)
        told &= state.now_s >= self._excluded_until_s
        self._judged_at_s = np.where(told, taken, self._judged_at_s)
        self._held_since_s = np.where(in_force, np.minimum(self._held_since_s, state.now_s), np.inf)
        status, (rejected, reverted) = state.mims.command_status, _NOT_OURS
        foreign = ((status == rejected) | (status == reverted)) & (taken > self._held_since_s + self._settle_s)
        strays = told & (self._disobeys(state, told) | foreign)
        self._strikes = np.where(strays, self._strikes + 1, np.where(told, 0, self._strikes))
        self._lapses[state.now_s > self._excluded_until_s + _PROBATION_MOST_S] = 0
        for m in np.flatnonzero(self._strikes >= _STRIKES):
            self._exclude(int(m), state.now_s)
        obeying: BoolArray = state.now_s >= self._excluded_until_s
        self._report(obeying)
        return obeying

    def _remember(self, now_s: float, setpoint_va: ComplexArray) -> None:
        """These setpoints have come into force since the last call."""
        since_s = self._past[-1][1] if self._past else -np.inf
        self._past.append((since_s, now_s, setpoint_va))
        while self._past[0][1] < now_s - self._oldest_s:
            self._past.popleft()

    def _outside(self, measured: FloatArray, setpoints: FloatArray, seen: BoolArray) -> FloatArray:
        """(K,) how far one part of the port powers lies outside the span of the setpoints (T, K) that are `seen` (T, K)."""
        low = np.where(seen, setpoints, np.inf).min(axis=0)
        high = np.where(seen, setpoints, -np.inf).max(axis=0)
        return np.asarray(measured - np.clip(measured, low, high))

    def _disobeys(self, state: SiteState, told: BoolArray) -> BoolArray:
        """(M,) some port is further from its setpoints than tolerance, common mode left out.

        A MIM shifts all its ports together to keep its DC link in balance, so the mean deviation is its own business.
        """
        if self._follows_newest(state, told):
            return np.zeros(len(self._strikes), dtype=np.bool_)
        since, until = (np.array([entry[i] for entry in self._past])[:, None] for i in (0, 1))
        taken = state.mims.taken_at_s
        seen = ((since <= taken) & (until >= taken - self._settle_s))[:, self._layout.port_mim]
        past = np.array([entry[2] for entry in self._past])
        outside = self._outside(state.ports.inject_w, past.real, seen) + 1j * self._outside(state.ports.inject_var, past.imag, seen)
        deviation = np.where(told[self._layout.port_mim], outside, 0.0)
        port_mim = self._layout.port_mim
        count = np.bincount(port_mim, minlength=len(self._strikes))
        mean = np.bincount(port_mim, deviation.real, len(self._strikes)) / np.maximum(count, 1)
        off = np.abs(deviation - mean[port_mim]) > self._tolerance_va
        result = np.zeros(len(self._strikes), dtype=np.bool_)
        np.logical_or.at(result, port_mim, off)
        return result

    def _follows_newest(self, state: SiteState, told: BoolArray) -> bool:
        """All outputs are so near to the newest setpoints, and measured under them, that nothing older need be looked at.

        Nobody can be further outside the span of several setpoints than from one of them. Within a quarter of the tolerance in
        both parts, a port less the mean of its MIM's is within √(½² + ¼²) of it.
        """
        since_s, _, newest_va = self._past[-1]
        near = 0.25 * self._tolerance_va
        close = np.abs(state.ports.inject_w - newest_va.real) <= near
        close &= np.abs(state.ports.inject_var - newest_va.imag) <= near
        close |= ~told[self._layout.port_mim]
        return bool(close.all()) and bool((~told | (state.mims.taken_at_s >= since_s)).all())

    def _exclude(self, m: int, now_s: float) -> None:
        pause_s = min(_PROBATION_MOST_S, _PROBATION_S * 2.0 ** self._lapses[m])
        self._excluded_until_s[m] = now_s + pause_s
        self._lapses[m] += 1
        self._strikes[m] = 0

    def _report(self, obeying: BoolArray) -> None:
        holding = (
            []
            if obeying.all()
            else [
                (self._layout.mims[m].id, f"{self._layout.mims[m].id} does not follow its setpoints; left out of control for now")
                for m in np.flatnonzero(~obeying)
            ]
        )
        self._events.keep_only("mim.ignores_setpoint", holding, Severity.WARNING)
