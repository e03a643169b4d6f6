"""Breakers keep room for the load that comes over when the other feed is lost, where a plan can keep it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mimctl.control.feeds.held_loads import HeldLoads
from mimctl.control.narrow import Situation
from mimctl.grid.failover import Failover
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds
from mimctl.model.layout import frozen


@dataclass(eq=False)
class FailoverRoom:
    """Takes from the limits of the nodes behind one feed what would come over from the other.

    The solve gives way where the room is not to be had, and the judge lets nobody make it less than it is without MIMs. A load
    that is not known stays what it was.
    """

    operators: TreeOperators

    def __post_init__(self) -> None:
        self._failover = Failover(self.operators)
        layout = self.operators.layout
        self._held = HeldLoads(layout, self._failover.losses, np.ones(len(layout.nodes), dtype=np.bool_))

    def narrow(self, bounds: Bounds, situation: Situation) -> Bounds:
        """Less at every node that would have to carry more."""
        losses = self._failover.losses
        if not losses:
            return bounds
        forecast, ports = situation.forecast, situation.state.ports
        load_va = np.nan_to_num(forecast.load_w) + 1j * np.nan_to_num(forecast.load_var)
        output_va = np.nan_to_num(ports.inject_w) + 1j * np.nan_to_num(ports.inject_var)
        volts = self.operators.layout.voltage_ln_v[:, None]
        gross_va = self.operators.flow(load_va)
        gross_a = np.abs(gross_va) / volts
        limit_a = bounds.node_limit_a
        held_va = self._held.look(situation.state, gross_va)
        for loss in losses:
            left_a = np.maximum(limit_a - np.abs(self._failover.more_va(loss, held_va, output_va)) / volts, 0.0)
            # a MIM between the feeds cannot make room there: it is gone when the room is needed
            left_a = np.where(loss.bridged[:, None], np.minimum(np.maximum(left_a, gross_a), limit_a), left_a)
            limit_a = np.where(loss.reached[:, None], np.minimum(limit_a, left_a), limit_a)
        return replace(bounds, node_limit_a=frozen(limit_a))
