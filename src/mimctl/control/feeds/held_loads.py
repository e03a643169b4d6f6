"""Loads that would come over from a lost feed: where nobody can tell them now, what they were when they were last known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from mimctl.grid.failover import FeedLoss
from mimctl.model.layout import BoolArray, ComplexArray, SiteLayout
from mimctl.model.sample import BAD
from mimctl.model.state import SiteState


@dataclass(eq=False)
class HeldLoads:
    """Of one layout with these losses. A load that is not known is none that is gone: no room is given back for it.

    Args:
        nodes: (N,) those whose readings belong here.
        unknown: (N,) nodes whose load would go over, and which nobody can tell in the latest image.
    """

    layout: SiteLayout
    losses: tuple[FeedLoss, ...]
    nodes: BoolArray
    unknown: BoolArray = field(init=False)

    def __post_init__(self) -> None:
        metered = np.array([meter is not None for meter in self.layout.meter_of_node], dtype=np.bool_)
        self._looked_at = np.zeros_like(metered)
        for loss in self.losses:
            self._looked_at[loss.giving] = True
        self._looked_at &= metered & self.nodes
        self._last_va: ComplexArray = np.full((len(metered), 3), np.nan, dtype=np.complex128)
        self.unknown = np.zeros_like(metered)

    def look(self, state: SiteState, gross_va: ComplexArray) -> ComplexArray:
        """(N, 3) loads at and below each node (N, 3), those that are not known as they were last; once an image [VA]."""
        self.unknown = self._looked_at & (state.nodes.quality == BAD)
        known = self._looked_at & ~self.unknown
        self._last_va = np.where(known[:, None], gross_va, self._last_va)
        held = self.unknown[:, None] & np.isfinite(self._last_va)
        return np.where(held, self._last_va, gross_va)

    def told(self) -> Iterator[tuple[str, str]]:
        """(feed, sentence) for each whose load is not all known."""
        names = {feed.node: feed.id for feed in self.layout.site.feeds}
        for loss in self.losses:
            silent = sorted({int(n) for n in loss.giving if self.unknown[n]})
            if not silent:
                continue
            head = self.layout.nodes[loss.head].id
            feed = names.get(head, head)
            meters = ", ".join(meter.id for meter in (self.layout.meter_of_node[n] for n in silent) if meter is not None)
            kept = [n for n in silent if np.isfinite(self._last_va[n]).all()]
            never = ", ".join(self.layout.nodes[n].id for n in silent if n not in kept)
            room = "room is kept for what was last known" + (f", none for {never}, never known" if never else "")
            yield head, f"what would come over if feed {feed} were lost is not known: {meters} tell nothing; {room}"
