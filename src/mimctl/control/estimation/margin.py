"""A plan keeps away from what is only estimated: limits shrink by as much as the flow may be off.

Where two readings contradict each other by more than the limits can spare, a MIM that went on with what one of them asked for would
as likely do harm as good: it is led back to zero until it is known which is right. No faster than its ramp: where a breaker has no
time for that, the judge takes off at once what is over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mimctl.control.estimation.filling import USEFUL
from mimctl.control.narrow import Situation
from mimctl.grid.regions import Regions
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds, Restriction
from mimctl.model.layout import BoolArray, FloatArray, IntArray, frozen
from mimctl.model.reason import Reason
from mimctl.model.state import NodeState


@dataclass(frozen=True, eq=False)
class EstimateMargin:
    """Takes twice the standard deviation from the limits of estimated and doubted nodes."""

    operators: TreeOperators

    @cached_property
    def _cover(self) -> IntArray:
        """(K,) the nearest node at or above each port that has a meter, −1 where there is none."""
        return Regions(self.operators).top[self.operators.layout.port_node]

    def narrow(self, bounds: Bounds, situation: Situation) -> Bounds:
        """Less at the nodes whose flow is not read, or not believed, this cycle."""
        nodes, layout = situation.state.nodes, self.operators.layout
        margin_va = nodes.margin_va()
        if margin_va is None or nodes.doubted is None:
            return bounds
        margin_a = margin_va / layout.voltage_ln_v[:, None]
        vague = nodes.doubted & ~(margin_a.max(axis=1) <= USEFUL * layout.limit_a)
        # there the judge lets nothing grow whatever the limits
        margin_a = np.where(vague[:, None], 0.0, np.nan_to_num(margin_a))
        least_w = (margin_a * layout.voltage_ln_v[:, None])[layout.guarded].max(axis=1)
        told = self._told(nodes, margin_a, vague)
        return replace(
            bounds,
            port_s_max_va=self._led_back(bounds, situation, (self._cover >= 0) & vague[self._cover]),
            node_limit_a=frozen(np.maximum(bounds.node_limit_a - margin_a, 0.0)),
            node_neutral_limit_a=frozen(np.maximum(bounds.node_neutral_limit_a - margin_a.sum(axis=1), 0.0)),
            head_min_import_w=frozen(bounds.head_min_import_w + least_w),
            restrictions=(*bounds.restrictions, *told),
        )

    def _led_back(self, bounds: Bounds, situation: Situation, ports: BoolArray) -> FloatArray:
        """(K,) what these ports may still put out: what they were told, less one step of the ramp [VA].

        All ports of a MIM by the same share, so that they stay in balance on the way; none where nobody knows what they were told.
        """
        if not ports.any():
            return bounds.port_s_max_va
        told_va = np.where(ports, np.nan_to_num(np.abs(situation.setpoint_va), nan=0.0), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            gone = np.where(told_va > 0, bounds.step_max_va / told_va, np.inf)
        least = np.full(len(situation.usable), np.inf)
        np.minimum.at(least, self.operators.layout.port_mim, gone)
        left_va = told_va * np.maximum(1.0 - least, 0.0)[self.operators.layout.port_mim]
        return frozen(np.where(ports, np.minimum(bounds.port_s_max_va, left_va), bounds.port_s_max_va))

    def _told(self, nodes: NodeState, margin_a: FloatArray, vague: BoolArray) -> tuple[Restriction, ...]:
        found = []
        for n in map(int, np.flatnonzero(margin_a.any(axis=1) | vague)):
            name, most_a = self.operators.layout.nodes[n].id, float(margin_a[n].max())
            what = "estimated" if nodes.estimated is not None and nodes.estimated[n] else "doubted"
            then = "the MIMs there go to zero" if vague[n] else f"{most_a:.1f} A of its limit are kept"
            found.append(Restriction(name, Reason(f"data.{what}", f"the flow of {name} is {what}: {then}")))
        return tuple(found)
