"""The solve keeps the room that the judge keeps: load that no meter places may stand behind any breaker of its region."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mimctl.control.narrow import Situation
from mimctl.grid.regions import Regions
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds, Restriction
from mimctl.model.layout import BoolArray, FloatArray, frozen
from mimctl.model.phases import PHASES
from mimctl.model.reason import Reason

#: code of the reason that a node is told with
LOAD_UNSEEN = "limit.load_unseen"


@dataclass(eq=False)
class UnmeteredRoom:
    """Takes from the limits of nodes without a meter what the load of their region may draw there.

    It comes after every other narrower, so that the room is taken from the narrowest limit.
    """

    operators: TreeOperators

    def __post_init__(self) -> None:
        self._regions = Regions(self.operators)
        with_mims: BoolArray = np.asarray(self.operators.layout.below[:, self.operators.layout.port_node].any(axis=1))
        self._told: BoolArray = with_mims[self._regions.nodes]

    def narrow(self, bounds: Bounds, situation: Situation) -> Bounds:
        """Less at the nodes without a meter, by this cycle's forecast of the loads."""
        nodes = self._regions.nodes
        if not len(nodes):
            return bounds
        load_va = np.nan_to_num(situation.forecast.load_w) + 1j * np.nan_to_num(situation.forecast.load_var)
        reserve_va = self._regions.reserve_va(self.operators.flow(load_va)[None])
        left_a, left_neutral_a = self._regions.left_a(bounds.node_limit_a, bounds.node_neutral_limit_a, reserve_va)
        phase_a, neutral_a = bounds.node_limit_a.copy(), bounds.node_neutral_limit_a.copy()
        phase_a[nodes], neutral_a[nodes] = left_a[0], left_neutral_a[0]
        return replace(
            bounds,
            node_limit_a=frozen(phase_a),
            node_neutral_limit_a=frozen(neutral_a),
            restrictions=(*bounds.restrictions, *self._told_of(left_a[0])),
        )

    def _told_of(self, left_a: FloatArray) -> tuple[Restriction, ...]:
        """A reason for every node at or above a MIM where some phase has nothing left."""
        spent = (left_a <= 0) & self._told[:, None]
        layout = self.operators.layout
        found = []
        for u in np.flatnonzero(spent.any(axis=1)):
            node = layout.nodes[self._regions.nodes[u]].id
            phases = ", ".join(phase for phase, gone in zip(PHASES, spent[u], strict=True) if gone)
            text = f"{node} has no meter, and the load around it that no meter places may fill its breaker on {phases}"
            found.append(Restriction(node, Reason(LOAD_UNSEEN, text)))
        return tuple(found)
