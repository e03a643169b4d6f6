"""Which writes of a safe plan are due: setpoints, signs of life and releases, by what each device holds or may hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimctl.model.layout import BoolArray, SiteLayout
from mimctl.model.plan import SafePlan
from mimctl.model.reason import Reason

_SETPOINT = Reason("dispatch.setpoint", "new setpoint from the judged plan")
_REFRESH = Reason("dispatch.refresh", "setpoint stands; validity renewed")
_RELEASE = Reason("dispatch.release", "brought to the safe state")


@dataclass(frozen=True, slots=True)
class DueWrite:
    """One write that is due. `mim` is an index."""

    mim: int
    kind: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the M devices of a layout hold, as far as it is known; each (M,).

    Args:
        in_force: a setpoint of ours.
        uncertain: a setpoint was on its way and nobody knows whether it arrived.
        strange: something else that a release ends all the same.
        quiet: nothing was written to it for as long as its medium wants between two signs of life.
    """

    in_force: BoolArray
    uncertain: BoolArray
    strange: BoolArray
    quiet: BoolArray


def due_writes(plan: SafePlan, layout: SiteLayout, held: Holdings) -> dict[int, DueWrite]:
    """By the index of the MIM."""
    reasons = {judgement.mim: judgement.reason for judgement in plan.judgements}
    due: dict[int, DueWrite] = {}
    for m in np.flatnonzero(plan.release & (held.in_force | held.uncertain | held.strange)):
        due[int(m)] = DueWrite(int(m), "release", reasons.get(layout.mims[m].id, _RELEASE))
    # a heartbeat would keep alive whatever the device took last: where that is not known, it is told anew instead
    for m in np.flatnonzero((plan.send | plan.refresh & held.uncertain) & ~plan.release):
        due[int(m)] = DueWrite(int(m), "setpoint", reasons.get(layout.mims[m].id, _SETPOINT))
    alive = plan.refresh & ~plan.send & ~plan.release & held.in_force & ~held.uncertain & held.quiet
    for m in np.flatnonzero(alive):
        due[int(m)] = DueWrite(int(m), "refresh", _REFRESH)
    return due
