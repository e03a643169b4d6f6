"""What stands above the heads of the zones: the way from each head up to its feed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import BoolArray, ComplexArray, IntArray, SiteLayout, frozen


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """From one zone head up. A nodes stand above it.

    Args:
        head: index of the head.
        nodes: (A,) indices of what stands above, nearest first; empty at the head of a feed.
        upward: (A, 3, 3) complex: flow there = upward @ flow at the head.
    """

    zone: str
    head: int
    nodes: IntArray
    upward: ComplexArray


@dataclass(frozen=True, eq=False)
class Above:
    """The ways of all zone heads of a site; N nodes."""

    operators: TreeOperators

    @property
    def layout(self) -> SiteLayout:
        return self.operators.layout

    @cached_property
    def ways(self) -> tuple[Way, ...]:
        """Zone by zone; the heads of a zone in the order of its own layout."""
        index = self.layout.node_index
        return tuple(self._way(zone.id, head) for zone in self.layout.site.zones for head in sorted(index[h] for h in zone.heads))

    def of(self, zone: str) -> tuple[Way, ...]:
        return tuple(way for way in self.ways if way.zone == zone)

    def _way(self, zone: str, head: int) -> Way:
        parent, nodes, upward = self.layout.parent, [], []
        operator, at = np.eye(3, dtype=np.complex128), head
        while parent[at] >= 0:
            operator = self.operators.upward[at] @ operator
            at = int(parent[at])
            nodes.append(at)
            upward.append(operator)
        maps = np.array(upward, dtype=np.complex128).reshape(len(nodes), 3, 3)
        return Way(zone, head, np.array(nodes, dtype=np.int64), frozen(maps))

    @cached_property
    def any(self) -> bool:
        """Whether anything stands above some zone head; a zone that starts at a feed needs nobody."""
        return any(len(way.nodes) for way in self.ways)

    @cached_property
    def zoned(self) -> BoolArray:
        """(N,) nodes that belong to a zone."""
        heads = [way.head for way in self.ways]
        return frozen(np.asarray(self.layout.below[heads].any(axis=0)))

    @cached_property
    def nodes(self) -> IntArray:
        """Indices of the nodes with a zone head somewhere below them."""
        above = {int(n) for way in self.ways for n in way.nodes}
        return frozen(np.array(sorted(above), dtype=np.int64))
