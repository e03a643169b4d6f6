"""Where a rule acts in one zone, as index tables of its layout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimctl.model.layout import BoolArray, IntArray, SiteLayout, frozen
from mimctl.model.rules import Place


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """One place in one zone. N nodes, M MIMs, K ports.

    Args:
        nodes: indices of the nodes that are meant themselves; the heads of the zone where it is meant as a whole.
        named: indices of the nodes that the place names.
        mims: (M,) MIMs named, with a port at or below a node named, or in the zone named.
        chosen: (M,) the same without those that are only reached through a node.
        where: what of the place is here, for people.
    """

    nodes: IntArray
    named: IntArray
    mims: BoolArray
    chosen: BoolArray
    where: tuple[str, ...]

    @property
    def any(self) -> bool:
        return bool(self.where)


def reach(place: Place, layout: SiteLayout, zone: str) -> Reach:
    """What a place means in a zone; nothing where it is all elsewhere.

    Args:
        layout: of the zone.
    """
    named = np.array([layout.node_index[name] for name in place.nodes if name in layout.node_index], dtype=np.int64)
    own = [layout.mim_index[name] for name in place.mims if name in layout.mim_index]
    whole = zone in place.zones or not place.names
    chosen = np.zeros(len(layout.mims), dtype=np.bool_)
    chosen[own] = True
    chosen |= whole
    mims = chosen.copy()
    below = layout.below[named][:, layout.port_node].any(axis=0)
    mims[layout.port_mim[below]] = True
    nodes = np.union1d(named, layout.heads if whole else named).astype(np.int64)
    here = (*(name for name in place.nodes if name in layout.node_index), *((zone,) if whole else ()))
    where = (*here, *(layout.mims[m].id for m in own))
    return Reach(frozen(nodes), frozen(named), frozen(mims), frozen(chosen), where)
