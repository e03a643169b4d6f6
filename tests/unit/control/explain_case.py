"""Decisions small enough to be worked out by hand, made by the product's own stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
from tests.builders import START, node, small_site, state_of, three_port_mim

from mimctl.analysis.report import Analyst
from mimctl.balance.problem import Balancer
from mimctl.control.explain.answer import answer
from mimctl.control.explain.case import Case, Question
from mimctl.control.limits import BoundsMaker
from mimctl.control.past.light import light_record
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds, Restriction
from mimctl.model.decision import DecisionRecord, WriteOutcome
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import SiteLayout
from mimctl.model.node import NodeKind
from mimctl.model.reason import Reason
from mimctl.model.site import Site
from mimctl.safety.judge import Accepted, Judge

VOLTS = 230.0
WRITTEN = Reason("dispatch.setpoint", "new setpoint from the judged plan")
Bend = Callable[[Bounds], Bounds]


def one_rack(*, rating_va: float = 5000.0, mims: int = 1, rating_a: float = 100.0) -> Site:
    """One metered rack that is the feed as well, with all the weight; MIM neutrals that never bind."""
    head = replace(node("head", None, NodeKind.FEED, rating_a), omega=1.0, own_load=True)
    made = tuple(three_port_mim(f"mim-{i + 1}", "head", 10 + i, rating_va, neutral_rating_a=500.0) for i in range(mims))
    return replace(small_site((head,), made), timezone="Europe/Zurich")


def told(where: str, code: str, text: str) -> tuple[Restriction, ...]:
    return (Restriction(where, Reason(code, text)),)


def record_of(
    site: Site,
    amps: Any,
    *,
    bend: Bend = lambda bounds: bounds,
    judge_bend: Bend | None = None,
    good_nodes: Any = None,
    before_va: Any = None,
    failed: str | None = None,
    number: int = 7,
    now_s: float = 100.0,
    locked: frozenset[str] = frozenset(),
) -> DecisionRecord:
    """One cycle on loads of these currents (N, 3) in phase with their voltages [A].

    Args:
        bend: what narrows the bounds; judge_bend: what the judge is told beyond them.
        good_nodes: (N,) False where the meter is dead; that load then counts nowhere, as the forecast knows nothing of it.
        failed: why no write goes through.
    """
    layout = SiteLayout(site)
    operators = TreeOperators(layout)
    known = np.ones(len(layout.nodes), dtype=bool) if good_nodes is None else np.asarray(good_nodes)
    load = np.asarray(amps, dtype=float) * VOLTS * known[:, None] + 0j
    before = np.zeros(len(layout.ports), dtype=complex) if before_va is None else before_va
    state = replace(state_of(site, operators.flow(load, before), before, now_s=now_s, good_nodes=known), utc=START)
    state = replace(state, utc=START + timedelta(seconds=now_s - 100.0))
    every = np.ones(len(layout.mims), dtype=bool)
    bounds = bend(BoundsMaker(layout, "z").bounds(state.utc, before, 1.0, obeying=every, reported=every))
    forecast = LoadForecast(load.real.copy(), load.imag.copy(), known, np.ones(len(known), dtype=bool))
    plan = Balancer(operators).solve(forecast, bounds, before, before)
    accepted = Accepted(before, np.full(len(every), -np.inf))
    told_judge = bounds if judge_bend is None else judge_bend(bounds)
    safe = Judge(operators).judge(state, forecast, told_judge, plan, accepted, now_s=now_s, locked=locked)
    outcomes = tuple(
        WriteOutcome(m.id, "setpoint", WRITTEN, failed) for m, sent in zip(layout.mims, safe.send, strict=True) if sent
    )
    report = Analyst(operators).report(state, detail=False)
    return DecisionRecord(number, "z", state, report, forecast, bounds, plan, safe, outcomes, (("all", 0.01),), before, before)


def case_of(site: Site, amps: Any, **how: Any) -> Case:
    record = record_of(site, amps, **how)
    safe_va = record.safe_plan.inject_w + 1j * record.safe_plan.inject_var
    light = light_record(record, safe_va, None)
    utc = record.state.utc
    return Case(site, light, None, None, False, (utc, utc, 1))


def ask(case: Case, **question: Any) -> dict[str, Any]:
    return answer(case, Question(**question))


def section(told_answer: dict[str, Any], title: str) -> list[str]:
    """Lines under a title, none where there is no such section."""
    return next((list(s["lines"]) for s in told_answer["sections"] if s["title"] == title), [])


def alternative(told_answer: dict[str, Any], what: str) -> dict[str, Any]:
    return next(a for a in told_answer["alternatives"] if a["what"] == what)
