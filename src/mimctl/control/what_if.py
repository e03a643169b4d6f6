"""What would come of a lease if it were in force now: tried on the latest measurements, nothing is kept and nothing is written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimctl.balance.inputs import without_nan
from mimctl.control.cycle import Cycle
from mimctl.control.forming.form_leases import wishes
from mimctl.control.narrow import Situation, narrowed
from mimctl.model.bounds import Bounds
from mimctl.model.decision import DecisionRecord
from mimctl.model.errors import UserError
from mimctl.model.lease import Lease
from mimctl.model.plan import Plan, SafePlan


def preview(cycle: Cycle, lease: Lease) -> tuple[Bounds, Plan, SafePlan]:
    """What a setpoint would come to.

    Raises:
        UserError: there are no measurements yet.
    """
    situation, wide = _latest(cycle)
    bounds = narrowed(cycle.leases.narrow_with([lease], wide, situation), cycle.guards, situation)
    held_va = situation.setpoint_va
    plan = cycle.cascade.balancer.solve(situation.forecast, bounds, without_nan(held_va), held_va)
    return (
        bounds,
        plan,
        cycle.judged(situation, bounds, plan, replace(cycle.dispatcher.held.accepted(), harmonics=None, forming=None)),
    )


def form_objections(cycle: Cycle, lease: Lease) -> tuple[str, ...]:
    """Everything that keeps a MIM from forming a bus.

    Raises:
        UserError: there are no measurements yet.
    """
    last = _measured(cycle)
    held_va = cycle.dispatcher.held.setpoint_va
    situation = Situation(last.state, last.report, last.forecast, held_va, cycle.usable)
    forms = tuple(wishes([lease], last.state.layout))
    accepted = replace(cycle.dispatcher.held.accepted(), harmonics=None)
    judged = cycle.judged(situation, last.bounds, last.plan, accepted, forms)
    return tuple(j.reason.text for j in judged.judgements if j.mim == lease.scope and j.reason.code == "form.refused")


def _latest(cycle: Cycle) -> tuple[Situation, Bounds]:
    last, usable = _measured(cycle), cycle.usable
    bounds = last.bounds
    if cycle.paused:  # since the last cycle, perhaps
        usable = np.zeros_like(usable)
        bounds = replace(bounds, mim_enabled=usable, mim_release=~usable)
    return Situation(last.state, last.report, last.forecast, cycle.dispatcher.held.setpoint_va, usable), bounds


def _measured(cycle: Cycle) -> DecisionRecord:
    if cycle.last is None:
        raise UserError(f"zone {cycle.zone} has not measured yet")
    return cycle.last
