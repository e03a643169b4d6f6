"""The no-skill rival: each MIM clips its own rack's imbalance, knowing nothing of the rest of the tree."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from mimctl.model.layout import ComplexArray, SiteLayout

_MEAN = np.full((3, 3), 1 / 3)


class ClipRule:
    """For one layout: setpoints out of the loads of the ports' own nodes."""

    def __init__(self, layout: SiteLayout) -> None:
        self._layout = layout
        self._matrix = self._make()

    def _make(self) -> sparse.csr_array:
        """(K, 3N): port powers that take each node's load to the mean of its phases, as far as the connections can."""
        layout = self._layout
        matrix = sparse.lil_array((len(layout.ports), 3 * len(layout.nodes)), dtype=np.complex128)
        for ports in layout.ports_of_mim:
            own = np.arange(ports.start, ports.stop)
            for node in np.unique(layout.port_node[own]):
                here = own[layout.port_node[own] == node]
                effect = layout.port_shares[here].T
                matrix[here, 3 * node : 3 * node + 3] = np.linalg.pinv(effect) @ (np.eye(3) - _MEAN)
        return matrix.tocsr()

    def setpoints(self, node_load_va: ComplexArray) -> ComplexArray:
        """(K,) [VA], each MIM scaled down as a whole until its ports and its neutral are inside their ratings.

        Args:
            node_load_va: (N, 3) own load of each node [VA].
        """
        wanted = np.asarray(self._matrix @ node_load_va.reshape(-1))
        layout = self._layout
        worst = np.ones(len(layout.mims))
        np.maximum.at(worst, layout.port_mim, np.abs(wanted) / layout.port_rating_va)
        neutral = np.zeros(len(layout.mims), dtype=np.complex128)
        np.add.at(neutral, layout.port_mim, wanted * layout.port_neutral_per_va)
        worst = np.maximum(worst, np.abs(neutral) / layout.mim_neutral_rating_a)
        return np.asarray(wanted / worst[layout.port_mim])
