"""From the gross loads of the metered nodes to the load of each node itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from mimctl.grid.linear import LinearMap
from mimctl.grid.tree import TreeOperators
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import BoolArray, ComplexArray, frozen


@dataclass(frozen=True, slots=True, eq=False)
class _Region:
    """Which metered nodes stand for which part of the tree, for one set of usable meters.

    Args:
        difference: (3N, 3N) own load of each metered node's region = difference @ gross load of the metered nodes.
        known: (N,) the node has a usable meter.
        covered: (N,) the node or an ancestor has one.
    """

    difference: LinearMap
    known: BoolArray
    covered: BoolArray


@dataclass(eq=False)
class OwnLoads:
    """From the gross loads of metered nodes to each node's own."""

    operators: TreeOperators
    _regions: dict[bytes, _Region] = field(default_factory=dict)

    def forecast(self, gross: ComplexArray, usable: BoolArray) -> LoadForecast:
        """The loads that explain what the metered nodes show; each stands at the nearest metered node above it.

        Args:
            gross: (N, 3) load at and under each node, without MIM output; zero where not `usable` [VA].
            usable: (N,) the node has a meter that can be believed.
        """
        region = self._region(usable)
        own = (region.difference @ gross.reshape(-1)).reshape(-1, 3)
        return LoadForecast(frozen(own.real.copy()), frozen(own.imag.copy()), region.known, region.covered)

    def _region(self, usable: BoolArray) -> _Region:
        key = usable.tobytes()
        if key not in self._regions:
            if len(self._regions) > 64:
                self._regions.clear()
            self._regions[key] = _make_region(self.operators, usable)
        return self._regions[key]


def _make_region(operators: TreeOperators, usable: BoolArray) -> _Region:
    parent, upward = operators.layout.parent, operators.upward
    size = 3 * len(parent)
    matrix = sparse.lil_array((size, size), dtype=np.complex128)
    covered = usable.copy()
    for n in range(len(parent)):
        if parent[n] >= 0:
            covered[n] |= covered[parent[n]]
        if not usable[n]:
            continue
        own = slice(3 * n, 3 * n + 3)
        matrix[own, own] = np.eye(3)
        operator, at = upward[n], int(parent[n])
        while at >= 0 and not usable[at]:
            operator, at = upward[at] @ operator, int(parent[at])
        if at >= 0:
            matrix[3 * at : 3 * at + 3, own] = -operator
    return _Region(LinearMap(matrix), frozen(usable.copy()), frozen(covered))
