"""Why a MIM was not simply free: everything that narrowed, clamped, kept back or pressed it, each with its owner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mimctl.control.explain.case import Case
from mimctl.control.explain.limits import Limits
from mimctl.control.explain.numbers import Numbers
from mimctl.control.explain.words import seconds
from mimctl.control.past.light import WROTE
from mimctl.control.past.light_arrays import wide
from mimctl.model.latency import LatencyClass
from mimctl.model.layout import ComplexArray
from mimctl.model.plan import SolveStatus
from mimctl.model.reason import Reason

#: who speaks, by the first word of a reason's code
_OWNERS = {
    "lease": "a lease",
    "rule": "a rule of the site file",
    "zone": "the zone",
    "data": "the data",
    "mim": "the MIM itself",
    "limit": "a limit",
    "interlock": "an interlock",
    "plan": "the plan",
    "harmonic": "the harmonic filters",
    "transfer": "the transfer system",
    "grid": "the watch over the grid",
    "form": "the judge of form mode",
}
#: setpoints are whole watts and vars
_ROUNDING_VA = 2.0


@dataclass(frozen=True, slots=True)
class Narrowing:
    """One thing that kept a MIM from being free.

    Args:
        stage: `bounds` before the solve, `solve`, `judge` or `write` after it.
        owner: who is behind it, in words.
    """

    stage: str
    owner: str
    reason: Reason


def owner_of(code: str) -> str:
    """Who is behind a reason."""
    return _OWNERS.get(code.split(".", maxsplit=1)[0], "control")


class Reasons:
    """Of all MIMs of one decision."""

    def __init__(self, case: Case, numbers: Numbers, limits: Limits) -> None:
        self._case, self._n, self._limits = case, numbers, limits

    @cached_property
    def safe_va(self) -> ComplexArray:
        """(K,) what the judge let through [VA]."""
        return np.asarray(wide(self._case.record.safe_va))

    def of(self, m: int) -> tuple[Narrowing, ...]:
        """Everything that narrowed one MIM, in the order in which it came; none = it was free."""
        found = [*self._bounds(m), *self._solve(m), *self._judge(m), *self._write(m)]
        return tuple(dict.fromkeys(found))

    def names(self, m: int) -> set[str]:
        """What can stand for a MIM in a restriction: itself, its ports, its link, its nodes and those above, its zone, the site."""
        layout, site = self._n.layout, self._case.site
        mim = layout.mims[m]
        ports = {f"{mim.id}{sign}{p + 1}" for p in range(len(mim.ports)) for sign in ("/", ".port")}
        nodes = {layout.nodes[n].id for n in self._n.way_of(m)}
        return {mim.id, mim.address.link, site.id, self._case.record.zone} | ports | nodes

    def _bounds(self, m: int) -> Iterator[Narrowing]:
        names, bounds = self.names(m), self._n.bounds
        told = [r for r in bounds.restrictions if r.where in names]
        yield from (Narrowing("bounds", owner_of(r.reason.code), r.reason) for r in told)
        layout = self._n.layout
        run = layout.ports_of_mim[m]
        if not told and not bounds.mim_enabled[m]:
            yield Narrowing("bounds", "control", Reason("mim.not_used", "it is left out of control now"))
        if not any(r.where == layout.mims[m].id or r.where in names for r in told):
            short = bounds.port_s_max_va[run] < layout.port_rating_va[run] * (1 - 1e-6)
            if short.any():
                share = float((bounds.port_s_max_va[run] / layout.port_rating_va[run]).min())
                yield Narrowing("bounds", "control", Reason("mim.narrowed", f"it may use {share:.0%} of its rating"))

    def _solve(self, m: int) -> Iterator[Narrowing]:
        plan, record = self._n.solve.plan, self._case.record
        if plan.status in (SolveStatus.FAILED, SolveStatus.HELD):
            said = {
                SolveStatus.FAILED: "the solve failed: the accepted setpoints stand",
                SolveStatus.HELD: "no class of MIMs was due",
            }
            yield Narrowing("solve", "the plan", Reason(f"plan.{plan.status.value}", said[plan.status]))
            return
        if not self._n.bounds.mim_enabled[m]:
            return
        for limit in self._limits.of_mim(m):
            yield Narrowing("solve", "a limit", Reason(f"limit.{limit.kind}", limit.text))
        latency = self._n.layout.mims[m].latency
        if latency.kind is not LatencyClass.FAST:
            every = f", and is commanded every {seconds(latency.command_every_s)} at most" if latency.command_every_s else ""
            text = f"it is of the {latency.kind.value} class: it follows the part of the load that it can keep up with{every}"
            yield Narrowing("solve", "the latency class", Reason("latency.class", text))
        if record.gain is not None and record.gain[m] < 1:
            text = f"it is later than declared: {float(record.gain[m]):.0%} of each move is made at once"
            yield Narrowing("solve", "the latency class", Reason("latency.gain", text))

    def _judge(self, m: int) -> Iterator[Narrowing]:
        record, layout, n = self._case.record, self._n.layout, self._n
        name, run = layout.mims[m].id, layout.ports_of_mim[m]
        told = [j for j in record.judgements if j.mim == name]
        yield from (
            Narrowing("judge", owner_of(j.reason.code), Reason(j.reason.code, f"{j.verdict.value}: {j.reason.text}")) for j in told
        )
        if told or not n.bounds.mim_enabled[m]:
            return
        wanted, kept, before = n.plan_va[run], self.safe_va[run], wide(n.solve.before_va)[run]
        if np.abs(wanted - kept).max(initial=0.0) <= _ROUNDING_VA or np.abs(kept - before).max(initial=0.0) > _ROUNDING_VA:
            return
        move_a = float((np.abs(wanted - before) / layout.port_voltage_v[run]).max())
        plan = n.solve.plan
        if plan.mim_at_once is not None and plan.mim_at_once[m]:
            return
        if move_a <= plan.deadband_a:
            text = f"its move of {move_a:.2f} A is inside the deadband of {plan.deadband_a:g} A: the setpoint stands"
            yield Narrowing("judge", "a rule of the site file", Reason("rule.deadband", text))
        else:
            text = f"a setpoint stands for {plan.dwell_s:g} s at least: its move of {move_a:.2f} A waits"
            yield Narrowing("judge", "a rule of the site file", Reason("rule.dwell", text))

    def _write(self, m: int) -> Iterator[Narrowing]:
        name = self._n.layout.mims[m].id
        for outcome in self._case.record.failures:
            if outcome.mim != name:
                continue
            kind = outcome.kind
            if outcome.skipped:
                yield Narrowing("write", "the dry run", Reason("dispatch.dry_run", f"a dry run: the {kind} was not written"))
            elif outcome.held is not None:
                text = f"the {kind} was held back: {outcome.error}"
                yield Narrowing("write", "the write policy", Reason("dispatch.held", text))
            else:
                yield Narrowing("write", "the device", Reason("dispatch.failed", f"the {kind} failed: {outcome.error}"))

    def wrote(self, m: int) -> str:
        """What was written to a MIM: a word of `WROTE`."""
        return WROTE[int(self._case.record.wrote[m])]
