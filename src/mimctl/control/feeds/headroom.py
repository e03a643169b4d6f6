"""What people must know about the breakers of a part of the site: on what they rest, what to move, what a lost feed would do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from mimctl.control.events import EventLog
from mimctl.control.feeds.held_loads import HeldLoads
from mimctl.control.feeds.load_shift import LoadShift, Overloads
from mimctl.control.lasting import Lasting
from mimctl.control.rulebook.reliance import RelianceMeter
from mimctl.control.rulebook.reliance_day import RelianceDay
from mimctl.grid.failover import Failover
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import BoolArray, ComplexArray
from mimctl.model.phases import PHASES
from mimctl.model.problem import Severity
from mimctl.model.report import SiteReport
from mimctl.model.sample import BAD
from mimctl.model.state import SiteState

#: conditions count when they have held so long, and are over when they have been away so long [s]
_ON_S, _OFF_S = 30.0, 60.0


@dataclass(eq=False)
class HeadroomWatch:
    """Looks at every image; raises and clears `load.shift`, `breaker.reliance`, `failover.short` and `failover.unknown`.

    Args:
        nodes: (N,) those that are looked at; others are somebody else's.
        day: where the minutes of the day are counted.
        shifts: what is recommended now.
    """

    operators: TreeOperators
    events: EventLog
    nodes: BoolArray
    day: RelianceDay
    shifts: tuple[LoadShift, ...] = ()
    reliance: RelianceMeter = field(init=False)

    def __post_init__(self) -> None:
        self.reliance = RelianceMeter(self.operators, self.nodes, self.day)
        self._overloads, self._failover = Overloads(self.operators), Failover(self.operators)
        self._held = HeldLoads(self.operators.layout, self._failover.losses, self.nodes)
        self._shift: Lasting[LoadShift] = Lasting(_ON_S, _OFF_S)
        self._relied: Lasting[str] = Lasting(_ON_S, _OFF_S)
        self._short: Lasting[str] = Lasting(_ON_S, _OFF_S)

    def look(self, state: SiteState, report: SiteReport, load_va: ComplexArray) -> None:
        """One more image.

        Args:
            report: of it; no detail is needed.
            load_va: (N, 3) own loads [VA].
        """
        flow_va = np.empty(state.nodes.import_w.shape, dtype=np.complex128)
        flow_va.real, flow_va.imag = state.nodes.import_w, state.nodes.import_var
        flow_va[~self.nodes | (state.nodes.quality == BAD)] = np.nan
        current_a = np.where(self.nodes[:, None], report.current_a, np.nan)
        found = self._overloads.look(state.now_s, current_a, load_va)
        self.shifts = tuple(self._shift.look(state.now_s, found).values())
        self.events.keep_only("load.shift", [(f"{s.node} {s.phase}", str(s)) for s in self.shifts], Severity.ERROR)
        relied = self.reliance.look(state, flow_va).any(axis=1)
        texts = {self.operators.layout.nodes[n].id: self.reliance.sentence(n) for n in map(int, np.flatnonzero(relied))}
        self.events.keep_only("breaker.reliance", self._relied.look(state.now_s, texts).items(), Severity.WARNING)
        if self._failover.losses:
            held_va = self._held.look(state, self.operators.flow(load_va))
            self.events.keep_only("failover.unknown", self._held.told(), Severity.WARNING)
            short = dict(self._too_short(state, flow_va, held_va))
            self.events.keep_only("failover.short", self._short.look(state.now_s, short).items(), Severity.WARNING)

    def _too_short(self, state: SiteState, flow_va: ComplexArray, gross_va: ComplexArray) -> Iterator[tuple[str, str]]:
        """(node, sentence) where a breaker could not carry all for hours."""
        layout = self.operators.layout
        output_va = np.nan_to_num(state.ports.inject_w) + 1j * np.nan_to_num(state.ports.inject_var)
        after_a, lost = self._failover.current_a(flow_va, gross_va, output_va)
        names = {feed.node: feed.id for feed in layout.site.feeds}
        for n in map(int, np.flatnonzero((after_a > layout.limit_a[:, None]).any(axis=1))):
            limit_a, head = float(layout.limit_a[n]), layout.nodes[int(lost[n])].id
            over = [f"{p} {a:.1f} A" for p, a in zip(PHASES, after_a[n], strict=True) if a > limit_a]
            name = layout.nodes[n].id
            yield name, f"with feed {names.get(head, head)} lost, {name} would carry {', '.join(over)}; {limit_a:g} A for hours"
