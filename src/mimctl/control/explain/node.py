"""What a decision made of one node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mimctl.control.explain.alike import restriction_lines
from mimctl.control.explain.case import AboveCase, Question
from mimctl.control.explain.data import data_lines
from mimctl.control.explain.limits import Limit, Limits
from mimctl.control.explain.numbers import Numbers
from mimctl.control.explain.story import (
    Section,
    View,
    alternatives_table,
    limit_lines,
    measured_lines,
    narrowed_nodes,
    neutral_lines,
    node_line,
    price_above,
    told_at,
    when,
)
from mimctl.control.explain.without import alternatives, figures
from mimctl.control.explain.words import LEAST_A, moves
from mimctl.model.layout import ComplexArray

_NAMED = 12


def explain_node(view: View, question: Question, node: int) -> dict[str, Any]:
    """Sections of sentences and the figures behind them."""
    n = view.numbers
    set_va = np.nan_to_num(view.reasons.safe_va)
    limits = view.limits.at_node(node)
    found = alternatives(n, set_va, [node], limit=limits[0] if limits else None)
    below = [m for m in range(len(n.layout.mims)) if n.layout.below[node, n.nodes_of(m)].any()]
    sections = [
        Section("when", tuple(when(view.case, question))),
        Section("what was seen", (*measured_lines(view, node), node_line(n, node, set_va), *neutral_lines(n, node, set_va))),
        Section("who works for it", tuple(_workers(n, node, below, set_va))),
        Section("limits that bind", tuple(limit_lines(view, limits))),
        Section("what narrowed it", tuple(restriction_lines(told_at(n, node)) + narrowed_nodes(view, [node]))),
        Section("the grid above", tuple(price_above(view, node))),
        Section("data", tuple(data_lines(n.layout, view.case.record, n.path(node), []))),
        Section("what would have happened", tuple(alternatives_table(n, found, [node]))),
    ]
    return {
        "node": n.layout.nodes[node].id,
        "limits": limits,
        "alternatives": figures(n.layout, found, [node]),
        "sections": [section for section in sections if section.lines],
    }


def explain_above(case: AboveCase, question: Question, node: int | None) -> dict[str, Any]:
    """The site level's own solve: a node above the zones, or all of it."""
    n = Numbers(case.site, case.solve.solve, level=True)
    limits = Limits(n)
    wanted: Sequence[Limit] = limits.all if node is None else limits.at_node(node)
    shown = [int(h) for h in n.layout.heads] if node is None else [node]
    found = alternatives(n, n.plan_va, shown, limit=wanted[0] if wanted else None)
    found = [a for a in found if a.what != "as set"]  # nothing is set from here: zones are told what it is worth
    sections = [
        Section("when", tuple(when(case, question))),
        Section("what was seen", tuple(node_line(n, i, n.plan_va, "as planned") for i in shown)),
        Section("limits that bind", tuple(limit.text for limit in wanted[:_NAMED])),
        Section("what would have happened", tuple(alternatives_table(n, found, shown))),
    ]
    return {"limits": list(wanted), "alternatives": figures(n.layout, found, shown), "sections": [s for s in sections if s.lines]}


def _workers(n: Numbers, node: int, below: Sequence[int], set_va: ComplexArray) -> list[str]:
    """MIMs at and below a node, those that move most first."""
    amps = np.abs(set_va) / n.layout.port_voltage_v
    size = {m: float(amps[n.layout.ports_of_mim[m]].max(initial=0.0)) for m in below}
    at_work = sorted((m for m in below if size[m] >= LEAST_A), key=lambda m: -size[m])
    lines = [f"{n.layout.mims[m].id} {moves(n.layout, m, set_va)}" for m in at_work[:_NAMED]]
    more = len(at_work) - _NAMED
    idle = len(below) - len(at_work)
    lines += [f"… and {more} more"] if more > 0 else []
    lines += [f"{idle} of {len(below)} MIMs below do next to nothing"] if idle else []
    return lines or ["no MIM stands below it"]
