"""Who is to blame when readings contradict each other: the sums accuse, the MIMs' own metering names.

A meter is *convicted* where one wrong reading explains everything that is disturbed, and only that one does: it is not used any
more until it agrees again with what the others say of it. Where several readings explain it, all of them are *doubted*: each stays
in use with a margin that covers what it would be if it were the wrong one. Where a MIM's word and the meter over it contradict each
other and no sum clears the meter, both are doubted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mimctl.control.estimation.moves import MoveWatch
from mimctl.control.estimation.sum_watch import Check
from mimctl.grid.suspect import Conflict, conflicts
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout
from mimctl.model.phases import PHASES

#: a meter's factor is wrong beyond this and beyond so many standard deviations, and right within that and well known
_WRONG, _DEVIATIONS = 0.2, 5.0
_RIGHT = 0.1
#: where the sums say already that one of a few is wrong, less will do to name it
_IN_CONFLICT = 4.0
#: a jump is that of the error when they differ by no more than this share
_ALIKE = 0.3
_PERSIST_S = 10.0
#: a doubted MIM that does not move proves nothing; after so long it is believed again until the next proof [s]
_PAROLE_S = 3600.0
#: a convicted meter is believed again when it has agreed with the others for so long [s]
_ACQUIT_S = 60.0


@dataclass(eq=False)
class Verdicts:
    """What is held against the meters and MIMs of one layout, over the cycles.

    Args:
        convicted: (N,) readings of these nodes are not used.
        doubts: by node, (3,) what its reading may be off by [VA].
        mim_since_s: by MIM, since when its own metering is doubted [s].
    """

    layout: SiteLayout
    moves: MoveWatch
    convicted: BoolArray = field(init=False)
    doubts: dict[int, FloatArray] = field(default_factory=dict)
    mim_since_s: dict[int, float] = field(default_factory=dict)
    _texts: dict[int, str] = field(default_factory=dict)
    _known_conflicts: set[int] = field(default_factory=set)
    _open: list[tuple[str, str]] = field(default_factory=list)
    _agreed_since_s: dict[int, float] = field(default_factory=dict)
    _at_odds_since_s: dict[int, float] = field(default_factory=dict)
    #: the factors that were last looked at, which of them are wrong (N,), and where
    _weighed: tuple[FloatArray, BoolArray, list[int]] | None = None

    def __post_init__(self) -> None:
        self.convicted = np.zeros(len(self.layout.nodes), dtype=np.bool_)
        self._mims_at: dict[int, list[int]] = {}
        for node, mim in zip(self.layout.port_node, self.layout.port_mim, strict=True):
            if int(mim) not in self._mims_at.setdefault(int(node), []):
                self._mims_at[int(node)].append(int(mim))

    def weigh(self, check: Check, net_va: ComplexArray, now_s: float) -> None:
        """One cycle's sums and moves.

        Args:
            net_va: (N, 3) readings, zero where not usable [VA].
        """
        self.doubts, self._open = {}, []
        suspected = bool(check.any_disturbed or self.convicted.any() or self.mim_since_s or self._at_odds_since_s)
        factor, sigma = self.moves.factors(lately=not suspected)
        if self._weighed is None or self._weighed[0] is not factor:
            wrong = np.abs(factor - 1) > np.maximum(_WRONG, _DEVIATIONS * sigma)
            self._weighed = factor, wrong, np.flatnonzero(wrong).tolist()
        _, wrong, at_odds = self._weighed
        if self._known_conflicts:
            self._known_conflicts &= set(map(int, check.sums.nodes[check.disturbed]))
        if check.any_disturbed:
            for conflict in conflicts(check.sums, check.residual_va, check.tolerance_va, check.disturbed):
                self._judge(conflict, factor, sigma, check)
        for node in at_odds:
            if node in self._mims_at and not self.convicted[node] and node not in self.doubts:
                self._mim_at_odds(node, float(factor[node]), check, net_va[node], now_s)
        self._release_mims(factor, sigma, wrong, now_s)

    def _judge(self, conflict: Conflict, factor: FloatArray, sigma: FloatArray, check: Check) -> None:
        (first, *_), errors = conflict.nodes, conflict.errors_va
        if first not in self._known_conflicts:
            # how it moved before that is no evidence
            self._known_conflicts.add(first)
            for node in errors:
                self.moves.forget(node)
                factor[node] = np.nan
        wrong = np.abs(factor - 1) > np.maximum(_WRONG, _IN_CONFLICT * sigma)
        named = [n for n in errors if wrong[n]]
        jumped = self._jumped(conflict, check.onset_va.get(first))
        off = f"the sum at {self._name(first)} is off by {_per_phase(conflict.residual_va)}"
        if conflict.explained and len(errors) == 1 and not conflict.hidden_load:
            (node,) = errors
            self._convict(node, f"no other reading explains it: the sums are off by {_per_phase(errors[node])}")
        elif named and (len(named) == 1 or not conflict.explained):
            for node in named:
                self._convict(node, f"{off}, and it shows {factor[node]:.2f} times what the MIMs say they move")
        elif conflict.explained and len(jumped) == 1:
            self._convict(jumped[0], f"{off}, and its own reading alone jumped by as much when that began")
        else:
            self._doubt(conflict)

    @staticmethod
    def _jumped(conflict: Conflict, onset_va: ComplexArray | None) -> list[int]:
        """The readings that moved by the error that would explain it in the very cycle in which the sum went off.

        A load that steps moves the readings above it as well, so that no sum goes off. A load that nobody knows of moves the
        node's own reading alone, just as a wrong meter there does.
        """
        if onset_va is None:
            return []
        found = []
        for node, error_va in conflict.errors_va.items():
            like = np.abs(onset_va[node] - error_va).max() <= _ALIKE * np.abs(error_va).max()
            if like and not (conflict.hidden_load and node == conflict.nodes[0]):
                found.append(node)
        return found

    def _convict(self, node: int, text: str) -> None:
        self.convicted[node] = True
        self._texts[node] = text
        self._agreed_since_s.pop(node, None)

    def _doubt(self, conflict: Conflict) -> None:
        for node, error in conflict.errors_va.items():
            self.doubts[node] = np.maximum(self.doubts.get(node, np.zeros(3)), np.abs(error))
        where = self._name(conflict.nodes[0])
        who = " or ".join(self._meter(n) for n in conflict.errors_va)
        load = f", or {where} has a load of its own (then `own_load: true` in the site file)" if conflict.hidden_load else ""
        several = "" if conflict.explained else "; no single reading explains it"
        text = f"the sum at {where} is off by {_per_phase(conflict.residual_va)}: {who} is wrong{load}{several}"
        self._open.append((where, f"{text}. Which one cannot be told; all are used with a margin that covers it"))

    def _mim_at_odds(self, node: int, factor: float, check: Check, net_va: ComplexArray, now_s: float) -> None:
        """The meter right over a MIM shows other moves than the MIM tells."""
        self._at_odds_since_s.setdefault(node, now_s)
        if now_s - self._at_odds_since_s[node] < _PERSIST_S:
            return
        error_va = np.abs(net_va) * abs(1 - 1 / factor) if abs(factor) > _RIGHT else np.full(3, np.inf)
        mine = np.flatnonzero(check.sums.members[:, node])
        cleared = any((error_va > check.tolerance_va[e].max()).any() for e in mine)
        if not cleared:
            self.doubts[node] = error_va
        for m in self._mims_at[node]:
            self.mim_since_s.setdefault(m, now_s)
        names = " and ".join(self.layout.mims[m].id for m in self._mims_at[node])
        seen = f"{self._meter(node)} shows {factor:.2f} times the moves that {names} tells of itself"
        end = f"the sums clear the meter: {names} measures itself wrongly" if cleared else "which of them is wrong cannot be told"
        self._open.append((self.layout.mims[self._mims_at[node][0]].id if cleared else self._meter(node), f"{seen}; {end}"))

    def _release_mims(self, factor: FloatArray, sigma: FloatArray, wrong: BoolArray, now_s: float) -> None:
        if not (self.mim_since_s or self._at_odds_since_s):
            return
        for node, mims in self._mims_at.items():
            if not wrong[node]:
                self._at_odds_since_s.pop(node, None)
            right = abs(factor[node] - 1) < _RIGHT and 3 * sigma[node] < _RIGHT
            for m in mims:
                if m in self.mim_since_s and (right or now_s - self.mim_since_s[m] > _PAROLE_S):
                    del self.mim_since_s[m]
                    self.moves.forget(node)

    def compare(
        self, node: int, reading_va: ComplexArray, estimate_va: ComplexArray, tolerance_va: FloatArray, now_s: float
    ) -> None:
        """What the others say of a convicted meter's node: it is acquitted when it has agreed for a while; (3,) each [VA]."""
        if not (np.abs(reading_va - estimate_va) <= tolerance_va).all():
            self._agreed_since_s.pop(node, None)
            like = _likeness(reading_va, estimate_va, np.array(self.layout.site.rotation.unit_voltages))
            self._texts[node] = f"it shows {_per_phase(reading_va - estimate_va)} beside what the others say{like}"
        elif now_s - self._agreed_since_s.setdefault(node, now_s) >= _ACQUIT_S:
            self.convicted[node] = False
            self.moves.forget(node)

    def events(self) -> list[tuple[str, str]]:
        """(where, text) of every accusation that stands."""
        convicted = self.convicted.nonzero()[0].tolist()
        return [*((self._meter(n), f"{self._meter(n)} is wrong and not used: {self._texts[n]}") for n in convicted), *self._open]

    def _name(self, node: int) -> str:
        return self.layout.nodes[node].id

    def _meter(self, node: int) -> str:
        meter = self.layout.meter_of_node[node]
        return self._name(node) if meter is None else meter.id


