"""Who was told to form a bus: the dispatcher's memory of form mode, beside that of setpoints.

A MIM counts as forming from the moment when somebody tries to tell it, until it has been told to stop, or has heard nothing for so
long that it has stopped by itself. What is found forming without having been told is somebody else's, or that of a run before.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mimctl.control.due_writes import DueWrite
from mimctl.model.island import FORMING_STATE
from mimctl.model.layout import BoolArray, FloatArray, SiteLayout
from mimctl.model.plan import SafePlan
from mimctl.model.protocols import FormCommand, Former, MimDriver
from mimctl.model.reason import Reason
from mimctl.model.sample import Quality
from mimctl.model.state import SiteState
from mimctl.safety.settings import Forming

#: kinds of writes
FORM, KEEP_FORMING = "form", "keep_forming"
_FORM = Reason("dispatch.form", "forms a bus by an operator's lease, as judged")
_KEEP = Reason("dispatch.keep_forming", "goes on forming its bus; validity renewed")
#: a device ends so much later than its validity at most: stagger, and the way down [s]
_LATE_S = 1.0


class FormsTold:
    """Of M MIMs of one layout.

    Args:
        drivers: by the index of the MIM.
    """

    def __init__(self, layout: SiteLayout, drivers: Mapping[int, MimDriver]) -> None:
        count = len(layout.mims)
        self._layout = layout
        self._formers = {m: d for m, d in drivers.items() if isinstance(d, Former)} if layout.site.islands else {}
        self._since_s: FloatArray = np.full(count, np.inf)
        self._ended_s: FloatArray = np.full(count, -np.inf)
        #: the last attempt to tell it anything of form mode, and the last that succeeded [s]
        self._tried_s: FloatArray = np.full(count, -np.inf)
        self._written_s: FloatArray = np.full(count, -np.inf)
        #: nobody knows whether the command to begin has arrived
        self._uncertain: BoolArray = np.zeros(count, dtype=np.bool_)
        #: forms a bus, and was not told by us
        self._found: BoolArray = np.zeros(count, dtype=np.bool_)

    @property
    def state(self) -> Forming | None:
        """What the judge must know; None where no MIM can form a bus."""
        if not self._formers:
            return None
        able = np.zeros(len(self._since_s), dtype=np.bool_)
        able[[m for m, driver in self._formers.items() if driver.can_form]] = True
        return Forming(self._since_s.copy(), self._ended_s.copy(), able)

    @property
    def holding(self) -> BoolArray:
        """(M,) forms a bus, or may: a release ends it."""
        return np.asarray(np.isfinite(self._since_s) | self._found)

    def look(self, state: SiteState) -> None:
        """Take over what the MIMs say of themselves; and who has heard nothing for too long has stopped."""
        told = state.mims.operating_state
        for m in self._formers if told is not None else ():
            usable = state.mims.quality[m] > Quality.BAD and state.mims.taken_at_s[m] > self._tried_s[m]
            forms = bool(told is not None and told[m] == FORMING_STATE)
            if usable and np.isfinite(self._since_s[m]):
                if self._uncertain[m] and not forms:
                    self._since_s[m] = np.inf  # it never began
                self._uncertain[m] = False
            elif usable:
                self._found[m] = forms
        for m in map(int, np.flatnonzero(np.isfinite(self._since_s))):
            last_s = max(float(self._written_s[m]), float(self._since_s[m]))
            if state.now_s - last_s > self._layout.mims[m].validity_s + _LATE_S:
                self._end(m, state.now_s)

    def watched(self, written_at_s: FloatArray) -> FloatArray:
        """(M,) when each was last told a setpoint, for whoever looks whether it follows: a former follows nobody [s]."""
        holding = self.holding
        return np.where(holding, -np.inf, written_at_s) if holding.any() else written_at_s

    def due(self, plan: SafePlan) -> dict[int, DueWrite]:
        """Who is to begin, and who gets a sign of life, by the index of the MIM."""
        index = [self._layout.mim_index[order.mim] for order in plan.forms]
        begun = np.isfinite(self._since_s)
        return {m: DueWrite(m, KEEP_FORMING, _KEEP) if begun[m] else DueWrite(m, FORM, _FORM) for m in index if m in self._formers}

    async def write(self, write: DueWrite, plan: SafePlan, now_s: float) -> None:
        """Tell one MIM.

        Raises:
            LinkError: it did not answer.
        """
        m = write.mim
        self._tried_s[m] = now_s
        if write.kind == KEEP_FORMING:
            await self._formers[m].keep_forming()
        else:
            order = next(order for order in plan.forms if order.mim == self._layout.mims[m].id)
            # from here on it may form the bus, whatever becomes of the answer
            self._since_s[m], self._uncertain[m] = now_s, True
            validity_s = self._layout.mims[m].validity_s
            await self._formers[m].form(
                FormCommand(order.voltage_ln_v, order.frequency_hz, order.angle_deg, validity_s, write.reason)
            )
            self._uncertain[m] = False
        self._written_s[m] = now_s

    def released(self, m: int, now_s: float) -> None:
        """It was told to go to its safe state, and has answered."""
        if self.holding[m]:
            self._end(m, now_s)

    def _end(self, m: int, now_s: float) -> None:
        self._since_s[m], self._ended_s[m], self._tried_s[m] = np.inf, now_s, now_s
        self._uncertain[m] = self._found[m] = False
