"""The site level: sees the whole tree, and tells each zone what one watt at its head is worth to the grid above it.

From one snapshot, zone z gets the gradient g = Σ_a W_a y_a and the curvature C = Σ_a n_a W_a over the ancestors a of its head
(n_a = number of zone heads under a). The sum of the zones' own problems then lies above the site's objective and touches it at the
snapshot, so zones that answer at the same time cannot raise it together.

Reference: majorise–minimise with a separable quadratic bound, e.g. D. Hunter, K. Lange, "A tutorial on MM algorithms", 2004.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

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

    @cached_property
    def _layout(self) -> SiteLayout:
        return SiteLayout(self.site)

    @cached_property
    def _operators(self) -> TreeOperators:
        return TreeOperators(self._layout)

    @cached_property
    def _weight(self) -> FloatArray:
        """(N, 6, 6) second derivative of the objective by each node's flow."""
        return 2 * objective_quadratic(self._layout) * self._layout.omega[:, None, None]

    @cached_property
    def _heads_below(self) -> FloatArray:
        """(N,) how many zone heads answer under each node."""
        heads = [self._layout.node_index[head] for zone in self.site.zones for head in zone.heads]
        return np.asarray(self._layout.below[:, heads].sum(axis=1), dtype=np.float64)

    def needed(self) -> bool:
        """Whether anything stands above some zone head; a zone that starts at a feed needs no prices."""
        parent = self._layout.parent
        return any(parent[self._layout.node_index[head]] >= 0 for zone in self.site.zones for head in zone.heads)

    def prices(self, flow: ComplexArray, now_s: float) -> Mapping[str, tuple[UpstreamPrice | None, ...]]:
        """What each zone should know, from one picture of the whole tree.

        Args:
            flow: (N, 3) net import of every node of the site [VA].
            now_s: monotonic instant of that picture [s].

        Returns:
            By zone id, one price per head in the order of the zone's own layout; None where nothing stands above.
        """
        expires_at_s = now_s + min(self.life_s, LONGEST_PRICE_LIFE_S)
        heads = {zone.id: sorted(self._layout.node_index[head] for head in zone.heads) for zone in self.site.zones}
        return {zone: tuple(self._price(head, flow, expires_at_s) for head in own) for zone, own in heads.items()}

    def _price(self, head: int, flow: ComplexArray, expires_at_s: float) -> UpstreamPrice | None:
        parent = self._layout.parent
        if parent[head] < 0:
            return None
        gradient, curvature = np.zeros(6), np.zeros((6, 6))
        operator, at = np.eye(6), head
        while parent[at] >= 0:
            operator = _real_operator(self._operators.upward[at]) @ operator
            at = int(parent[at])
            gradient += operator.T @ self._weight[at] @ as_six(flow[at])
            curvature += self._heads_below[at] * operator.T @ self._weight[at] @ operator
        return UpstreamPrice(gradient, curvature, as_six(flow[head]), expires_at_s)


def outside_zones(site: Site) -> frozenset[str]:
    """Nodes that belong to no zone: their meters are the site level's own."""
    inside: set[str] = set()
    for zone in site.zones:
        inside |= nodes_under(site, zone.heads)
    return frozenset(node.id for node in site.nodes) - inside
