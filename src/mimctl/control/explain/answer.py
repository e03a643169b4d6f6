"""From a case and a question to the answer: plain values, ready for JSON and for a terminal."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from mimctl.control.explain.case import AboveCase, Case, Question
from mimctl.control.explain.mim import explain_mim
from mimctl.control.explain.node import explain_above, explain_node
from mimctl.control.explain.story import View
from mimctl.control.explain.summary import explain_zone


def answer(case: Case | AboveCase, question: Question) -> dict[str, Any]:
    """Explain. Takes from milliseconds to seconds: it sets up solvers of its own.

    Args:
        case: the decision.
        question: about something of that zone (or site).
    """
    if isinstance(case, AboveCase):
        index = {node.id: i for i, node in enumerate(case.site.nodes)}
        told = explain_above(case, question, None if question.node is None else index[question.node])
        head: dict[str, Any] = {"zone": None, "utc": case.solve.utc.isoformat(), "cycle": None}
    else:
        view, layout_of = View.of(case), None
        head = {"zone": case.record.zone, "utc": case.record.utc.isoformat(), "cycle": case.record.number}
        layout_of = view.numbers.layout
        if question.mim is not None:
            told = explain_mim(view, question, layout_of.mim_index[question.mim])
        elif question.node is not None:
            told = explain_node(view, question, layout_of.node_index[question.node])
        else:
            told = explain_zone(view, question)
    plain: dict[str, Any] = _plain(head | told)
    return plain


def _plain(value: Any) -> Any:
    """In the types that JSON has; what is not known is None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
