"""The site level: sees the whole tree, and tells each zone what one watt at its head is worth to the grid above it.

From one snapshot, zone z gets the gradient g = Σ_a W_a y_a and the curvature C = Σ_a n_a W_a over the ancestors a of its head
(n_a = number of zone heads under a). The sum of the zones' own problems then lies above the site's objective and touches it at the
snapshot, so zones that answer at the same time cannot raise it together.

Reference: majorise–minimise with a separable quadratic bound, e.g. D. Hunter, K. Lange, "A tutorial on MM algorithms", 2004.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mimctl.control.partition import nodes_under
from mimctl.grid.tree import TreeOperators, objective_quadratic
from mimctl.model.bounds import UpstreamPrice
from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout
from mimctl.model.site import Site

#: prices of an old snapshot do harm on bursty load; they never live longer than this
LONGEST_PRICE_LIFE_S = 60.0


def as_six(flow: ComplexArray) -> FloatArray:
    """(…, 3) complex → (…, 6) real (p1, q1, p2, q2, p3, q3)."""
    return np.stack([flow.real, flow.imag], axis=-1).reshape(*flow.shape[:-1], 6)


def _real_operator(operator: ComplexArray) -> FloatArray:
    """(3, 3) complex map as a (6, 6) real one on (p1, q1, p2, q2, p3, q3)."""
    result = np.empty((6, 6))
    result[0::2, 0::2], result[0::2, 1::2] = operator.real, -operator.imag
    result[1::2, 0::2], result[1::2, 1::2] = operator.imag, operator.real
    return result


@dataclass(frozen=True, eq=False)
class SiteLevel:
    """Prices for the zones of one site.

    Args:
        site: the whole.
        life_s: how long prices stand [s], at most `LONGEST_PRICE_LIFE_S`.
    """

    site: Site
    life_s: float = LONGEST_PRICE_LIFE_S

    def needed(self) -> bool:
        """Whether anything stands above some zone head; a zone that starts at a feed needs no prices."""
        parents = {node.id: node.parent for node in self.site.nodes}
        return any(parents[head] is not None for zone in self.site.zones for head in zone.heads)

    def prices(self, flow: ComplexArray, now_s: float) -> Mapping[str, tuple[UpstreamPrice | None, ...]]:
        """What each zone should know, from one picture of the whole tree.

        Args:
            flow: (N, 3) net import of every node of the site [VA].
            now_s: monotonic instant of that picture [s].

        Returns:
            By zone id, one price per head in the zone's own order of heads; None where nothing stands above.
        """
        layout = SiteLayout(self.site)
        operators = TreeOperators(layout)
        weight = 2 * objective_quadratic(layout) * layout.omega[:, None, None]
        below = self._zone_heads_below(layout)
        return {
            zone.id: tuple(
                self._price(layout, operators, weight, below, flow, head, now_s) for head in self._ordered(layout, zone.heads)
            )
            for zone in self.site.zones
        }

    @staticmethod
    def _ordered(layout: SiteLayout, heads: Sequence[str]) -> list[int]:
        return sorted(layout.node_index[head] for head in heads)

    def _zone_heads_below(self, layout: SiteLayout) -> FloatArray:
        """(N,) how many zone heads answer under each node."""
        counts = np.zeros(len(layout.nodes))
        for zone in self.site.zones:
            for head in zone.heads:
                counts += layout.below[:, layout.node_index[head]]
        return counts

    def _price(
        self,
        layout: SiteLayout,
        operators: TreeOperators,
        weight: FloatArray,
        below: FloatArray,
        flow: ComplexArray,
        head: int,
        now_s: float,
    ) -> UpstreamPrice | None:
        if layout.parent[head] < 0:
            return None
        gradient, curvature = np.zeros(6), np.zeros((6, 6))
        operator, at = np.eye(6), head
        while layout.parent[at] >= 0:
            operator = _real_operator(operators.upward[at]) @ operator
            at = int(layout.parent[at])
            gradient += operator.T @ weight[at] @ as_six(flow[at])
            curvature += below[at] * operator.T @ weight[at] @ operator
        return UpstreamPrice(gradient, curvature, as_six(flow[head]), now_s + min(self.life_s, LONGEST_PRICE_LIFE_S))


def outside_zones(site: Site) -> frozenset[str]:
    """Nodes that belong to no zone: their meters are the site level's own."""
    inside: set[str] = set()
    for zone in site.zones:
        inside |= nodes_under(site, zone.heads)
    return frozenset(node.id for node in site.nodes) - inside
