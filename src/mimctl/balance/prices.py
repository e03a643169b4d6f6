"""Which limits shaped an answer, and what relief of each would gain: the duals of the cones, in the reader's units."""

from __future__ import annotations

import numpy as np

from mimctl.balance.frame import Frame
from mimctl.balance.structure import Structure
from mimctl.model.layout import FloatArray, IntArray
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
    return f"{layout.nodes[layout.guarded[index // 3]].id}.L{index % 3 + 1}"


class PriceList:
    """Reads the prices of one structure's solutions."""

    def __init__(self, frame: Frame, structure: Structure) -> None:
        self._frame, self._structure = frame, structure
        self._families = [name for name in _KINDS if name in structure.at]
        self._rows: IntArray = np.concatenate([structure.at[name] for name in self._families])
        self._starts = np.cumsum([0, *(len(structure.at[name]) for name in self._families)])
        bases = _bases(frame, structure)
        self._base: FloatArray = np.concatenate([bases[name] for name in self._families])
        self._named: dict[int, tuple[str, str]] = {}

    def _names(self, position: int) -> tuple[str, str]:
        """(where, kind) of one constraint."""
        if position not in self._named:
            f = int(np.searchsorted(self._starts, position, side="right") - 1)
            family = self._families[f]
            name = _name(self._frame, self._structure, family, position - int(self._starts[f]))
            self._named[position] = (name, _KINDS[family])
        return self._named[position]

    def active(self, duals: FloatArray) -> tuple[ActiveConstraint, ...]:
        """The dearest limits, dearest first by what relief of the whole limit would gain."""
        scale = self._frame.objective_scale
        gains: FloatArray = duals[self._rows]
        found = np.flatnonzero(gains > _LEAST * scale)
        most = self._frame.settings.active_max
        if len(found) > most:
            found = found[np.argpartition(gains[found], -most)[-most:]]
        found = found[np.argsort(-gains[found])]
        prices = gains[found] / (self._base[found] * scale)
        return tuple(
            ActiveConstraint(*self._names(position), price) for position, price in zip(found.tolist(), prices.tolist(), strict=True)
        )
