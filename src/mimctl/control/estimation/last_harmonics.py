"""What nodes had of harmonics when they were last read: an estimated flow has none, and they take their part of the limits.

Harmonic currents come from the loads; without a reading they are taken to be what they were.
"""

from __future__ import annotations

import numpy as np

from mimctl.grid.distortion import harmonic_squares, tells_of_harmonics
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import BoolArray, FloatArray, frozen
from mimctl.model.state import NodeState


class LastHarmonics:
    """Of one layout, over the cycles."""

    def __init__(self, operators: TreeOperators) -> None:
        self._operators = operators
        self._last_a: FloatArray = np.full((len(operators.layout.nodes), 4), np.nan)

    def remember(self, trusted: BoolArray, nodes: NodeState) -> None:
        """Take over what the trusted nodes (N,) show; what their meters do not tell stays as it was."""
        if not tells_of_harmonics(nodes):
            return
        phases, neutral = harmonic_squares(nodes, self._operators.currents(nodes.import_w + 1j * nodes.import_var))
        now_a = np.sqrt(np.maximum(np.concatenate([phases, neutral[:, None]], axis=1), 0.0))
        self._last_a = np.where(trusted[:, None] & np.isfinite(now_a), now_a, self._last_a)

    def of(self, nodes: BoolArray) -> FloatArray:
        """(N, 4) rms harmonic current of the phases and the neutral of these nodes (N,), NaN elsewhere and where never told [A]."""
        return frozen(np.where(nodes[:, None], self._last_a, np.nan))
