"""One decision of a zone as a whole, and every MIM in a line."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from mimctl.control.explain.alike import restriction_lines
from mimctl.control.explain.case import Question
from mimctl.control.explain.data import data_lines
from mimctl.control.explain.story import (
    Section,
    View,
    alternatives_table,
    limit_lines,
    node_line,
    price_above,
    when,
)
from mimctl.control.explain.without import alternatives, figures
from mimctl.control.explain.words import counted, joined, objective, seconds, shift
from mimctl.control.past.light import WROTE
from mimctl.model.plan import SolveStatus
from mimctl.model.sample import Quality

#: shorter times are not told as figures
_LEAST_S = 0.5e-3


def explain_zone(view: View, question: Question) -> dict[str, Any]:
    """Sections of sentences, and a line for each MIM."""
    n, case = view.numbers, view.case
    set_va = np.nan_to_num(view.reasons.safe_va)
    heads = [int(h) for h in n.layout.heads]
    limits = view.limits.all
    found = alternatives(n, set_va, heads, limit=limits[0] if limits else None)
    nodes = range(len(n.layout.nodes))
    sections = [
        Section("when", tuple(when(case, question))),
        Section("the decision", tuple(_decision(view))),
        Section("what was seen", tuple(node_line(n, head, set_va) for head in heads)),
        Section("limits that bind", tuple(limit_lines(view, limits, most=6))),
        Section("what narrowed it", tuple(restriction_lines(n.bounds.restrictions))),
        Section("the judge", tuple(_judge(view))),
        Section("the grid above", tuple(_above(view))),
        Section("data", tuple(data_lines(n.layout, case.record, nodes, []) + _silent(view))),
        Section("what would have happened", tuple(alternatives_table(n, found, heads))),
    ]
    return {
        "limits": list(limits),
        "alternatives": figures(n.layout, found, heads),
        "mims": [_line(view, m) for m in range(len(n.layout.mims))],
        "sections": [section for section in sections if section.lines],
    }


def _decision(view: View) -> list[str]:
    record, plan = view.case.record, view.numbers.solve.plan
    if plan.status is SolveStatus.FAILED:
        solved = "the solve failed: the accepted setpoints stand"
    else:
        took = f"{1000 * plan.solve_s:.0f} ms" if plan.solve_s >= _LEAST_S else "less than a millisecond"
        solved = f"the plan was {plan.status.value.replace('_', ' ')} in {took} and {plan.iterations} iterations"
    counts = Counter(WROTE[int(code)] for code in record.wrote)
    wrote = joined([counted(counts[kind], word) for kind, word in _WROTE_WORDS.items() if counts[kind]]) or "nothing"
    dry = " (a dry run: nothing reached a device)" if view.case.dry_run else ""
    return [
        f"J was measured at {objective(record.objective)}; {solved}, the whole cycle took {1000 * record.duration_s:.0f} ms",
        f"written: {wrote}{dry}",
    ]


_WROTE_WORDS = {
    "setpoint": "setpoint",
    "refresh": "sign of life",
    "release": "release",
    "form": "command to form a bus",
    "keep_forming": "sign of life to a former",
}


def _judge(view: View) -> list[str]:
    """How many MIMs it clamped, by reason."""
    counts = Counter((j.verdict.value, j.reason.code) for j in view.case.record.judgements)
    lines = []
    for (verdict, code), count in counts.most_common():
        first = next(j for j in view.case.record.judgements if (j.verdict.value, j.reason.code) == (verdict, code))
        lines.append(f"{verdict} {counted(count, 'MIM')} [{code}], such as {first.mim}: {first.reason.text}")
    return lines or ["let the plan through as it was"]


def _above(view: View) -> list[str]:
    lines = [line for head in view.numbers.layout.heads for line in price_above(view, int(head))]
    above = view.case.above
    if above is not None:
        ago = seconds(max(0.0, view.case.record.now_s - above.now_s))
        failed = " and failed" if above.solve.plan.status is SolveStatus.FAILED else ""
        lines.append(f"the site level had solved the whole tree {ago} before{failed}; --node of something up there tells more")
    return lines


def _silent(view: View) -> list[str]:
    silent = [
        mim.id
        for mim, quality in zip(view.numbers.layout.mims, view.case.record.mim_quality, strict=True)
        if quality == Quality.BAD
    ]
    return [f"MIMs that had not told their state: {joined(silent[:20])}{' …' if len(silent) > 20 else ''}"] if silent else []


def _line(view: View, m: int) -> dict[str, Any]:
    reasons = view.reasons.of(m)
    set_va = np.nan_to_num(view.reasons.safe_va)
    return {
        "mim": view.numbers.layout.mims[m].id,
        "does": "released" if view.case.record.release[m] else shift(view.numbers.layout, m, set_va),
        "wrote": view.reasons.wrote(m),
        "reasons": [{"code": r.reason.code, "text": r.reason.text} for r in reasons],
    }