def _per_phase(values: ComplexArray) -> str:
    return ", ".join(
        f"{phase.value} {value.real:+.0f} W {value.imag:+.0f} var" for phase, value in zip(PHASES, values, strict=True)
    )


#: how the three inputs of a meter may be exchanged
_EXCHANGES = {"L1 and L2": (1, 0, 2), "L2 and L3": (0, 2, 1), "L1 and L3": (2, 1, 0)}
#: a likeness is one when no phase is further from it than this share of the largest
_CLOSE = 0.05


def _likeness(reading_va: ComplexArray, true_va: ComplexArray, unit_voltages: ComplexArray) -> str:
    """What a wrong reading looks like, if it looks like anything common; both (3,) [VA], as are the nominal voltages [pu]."""
    most = float(np.abs(true_va).max())
    if most == 0:
        return ""
    factor = float((np.conj(true_va) * reading_va).real.sum() / (np.abs(true_va) ** 2).sum())
    looks = {"its current transformers looked the other way": -true_va}
    for phase in PHASES:
        turned = np.where(np.arange(3) == phase.column, -1.0, 1.0)
        if abs(true_va[phase.column]) > 4 * _CLOSE * most:
            looks[f"its current transformer on {phase.value} looked the other way"] = turned * true_va
    for names, order in _EXCHANGES.items():
        moved = true_va[list(order)]
        looks[f"its inputs {names} were exchanged"] = moved
        # the current of another phase against the voltage of this one
        looks[f"its current transformers on {names} were exchanged"] = moved * unit_voltages / unit_voltages[list(order)]
    looks[f"it showed {factor:.2f} times the truth"] = factor * true_va
    alike = (text for text, would_va in looks.items() if (np.abs(reading_va - would_va) < _CLOSE * most).all())
    best = next(alike, None)
    return "" if best is None else f"; as if {best}"
