"""What becomes of a lease that has a bus formed: the judge is asked every cycle, and what he refuses once is over.

A lease is one try. Where a proof is lost, the device refuses, or nothing comes of it in time, the lease ends: a bus is never formed
again without somebody having looked.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mimctl.control.events import EventLog
from mimctl.control.leases import LeaseBook
from mimctl.model.decision import DecisionRecord
from mimctl.model.island import FORMING_STATE, FormWish
from mimctl.model.layout import SiteLayout
from mimctl.model.problem import Severity

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
    #: leases whose bus has been formed
    _formed: set[str] = field(default_factory=set)

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
            elif self._forms(record, wish):
                self._formed.add(wish.lease)
            elif wish.lease not in self._formed and record.state.now_s - self._first_s[wish.lease] > BEGIN_WITHIN_S:
                self.leases.give_up(wish.lease, f"{wish.mim} did not form it within {BEGIN_WITHIN_S:g} s")
        standing = {wish.lease for wish in self.leases.forms(self.layout)}
        self._first_s = {lease: at_s for lease, at_s in self._first_s.items() if lease in standing}
        self._formed &= standing
        self._tell(record)

    def formed(self, record: DecisionRecord | None) -> dict[str, FormWish]:
        """By island, who forms it now, by the MIM's own word."""
        return {} if record is None else {wish.island: wish for wish in self._judged if self._forms(record, wish)}

    def _forms(self, record: DecisionRecord, wish: FormWish) -> bool:
        states = record.state.mims.operating_state
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
