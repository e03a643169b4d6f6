"""Why one MIM does what it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mimctl.control.explain.case import Question
from mimctl.control.explain.data import data_lines
from mimctl.control.explain.reasons import Narrowing
from mimctl.control.explain.story import (
    Section,
    View,
    alternatives_table,
    limit_lines,
    measured_lines,
    narrowed_nodes,
    node_line,
    price_above,
    when,
)
from mimctl.control.explain.without import alternatives, figures
from mimctl.control.explain.words import joined, moves, objective, seconds
from mimctl.control.past.light_arrays import wide
from mimctl.control.unmet import Outcome, unmet_ports
from mimctl.model.layout import ComplexArray

#: a node with less than this share of what a MIM gains is not worth a word
_WORTH, _ALL = 0.05, 0.995
#: a plan that is nearer than this to what was set needs no telling [A]
_APART_A = 0.1
#: outputs within this of the setpoint are it [W]
_FOLLOWS_W = 25.0
#: kinds of writes to a MIM that forms a bus
_OF_FORMS = ("form", "keep_forming")
#: what the device itself says of its last command (64901 CmdSta)
_COMMAND_STATUS = {
    1: "it took the command",
    2: "it rejected the command",
    3: "it has gone back to its own state: its setpoint ran out",
}


def explain_mim(view: View, question: Question, m: int) -> dict[str, Any]:
    """Sections of sentences and the figures behind them."""
    n, record = view.numbers, view.case.record
    set_va = np.nan_to_num(view.reasons.safe_va)
    reasons, limits = view.reasons.of(m), view.limits.of_mim(m)
    nodes = _looked_at(view, m, set_va)
    found = alternatives(n, set_va, nodes, mim=m, limit=limits[0] if limits else None)
    sections = [
        Section("when", tuple(when(view.case, question))),
        Section("what it does", tuple(_does(view, m, set_va, reasons))),
        Section("what was seen", tuple(_seen(view, nodes, set_va))),
        Section("what it is for", tuple(_worth(view, m, set_va))),
        Section("limits that bind", tuple(limit_lines(view, limits))),
        Section("what narrowed it", tuple(_narrowed(reasons) + _not_met(view, m) + narrowed_nodes(view, n.way_of(m)))),
        Section("the judge", tuple(_told(reasons, {"judge"}) or ["let the plan through as it was"])),
        Section("sent and answered", tuple(_sent(view, m, reasons))),
        Section("the grid above", tuple(price_above(view, nodes[0]))),
        Section("data", tuple(data_lines(n.layout, record, n.way_of(m), [m]))),
        Section("what would have happened", tuple(alternatives_table(n, found, nodes))),
    ]
    return {
        "mim": n.layout.mims[m].id,
        "free": not reasons,
        "reasons": [{"stage": r.stage, "owner": r.owner, "code": r.reason.code, "text": r.reason.text} for r in reasons],
        "limits": limits,
        "setpoint_va": _parts(set_va[n.layout.ports_of_mim[m]]),
        "planned_va": _parts(n.plan_va[n.layout.ports_of_mim[m]]),
        "alternatives": figures(n.layout, found, nodes),
        "sections": [section for section in sections if section.lines],
    }


def _parts(power_va: ComplexArray) -> list[dict[str, float]]:
    return [{"w": float(p.real), "var": float(p.imag)} for p in power_va]


def _contributions(view: View, m: int, set_va: ComplexArray) -> Any:
    """(N,) by how much J, weights in, would be higher at each node without the MIM."""
    n = view.numbers
    gone = np.where(n.layout.port_mim == m, 0.0, set_va)
    return n.layout.omega * (n.node_j(n.flow(gone)) - n.node_j(n.flow(set_va)))


def _looked_at(view: View, m: int, set_va: ComplexArray) -> list[int]:
    """Its own nodes, and the node above where it helps most."""
    n = view.numbers
    own = [int(node) for node in n.nodes_of(m)]
    above = [node for node in n.way_of(m) if node not in own]
    if not above:
        return own
    worth = _contributions(view, m, set_va)
    return [*own, max(above, key=lambda node: float(worth[node]))]


def _does(view: View, m: int, set_va: ComplexArray, reasons: Sequence[Narrowing]) -> list[str]:
    n = view.numbers
    name = n.layout.mims[m].id
    if any(r.reason.code == "form.forming" for r in reasons):
        return [f"{name} sets voltage and frequency of its bus, and gives whatever that draws"]
    if view.case.record.release[m]:
        return [f"{name} is released: it goes to its safe state and is given no setpoint"]
    lines = [f"{name} {moves(n.layout, m, set_va)}"]
    run = n.layout.ports_of_mim[m]
    apart_a = np.abs(n.plan_va[run] - set_va[run]) / n.layout.port_voltage_v[run]
    if apart_a.max(initial=0.0) >= _APART_A and n.bounds.mim_enabled[m]:
        lines.append(f"the plan was another: {name} {moves(n.layout, m, n.plan_va)}")
    if not reasons:
        lines.append("nothing held it back: J is least there")
    elif not n.bounds.mim_enabled[m]:
        lines.append("it was left out of the plan, and is taken to hold what it was last told")
    return lines


def _seen(view: View, nodes: Sequence[int], set_va: ComplexArray) -> list[str]:
    return [*measured_lines(view, nodes[0]), *(node_line(view.numbers, node, set_va) for node in nodes)]


def _worth(view: View, m: int, set_va: ComplexArray) -> list[str]:
    """Where its work counts."""
    n = view.numbers
    worth = _contributions(view, m, set_va)
    known = float(n.layout.omega[n.usable].sum())
    total = float(worth.sum())
    if known <= 0 or not n.bounds.mim_enabled[m] or np.abs(set_va[n.layout.ports_of_mim[m]]).max(initial=0.0) < 2.0:
        return []
    name = n.layout.mims[m].id
    if total <= 0:
        return [f"by itself {name} makes J higher by {-total / known:.2g} now: it keeps a limit, or follows a lease"]
    parts = sorted(((float(worth[node]) / total, n.layout.nodes[node].id) for node in n.way_of(m)), reverse=True)
    shares = [f"{'all' if share > _ALL else f'{100 * share:.0f} %'} of it at {node}" for share, node in parts if share >= _WORTH]
    lines = [f"{name} lowers J by {objective(total / known)}: {joined(shares)}"]
    worse = [node for share, node in parts if share < -_WORTH]
    if worse:
        lines.append(f"at {joined(worse)} it makes the balance worse: what it does counts for more above")
    return lines


def _told(reasons: Sequence[Narrowing], stages: set[str]) -> list[str]:
    return [f"{r.owner}: {r.reason.text} [{r.reason.code}]" for r in reasons if r.stage in stages]


def _narrowed(reasons: Sequence[Narrowing]) -> list[str]:
    """What came before the solve or held in it, but for the limits, which are told with their prices."""
    return _told([r for r in reasons if not (r.stage == "solve" and r.owner == "a limit")], {"bounds", "solve"})


def _not_met(view: View, m: int) -> list[str]:
    """What somebody wants of its ports and does not get."""
    n, record = view.numbers, view.case.record
    pinned = n.bounds.port_pinned_va
    if pinned is None:
        return []
    wanted = [None if np.isnan(power) else complex(power) for power in pinned[n.layout.ports_of_mim[m]]]
    before_va = np.asarray(wide(n.solve.before_va))
    outcome = Outcome(n.layout, n.bounds, record.judgements, before_va, n.plan_va, np.nan_to_num(view.reasons.safe_va))
    return [f"not met: {unmet}" for unmet in unmet_ports(outcome, m, wanted)]


def _sent(view: View, m: int, reasons: Sequence[Narrowing]) -> list[str]:
    """What went to the device and what came back."""
    record, n = view.case.record, view.numbers
    wrote, failed = view.reasons.wrote(m), _told(reasons, {"write"})
    said = {
        "nothing": "nothing was written",
        "setpoint": "a new setpoint was written, and the device took it",
        "refresh": "the setpoint stands: a sign of life was written",
        "release": "it was told to go to its safe state",
        "form": "it was told to form its bus",
        "keep_forming": "it goes on forming its bus: a sign of life was written",
    }
    lines = failed or [said[wrote]]
    after = view.case.following
    if after is None:
        return [*lines, "what it answers is not known yet: this is the newest decision"]
    run = n.layout.ports_of_mim[m]
    out, held = wide(after.out_va), wide(record.after_va)
    if not after.mim_taken_s[m] >= record.now_s or np.isnan(out[run]).any():
        return [*lines, "it had told nothing since by the next decision"]
    later_s = float(after.mim_taken_s[m]) - record.now_s
    off_w = float(np.abs(out.real - np.nan_to_num(held).real)[run].max())
    if wrote in _OF_FORMS:
        return [*lines, f"by its own reading {seconds(later_s)} later it {moves(n.layout, m, out)}: what its bus draws"]
    follows = "as it was told" if off_w <= _FOLLOWS_W else f"still {off_w:.0f} W from its setpoint"
    lines.append(f"by its own reading {seconds(later_s)} later it {moves(n.layout, m, out)}: {follows}")
    status = float(after.command_status[m])
    if not np.isnan(status) and int(status) in _COMMAND_STATUS:
        lines.append(_COMMAND_STATUS[int(status)])
    return lines
