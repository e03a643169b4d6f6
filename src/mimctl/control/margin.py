"""A plan keeps away from what is only estimated: limits shrink by as much as the flow may be off."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mimctl.control.narrow import Situation
from mimctl.model.bounds import Bounds, Restriction
from mimctl.model.layout import FloatArray, SiteLayout, frozen
from mimctl.model.reason import Reason
from mimctl.model.state import NodeState


@dataclass(frozen=True, slots=True, eq=False)
class EstimateMargin:
    """Takes twice the standard deviation from the limits of estimated and doubted nodes."""

    layout: SiteLayout

    def narrow(self, bounds: Bounds, situation: Situation) -> Bounds:
        """Less at the nodes whose flow is not read, or not believed, this cycle."""
        margin_va = situation.state.nodes.margin_va()
        if margin_va is None:
            return bounds
        # where not even the deviation is known, the judge lets nothing grow: here nothing is to be told
        margin_a = np.nan_to_num(margin_va, posinf=0.0) / self.layout.voltage_ln_v[:, None]
        heads = self.layout.heads
        return replace(
            bounds,
            node_limit_a=frozen(np.maximum(bounds.node_limit_a - margin_a, 0.0)),
            node_neutral_limit_a=frozen(np.maximum(bounds.node_neutral_limit_a - margin_a.sum(axis=1), 0.0)),
            head_min_import_w=frozen(bounds.head_min_import_w + np.nan_to_num(margin_va, posinf=0.0)[heads].max(axis=1)),
            restrictions=(*bounds.restrictions, *self._told(situation.state.nodes, margin_a)),
        )

    def _told(self, nodes: NodeState, margin_a: FloatArray) -> tuple[Restriction, ...]:
        found = []
        for n in map(int, np.flatnonzero(margin_a.any(axis=1))):
            name, most_a = self.layout.nodes[n].id, float(margin_a[n].max())
            what = "estimated" if nodes.estimated is not None and nodes.estimated[n] else "doubted"
            found.append(
                Restriction(name, Reason(f"data.{what}", f"the flow of {name} is {what}: {most_a:.1f} A of its limit are kept"))
            )
        return tuple(found)
