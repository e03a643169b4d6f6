"""What each device was last told and may hold by now: the memory of the dispatcher, by which everybody else asks.

Nothing here writes. What was on its way and never answered for is not known, and what was found at a device that nobody remembers
telling is strange: both are ended by a release all the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mimctl.control.due_writes import DueWrite, Holdings
from mimctl.control.filtering.filters_told import FiltersTold
from mimctl.control.forming.forms_told import FORM, KEEP_FORMING, FormsTold
from mimctl.control.silence import Silence
from mimctl.control.unproven import Unproven
from mimctl.model.errors import WriteHeld
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout
from mimctl.model.plan import HarmonicShares
from mimctl.model.protocols import Commanded, HeldSetpoint, MimDriver, Recall, Recalls
from mimctl.model.sample import BAD
from mimctl.model.site import ExpiryAction
from mimctl.model.state import SiteState
from mimctl.safety.settings import Accepted

#: writes that concern form mode alone, of which `FormsTold` keeps its own record
OF_FORMS = (FORM, KEEP_FORMING)


class Held:
    """Of the M MIMs of one layout, with K ports.

    Args:
        drivers: by the index of the MIM.
    """

    def __init__(self, layout: SiteLayout, drivers: Mapping[int, MimDriver]) -> None:
        count = len(layout.mims)
        self._layout, self._drivers = layout, drivers
        self._commanded: dict[int, Commanded] = {m: d for m, d in drivers.items() if isinstance(d, Commanded)}
        self._silence = Silence(layout, self._commanded)
        #: who was told to form a bus
        self.forms = FormsTold(layout, drivers)
        #: what harmonic filters were told
        self.filters = FiltersTold(layout)
        self._setpoint_va: ComplexArray = np.zeros(len(layout.ports), dtype=np.complex128)
        self._written_at_s: FloatArray = np.full(count, -np.inf)
        self._changed_at_s: FloatArray = np.full(count, -np.inf)
        self._in_force: BoolArray = np.zeros(count, dtype=np.bool_)
        #: a setpoint was on its way and nobody knows whether it arrived, since `_tried_at_s`
        self._uncertain: BoolArray = np.zeros(count, dtype=np.bool_)
        self._met: BoolArray = np.zeros(count, dtype=np.bool_)
        #: found with a setpoint of which nobody knows whose it is, or that stands for ever; a stop ends it all the same
        self._strange: BoolArray = np.zeros(count, dtype=np.bool_)
        self._tried_at_s: FloatArray = np.full(count, -np.inf)
        #: releases that nobody has seen arrive; until then, or until its validity is over, such a device is uncertain
        self.unproven = Unproven(layout, drivers)

    @property
    def setpoint_va(self) -> ComplexArray:
        """(K,) what the devices hold: zero where they are released or never were told, NaN where it is not known [VA]."""
        return self._setpoint_va.copy()

    @property
    def harmonics(self) -> HarmonicShares | None:
        """Shares that the filters hold, NaN where that is not known; None where no MIM has a filter."""
        return self.filters.shares

    @property
    def written_at_s(self) -> FloatArray:
        """(M,) monotonic instant of the last write that succeeded, −inf = never [s]."""
        return self._written_at_s.copy()

    @property
    def changed_at_s(self) -> FloatArray:
        """(M,) monotonic instant of the last change of setpoint, −inf = never [s]."""
        return self._changed_at_s.copy()

    @property
    def in_force(self) -> BoolArray:
        """(M,) the device holds a setpoint of ours."""
        return self._in_force.copy()

    def accepted(self) -> Accepted:
        """All of it, as the judge asks for it."""
        return Accepted(self.setpoint_va, self.written_at_s, self.changed_at_s, self.harmonics, self.forms.state)

    def holdings(self, quiet: BoolArray, *, stopped: bool) -> Holdings:
        """What writes are due by.

        Args:
            quiet: (M,) nothing was written to it for as long as its medium wants between two signs of life.
            stopped: only while a stop stands is a setpoint ended of which nobody knows whose it is.
        """
        strange = self._strange if stopped else np.zeros_like(self._strange)
        return Holdings(self._in_force, self._uncertain, strange | self.forms.holding, quiet)

    def is_uncertain(self, m: int) -> bool:
        return bool(self._uncertain[m])

    def tried(self, m: int, now_s: float) -> None:
        """A setpoint is on its way, or was when the link failed: nobody knows whether it arrives."""
        self._uncertain[m], self._tried_at_s[m] = True, now_s
        self.unproven.over(m)  # what may have come after a release is released anew, without waiting for the pace of the medium

    def failed(self, write: DueWrite, now_s: float) -> None:
        """The link failed. A release that is sent again takes nothing from the one before it, which may still arrive."""
        again = write.kind == "release" and bool(self.unproven.waiting[write.mim])
        if write.kind not in OF_FORMS and not again:
            self.tried(write.mim, now_s)

    def note(self, write: DueWrite, holds: HeldSetpoint | None, now_s: float) -> None:
        """The device answered: remember what it holds, and since when."""
        m, ports = write.mim, self._layout.ports_of_mim[write.mim]
        if write.kind in OF_FORMS:
            return
        told_at_s, self._written_at_s[m] = self._told_at_s(m, now_s), now_s
        if holds is None:
            return
        if not holds.kept:
            self._changed_at_s[m] = now_s
        self._uncertain[m] = self._strange[m] = False
        self._in_force[m] = write.kind != "release"
        self._setpoint_va.real[ports], self._setpoint_va.imag[ports] = holds.inject_w, holds.inject_var
        if write.kind == "release":
            self.filters.silent(m)
            if self.unproven.sent(m, now_s):
                self._uncertain[m], self._tried_at_s[m], self._setpoint_va[ports] = True, told_at_s, np.nan
        else:
            self.filters.holds(m, holds)
            self.unproven.over(m)

    def _told_at_s(self, m: int, now_s: float) -> float:
        """When a device was last told something that it may still hold, from which its validity runs [s]."""
        if self._in_force[m]:
            return float(max(self._written_at_s[m], self._tried_at_s[m] if self._uncertain[m] else -np.inf))
        return float(self._tried_at_s[m]) if self._uncertain[m] else now_s

    def look_for_proof(self, now_s: float) -> None:
        """Releases that were echoed, and those that do not matter any more since the device has fallen back by itself."""
        done, lapsed = self.unproven.proven(), now_s - self._tried_at_s > self._silence.waits_s
        for m in map(int, np.flatnonzero(self._uncertain & ~self._in_force & ~self._strange & lapsed)):
            if self._silence.action(m) in (ExpiryAction.ZERO, ExpiryAction.DISCONNECT):
                self.unproven.over(m)
                done.append(m)
        for m in done:
            self._uncertain[m], self._setpoint_va[self._layout.ports_of_mim[m]] = False, 0

    def note_held(self, write: DueWrite, held: WriteHeld, now_s: float, *, uncertain: bool) -> None:
        """Nothing of the command went out: what the device holds is as well known as it was before."""
        self._uncertain[write.mim] = uncertain
        if held.kept_alive:
            self._written_at_s[write.mim] = now_s

    def adopt(self, state: SiteState) -> None:
        """Take over what each device holds from a controller before us, once, when it first answers: a restart is no bump."""
        self.forms.look(state)
        if self._met.all():
            return
        for m in np.flatnonzero(~self._met & (state.mims.quality > BAD)):
            driver, remaining_s = self._drivers.get(int(m)), float(state.mims.watchdog_remaining_s[m])
            recall = driver.recall if isinstance(driver, Recalls) else Recall.SETTLED
            self._met[m] = recall is not Recall.ASKED
            if recall is not Recall.SETTLED:
                self._hold_unknown(int(m), recall, state.now_s)
                continue
            if self._strange[m]:
                self._setpoint_va[self._layout.ports_of_mim[m]], self._strange[m] = 0, False
            held = None if driver is None else driver.held()
            if held is None:
                continue
            if not remaining_s > 0:
                self._strange[m] = True
                continue
            self._setpoint_va[self._layout.ports_of_mim[m]] = np.array(held.inject_w) + 1j * np.array(held.inject_var)
            self.filters.holds(int(m), held)
            self._in_force[m] = True
            self._written_at_s[m] = state.now_s - max(0.0, self._silence.validity_s[m] - remaining_s)
            self._changed_at_s[m] = -np.inf

    def _hold_unknown(self, m: int, recall: Recall, now_s: float) -> None:
        """It holds something that is not known: nothing is counted on it. If nobody will ever say, the judge has it released."""
        self._setpoint_va[self._layout.ports_of_mim[m]] = np.nan
        self.filters.holds(m, None)
        self._strange[m] = recall is Recall.ASKED
        if recall is Recall.UNKNOWN:
            self._in_force[m], self._written_at_s[m], self._changed_at_s[m] = True, now_s, -np.inf

    def insist(self, contested: BoolArray, now_s: float) -> None:
        """These MIMs lost our command: a heartbeat would keep alive whatever they hold, so ours is written anew.

        One that was found with nothing in force starts from there, as if it had never been told anything: what it does meanwhile
        is no disobedience.
        """
        for m in np.flatnonzero(contested & self._in_force):
            self._uncertain[m], self._tried_at_s[m], self._changed_at_s[m] = True, now_s, now_s
            self._setpoint_va[self._layout.ports_of_mim[m]] = self._held_va(int(m))
            if self._is_idle(int(m)):
                self._in_force[m], self._written_at_s[m] = False, -np.inf

    def let_go(self, yielded: BoolArray) -> None:
        """These MIMs belong to somebody else now: nothing is written to them, not even a release."""
        for m in np.flatnonzero(yielded):
            self._in_force[m] = self._uncertain[m] = self._strange[m] = False
            self.unproven.over(int(m))
            self._written_at_s[m] = self._changed_at_s[m] = -np.inf
            self._setpoint_va[self._layout.ports_of_mim[m]] = self._held_va(int(m))

    def _held_va(self, m: int) -> ComplexArray:
        """What a device was found to hold, NaN where that is not known [VA]."""
        if self._is_idle(m):
            self.filters.silent(m)
            return np.zeros(len(self._layout.mims[m].ports), dtype=np.complex128)
        held = self._drivers[m].held() if m in self._drivers else None
        self.filters.holds(m, held)
        if held is None:
            return np.full(len(self._layout.mims[m].ports), np.nan + 0j)
        return np.array(held.inject_w) + 1j * np.array(held.inject_var)

    def _is_idle(self, m: int) -> bool:
        """Whether a device that lost our command was found with nothing in force."""
        lost = self._commanded[m].foreign_write if m in self._commanded else None
        return lost is not None and lost.idle

    def expire(self, now_s: float) -> None:
        """A device not reached for as long as it waits has done what it does in silence.

        Then zero is in force, or, where it does something else, nobody knows what; with `hold` the setpoint simply stands. A
        device without a failsafe never does anything: it holds what it was told until it is told otherwise.
        """
        self.look_for_proof(now_s)
        waits_s = self._silence.waits_s
        for m in np.flatnonzero(self._lapsed(now_s, waits_s)):
            action, ports = self._silence.action(int(m)), self._layout.ports_of_mim[m]
            if action in (ExpiryAction.ZERO, ExpiryAction.DISCONNECT):
                self._in_force[m] = False
                self._setpoint_va[ports] = 0
                self.filters.silent(int(m))
                self._changed_at_s[m] = now_s
            elif action is not ExpiryAction.HOLD:
                self._setpoint_va[ports] = np.nan
                self.filters.holds(int(m), None)
        self._uncertain &= (now_s - self._tried_at_s <= waits_s) | self.unproven.waiting

    def in_force_va(self, now_s: float, *, sure: bool = False) -> ComplexArray:
        """(K,) what the devices hold at an instant if nothing is written until then, NaN where it is not known [VA].

        Args:
            sure: of a device that a write was on its way to, and nobody knows whether it came, nothing is known.
        """
        held_va = self._setpoint_va.copy()
        for m in np.flatnonzero(self._lapsed(now_s, self._silence.waits_s)):
            action = self._silence.action(int(m))
            if action is not ExpiryAction.HOLD:
                gone = action in (ExpiryAction.ZERO, ExpiryAction.DISCONNECT)
                held_va[self._layout.ports_of_mim[m]] = 0.0 if gone else np.nan
        if sure:
            perhaps = self._uncertain & (now_s - self._tried_at_s <= self._silence.waits_s)
            held_va[perhaps[self._layout.port_mim]] = np.nan
        return held_va

    def _lapsed(self, now_s: float, waits_s: FloatArray) -> BoolArray:
        """(M,) devices that hold a setpoint of ours and have waited for us in vain."""
        return self._in_force & (now_s - self._written_at_s > waits_s)

    def unmet(self) -> tuple[str, ...]:
        """MIMs that have never answered: what they hold is not known, and nothing of ours was ever written to them."""
        return tuple(self._layout.mims[m].id for m in np.flatnonzero(~self._met & ~self._in_force))

    def endless(self) -> frozenset[str]:
        """MIMs that keep what they were told for ever when nobody tells them anything."""
        return self._silence.endless()
