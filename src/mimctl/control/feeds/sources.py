"""What transfer devices permit, before the solve; and lost sources, used again when they have been healthy for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from mimctl.control.events import EventLog
from mimctl.control.narrow import Situation
from mimctl.grid.sources import SourceLimits, described, source_limits
from mimctl.model.bounds import Bounds, Restriction
from mimctl.model.layout import BoolArray, FloatArray, SiteLayout, frozen
from mimctl.model.phases import PHASES
from mimctl.model.problem import Severity
from mimctl.model.reason import Reason
from mimctl.model.sample import BAD
from mimctl.model.state import SiteState
from mimctl.model.transfer import TransferState

#: what dividing and multiplying may differ by
_HAIR = 1e-9
#: a source lost by voltage whose frequency is no longer measured proves itself by voltage alone in so many times `resync`
_WITHOUT_FREQUENCY = 6
#: sources that are none of the usual; told as an event while they last
_TOLD = {TransferState.UNKNOWN: Severity.WARNING, TransferState.FAULT: Severity.ERROR, TransferState.OPEN: Severity.ERROR}


@dataclass(eq=False)
class TransferLimits:
    """Takes from the limits of the nodes behind transfer devices what their present source cannot give or take back.

    Args:
        max_age_s: what a device said longer ago counts as nothing [s].
    """

    layout: SiteLayout
    events: EventLog
    max_age_s: float

    def narrow(self, bounds: Bounds, situation: Situation) -> Bounds:
        """Less current, and less to flow back, at the places of the transfer devices."""
        state = situation.state
        limits = source_limits(self.layout, state, self.max_age_s, state.now_s)
        if limits is None:
            return bounds
        told = tuple(described(limits, self.layout))
        self._tell(limits)
        return replace(
            bounds,
            node_limit_a=frozen(np.minimum(bounds.node_limit_a, limits.phase_a)),
            head_min_import_w=frozen(np.maximum(bounds.head_min_import_w, limits.min_import_w)),
            restrictions=(*bounds.restrictions, *(Restriction(where, Reason("transfer.source", text)) for where, text in told)),
        )

    def _tell(self, limits: SourceLimits) -> None:
        """One event for each device that is not on its normal source."""
        devices = list(zip(self.layout.site.transfers, limits.states, strict=True))
        for state in TransferState:
            if state is TransferState.NORMAL:
                continue
            severity = _TOLD.get(state, Severity.WARNING)
            holding = [(d.id, f"{d.kind.value.upper()} {d.id} at {d.node}: {state.word}") for d, now in devices if now is state]
            self.events.keep_only(f"transfer.{state.word}", holding, severity)


@dataclass(eq=False)
class GridWatch:
    """Sees that a source is lost, by voltage, frequency or the state of a transfer device, and gives every MIM behind it back.

    It comes after every other narrower, leases included: nobody asks for a setpoint on a grid that is lost, nor before it has been
    healthy for a while again. Those on a bus that another MIM forms follow that one.

    A frequency that has once been measured belongs to the health of a source. One that was lost by it is never used again while it
    is not known; one that was lost otherwise proves itself by voltage alone after a longer while.

    Reference: IEEE 1547-2018, 4.10.2: voltage and frequency are within their range before a resource enters service.

    Args:
        followers: (M,) MIMs on such a bus; None = none.
    """

    layout: SiteLayout
    events: EventLog
    max_age_s: float
    followers: Callable[[SiteState], BoolArray | None] = lambda _: None
    _healthy_since_s: dict[int, float] = field(default_factory=dict)
    #: the same, by voltage alone
    _voltage_since_s: dict[int, float] = field(default_factory=dict)
    _lost: dict[int, str] = field(default_factory=dict)
    #: lost by frequency, until they are used again
    _off_frequency: set[int] = field(default_factory=set)
    #: used again by voltage alone, until their frequency is known
    _by_voltage: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        #: (G,) whose frequency has been measured since the start
        self._has_frequency: BoolArray = np.zeros(len(self.layout.guarded), dtype=np.bool_)
        below = self.layout.below[self.layout.guarded][:, self.layout.port_node]
        mims = len(self.layout.mims)
        #: (G, M) MIMs with a port behind each guarded node
        self._behind: BoolArray = np.zeros((len(below), mims), dtype=np.bool_)
        for m, ports in enumerate(self.layout.ports_of_mim):
            self._behind[:, m] = below[:, ports].any(axis=1)
        metered = np.array([meter is not None for meter in self.layout.meter_of_node], dtype=np.bool_)
        at = ((int(n), np.flatnonzero(self.layout.below[n] & metered)) for n in self.layout.guarded if not metered[n])
        #: those that stand in for a guarded node without a meter: all metered nodes below
        self._stand_ins = {n: below for n, below in at if len(below)}

    def narrow(self, bounds: Bounds, situation: Situation) -> Bounds:
        """Nobody behind a lost source is commanded; they are released in this very cycle."""
        self._look(situation.state)
        if not self._lost:
            return bounds
        gone = np.logical_or.reduce(self._behind[list(self._lost)])
        followers = self.followers(situation.state)
        if followers is not None:
            gone &= ~followers
        release = np.zeros_like(gone) if bounds.mim_release is None else bounds.mim_release
        pinned = bounds.port_pinned_va
        names = [(self._name(g), why) for g, why in self._lost.items()]
        return replace(
            bounds,
            mim_enabled=frozen(bounds.mim_enabled & ~gone),
            mim_release=frozen(release | gone),
            port_pinned_va=None if pinned is None else frozen(np.where(gone[self.layout.port_mim], np.nan, pinned)),
            restrictions=(*bounds.restrictions, *(Restriction(where, Reason("grid.lost", why)) for where, why in names)),
        )

    def _look(self, state: SiteState) -> None:
        """Who is lost now; whoever is healthy again waits for the end of its probation."""
        signed = set()
        for g, why in self._signs(state):
            self._lost[g] = why
            self._begin_anew(g)
            self._by_voltage.discard(g)
            signed.add(g)
        if self._lost or self._by_voltage:
            volts_pu, frequency_hz = self._measured(state)
            for g in [g for g in self._lost if g not in signed]:
                self._prove(g, state.now_s, volts_pu, frequency_hz)
            self._by_voltage = {g for g in self._by_voltage if np.isnan(frequency_hz[self.layout.guarded[g]])}
        self.events.keep_only("grid.lost", [(self._name(g), why) for g, why in self._lost.items()], Severity.ERROR)
        text = "is used by its voltage alone: its frequency is not known"
        alone = [(self._name(g), f"{self._name(g)} {text}") for g in self._by_voltage]
        self.events.keep_only("grid.frequency_unknown", alone, Severity.WARNING)

    def _prove(self, g: int, now_s: float, volts_pu: FloatArray, frequency_hz: FloatArray) -> None:
        """A step in the probation of a lost source of which nothing bad is seen: silence proves nothing."""
        n, name, resync_s = int(self.layout.guarded[g]), self._name(g), self.layout.site.control.grid.resync_s
        metered = self.layout.meter_of_node[n] is not None or n in self._stand_ins
        if metered and np.isnan(volts_pu[n][self.layout.phase_present[n]]).any():
            self._begin_anew(g)
            return
        voltage_s = now_s - self._voltage_since_s.setdefault(g, now_s)
        if not (self._has_frequency[g] and np.isnan(frequency_hz[n])):
            if now_s - self._healthy_since_s.setdefault(g, now_s) >= resync_s:
                self._use(g)
            else:
                self._lost[g] = f"{name} is back; it is used again when it has been healthy for {resync_s:g} s"
            return
        self._healthy_since_s.pop(g, None)
        awaited = f"awaited is a frequency in its band for {resync_s:g} s"
        if g in self._off_frequency:
            self._lost[g] = f"the source of {name} was lost by its frequency, which is not measured now: {awaited}"
        elif voltage_s < _WITHOUT_FREQUENCY * resync_s:
            alone = f"or {_WITHOUT_FREQUENCY * resync_s:g} s of healthy voltage"
            self._lost[g] = f"{name} is back by voltage, its frequency is not measured: {awaited}, {alone}"
        else:
            self._use(g)
            self._by_voltage.add(g)

    def _begin_anew(self, g: int) -> None:
        """No health so far counts."""
        self._healthy_since_s.pop(g, None)
        self._voltage_since_s.pop(g, None)

    def _use(self, g: int) -> None:
        """It has proven itself."""
        del self._lost[g]
        self._begin_anew(g)
        self._off_frequency.discard(g)

    def _signs(self, state: SiteState) -> Iterator[tuple[int, str]]:
        """(guarded node, why) wherever the source looks lost."""
        if self._quiet(state):
            return
        limits = source_limits(self.layout, state, self.max_age_s, state.now_s)
        band, nominal_hz = self.layout.site.control.grid, self.layout.site.frequency_hz
        volts_pu, frequency_hz = self._measured(state)
        at, least_hz, most_hz = self.layout.guarded, band.min_frequency_pu * nominal_hz, band.max_frequency_pu * nominal_hz
        out = ((volts_pu[at] < band.min_voltage_pu) | (volts_pu[at] > band.max_voltage_pu)).any(axis=1)
        off = (frequency_hz[at] < least_hz) | (frequency_hz[at] > most_hz)
        out |= off
        self._off_frequency.update(map(int, np.flatnonzero(off)))
        self._has_frequency |= np.isfinite(frequency_hz[at])
        if limits is not None:
            out |= limits.cut_off[at]
        for g in map(int, np.flatnonzero(out)):
            n = at[g]
            low = (volts_pu[n] < band.min_voltage_pu) | (volts_pu[n] > band.max_voltage_pu)
            hertz = frequency_hz[n]
            if limits is not None and limits.cut_off[n]:
                yield g, f"{self._name(g)} is cut off: its transfer device is open"
            elif low.any():
                phases = ", ".join(f"{p} {v:.0%}" for p, v, wrong in zip(PHASES, volts_pu[n], low, strict=True) if wrong)
                yield g, f"the source of {self._name(g)} is lost: {phases} of nominal voltage"
            else:
                yield g, f"the source of {self._name(g)} is lost: {hertz:.2f} Hz"

    def _quiet(self, state: SiteState) -> bool:
        """No reading of a guarded node, fresh or not, is out of band, and nothing else could tell of a lost source."""
        if self.layout.site.transfers or self._stand_ins:
            return False
        band, nodes, at = self.layout.site.control.grid, state.nodes, self.layout.guarded
        volts_pu = nodes.voltage_ln_v[at] / self.layout.voltage_ln_v[at, None]
        # a value that is not known is not out of band
        if ((volts_pu < band.min_voltage_pu) | (volts_pu > band.max_voltage_pu)).any():
            return False
        if nodes.frequency_hz is None:
            return True
        share = nodes.frequency_hz[at] / self.layout.site.frequency_hz
        if (np.isfinite(share) & ~self._has_frequency).any():
            return False  # it is to be remembered as measured
        # a hair narrower than the band itself, for that is held against hertz
        least, most = band.min_frequency_pu * (1 + _HAIR), band.max_frequency_pu * (1 - _HAIR)
        return not ((share < least) | (share > most)).any()

    def _measured(self, state: SiteState) -> tuple[FloatArray, FloatArray]:
        """(N, 3) voltages [pu] and (N,) frequencies [Hz] of fresh readings, NaN elsewhere; a transfer device's own counts too."""
        nodes, layout = state.nodes, self.layout
        fresh = (state.now_s - nodes.taken_at_s <= self.max_age_s) & (nodes.quality > BAD)
        if nodes.estimated is not None:
            fresh &= ~nodes.estimated
        present = layout.phase_present & fresh[:, None]
        volts_pu = np.where(present, nodes.voltage_ln_v / layout.voltage_ln_v[:, None], np.nan)
        hertz = np.full(len(fresh), np.nan) if nodes.frequency_hz is None else np.where(fresh, nodes.frequency_hz, np.nan)
        image = state.transfers
        if image is not None:
            for t, device in enumerate(layout.site.transfers):
                if image.quality[t] > BAD and state.now_s - image.taken_at_s[t] <= self.max_age_s:
                    for node, _ in device.where:
                        n = layout.node_index[node]
                        hertz[n] = image.frequency_hz[t] if np.isnan(hertz[n]) else hertz[n]
        for n, below in self._stand_ins.items():
            # as long as one of them has voltage, the source has
            volts_pu[n] = np.where(layout.phase_present[n], np.fmax.reduce(volts_pu[below], axis=None), np.nan)
            hertz[n] = np.fmax.reduce(hertz[below]) if np.isnan(hertz[n]) else hertz[n]
        return volts_pu, hertz

    def _name(self, g: int) -> str:
        return self.layout.nodes[int(self.layout.guarded[g])].id
