"""Write all: the only place that writes to devices, and it takes nothing but a `SafePlan`.

Heartbeats are written here too, once per judged cycle and never by a timer: when a cycle throws, blocks or is late, the
devices hear nothing and their own validity timers bring them to their expiry action. Silence is the dead man's switch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import structlog

from mimctl.control.due_writes import DueWrite, Holdings, due_writes
from mimctl.control.filters_told import FiltersTold
from mimctl.control.forms_told import FORM, KEEP_FORMING, FormsTold
from mimctl.control.partition import width
from mimctl.control.silence import Silence
from mimctl.model.clock import Clock
from mimctl.model.decision import WriteOutcome
from mimctl.model.errors import LinkError, WriteHeld
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout
from mimctl.model.plan import HarmonicShares, SafePlan
from mimctl.model.protocols import Commanded, DriverGroup, HeldSetpoint, MimCommand, MimDriver, Recall, Recalls
from mimctl.model.sample import BAD
from mimctl.model.site import ExpiryAction
from mimctl.model.state import SiteState
from mimctl.model.tasks import end_tasks
from mimctl.safety.settings import Accepted

_STOPPED = "emergency stop: nothing but releases is written"
_OF_FORMS = (FORM, KEEP_FORMING)


class Dispatcher:
    """Writes safe plans to the MIMs of one layout and knows what each was last told.

    Args:
        dry_run: nothing is ever written; every write is reported as it would have been.
        stopped: asked before each single write: from when it says so, nothing but releases begins, whatever plan is on its way.
    """

    def __init__(
        self,
        layout: SiteLayout,
        groups: Sequence[DriverGroup],
        clock: Clock,
        *,
        dry_run: bool = False,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._layout = layout
        self._clock = clock
        self._dry_run = dry_run
        self._stopped = stopped
        self._log = structlog.get_logger("mimctl.dispatch")
        self._drivers: dict[int, MimDriver] = {}
        self._lanes: list[list[int]] = []
        for group in groups:
            own = [(layout.mim_index[name], d) for name, d in group.drivers.items() if name in layout.mim_index]
            self._drivers.update({m: driver for m, driver in own if isinstance(driver, MimDriver)})
            wide = width(group)
            self._lanes += [[m for m, _ in own[n::wide]] for n in range(wide)]
        self._commanded: dict[int, Commanded] = {m: d for m, d in self._drivers.items() if isinstance(d, Commanded)}
        #: who was told to form a bus
        self.forms = FormsTold(layout, self._drivers)
        count = len(layout.mims)
        self._silence = Silence(layout, self._commanded)
        #: a medium that carries few commands gets its signs of life as seldom, and always well inside the validity
        self._alive_every_s: FloatArray = np.array([mim.latency.command_every_s for mim in layout.mims], dtype=np.float64)
        self._setpoint_va: ComplexArray = np.zeros(len(layout.ports), dtype=np.complex128)
        self._filters = FiltersTold(layout)
        self._written_at_s: FloatArray = np.full(count, -np.inf)
        self._changed_at_s: FloatArray = np.full(count, -np.inf)
        self._in_force: BoolArray = np.zeros(count, dtype=np.bool_)
        #: a setpoint was on its way and nobody knows whether it arrived, since `_tried_at_s`
        self._uncertain: BoolArray = np.zeros(count, dtype=np.bool_)
        self._met: BoolArray = np.zeros(count, dtype=np.bool_)
        #: found with a setpoint of which nobody knows whose it is, or that stands for ever; a stop ends it all the same
        self._strange: BoolArray = np.zeros(count, dtype=np.bool_)
        self._tried_at_s: FloatArray = np.full(count, -np.inf)

    @property
    def setpoint_va(self) -> ComplexArray:
        """(K,) what the devices hold: zero where they are released or never were told, NaN where it is not known [VA]."""
        return self._setpoint_va.copy()

    @property
    def harmonics(self) -> HarmonicShares | None:
        """Shares that the filters hold, NaN where that is not known; None where no MIM has a filter."""
        return self._filters.shares

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

    async def send(self, plan: SafePlan, deadline_s: float, *, releases_only: BoolArray | None = None) -> tuple[WriteOutcome, ...]:
        """Write one plan: links side by side, the MIMs of a link one after another, or a few at a time where it can carry that.

        What is not written by `deadline_s` (monotonic) is abandoned and reported; the device then has its old setpoint or its
        expiry action, and the next plan starts from what is known to be written. No write begins after the deadline: a process
        that was stopped for an hour must not go on with the plan it had.

        Args:
            releases_only: (M,) leave setpoints and heartbeats out; to make a device safe is always right. None = nobody's.
        """
        due = self._due(plan)
        if releases_only is not None:
            due = {m: w for m, w in due.items() if w.kind == "release" or not releases_only[m]}
        if self._dry_run or not due:
            return tuple(WriteOutcome(self._layout.mims[w.mim].id, w.kind, w.reason, skipped=True) for w in due.values())
        outcomes: list[WriteOutcome] = []
        # those that answered last come first: dead devices must not use up the time of the living
        lanes = [sorted((due[m] for m in lane if m in due), key=lambda w: -self._written_at_s[w.mim]) for lane in self._lanes]
        tasks = [asyncio.create_task(self._run_lane(lane, plan, deadline_s, outcomes)) for lane in lanes if lane]
        try:
            await asyncio.wait(tasks, timeout=max(0.0, deadline_s - self._clock.monotonic_s()))
        finally:  # also when this call itself is cancelled: nobody may go on writing behind a release
            await end_tasks(*tasks)
        done = {outcome.mim for outcome in outcomes}
        names = ((w, self._layout.mims[w.mim].id) for w in due.values())
        outcomes += [WriteOutcome(name, w.kind, w.reason, "not written in time") for w, name in names if name not in done]
        return tuple(outcomes)

    def _due(self, plan: SafePlan) -> dict[int, DueWrite]:
        # only while a stop stands is a setpoint ended of which nobody knows whose it is
        strange = self._strange if self._stopped() else np.zeros_like(self._strange)
        quiet = self._clock.monotonic_s() - self._written_at_s >= self._alive_every_s
        due = due_writes(plan, self._layout, Holdings(self._in_force, self._uncertain, strange | self.forms.holding, quiet))
        due |= self.forms.due(plan)
        return {m: write for m, write in due.items() if m in self._drivers}

    async def _run_lane(self, lane: Sequence[DueWrite], plan: SafePlan, deadline_s: float, outcomes: list[WriteOutcome]) -> None:
        for write in lane:
            if self._clock.monotonic_s() > deadline_s:
                return
            if write.kind != "release" and self._stopped():
                outcomes.append(WriteOutcome(self._layout.mims[write.mim].id, write.kind, write.reason, _STOPPED))
                continue
            error: str | None = None
            kept: str | None = None
            uncertain = bool(self._uncertain[write.mim])
            try:
                holds = await self._write(write, plan)
            except WriteHeld as held:
                error = held.what
                self._note_held(write, held, uncertain=uncertain)
                kept = "soon" if held.passing else "budget"
            except LinkError as failure:
                error = failure.what
                if write.kind not in _OF_FORMS:
                    self._uncertain[write.mim], self._tried_at_s[write.mim] = True, self._clock.monotonic_s()
            except Exception as failure:  # noqa: BLE001 - a driver that trips must not keep the others from being written, and is told
                error = f"its driver failed: {failure!r}"
                self._log.error("driver failed", device=self._layout.mims[write.mim].id, exc_info=failure)
            else:
                self._note(write, holds)
            outcomes.append(WriteOutcome(self._layout.mims[write.mim].id, write.kind, write.reason, error, held=kept))

    async def _write(self, write: DueWrite, plan: SafePlan) -> HeldSetpoint | None:
        """Do one write.

        Returns:
            What the device holds after it; None after a sign of life, which changes nothing.
        """
        driver = self._drivers[write.mim]
        if write.kind in _OF_FORMS:
            await self.forms.write(write, plan, self._clock.monotonic_s())
            return None
        if write.kind == "release":
            await driver.release(write.reason)
            self.forms.released(write.mim, self._clock.monotonic_s())
            zeros = (0.0,) * len(self._layout.mims[write.mim].ports)
            return HeldSetpoint(zeros, zeros)
        if write.kind == "refresh":
            await driver.refresh()
            return None
        ports = self._layout.ports_of_mim[write.mim]
        self._uncertain[write.mim], self._tried_at_s[write.mim] = True, self._clock.monotonic_s()
        watts, vars_ = tuple(plan.inject_w[ports].tolist()), tuple(plan.inject_var[ports].tolist())
        shares = self._filters.command(write.mim, plan.harmonics)
        return await driver.apply(MimCommand(watts, vars_, self._layout.mims[write.mim].validity_s, write.reason, shares))

    def _note(self, write: DueWrite, holds: HeldSetpoint | None) -> None:
        """The device answered: remember what it holds, and since when."""
        m, now_s, ports = write.mim, self._clock.monotonic_s(), self._layout.ports_of_mim[write.mim]
        if write.kind in _OF_FORMS:
            return
        self._written_at_s[m] = now_s
        if holds is None:
            return
        if not holds.kept:
            self._changed_at_s[m] = now_s
        self._uncertain[m] = self._strange[m] = False
        self._in_force[m] = write.kind != "release"
        self._setpoint_va.real[ports], self._setpoint_va.imag[ports] = holds.inject_w, holds.inject_var
        if write.kind == "release":
            self._filters.silent(m)
        else:
            self._filters.holds(m, holds)

    def _note_held(self, write: DueWrite, held: WriteHeld, *, uncertain: bool) -> None:
        """Nothing of the command went out: what the device holds is as well known as it was before."""
        self._uncertain[write.mim] = uncertain
        if held.kept_alive:
            self._written_at_s[write.mim] = self._clock.monotonic_s()

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
            self._filters.holds(int(m), held)
            self._in_force[m] = True
            self._written_at_s[m] = state.now_s - max(0.0, self._silence.validity_s[m] - remaining_s)
            self._changed_at_s[m] = -np.inf

    def _hold_unknown(self, m: int, recall: Recall, now_s: float) -> None:
        """It holds something that is not known: nothing is counted on it. If nobody will ever say, the judge has it released."""
        self._setpoint_va[self._layout.ports_of_mim[m]] = np.nan
        self._filters.holds(m, None)
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
            self._written_at_s[m] = self._changed_at_s[m] = -np.inf
            self._setpoint_va[self._layout.ports_of_mim[m]] = self._held_va(int(m))

    def _held_va(self, m: int) -> ComplexArray:
        """What a device was found to hold, NaN where that is not known [VA]."""
        if self._is_idle(m):
            self._filters.silent(m)
            return np.zeros(len(self._layout.mims[m].ports), dtype=np.complex128)
        held = self._drivers[m].held() if m in self._drivers else None
        self._filters.holds(m, held)
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
        waits_s = self._silence.waits_s
        for m in np.flatnonzero(self._lapsed(now_s, waits_s)):
            action, ports = self._silence.action(int(m)), self._layout.ports_of_mim[m]
            if action in (ExpiryAction.ZERO, ExpiryAction.DISCONNECT):
                self._in_force[m] = False
                self._setpoint_va[ports] = 0
                self._filters.silent(int(m))
                self._changed_at_s[m] = now_s
            elif action is not ExpiryAction.HOLD:
                self._setpoint_va[ports] = np.nan
                self._filters.holds(int(m), None)
        self._uncertain &= now_s - self._tried_at_s <= waits_s

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
