"""Decisions made light enough to be kept by the thousand: what explains them and what solves them anew, in single precision.

An array that is the same as in the record before is kept once: ratings, weights and limits change seldom, and what a cycle begins
with is what the last one ended with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from mimctl.control.past.light_arrays import AnyArray, arrays_in, light, light_fields, same, wide, wide_value
from mimctl.model.bounds import Bounds
from mimctl.model.decision import DecisionRecord, WriteOutcome
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout, frozen
from mimctl.model.plan import Judgement, Plan

#: what was written to a MIM
WROTE = ("nothing", "setpoint", "refresh", "release", "form", "keep_forming")
_WROTE_CODE = {kind: np.int8(code) for code, kind in enumerate(WROTE)}
#: of a small object and of a sentence, roughly [bytes]
_OBJECT_BYTES = 250
_EMPTY: FloatArray = frozen(np.zeros(0))


@dataclass(frozen=True, slots=True, eq=False)
class LightSolve:
    """What one solve was given, and what it gave. Complex values per phase and port [VA].

    Args:
        load_va: (N, 3) own loads; known, covered: (N,) as in `LoadForecast`.
        bounds_parts: fields of the bounds.
        anchor_va, before_va: (K,) the plan it moved on from, and the setpoints in force; NaN = not known.
        plan_va: (K,) what it wants; `plan` has the rest.
    """

    load_va: AnyArray
    known: BoolArray
    covered: BoolArray
    bounds_parts: Mapping[str, Any]
    anchor_va: AnyArray
    before_va: AnyArray
    plan_va: AnyArray
    plan: Plan

    @property
    def forecast(self) -> LoadForecast:
        load = wide(self.load_va)
        return LoadForecast(load.real.copy(), load.imag.copy(), self.known, self.covered)

    @property
    def bounds(self) -> Bounds:
        return Bounds(**{name: wide_value(value) for name, value in self.bounds_parts.items()})

    def arrays(self) -> Iterator[AnyArray]:
        yield from (self.load_va, self.known, self.covered, self.anchor_va, self.before_va, self.plan_va)
        yield from arrays_in(self.bounds_parts)

    def text_bytes(self, before: LightSolve | None) -> int:
        """Of its restrictions, where they are not those of the record before [bytes]."""
        told = self.bounds_parts["restrictions"]
        return 0 if before is not None and told is before.bounds_parts["restrictions"] else _OBJECT_BYTES * len(told)


def light_solve(
    forecast: LoadForecast,
    bounds: Bounds,
    *,
    anchor_va: ComplexArray,
    setpoint_va: ComplexArray,
    plan: Plan,
    before: LightSolve | None,
    ended_va: AnyArray | None,
) -> LightSolve:
    """One solve for the memory.

    Args:
        before: the solve kept last; ended_va: (K,) setpoints in force after it, as they were kept.
    """
    return LightSolve(
        load_va=light(forecast.load_w + 1j * forecast.load_var),
        known=forecast.known,
        covered=forecast.covered,
        bounds_parts=light_fields(bounds, {} if before is None else before.bounds_parts),
        anchor_va=light(anchor_va, None if before is None else before.plan_va),
        before_va=light(setpoint_va, ended_va),
        plan_va=light(plan.inject_w + 1j * plan.inject_var),
        plan=replace(plan, inject_w=_EMPTY, inject_var=_EMPTY, harmonics=None),
    )


@dataclass(frozen=True, slots=True, eq=False)
class LightRecord:
    """One walk of the data. N nodes, K ports, M MIMs; NaN = unknown; instants are monotonic [s].

    Args:
        safe_va: (K,) what the judge let through; after_va: (K,) what the devices hold after the writes [VA].
        send, refresh, release: (M,) as in `SafePlan`.
        wrote: (M,) position in `WROTE` of what was tried at each MIM.
        failures: writes that did not go through, were held back or left out by a dry run.
        net_va: (N, 3) measured import [VA]; current_a: (N, 3) rms [A].
        node_quality, node_taken_s, estimated, doubted: (N,)
        margin_va: (N, 3) how far estimated and doubted flows may be off; None where there is none [VA].
        out_va: (K,) what the ports said that they put out [VA]; mim_quality, mim_taken_s, command_status: (M,)
        objective: reported J as measured.
        gain: (M,) or None, as in `DecisionRecord`.
    """

    number: int
    zone: str
    utc: datetime
    now_s: float
    solve: LightSolve
    safe_va: AnyArray
    after_va: AnyArray
    send: BoolArray
    refresh: BoolArray
    release: BoolArray
    wrote: AnyArray
    failures: tuple[WriteOutcome, ...]
    judgements: tuple[Judgement, ...]
    net_va: AnyArray
    current_a: AnyArray
    node_quality: AnyArray
    node_taken_s: AnyArray
    estimated: BoolArray
    doubted: BoolArray
    margin_va: AnyArray | None
    out_va: AnyArray
    mim_quality: AnyArray
    mim_taken_s: AnyArray
    command_status: AnyArray
    objective: float
    duration_s: float
    gain: AnyArray | None

    def arrays(self) -> Iterator[AnyArray]:
        yield from self.solve.arrays()
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                yield value

    def text_bytes(self, before: LightRecord | None) -> int:
        """Of its sentences and small objects, roughly [bytes]."""
        told = self.solve.text_bytes(None if before is None else before.solve)
        return told + _OBJECT_BYTES * (8 + len(self.judgements) + len(self.failures))


@dataclass(frozen=True, slots=True, eq=False)
class SiteSolve:
    """One solve of the whole tree by the site level.

    Args:
        answering: (H,) zone heads, in the order of `Above.ways`, whose zone told its loads.
    """

    utc: datetime
    now_s: float
    solve: LightSolve
    answering: BoolArray

    def arrays(self) -> Iterator[AnyArray]:
        yield from self.solve.arrays()

    def text_bytes(self, before: SiteSolve | None) -> int:
        """Of its small objects, roughly [bytes]."""
        told = self.solve.text_bytes(None if before is None else before.solve)
        return told + _OBJECT_BYTES * (8 + len(self.solve.plan.active))


def light_record(record: DecisionRecord, after_va: ComplexArray, before: LightRecord | None) -> LightRecord:
    """One decision for the memory.

    Args:
        after_va: (K,) what the devices hold after the writes, NaN = not known [VA].
        before: the record kept last; what has not changed since is shared with it.
    """
    state, safe, plan = record.state, record.safe_plan, record.plan
    nodes, layout = state.nodes, state.layout
    setpoint_va = np.zeros(len(layout.ports), np.complex128) if record.setpoint_va is None else record.setpoint_va
    anchor_va = setpoint_va if record.anchor_va is None else record.anchor_va
    solve = light_solve(
        record.forecast,
        record.bounds,
        anchor_va=anchor_va,
        setpoint_va=setpoint_va,
        plan=plan,
        before=None if before is None else before.solve,
        ended_va=None if before is None else before.after_va,
    )
    nobody = np.zeros(len(layout.nodes), dtype=np.bool_)
    margin_va = nodes.margin_va()
    return LightRecord(
        number=record.number,
        zone=record.zone,
        utc=state.utc,
        now_s=state.now_s,
        solve=solve,
        safe_va=light(safe.inject_w + 1j * safe.inject_var, solve.plan_va),
        after_va=light(after_va, solve.before_va),
        send=same(safe.send, _was(before, "send")),
        refresh=same(safe.refresh, _was(before, "refresh")),
        release=same(safe.release, _was(before, "release")),
        wrote=same(_wrote(layout, record.outcomes), _was(before, "wrote")),
        failures=tuple(o for o in record.outcomes if o.error is not None or o.skipped),
        judgements=safe.judgements,
        net_va=light(nodes.import_w + 1j * nodes.import_var),
        current_a=light(record.report.current_a),
        node_quality=same(nodes.quality.astype(np.int8), _was(before, "node_quality")),
        node_taken_s=nodes.taken_at_s,
        estimated=same(nobody if nodes.estimated is None else nodes.estimated, _was(before, "estimated")),
        doubted=same(nobody if nodes.doubted is None else nodes.doubted, _was(before, "doubted")),
        margin_va=None if margin_va is None else light(margin_va),
        out_va=light(state.ports.inject_w + 1j * state.ports.inject_var),
        mim_quality=same(state.mims.quality.astype(np.int8), _was(before, "mim_quality")),
        mim_taken_s=state.mims.taken_at_s,
        command_status=light(state.mims.command_status, _was(before, "command_status")),
        objective=record.report.objective,
        duration_s=sum(seconds for _, seconds in record.durations_s),
        gain=None if record.gain is None else light(record.gain, _was(before, "gain")),
    )


def _wrote(layout: SiteLayout, outcomes: tuple[WriteOutcome, ...]) -> AnyArray:
    codes = np.zeros(len(layout.mims), dtype=np.int8)
    index = layout.mim_index
    codes[[index[o.mim] for o in outcomes]] = [_WROTE_CODE[o.kind] for o in outcomes]
    return codes


def _was(before: LightRecord | None, name: str) -> AnyArray | None:
    """An array of the record before."""
    found: AnyArray | None = getattr(before, name, None)
    return found
