"""Everything that one judgement looks at, in the form that its rules want it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimctl.grid.sources import SourceLimits, source_limits
from mimctl.model.bounds import Bounds
from mimctl.model.forecast import LoadForecast
from mimctl.model.island import FormWish
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, joined
from mimctl.model.plan import Plan
from mimctl.model.state import SiteState
from mimctl.safety.evidence import Evidence, weigh
from mimctl.safety.ratings import Ratings
from mimctl.safety.segment import BOUNDLESS
from mimctl.safety.settings import Accepted, SafetySettings


@dataclass(frozen=True, slots=True, eq=False)
class Fed:
    """Buses that MIMs feed.

    A former is to everybody else on its bus what the grid is elsewhere: the source at its top, which gives what is drawn there.

    Args:
        nodes: (N,) on such a bus.
        followers: (M,) MIMs with all ports on such a bus, formers left out.
        sources: (K,) ports of the formers.
        phase_a: (N, 3) what a former can give at the top of its bus, inf elsewhere [A].
    """

    nodes: BoolArray
    followers: BoolArray
    sources: BoolArray
    phase_a: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One plan before the judge.

    Args:
        accepted_va: (K,) in force, zero where not known [VA]
        known: (M,) what is in force is known
        wanted_va: (K,) the plan's setpoints, NaN where it has no believable figure [VA]
        now_s: monotonic instant of the decision [s]
        impedance_scale: (N,) factor on the impedance of each branch, at least 1; None = as the site file has it
        forms: operators' leases that have a bus formed, the oldest first
        fed: buses that are formed now, and have been for long enough; None where there are none
        sources: what the transfer devices permit; None where there are none
    """

    ratings: Ratings
    settings: SafetySettings
    state: SiteState
    evidence: Evidence
    bounds: Bounds
    plan: Plan
    accepted: Accepted
    accepted_va: ComplexArray
    known: BoolArray
    wanted_va: ComplexArray
    now_s: float
    emergency_stop: bool
    locked: frozenset[str]
    sources: SourceLimits | None = None
    impedance_scale: FloatArray | None = None
    forms: tuple[FormWish, ...] = ()
    fed: Fed | None = None

    @property
    def changed_at_s(self) -> FloatArray:
        """(M,) monotonic instant of the last change of setpoint, −inf = before our time [s]."""
        return self.accepted.written_at_s if self.accepted.changed_at_s is None else self.accepted.changed_at_s


def make_case(
    ratings: Ratings,
    settings: SafetySettings,
    *,
    state: SiteState,
    forecast: LoadForecast,
    bounds: Bounds,
    plan: Plan,
    accepted: Accepted,
    now_s: float,
    emergency_stop: bool,
    locked: frozenset[str],
    impedance_scale: FloatArray | None = None,
    forms: tuple[FormWish, ...] = (),
) -> Case:
    """Weigh the samples and put aside what cannot be a figure of a converter."""
    accepted_va, known = _in_force(ratings, accepted)
    evidence = weigh(ratings, settings, state, forecast, now_s)
    return Case(
        ratings=ratings,
        settings=settings,
        state=state,
        evidence=evidence,
        bounds=bounds,
        plan=plan,
        accepted=accepted,
        accepted_va=accepted_va,
        known=known,
        wanted_va=_wanted(ratings, plan),
        now_s=now_s,
        emergency_stop=emergency_stop,
        locked=locked,
        sources=source_limits(ratings.layout, state, evidence.max_age_s, now_s),
        # a slope that is small because a meter is wrong would let a voltage limit be passed: less than the site file has is not
        # believed here, and fmax takes no NaN
        impedance_scale=None if impedance_scale is None else np.fmax(impedance_scale, 1.0),
        forms=forms,
    )


def _in_force(ratings: Ratings, accepted: Accepted) -> tuple[ComplexArray, BoolArray]:
    """(K,) setpoints in force with zero for the unknown ones, (M,) which MIMs' are known."""
    sound = _believable(accepted.setpoint_va)
    if sound.all():
        return accepted.setpoint_va, np.ones(len(ratings.layout.mims), dtype=np.bool_)
    return np.where(sound, accepted.setpoint_va, 0.0), ~ratings.any_of(~sound)


def _believable(power_va: ComplexArray) -> BoolArray:
    """(K,) both parts can be figures of a converter; no NaN is."""
    return (np.abs(power_va.real) < BOUNDLESS) & (np.abs(power_va.imag) < BOUNDLESS)


def _wanted(ratings: Ratings, plan: Plan) -> ComplexArray:
    """(K,) the plan's setpoints, NaN where they are no figures; a plan of another shape is no plan."""
    ports = len(ratings.layout.ports)
    if plan.inject_w.shape != (ports,) or plan.inject_var.shape != (ports,):
        return np.full(ports, np.nan, dtype=np.complex128)
    wanted_va = joined(plan.inject_w, plan.inject_var)
    sound = _believable(wanted_va)
    return wanted_va if sound.all() else np.where(sound, wanted_va, np.nan)
