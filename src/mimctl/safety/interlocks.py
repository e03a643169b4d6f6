"""Who may move at all: one small rule each, from emergency stop to a poor meter. The strictest one decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mimctl.model.layout import BoolArray
from mimctl.model.plan import SolveStatus
from mimctl.safety.case import Case
from mimctl.safety.leave import Interlock, Leave, nodes_over
from mimctl.safety.locks import locked_mims
from mimctl.safety.source_rules import dead_bus, off_frequency, source_faulty, source_open, voltage_unknown

#: command_status of a MIM: the last setpoint was rejected, or its validity ended
_REJECTED, _REVERTED = 2.0, 3.0


def interlocks(case: Case) -> Iterator[Interlock]:
    """Every rule that has something to say, each only if it flags a MIM."""
    for rule in _RULES:
        for finding in rule(case):
            if finding.flagged.any():
                yield finding


def _emergency_stop(case: Case) -> Iterator[Interlock]:
    if not case.emergency_stop:
        return
    everyone = np.ones(len(case.ratings.layout.mims), dtype=np.bool_)
    yield Interlock(everyone, Leave.RELEASE, "interlock.emergency_stop", lambda _: "emergency stop: every MIM is released")


def _lock_out(case: Case) -> Iterator[Interlock]:
    if not case.locked:
        return
    flagged = locked_mims(case.ratings, case.locked)
    yield Interlock(flagged, Leave.RELEASE, "interlock.locked_out", lambda _: "locked out")


def _accepted_unknown(case: Case) -> Iterator[Interlock]:
    if case.known.all():
        return
    yield Interlock(~case.known, Leave.RELEASE, "data.accepted_unknown", lambda _: "the setpoint in force is not known")


def _own_data(case: Case) -> Iterator[Interlock]:
    evidence, ages = case.evidence, case.evidence.mim_age_s
    if evidence.mim_good.all():
        return

    def old(m: int) -> str:
        return f"its own data {_aged(ages[m])}, {evidence.mim_release_age_s[m]:g} s releases it"

    def stale(m: int) -> str:
        if ages[m] > evidence.mim_max_age_s[m]:
            return f"its own data {_aged(ages[m])}, limit {evidence.mim_max_age_s[m]:g} s"
        return "its own data is bad"

    yield Interlock(ages > evidence.mim_release_age_s, Leave.RELEASE, "data.mim_too_old", old)
    # nothing is renewed that nobody can see: the device's own validity timer decides
    yield Interlock(~evidence.mim_usable, Leave.SILENT, "data.mim_stale", stale)
    yield Interlock(~evidence.mim_good, Leave.SHRINK, "data.mim_suspect", lambda _: "its own data is suspect")


def _cover_data(case: Case) -> Iterator[Interlock]:
    """The meters that show what a MIM does: the nearest one at or above each of its ports."""
    ratings, evidence = case.ratings, case.evidence
    layout, cover = ratings.layout, ratings.cover_node
    uncovered = cover < 0
    blank = uncovered | ~evidence.node_usable[cover]
    if not blank.any():
        return
    ages = ratings.largest(np.where(uncovered, np.inf, evidence.node_age_s[cover]))

    def where(m: int) -> str:
        ports = layout.ports_of_mim[m]
        names = {layout.nodes[n].id if n >= 0 else "nothing" for n in cover[ports] if n < 0 or not evidence.node_good[n]}
        return ", ".join(sorted(names))

    def old(m: int) -> str:
        return f"the meter over its ports ({where(m)}) {_aged(ages[m])}, {evidence.release_age_s:g} s releases it"

    def stale(m: int) -> str:
        if ages[m] > evidence.max_age_s:
            return f"the meter over its ports ({where(m)}) {_aged(ages[m])}, limit {evidence.max_age_s:g} s"
        return f"the meter over its ports ({where(m)}) is bad"

    yield Interlock(ages > evidence.release_age_s, Leave.RELEASE, "data.meter_too_old", old)
    yield Interlock(ratings.any_of(blank), Leave.HOLD, "data.meter_stale", stale)


def _flow_unknown(case: Case) -> Iterator[Interlock]:
    """Where the flow of a node above is not known, more injection could do anything."""
    unknown = ~case.evidence.flow_known
    if not unknown.any():
        return
    ratings = case.ratings
    flagged = ratings.touches.T @ unknown.astype(np.float64) > 0

    def sentence(m: int) -> str:
        return f"the flow at {nodes_over(case, m, unknown)} is not known: it may not inject or absorb more"

    yield Interlock(flagged, Leave.SHRINK, "data.flow_unknown", sentence)


def _load_backwards(case: Case) -> Iterator[Interlock]:
    """Loads do not feed back. Where one seems to, its meter would have the MIMs push the wrong way: they stay where they are."""
    backwards = case.evidence.backwards
    if not backwards.any():
        return
    ratings = case.ratings
    flagged = ratings.touches.T @ backwards.astype(np.float64) > 0

    def sentence(m: int) -> str:
        where = nodes_over(case, m, backwards)
        return f"the load at {where} seems to feed back: its current transformers may be the wrong way round"

    yield Interlock(flagged, Leave.HOLD, "data.load_backwards", sentence)


def _answered(case: Case) -> BoolArray:
    """(M,) a usable sample that the MIM gave after it last got another setpoint; what it said before is no answer to that."""
    accepted = case.accepted
    later = case.state.mims.taken_at_s >= case.changed_at_s + case.settings.answer_s
    return case.evidence.mim_usable & np.isfinite(accepted.written_at_s) & later


def _not_obeyed(case: Case) -> Iterator[Interlock]:
    """A MIM that answered with anything but our setpoint is released: a fresh command that it must answer properly.

    One that is at zero by our knowledge has nothing of ours to disobey, and may be tried again.
    """
    status = case.state.mims.command_status
    strays = (status == _REJECTED) | (status == _REVERTED)
    if not strays.any():
        return
    strays &= _answered(case) & case.ratings.any_of(case.accepted_va != 0)
    rejected = strays & (status == _REJECTED)
    yield Interlock(rejected, Leave.RELEASE, "interlock.rejected", lambda _: "it rejected its last setpoint")
    yield Interlock(strays & ~rejected, Leave.RELEASE, "interlock.reverted", lambda _: "its setpoint expired and it reverted")


def reverted(case: Case) -> BoolArray:
    """(M,) MIMs that went to their expiry action after their last setpoint: only a new one brings them back, no heartbeat does."""
    flagged: BoolArray = case.state.mims.command_status == _REVERTED
    return flagged & _answered(case) if flagged.any() else flagged


def _disabled(case: Case) -> Iterator[Interlock]:
    yield Interlock(~case.bounds.mim_enabled, Leave.SILENT, "interlock.disabled", lambda _: "left out of control for now")
    if case.bounds.mim_release is not None:
        yield Interlock(case.bounds.mim_release, Leave.RELEASE, "interlock.given_back", lambda _: "given back: not to be used now")


def _no_plan(case: Case) -> Iterator[Interlock]:
    failed = case.plan.failed
    if case.plan.status is SolveStatus.FAILED:
        failed = np.ones(len(case.ratings.layout.mims), dtype=np.bool_)
    elif failed is None:
        return
    yield Interlock(failed, Leave.HOLD, "plan.failed", lambda _: "the solve failed: the accepted setpoint stands")


def _not_finite(case: Case) -> Iterator[Interlock]:
    finite = np.isfinite(case.wanted_va)
    if finite.all():
        return
    flagged = case.ratings.any_of(~finite)
    yield Interlock(flagged, Leave.HOLD, "plan.not_finite", lambda _: "the plan holds no finite figures for it")


def _unbalanced(case: Case) -> Iterator[Interlock]:
    """Σp of the plan must be what the storage gives less losses; an inverter cannot make power."""
    ratings, dc_w = case.ratings, case.bounds.mim_dc_w
    sum_w, stands_w = ratings.sums(case.wanted_va.real), ratings.sums(case.accepted_va.real)
    # losses move with every setpoint: one that stands, or moves in parts, is somewhere between what is in force and what is due
    low_w, high_w = np.minimum(dc_w, stands_w), np.maximum(dc_w, stands_w)
    tolerance_w = ratings.balance_tolerance_w
    wrong = ~((sum_w >= low_w - tolerance_w) & (sum_w <= high_w + tolerance_w)) & np.isfinite(sum_w)

    def sentence(m: int) -> str:
        return f"its ports sum to {sum_w[m]:.0f} W, its DC side gives {dc_w[m]:z.0f} W"

    yield Interlock(wrong, Leave.HOLD, "plan.unbalanced", sentence)


def _aged(age_s: float) -> str:
    return f"is {age_s:.1f} s old" if np.isfinite(age_s) else "is missing"


_RULES: tuple[Callable[[Case], Iterator[Interlock]], ...] = (
    _emergency_stop,
    _lock_out,
    _accepted_unknown,
    dead_bus,
    source_open,
    off_frequency,
    _own_data,
    _cover_data,
    _not_obeyed,
    _disabled,
    voltage_unknown,
    _no_plan,
    _not_finite,
    _unbalanced,
    _flow_unknown,
    _load_backwards,
    source_faulty,
)
