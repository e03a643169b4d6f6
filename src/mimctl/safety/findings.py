"""Why each MIM did not get what the plan wanted: collected on the way, told in the order of the site."""

from __future__ import annotations

import numpy as np

from mimctl.model.island import FormOrder
from mimctl.model.layout import BoolArray, IntArray
from mimctl.model.phases import PHASES
from mimctl.model.plan import Judgement, Verdict
from mimctl.model.reason import Reason
from mimctl.safety.envelope import Trimmed
from mimctl.safety.joint import Settling
from mimctl.safety.leave import Interlock, Leave
from mimctl.safety.ratings import Ratings

_VERDICT = {
    Leave.SHRINK: Verdict.SCALED,
    Leave.HOLD: Verdict.REFUSED,
    Leave.SILENT: Verdict.EXCLUDED,
    Leave.RELEASE: Verdict.EXCLUDED,
}
_ROW_CODES = {
    "current": "limit.node_current",
    "neutral": "limit.node_neutral",
    "reverse": "limit.reverse_power",
    "voltage_high": "limit.voltage_high",
    "voltage_low": "limit.voltage_low",
}
#: by what sets the greatest share of a filter
_FILTER_CAUSES = {
    0: ("limit.harmonic_share", "it may not filter more now"),
    1: ("limit.port_rms", "its setpoint leaves no more of its rms rating"),
    2: ("limit.mim_neutral_rms", "its neutral would carry more than its rating"),
    3: ("data.harmonics_unknown", "nobody can tell how much there is"),
}
_LIMIT_NAMES = {
    "limit.port_rating": "its port rating",
    "limit.mim_neutral": "its neutral",
    "limit.storage": "what its storage may give or take",
    "limit.step": "its ramp",
    "limit.shrink_only": "its accepted setpoint, which it may not exceed now",
}


class Findings:
    """Judgements of one plan."""

    def __init__(self, ratings: Ratings, locked: frozenset[str]) -> None:
        self._ratings = ratings
        self._found: list[tuple[int, Judgement]] = []
        self._unknown_locks(locked)

    def judgements(self) -> tuple[Judgement, ...]:
        return tuple(judgement for _, judgement in sorted(self._found, key=lambda pair: pair[0]))

    def interlock(self, finding: Interlock, but: BoolArray) -> None:
        """Args: but: (M,) whom it does not concern."""
        for m in map(int, np.flatnonzero(finding.flagged & ~but)):
            self._add(m, _VERDICT[finding.leave], finding.code, finding.sentence(m))

    def forms(self, orders: tuple[FormOrder, ...]) -> None:
        """Who forms a bus."""
        for order in orders:
            text = f"forms {order.island} at {order.voltage_ln_v:g} V, {order.frequency_hz:g} Hz by an operator's lease"
            self._add(self._ratings.layout.mim_index[order.mim], Verdict.ACCEPTED, "form.forming", text)

    def released(self, mims: BoolArray, code: str, text: str) -> None:
        for m in map(int, np.flatnonzero(mims)):
            self._add(m, Verdict.EXCLUDED, code, text)

    def trimmed(self, trimmed: Trimmed, leaves: IntArray) -> None:
        """What the MIMs' own limits took away."""
        for m in map(int, np.flatnonzero((trimmed.share != 1.0) & (leaves <= Leave.SHRINK))):
            code, share = trimmed.code(m), trimmed.share[m]
            name = _LIMIT_NAMES[code]
            if share > 0:
                self._add(m, Verdict.SCALED, code, f"goes {share:.1%} of the way to the plan: {name}")
            else:
                self._add(m, Verdict.REFUSED, code, f"stays where it is: {name}")
        for m in map(int, np.flatnonzero(trimmed.shrunk & (leaves <= Leave.HOLD))):
            self._add(m, Verdict.SCALED, "limit.accepted_outside", "its accepted setpoint is outside its own limits now")

    def settled(self, settling: Settling) -> None:
        """What the nodes took away."""
        for m, (row, value, bound) in settling.blame.items():
            share = settling.share[m]
            if share == 1.0 and not settling.zeroed[m]:
                continue
            kind, node, column = settling.rows.place(row)
            unread = settling.rows.picture.unread
            blind = kind.startswith("voltage") and unread is not None and bool(unread[node, column])
            told = " by what is known around it, for its own meter tells none" if blind else ""
            text = f"{self._row_text(kind, node, column, value, bound)}{told}: {_extent(float(share), bool(settling.zeroed[m]))}"
            refused = share == 0.0 and not settling.zeroed[m]
            self._add(m, Verdict.REFUSED if refused else Verdict.SCALED, _ROW_CODES[kind], text)
        for m in map(int, np.flatnonzero(settling.zeroed | (settling.share < 1))):
            if m not in settling.blame:
                self._add(m, Verdict.SCALED, "limit.joint", "moved back so that the nodes above are inside their limits together")

    def filtered(self, m: int, port: int, wanted: float, share: float, cause: int) -> None:
        """What the ratings took from a harmonic filter; `cause` as in `filters`."""
        code, why = _FILTER_CAUSES[cause]
        self._add(m, Verdict.SCALED, code, f"port {port} compensates {share:.0%} of the harmonics instead of {wanted:.0%}: {why}")

    def _row_text(self, kind: str, node: int, column: int, value: float, bound: float) -> str:
        layout = self._ratings.layout
        name = layout.nodes[node].id
        beside = "" if self._ratings.regions.metered[node] else " beside what the load around may draw there, unmetered"
        if kind == "neutral":
            return f"neutral of {name} would carry {value:.1f} A, {bound:.1f} A permitted{beside}"
        place = f"{name} {PHASES[column]}"
        if kind == "current":
            return f"{place} would carry {value:.1f} A, {bound:.1f} A permitted{beside}"
        if kind == "reverse":
            volts = layout.voltage_ln_v[node]
            return f"{place} would import {-value * volts:.0f} W, at least {-bound * volts:.0f} W needed"
        return f"{place} would be at {abs(value) / 10:.1f} % of nominal voltage, {abs(bound) / 10:.1f} % permitted"

    def _unknown_locks(self, locked: frozenset[str]) -> None:
        """A lock that fits nothing may be a renamed device: say so rather than run as if nothing were locked."""
        if not locked:
            return
        layout = self._ratings.layout
        names = {link.id for link in layout.site.links} | set(layout.mim_index) | set(layout.node_index)
        for name in sorted(locked - names):
            reason = Reason("interlock.lock_unknown", f"'{name}' is locked out, but is no MIM, link or node here")
            self._found.append((len(layout.mims), Judgement(name, Verdict.EXCLUDED, reason)))

    def _add(self, m: int, verdict: Verdict, code: str, text: str) -> None:
        self._found.append((m, Judgement(self._ratings.layout.mims[m].id, verdict, Reason(code, text))))


def _extent(share: float, zeroed: bool) -> str:
    if zeroed:
        return f"reduced to {share:.1%} of its accepted setpoint" if share > 0 else "released"
    return f"goes {share:.1%} of the way to the plan" if share > 0 else "stays where it is"
