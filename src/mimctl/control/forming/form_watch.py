"""What becomes of a lease that has a bus formed: the judge is asked every cycle, and what he refuses once is over.

A lease is one try. Where a proof is lost, the device refuses, or nothing comes of it in time, the lease ends: a bus is never formed
again without somebody having looked.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mimctl.control.authority.leases import LeaseBook
from mimctl.control.events import EventLog
from mimctl.model.decision import DecisionRecord
from mimctl.model.island import FORMING_STATE, FormWish
from mimctl.model.layout import BoolArray, SiteLayout
from mimctl.model.problem import Severity
from mimctl.model.state import SiteState

#: from the first cycle of a lease until its MIM says that it forms the bus [s]
BEGIN_WITHIN_S = 15.0


@dataclass(eq=False)
class FormWatch:
    """Of the islands of one layout.

    Args:
        leases: of the whole site.
    """

    layout: SiteLayout
    leases: LeaseBook
    events: EventLog
    _judged: tuple[FormWish, ...] = ()
    _first_s: dict[str, float] = field(default_factory=dict)
    #: by (MIM, island), since when it says that it forms it [s]
    _formed_s: dict[tuple[str, str], float] = field(default_factory=dict)

    def wishes(self, now_s: float, *, paused: bool) -> tuple[FormWish, ...]:
        """What the judge is asked for in this cycle.

        Args:
            paused: somebody wants the zone to watch only.
        """
        if not self.layout.site.islands:
            return ()
        found = self.leases.forms(self.layout)
        for wish in found if paused else ():
            self.leases.give_up(wish.lease, "the zone is paused")
        self._judged = () if paused else found
        for wish in self._judged:
            self._first_s.setdefault(wish.lease, now_s)
        return self._judged

    def look(self, record: DecisionRecord) -> None:
        """After a cycle: what was refused, or has come to nothing, is over."""
        if not self.layout.site.islands:
            return
        for wish in self._judged:
            if (wish.mim, wish.island) not in {(order.mim, order.island) for order in record.safe_plan.forms}:
                self.leases.give_up(wish.lease, _why(record, wish))
            elif self._forms(record.state, wish):
                self._formed_s.setdefault((wish.mim, wish.island), record.state.now_s)
            elif (wish.mim, wish.island) not in self._formed_s and record.state.now_s - self._first_s[wish.lease] > BEGIN_WITHIN_S:
                self.leases.give_up(wish.lease, f"{wish.mim} did not form it within {BEGIN_WITHIN_S:g} s")
        standing = self.leases.forms(self.layout)
        self._first_s = {x.lease: self._first_s[x.lease] for x in standing if x.lease in self._first_s}
        pairs = {(wish.mim, wish.island) for wish in standing}
        self._formed_s = {pair: at_s for pair, at_s in self._formed_s.items() if pair in pairs}
        self._tell(record)

    def formed(self, record: DecisionRecord | None) -> dict[str, FormWish]:
        """By island, who forms it now, by the MIM's own word."""
        return {} if record is None else {wish.island: wish for wish in self._judged if self._forms(record.state, wish)}

    def followers(self, state: SiteState) -> BoolArray | None:
        """(M,) MIMs wholly on a bus that has been formed for as long as a source must be healthy, formers left out; None = none."""
        if not self._formed_s:
            return None
        nodes, formers = (np.zeros(len(found), dtype=np.bool_) for found in (self.layout.nodes, self.layout.mims))
        tops = {island.id: self.layout.node_index[island.node] for island in self.layout.site.islands}
        for wish in self._judged:
            formers[self.layout.mim_index[wish.mim]] = True
            since_s = self._formed_s.get((wish.mim, wish.island), np.inf)
            if self._forms(state, wish) and state.now_s - since_s >= self.layout.site.control.grid.resync_s:
                nodes |= self.layout.below[tops[wish.island]]
        on_it = [bool(nodes[self.layout.port_node[ports]].all()) for ports in self.layout.ports_of_mim]
        return np.asarray(np.array(on_it, dtype=np.bool_) & ~formers)

    def _forms(self, state: SiteState, wish: FormWish) -> bool:
        states = state.mims.operating_state
        return states is not None and bool(states[self.layout.mim_index[wish.mim]] == FORMING_STATE)

    def _tell(self, record: DecisionRecord) -> None:
        """A bus that a MIM feeds is something that everybody at the site must know of."""
        ordered = {order.mim: order for order in record.safe_plan.forms}
        holding = [
            (wish.island, f"{wish.mim} forms {wish.island}, {ordered[wish.mim].voltage_ln_v:g} V, for {wish.owner}: it has voltage")
            for wish in self.formed(record).values()
            if wish.mim in ordered
        ]
        self.events.keep_only("island.formed", holding, Severity.WARNING)


def _why(record: DecisionRecord, wish: FormWish) -> str:
    """What the judge said."""
    said = [j.reason.text for j in record.safe_plan.judgements if j.mim == wish.mim and j.reason.code == "form.refused"]
    return "; ".join(said) or f"{wish.mim} is not its former"
