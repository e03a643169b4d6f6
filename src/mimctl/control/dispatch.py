"""Write all: the only place that writes to devices, and it takes nothing but a `SafePlan`.

Heartbeats are written here too, once per judged cycle and never by a timer: when a cycle throws, blocks or is late, the
devices hear nothing and their own validity timers bring them to their expiry action. Silence is the dead man's switch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import structlog

from mimctl.control.due_writes import DueWrite, due_writes
from mimctl.control.held import OF_FORMS, Held
from mimctl.control.partition import width
from mimctl.model.clock import Clock
from mimctl.model.decision import WriteOutcome
from mimctl.model.errors import LinkError, WriteHeld
from mimctl.model.layout import BoolArray, FloatArray, SiteLayout
from mimctl.model.plan import SafePlan
from mimctl.model.protocols import DriverGroup, HeldSetpoint, MimCommand, MimDriver
from mimctl.model.tasks import end_tasks

_STOPPED = "emergency stop: nothing but releases is written"


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
        #: what the devices were told, and may hold by now
        self.held = Held(layout, self._drivers)
        #: a medium that carries few commands gets its signs of life as seldom, and always well inside the validity
        self._alive_every_s: FloatArray = np.array([mim.latency.command_every_s for mim in layout.mims], dtype=np.float64)

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
        written_at_s = self.held.written_at_s
        # those that answered last come first: dead devices must not use up the time of the living
        lanes = [sorted((due[m] for m in lane if m in due), key=lambda w: -written_at_s[w.mim]) for lane in self._lanes]
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
        quiet = self._clock.monotonic_s() - self.held.written_at_s >= self._alive_every_s
        due = due_writes(plan, self._layout, self.held.holdings(quiet, stopped=self._stopped()))
        paced = self.held.unproven.waiting & ~quiet  # a release on its way is not sent again until its medium carries another
        due = {m: write for m, write in due.items() if write.kind != "release" or not paced[m]}
        due |= self.held.forms.due(plan)
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
            uncertain = self.held.is_uncertain(write.mim)
            try:
                holds = await self._write(write, plan)
            except WriteHeld as held:
                error = held.what
                self.held.note_held(write, held, self._clock.monotonic_s(), uncertain=uncertain)
                kept = "soon" if held.passing else "budget"
            except LinkError as failure:
                error = failure.what
                self.held.failed(write, self._clock.monotonic_s())
            except Exception as failure:  # noqa: BLE001 - a driver that trips must not keep the others from being written, and is told
                error = f"its driver failed: {failure!r}"
                self._log.error("driver failed", device=self._layout.mims[write.mim].id, exc_info=failure)
            else:
                self.held.note(write, holds, self._clock.monotonic_s())
            outcomes.append(WriteOutcome(self._layout.mims[write.mim].id, write.kind, write.reason, error, held=kept))

    async def _write(self, write: DueWrite, plan: SafePlan) -> HeldSetpoint | None:
        """Do one write.

        Returns:
            What the device holds after it; None after a sign of life, which changes nothing.
        """
        driver = self._drivers[write.mim]
        if write.kind in OF_FORMS:
            await self.held.forms.write(write, plan, self._clock.monotonic_s())
            return None
        if write.kind == "release":
            await driver.release(write.reason)
            self.held.forms.released(write.mim, self._clock.monotonic_s())
            zeros = (0.0,) * len(self._layout.mims[write.mim].ports)
            return HeldSetpoint(zeros, zeros)
        if write.kind == "refresh":
            await driver.refresh()
            return None
        ports = self._layout.ports_of_mim[write.mim]
        self.held.tried(write.mim, self._clock.monotonic_s())
        watts, vars_ = tuple(plan.inject_w[ports].tolist()), tuple(plan.inject_var[ports].tolist())
        shares = self.held.filters.command(write.mim, plan.harmonics)
        return await driver.apply(MimCommand(watts, vars_, self._layout.mims[write.mim].validity_s, write.reason, shares))
