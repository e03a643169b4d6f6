"""Where the losses of a run fell: each node's share of the network's and of the MIMs' losses."""

from __future__ import annotations

import numpy as np

from mimctl.model.layout import FloatArray, SiteLayout


class LossShares:
    """Energy lost below each node, out of the losses of each branch and each MIM. NaN once either was not given."""

    def __init__(self, layout: SiteLayout) -> None:
        self._below = layout.below.astype(np.float64)
        self._mim_at = _port_shares(layout)
        self._branch_j = np.zeros(len(layout.nodes))
        self._mim_j = np.zeros(len(layout.mims))

    def add(self, branches_w: FloatArray | None, mims_w: FloatArray | None, dt_s: float) -> None:
        """One step: (N,) between each node and its parent, (M,) per MIM [W]; None = not told apart."""
        self._branch_j += np.nan if branches_w is None else branches_w * dt_s
        self._mim_j += np.nan if mims_w is None else mims_w * dt_s

    def below_j(self) -> FloatArray:
        """(N,) lost in everything from the node's supply cable or transformer downwards, MIMs included [J]."""
        return np.asarray(self._below @ (self._branch_j + self._mim_at @ self._mim_j))


def _port_shares(layout: SiteLayout) -> FloatArray:
    """(N, M): how much of each MIM stands at each node, by the ratings of its ports."""
    shares = np.zeros((len(layout.nodes), len(layout.mims)))
    np.add.at(shares, (layout.port_node, layout.port_mim), layout.port_rating_va)
    return np.asarray(shares / np.maximum(shares.sum(axis=0), np.finfo(np.float64).tiny))
