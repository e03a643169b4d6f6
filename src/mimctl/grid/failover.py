"""What breakers carry when a feed is lost and the other cords of its racks take all of their load over.

Loads come over phase for phase. MIMs with a port on the lost feed go with it, at both their ends: what they give to the remaining
feed is gone when it is needed most.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class FeedLoss:
    """One feed lost.

    Args:
        head: index of its head.
        giving, taking: (P,) nodes whose load goes over, and where it goes.
        reached: (N,) nodes that carry more then: those taking, and all above them.
        gone: (K,) ports of MIMs that go with the feed.
        bridged: (N,) of those reached: where such a port stands behind.
    """

    head: int
    giving: IntArray
    taking: IntArray
    reached: BoolArray
    gone: BoolArray
    bridged: BoolArray


@dataclass(frozen=True, eq=False)
class Failover:
    """The losses that a layout has pairs of nodes for. N nodes, K ports."""

    operators: TreeOperators

    @cached_property
    def losses(self) -> tuple[FeedLoss, ...]:
        layout = self.operators.layout
        known = [
            (layout.node_index[a], layout.node_index[b])
            for a, b in layout.site.redundant
            if a in layout.node_index and b in layout.node_index
        ]
        both = [*known, *((b, a) for a, b in known)]
        found = []
        for head in map(int, layout.heads):
            pairs = [(a, b) for a, b in both if layout.below[head, a] and not layout.below[head, b]]
            if pairs:
                found.append(self._loss(head, np.array(pairs, dtype=np.int64)))
        return tuple(found)

    def _loss(self, head: int, pairs: IntArray) -> FeedLoss:
        layout = self.operators.layout
        giving, taking = pairs.T
        reached: BoolArray = np.asarray(layout.below[:, taking].any(axis=1))
        under = layout.below[head, layout.port_node]
        lost = np.zeros(len(layout.mims), dtype=np.bool_)
        lost[layout.port_mim[under]] = True
        gone: BoolArray = lost[layout.port_mim] if len(layout.ports) else np.zeros(0, dtype=np.bool_)
        bridged = reached & layout.below[:, layout.port_node[gone]].any(axis=1)
        return FeedLoss(head, giving, taking, reached, gone, np.asarray(bridged))

    def more_va(self, loss: FeedLoss, gross_va: ComplexArray, output_va: ComplexArray) -> ComplexArray:
        """What the flows change by when this feed is lost.

        Args:
            gross_va: (N, 3) load at and below each node, MIMs taken out, NaN = unknown [VA].
            output_va: (K,) port outputs [VA].

        Returns:
            (N, 3) [VA]; it means something at the nodes that are reached.
        """
        moved_va = np.zeros_like(gross_va)
        np.add.at(moved_va, loss.taking, gross_va[loss.giving])
        return self.operators.flow(moved_va, -np.where(loss.gone, output_va, 0.0))

    def current_a(self, flow_va: ComplexArray, gross_va: ComplexArray, output_va: ComplexArray) -> tuple[FloatArray, IntArray]:
        """Currents in the worst of these losses.

        Args:
            flow_va: (N, 3) net imports now [VA]; the other arguments as in `more_va`.

        Returns:
            (N, 3) [A], NaN where no loss reaches; (N,) index of the head that is lost then, −1 = none.
        """
        volts = self.operators.layout.voltage_ln_v[:, None]
        worst_a, lost = np.full(flow_va.shape, np.nan), np.full(len(flow_va), -1, dtype=np.int64)
        for loss in self.losses:
            after_a = np.abs(flow_va + self.more_va(loss, gross_va, output_va)) / volts
            after_a = np.where(loss.reached[:, None], after_a, np.nan)
            worse = loss.reached & ((lost < 0) | (after_a.max(axis=1) > np.fmax(worst_a.max(axis=1), 0.0)))
            lost[worse] = loss.head
            worst_a = np.fmax(worst_a, after_a)
        return worst_a, lost
