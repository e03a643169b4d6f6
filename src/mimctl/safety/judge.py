"""The last gate before hardware, applied once to every plan. Only here is a `SafePlan` made.

It trusts the site file and the samples, not the optimiser, the forecast or the bounds: each MIM inside its own limits, nobody
moving on data that is missing, and all nodes together inside theirs with the setpoints as they will stand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds
from mimctl.model.forecast import LoadForecast
from mimctl.model.island import FormWish
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, frozen
from mimctl.model.plan import Plan, SafePlan
from mimctl.model.state import SiteState
from mimctl.safety.case import Case, make_case
from mimctl.safety.envelope import Envelope, Trimmed, envelope, outside, trim
from mimctl.safety.filters import judge_shares
from mimctl.safety.findings import Findings
from mimctl.safety.forming import Forms, fed_buses, judge_forms
from mimctl.safety.interlocks import interlocks, reverted
from mimctl.safety.joint import Settling
from mimctl.safety.leave import Leave
from mimctl.safety.picture import picture
from mimctl.safety.ratings import Ratings
from mimctl.safety.rows import Rows
from mimctl.safety.settings import Accepted, SafetySettings

#: plain numbers: looking up a member of an enumeration takes longer than the comparison
_SHRINK, _HOLD, _RELEASE = int(Leave.SHRINK), int(Leave.HOLD), int(Leave.RELEASE)

#: share of the deadband that is enough for a setpoint that is moving
_WHILE_MOVING = 0.5

__all__ = ["Accepted", "Judge", "SafetySettings"]


@dataclass(frozen=True, slots=True, eq=False)
class _Wish:
    """What every MIM would get if no node stood above it.

    Args:
        leave: (M,) what each MIM may do.
        limits: each MIM's own.
        trimmed: the plan inside them.
        target_va: (K,) the same, moves inside the deadband left out; accepted where nothing may be commanded [VA].
        commanded: (K,) ports whose setpoint this plan decides.
    """

    leave: IntArray
    limits: Envelope
    trimmed: Trimmed
    target_va: ComplexArray
    commanded: BoolArray


class Judge:
    """Judges the plans of one layout. Holds nothing between two plans but what follows from the site.

    Args:
        operators: of the layout that states, plans and bounds are made for.
        settings: figures beyond the site file.
    """

    def __init__(self, operators: TreeOperators, settings: SafetySettings | None = None) -> None:
        self._ratings = Ratings(operators)
        self._settings = settings or SafetySettings()

    def judge(
        self,
        state: SiteState,
        forecast: LoadForecast,
        bounds: Bounds,
        plan: Plan,
        accepted: Accepted,
        *,
        now_s: float,
        emergency_stop: bool = False,
        locked: frozenset[str] = frozenset(),
        impedance_scale: FloatArray | None = None,
        forms: tuple[FormWish, ...] = (),
    ) -> SafePlan:
        """What of the plan may be written.

        Args:
            state: the image that the plan was made from.
            forecast: own loads of the nodes.
            bounds: what the solve was given; it can narrow the site's limits, never widen them.
            plan: candidate setpoints.
            accepted: what is in force at the devices.
            now_s: monotonic instant of the decision [s].
            emergency_stop: release everything.
            locked: ids of MIMs, links, or nodes (with all below them) that must be left at their safe state.
            impedance_scale: (N,) what measurements say about the impedance of each branch, as a factor; below 1 it counts as 1.
                None = nothing.
            forms: operators' leases that have a bus formed, the oldest first.

        Returns:
            Setpoints inside every limit that these inputs can tell, and a judgement for every clamp and refusal.
        """
        if not self._ratings.layout.mims:
            return self._nothing(now_s)
        # figures that are none are to be expected here; each rule finds them in its result
        with np.errstate(invalid="ignore", over="ignore"):
            case = make_case(
                self._ratings,
                self._settings,
                state=state,
                forecast=forecast,
                bounds=bounds,
                plan=plan,
                accepted=accepted,
                now_s=now_s,
                emergency_stop=emergency_stop,
                locked=locked,
                impedance_scale=impedance_scale,
                forms=forms,
            )
            findings = Findings(self._ratings, locked)
            formed = judge_forms(case)
            case = replace(case, fed=fed_buses(case, formed))
            wish = _wish(case, formed, findings)
            power_va, released = _fit(case, wish, findings)
        return _safe_plan(case, wish, power_va, released, formed, findings)

    def release_all(self, now_s: float, code: str = "dispatch.release", text: str = "brought to the safe state") -> SafePlan:
        """Everything to its safe state, for an orderly stop. Asks nothing of the samples.

        Args:
            now_s: monotonic [s].
            code, text: the reason that every MIM is given.
        """
        if not self._ratings.layout.mims:
            return self._nothing(now_s)
        everyone = np.ones(len(self._ratings.layout.mims), dtype=np.bool_)
        zero = frozen(np.zeros(len(self._ratings.layout.ports)))
        findings = Findings(self._ratings, frozenset())
        findings.released(everyone, code, text)
        nobody = frozen(~everyone)
        return SafePlan(zero, zero, nobody, nobody, frozen(everyone), findings.judgements(), now_s)

    @staticmethod
    def _nothing(now_s: float) -> SafePlan:
        empty, nobody = frozen(np.zeros(0)), frozen(np.zeros(0, dtype=np.bool_))
        return SafePlan(empty, empty, nobody, nobody, nobody, (), now_s)


def _wish(case: Case, formed: Forms, findings: Findings) -> _Wish:
    """Interlocks, then each MIM's own limits, then the deadband. Who forms a bus gets no setpoint, whatever was planned."""
    ratings = case.ratings
    leave = np.where(formed.permitted, _RELEASE, 0)
    for finding in (*formed.interlock(), *interlocks(case)):
        leave = np.where(finding.flagged, np.maximum(leave, int(finding.leave)), leave)
        findings.interlock(finding, but=formed.permitted)
    findings.forms(formed.orders)
    free, commanded = (leave <= _SHRINK)[ratings.layout.port_mim], (leave <= _HOLD)[ratings.layout.port_mim]
    limits = envelope(case)
    wanted_va = case.wanted_va if free.all() else np.where(free, case.wanted_va, case.accepted_va)
    trimmed = trim(limits, case.accepted_va, wanted_va, leave == _SHRINK)
    target_va = trimmed.target_va
    if not (trimmed.clear and free.all()):
        findings.trimmed(trimmed, leave)
        target_va = np.where(free, target_va, np.where(commanded, trimmed.hold_va, case.accepted_va))
    return _Wish(leave, limits, trimmed, _beyond_deadband(case, target_va, trimmed.shrunk), commanded)


