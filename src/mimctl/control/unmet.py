"""Which of the setpoints that somebody wants are not met, by how much, and what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mimctl.balance.pins import neutrals_of
from mimctl.model.bounds import Bounds
from mimctl.model.decision import DecisionRecord
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.plan import Judgement, Verdict
from mimctl.model.reason import Reason

#: setpoints are whole watts and vars
_ROUNDING_VA = 2.0
#: reasons by which a port may do less than its rating
_OF_PORTS = ("lease.cap", "rule.reserve", "rule.harmonic", "mim.authority", "harmonic.")
#: a limit is full within this share of it
_FULL = 0.99


@dataclass(frozen=True, slots=True)
class Unmet:
    """One port that does not get what is wanted of it.

    Args:
        port: of its MIM, counted from 1.
        wanted_va, set_va: injection positive [VA].
        passing: it is on its way.
    """

    mim: str
    port: int
    wanted_va: complex
    set_va: complex
    why: Reason
    passing: bool = False

    def __str__(self) -> str:
        return f"port {self.port} is set to {_power(self.set_va)} instead of {_power(self.wanted_va)}: {self.why.text}"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a decision made of the setpoints of one layout. K ports.

    Args:
        before_va, planned_va, set_va: (K,) in force before, NaN = not known; what the solve made of it; what the judge let
            through [VA].
    """

    layout: SiteLayout
    bounds: Bounds
    judgements: Sequence[Judgement]
    before_va: ComplexArray
    planned_va: ComplexArray
    set_va: ComplexArray

    @classmethod
    def of(cls, record: DecisionRecord) -> Outcome:
        """That of one cycle."""
        plan, safe, before_va = record.plan, record.safe_plan, record.setpoint_va
        if before_va is None:
            before_va = np.full(len(safe.inject_w), np.nan + 0j)
        planned_va, set_va = plan.inject_w + 1j * plan.inject_var, safe.inject_w + 1j * safe.inject_var
        return cls(record.state.layout, record.bounds, safe.judgements, before_va, planned_va, set_va)


def unmet_ports(outcome: Outcome, m: int, wanted: Sequence[complex | None]) -> list[Unmet]:
    """Those of one MIM.

    Args:
        wanted: by port, None = left to the solve [VA].
    """
    mim, run = outcome.layout.mims[m], outcome.layout.ports_of_mim[m]
    found = []
    for port, (k, power) in enumerate(zip(range(run.start, run.stop), wanted, strict=True), start=1):
        if power is not None and abs(outcome.set_va[k] - power) > _ROUNDING_VA:
            why = _judged(outcome, mim.id, grave=True)
            if why is None and abs(outcome.planned_va[k] - power) <= _ROUNDING_VA:
                why = _judged(outcome, mim.id, grave=False)
            why = why or _planned(outcome, m, k, power)
            given = complex(outcome.set_va[k])
            found.append(Unmet(mim.id, port, power, given, why, passing=why.code == "limit.step"))
    return found


def _judged(outcome: Outcome, mim: str, *, grave: bool) -> Reason | None:
    """What the judge said of the MIM: that its plan is not to be written, or what he took from it."""
    told = (j for j in outcome.judgements if j.mim == mim and (j.verdict in (Verdict.REFUSED, Verdict.EXCLUDED)) is grave)
    return next((j.reason for j in told), None)


def _planned(outcome: Outcome, m: int, k: int, power: complex) -> Reason:
    """Why the solve itself wanted less."""
    bounds, layout = outcome.bounds, outcome.layout
    run = layout.ports_of_mim[m]
    if not bounds.mim_enabled[m]:
        return Reason("mim.not_used", "the MIM is left out of control now")
    before_va, most_va = np.nan_to_num(outcome.before_va[run]), bounds.port_s_max_va[run]
    at = k - run.start
    narrowed = min(most_va[at], _wish_left(bounds, k, power))
    moved_va = np.abs(outcome.planned_va[run] - before_va)
    if moved_va[at] > _ROUNDING_VA and (moved_va >= _FULL * _FULL * bounds.step_max_va[run] / len(moved_va)).any():
        return Reason("limit.step", f"it is on its way, by {moved_va[at]:.0f} VA in this cycle")
    if narrowed < abs(power) - _ROUNDING_VA:
        by = _narrowed_by(outcome, m, at)
        text = f"the port may give {narrowed:.0f} VA now, of {layout.port_rating_va[k]:.0f} VA rated"
        return Reason("limit.port_rating", f"{text} ({by})" if by else text)
    neutral_a = np.abs(neutrals_of(layout, m) @ outcome.planned_va[run])
    full_a = float(bounds.mim_neutral_max_a[m])
    if neutral_a.max(initial=0.0) >= _FULL * full_a:
        return Reason("limit.mim_neutral", f"its other ports can balance no more of it: its neutral is full at {full_a:.1f} A")
    return Reason("limit.balance", "its other ports can balance no more of it within their ratings")


def _narrowed_by(outcome: Outcome, m: int, port: int) -> str:
    """Who said so, of what may take from a port's rating."""
    layout = outcome.layout
    mim, site = layout.mims[m], layout.site
    way = {layout.nodes[n].id for n in np.flatnonzero(layout.below[:, layout.port_node[layout.ports_of_mim[m]]].any(axis=1))}
    names = way | {mim.id, f"{mim.id}/{port + 1}", mim.address.link, site.id} | {zone.id for zone in site.zones}
    told = (r for r in outcome.bounds.restrictions if r.where in names and r.reason.code.startswith(_OF_PORTS))
    # a cap at a node is one of its breaker, unless it is told in VA
    return "; ".join(dict.fromkeys(r.reason.text for r in told if r.where not in way or " VA" in r.reason.text))


def _wish_left(bounds: Bounds, k: int, power: complex) -> float:
    """How much of a wish the leases above it left [VA]."""
    pinned = bounds.port_pinned_va
    return abs(power) if pinned is None or np.isnan(pinned[k]) else float(abs(pinned[k]))


def _power(power_va: complex) -> str:
    return f"{power_va.real:.0f} W" + (f" {power_va.imag:+.0f} var" if abs(power_va.imag) >= 1.0 else "")
