"""Do the MIMs act as soon as the site file says? The loop's stability rests on it, so one that is later is moved in parts.

A device reports seldom, and may get its next command before the last one is seen to act. So every report is held against what was
in force at several instants before it, and the delay at which the reports agree with the commands is the device's. Wired MIMs are
not watched: they report in every cycle what they really put out, which is what the loop goes by.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mimctl.control.events import EventLog
from mimctl.model.latency import LatencyClass, integrator_gain_limit
from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout, frozen
from mimctl.model.problem import Severity
from mimctl.model.sample import Quality
from mimctl.model.site import Mim
from mimctl.model.state import SiteState

#: delays that are tried: so many, up to so many times the declared one
_TRIED, _FURTHEST = 41, 4.0
#: a report tells something where the tried delays expect outputs that are apart by this share of the rating
_LEAST_STEP = 0.1
#: of the errors so far, this share is kept with each report that tells something, and so many such reports are believed
_KEPT, _REPORTS_BELIEVED = 0.85, 5
#: later than declared by more than this share counts, where it explains the reports so many times better
_TOLERANCE, _BETTER = 0.3, 4.0
#: errors of this share of the rating, squared, are as good as none
_FLOOR = 0.02**2
#: of the gain that would just be stable
_OF_GAIN_LIMIT = 0.5
#: a first-order response passes its half after ln 2 time constants, three of which are its response time
_HALF_OF_RESPONSE = math.log(2) / 3


def declared_s(mim: Mim) -> float:
    """When half of a small step should be there by the site file [s]."""
    return mim.latency.delay_s + _HALF_OF_RESPONSE * mim.response_s


@dataclass(eq=False)
class _Record:
    """One MIM: what it was told and when, and how well each tried delay explains its reports.

    Args:
        delays_s: (D,) tried.
        said_s: the one by the site file.
        rating_va: of its largest port.
    """

    delays_s: FloatArray
    said_s: float
    rating_va: float
    told: deque[tuple[float, ComplexArray]] = field(default_factory=deque)
    errors: FloatArray = field(init=False)
    reports: int = 0
    seen_at_s: float = -np.inf

    def __post_init__(self) -> None:
        self.errors = np.zeros(len(self.delays_s))

    def tell(self, at_s: float, setpoint_va: ComplexArray) -> None:
        """A setpoint that came into force."""
        if self.told and self.told[-1][0] >= at_s:
            return
        self.told.append((at_s, setpoint_va))
        oldest_s = at_s - 2 * float(self.delays_s[-1])
        while len(self.told) > 2 and self.told[1][0] < oldest_s:
            self.told.popleft()

    def report(self, taken_at_s: float, output_va: ComplexArray) -> None:
        """What the device put out at an instant."""
        if taken_at_s <= self.seen_at_s or not self.told or taken_at_s - self.delays_s[-1] < self.told[0][0]:
            return
        self.seen_at_s = taken_at_s
        since_s = np.array([at_s for at_s, _ in self.told])
        past = np.array([setpoint for _, setpoint in self.told])
        expected = past[np.searchsorted(since_s, taken_at_s - self.delays_s, side="right") - 1]
        if np.abs(expected - expected[0]).max() < _LEAST_STEP * self.rating_va:
            return
        error = (np.abs(expected - output_va) ** 2).max(axis=1) / self.rating_va**2
        self.errors = _KEPT * self.errors + (1 - _KEPT) * error
        self.reports += 1

    def delay_s(self) -> float | None:
        """Of the delays that explain the reports about equally well, the one nearest to what was said [s]; None = not known yet."""
        if self.reports < _REPORTS_BELIEVED:
            return None
        fits = self.errors <= 1.5 * self.errors.min() + _FLOOR
        return float(self.delays_s[fits][np.argmin(np.abs(self.delays_s[fits] - self.said_s))])

    def is_later_than(self, limit_s: float) -> bool:
        """Whether no delay up to the limit explains the reports, and a longer one does."""
        if self.reports < _REPORTS_BELIEVED:
            return False
        within = self.delays_s <= limit_s
        return bool(self.errors[within].min() > _BETTER * self.errors[~within].min() + _FLOOR)


@dataclass(eq=False)
class ResponseWatch:
    """Watches the medium and slow MIMs of one layout."""

    layout: SiteLayout
    events: EventLog
    period_s: float
    _records: dict[int, _Record] = field(default_factory=dict)
    #: when half of a step is there, by the reports of those that have told enough
    _found_s: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for m, mim in enumerate(self.layout.mims):
            if mim.latency.kind is not LatencyClass.FAST:
                furthest_s = _FURTHEST * max(declared_s(mim), self.period_s)
                rating_va = max(port.rating_va for port in mim.ports)
                self._records[m] = _Record(np.linspace(0.0, furthest_s, _TRIED), declared_s(mim), rating_va)

    def gains(self, state: SiteState, setpoint_va: ComplexArray, changed_at_s: FloatArray) -> FloatArray | None:
        """(M,) share of each move to make at once; None = all of it everywhere.

        Args:
            setpoint_va: (K,) in force, NaN = not known [VA].
            changed_at_s: (M,) since when, −inf = before our time [s].
        """
        if not self._records:
            return None
        output_va = state.ports.inject_w + 1j * state.ports.inject_var
        for m, record in self._records.items():
            ports = self.layout.ports_of_mim[m]
            if math.isfinite(changed_at_s[m]) and np.isfinite(setpoint_va[ports]).all():
                record.tell(float(changed_at_s[m]), setpoint_va[ports].copy())
            if state.mims.quality[m] > Quality.BAD and np.isfinite(output_va[ports]).all():
                record.report(float(state.mims.taken_at_s[m]), output_va[ports])
        found = ((m, record.delay_s()) for m, record in self._records.items())
        self._found_s = {m: found_s for m, found_s in found if found_s is not None}
        late = self._late()
        self._tell(late)
        return self._gains(late) if late else None

    def delays_s(self) -> FloatArray | None:
        """(M,) when each MIM begins to act on a command: as declared, or sooner where only that explains its reports [s].

        None where no MIM is watched. One that is later than declared is not waited for, it is moved in parts: its model stays the
        one it was promised by.
        """
        if not self._records:
            return None
        delays = np.array([mim.latency.delay_s for mim in self.layout.mims], dtype=np.float64)
        for m, found_s in self._found_s.items():
            delays[m] = min(delays[m], max(0.0, found_s - _HALF_OF_RESPONSE * self.layout.mims[m].response_s))
        return frozen(delays)

    def measured_s(self, m: int) -> float | None:
        """When this MIM acts on a command [s]; None = not known, or not watched."""
        return self._records[m].delay_s() if m in self._records else None

    def _late(self) -> Mapping[int, float]:
        """The MIMs that are later than declared, and how late [s]."""
        late = {}
        for m, found_s in self._found_s.items():
            said_s = declared_s(self.layout.mims[m])
            if self._records[m].is_later_than(said_s + max(_TOLERANCE * said_s, self.period_s)):
                late[m] = found_s
        return late

    def _gains(self, late: Mapping[int, float]) -> FloatArray:
        gains = np.ones(len(self.layout.mims))
        for m, delay_s in late.items():
            each_s = max(self.layout.mims[m].latency.command_every_s, self.period_s)
            gains[m] = min(1.0, _OF_GAIN_LIMIT * integrator_gain_limit(math.ceil(delay_s / each_s)))
        return frozen(gains)

    def _tell(self, late: Mapping[int, float]) -> None:
        holding = []
        for m, delay_s in late.items():
            mim = self.layout.mims[m]
            text = (
                f"{mim.id} acts {delay_s:.0f} s after a command, by the site file it is {declared_s(mim):.0f} s: it is moved in "
                f"parts; correct the delay of its latency"
            )
            holding.append((mim.id, text))
        self.events.keep_only("mim.slower_than_declared", holding, Severity.WARNING)