def _beyond_deadband(case: Case, target_va: ComplexArray, shrunk: BoolArray) -> ComplexArray:
    """Moves inside the deadband or soon after the last are not made, unless they lead back inside the MIM's own limits."""
    layout, plan, settings = case.ratings.layout, case.plan, case.settings
    moves = case.ratings.largest(np.abs(target_va - case.accepted_va) / layout.port_voltage_v)
    rest_s = case.now_s - case.changed_at_s
    # a setpoint that has just moved goes on in smaller steps: so a slow drift is followed, and noise does not start a new move
    enough_a = plan.deadband_a * np.where(rest_s <= settings.moving_cycles * case.ratings.cycle_s, _WHILE_MOVING, 1.0)
    # written so that a deadband or a dwell that is no number keeps nothing back
    kept_back = moves <= enough_a
    if plan.dwell_s > 0:
        size = case.ratings.largest(np.abs(target_va - case.accepted_va) / layout.port_rating_va)
        kept_back |= (rest_s < plan.dwell_s) & (size < settings.large_move)
    if plan.mim_at_once is not None:
        kept_back &= ~plan.mim_at_once
    return np.where((kept_back & ~shrunk)[layout.port_mim], case.accepted_va, target_va)


def _fit(case: Case, wish: _Wish, findings: Findings) -> tuple[ComplexArray, BoolArray]:
    """(K,) setpoints that all nodes permit together, zero where nothing is commanded; (M,) MIMs to be released for it."""
    ratings, commanded = case.ratings, wish.commanded
    power_va = np.where(commanded, wish.target_va, 0.0)
    rows = Rows(ratings, picture(case, commanded), case.settings.resolution)
    over = rows.over(power_va, rows.limit)
    if not over.any():
        return power_va, np.zeros(len(wish.leave), dtype=np.bool_)
    # what the deadband kept back may be just what helps
    near = (rows.movers(over) & (wish.leave <= _SHRINK))[ratings.layout.port_mim]
    settling = Settling(
        rows=rows,
        accepted_va=np.where(commanded, case.accepted_va, 0.0),
        anchor_va=np.where(commanded, wish.trimmed.hold_va, 0.0),
        goal_va=np.where(near, wish.trimmed.target_va, power_va),
        blind=case.evidence.blind,
        shrunk=wish.trimmed.shrunk & (wish.leave <= _HOLD),
        outside=lambda va: outside(wish.limits, va),
        passes=case.settings.passes,
    )
    power_va = settling.run()
    findings.settled(settling)
    loaded = ratings.any_of(np.where(commanded, case.accepted_va, 0.0) != 0)
    return power_va, settling.zeroed & (settling.share == 0) & loaded


def _safe_plan(case: Case, wish: _Wish, power_va: ComplexArray, fallback: BoolArray, formed: Forms, findings: Findings) -> SafePlan:
    ratings = case.ratings
    released = (wish.leave == _RELEASE) | fallback
    power_va = np.where(wish.commanded, power_va, case.accepted_va)
    power_va = np.where(released[ratings.layout.port_mim], 0.0, power_va)
    filters = judge_shares(case, wish.leave, power_va, released, findings)
    never_told = (case.accepted.written_at_s == -np.inf) & (wish.leave <= _SHRINK)
    open_to = (wish.leave <= _HOLD) & ~released
    send = open_to & (ratings.any_of(power_va != case.accepted_va) | never_told | reverted(case) | filters.changed)
    return SafePlan(
        inject_w=frozen(power_va.real.copy()),
        inject_var=frozen(power_va.imag.copy()),
        send=frozen(send),
        refresh=frozen(open_to & ~send),
        release=frozen(released & ~formed.permitted),
        judgements=findings.judgements(),
        judged_at_s=case.now_s,
        harmonics=filters.shares,
        forms=formed.orders,
    )
