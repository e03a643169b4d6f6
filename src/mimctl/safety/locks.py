"""Who is locked out."""

from __future__ import annotations

import numpy as np

from mimctl.model.layout import BoolArray
from mimctl.safety.ratings import Ratings


def locked_mims(ratings: Ratings, locked: frozenset[str]) -> BoolArray:
    """(M,) MIMs locked by their own id, their link's, or that of a node they stand at or below."""
    layout = ratings.layout
    flagged = np.array([m.id in locked or m.address.link in locked for m in layout.mims], dtype=np.bool_)
    nodes = [n for n, node in enumerate(layout.nodes) if node.id in locked]
    if nodes:
        flagged |= ratings.touches[nodes].sum(axis=0) > 0
    return flagged
