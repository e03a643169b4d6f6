"""Which limits shaped an answer, and what relief of each would gain: the duals of the cones, in the reader's units."""

from __future__ import annotations

import numpy as np

from mimctl.balance.frame import Frame
from mimctl.balance.program import Solution
from mimctl.balance.structure import Structure
from mimctl.model.layout import FloatArray
from mimctl.model.plan import ActiveConstraint

#: a relief of the whole limit that gains less than this in J is not worth a line
_LEAST = 1e-7

#: family in the structure → kind in the plan
_KINDS = {
    "port": "port_rating",
    "group": "mim_neutral",
    "step": "step",
    "phase": "node_current",
    "neutral": "node_neutral",
    "head": "head_import",
}


def _bases(frame: Frame, structure: Structure) -> dict[str, FloatArray]:
    """What one p.u. of each constraint is: VA of ports and heads, A of neutrals and breakers."""
    layout = frame.layout
    node = structure.phase_rows[:, 0]
    return {
        "port": layout.port_rating_va,
        "group": frame.groups.base_a,
        "step": layout.port_rating_va,
        "phase": layout.limit_a[node],
        "neutral": (frame.neutral_base_va / layout.voltage_ln_v)[structure.neutral_nodes],
        "head": np.repeat(frame.head_base_va, 3),
    }


def _name(frame: Frame, structure: Structure, family: str, index: int) -> str:
    layout = frame.layout
    if family in ("port", "step"):
        mim = int(layout.port_mim[index])
        return f"{layout.mims[mim].id}.port{index - layout.ports_of_mim[mim].start + 1}"
    if family == "group":
        return layout.mims[int(frame.groups.mim[index])].id
    if family == "phase":
        node, phase = structure.phase_rows[index]
        return f"{layout.nodes[node].id}.L{phase + 1}"
    if family == "neutral":
        return f"{layout.nodes[structure.neutral_nodes[index]].id}.N"
    return f"{layout.nodes[layout.heads[index // 3]].id}.L{index % 3 + 1}"


def active_constraints(frame: Frame, solution: Solution) -> tuple[ActiveConstraint, ...]:
    """The dearest limits, dearest first by what relief of one p.u. would gain."""
    structure = solution.structure
    families = [name for name in _KINDS if name in structure.at]
    prices = [solution.raw.duals[structure.at[name]] for name in families]
    sizes = np.cumsum([0, *(len(p) for p in prices)])
    joined = np.concatenate(prices) / frame.objective_scale
    most = frame.settings.active_max
    order = np.argsort(joined)[::-1][:most] if len(joined) <= 4 * most else np.argpartition(joined, -most)[-most:]
    order = order[np.argsort(-joined[order])]
    bases = _bases(frame, structure)
    found = []
    for position in order[joined[order] > _LEAST]:
        f = int(np.searchsorted(sizes, position, side="right") - 1)
        family, index = families[f], int(position - sizes[f])
        price = float(joined[position] / bases[family][index])
        found.append(ActiveConstraint(_name(frame, structure, family, index), _KINDS[family], price))
    return tuple(found)
