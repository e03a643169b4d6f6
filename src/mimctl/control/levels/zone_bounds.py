"""The bounds of the zones on their way into those of the site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mimctl.control.levels.orders import TakenFromHeads
from mimctl.model.bounds import Bounds
from mimctl.model.layout import ComplexArray, IntArray, frozen


@dataclass(frozen=True, slots=True, eq=False)
class ZonePart:
    """Where the arrays of a zone stand in those of the site.

    Args:
        response: by node above the zone, (3, K) what its ports take from the flow there.
        heads: of the zone, among its own nodes.
        guards: guarded nodes of both, by their places among those of the zone and of the site.
    """

    nodes: IntArray
    ports: IntArray
    mims: IntArray
    response: Mapping[int, ComplexArray]
    heads: IntArray
    guards: tuple[IntArray, IntArray]


class ZoneBounds:
    """Those of the site in the making: ratings, and nobody enabled, until zones put in their own."""

    def __init__(self, template: Bounds) -> None:
        self._template = template
        self.accepted_va: ComplexArray = np.zeros(len(template.port_s_max_va), dtype=np.complex128)
        self._enabled = template.mim_enabled.copy()
        self._port_va, self._dc_w = template.port_s_max_va.copy(), template.mim_dc_w.copy()
        self._neutral_a, self._weights = template.mim_neutral_max_a.copy(), template.weights.copy()
        self._node_a, self._node_neutral_a = template.node_limit_a.copy(), template.node_neutral_limit_a.copy()
        self._least_w = template.head_min_import_w.copy()
        self._pinned_va: ComplexArray | None = None

    def put(self, nodes: IntArray, ports: IntArray, mims: IntArray, bounds: Bounds) -> None:
        self._enabled[mims], self._dc_w[mims] = bounds.mim_enabled, bounds.mim_dc_w
        self._port_va[ports], self._neutral_a[mims] = bounds.port_s_max_va, bounds.mim_neutral_max_a
        self._weights[nodes] = bounds.weights
        if bounds.port_pinned_va is not None:
            if self._pinned_va is None:
                self._pinned_va = np.full(len(self._port_va), np.nan + 0j)
            self._pinned_va[ports] = bounds.port_pinned_va

    def limit(self, part: ZonePart, bounds: Bounds, taken: TakenFromHeads) -> None:
        """What a zone has at its nodes, without what the site level told it: that would feed back into what it tells next."""
        phase_a, neutral_a, least_w = (
            bounds.node_limit_a.copy(),
            bounds.node_neutral_limit_a.copy(),
            bounds.head_min_import_w.copy(),
        )
        phase_a[part.heads] += taken.phase_a
        neutral_a[part.heads] += taken.neutral_a
        least_w[: len(part.heads)] -= taken.import_w
        self._node_a[part.nodes] = np.minimum(self._node_a[part.nodes], phase_a)
        self._node_neutral_a[part.nodes] = np.minimum(self._node_neutral_a[part.nodes], neutral_a)
        own, places = part.guards
        self._least_w[places] = np.maximum(self._least_w[places], least_w[own])

    def bounds(self) -> Bounds:
        return replace(
            self._template,
            node_limit_a=frozen(self._node_a),
            node_neutral_limit_a=frozen(self._node_neutral_a),
            head_min_import_w=frozen(self._least_w),
            mim_enabled=self._enabled,
            port_s_max_va=self._port_va,
            mim_dc_w=self._dc_w,
            mim_neutral_max_a=self._neutral_a,
            weights=self._weights,
            port_pinned_va=self._pinned_va,
        )
