"""Score a real run: the truth as the site's own meters tell it, cycle by cycle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np

from mimctl.control.zone import ZoneController
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.state import SiteState
from mimctl.simulation.score import Metrics, ScenarioScore, Truth


class MeasuredScore:
    """Gathers one phase of a run, for example "without control".

    Angles are not measured: currents are taken at the angle of their power against nominal voltage angles. A cycle in which a
    meter does not tell everything is left out; a node without a meter is unknown throughout.
    """

    def __init__(self, layout: SiteLayout) -> None:
        self._layout = layout
        self._score = ScenarioScore(TreeOperators(layout))
        self._unit = np.array(layout.site.rotation.unit_voltages)
        self._metered = np.array([meter is not None for meter in layout.meter_of_node])
        self.cycles = 0

    def add(self, zones: Sequence[ZoneController], dt_s: float, above: SiteState | None = None) -> None:
        """The last image of every zone, and of what belongs to none, as one instant."""
        # zones last: in an image of what stands above them they are unknown
        states = [above] if above is not None else []
        states += [zone.cycle.last.state for zone in zones if zone.cycle.last is not None]
        truth = self._truth(states)
        if truth is not None:
            self._score.add(truth, dt_s)
            self.cycles += 1

    def summary(self) -> dict[str, Metrics | dict[str, Metrics]] | None:
        """As in `simulate`; None when no cycle was complete."""
        if not self.cycles:
            return None
        summary = self._score.summary()
        site = cast(Metrics, summary["site"])
        return summary | {"site": {name: None if v is None or math.isnan(v) else v for name, v in site.items()}}

    def _truth(self, states: Sequence[SiteState]) -> Truth | None:
        shape = (len(self._layout.nodes), 3)
        flow, volts = np.full(shape, np.nan, dtype=np.complex128), np.full(shape, np.nan)
        neutral, mim_loss_w = np.full(shape[0], np.nan), 0.0
        for state in states:
            rows = [self._layout.node_index[node.id] for node in state.layout.nodes]
            flow[rows] = state.nodes.import_w + 1j * state.nodes.import_var
            volts[rows] = state.nodes.voltage_ln_v
            neutral[rows] = state.nodes.neutral_a
            mim_loss_w -= float(np.nansum(state.ports.inject_w))
        volts = np.where(self._layout.phase_present, volts, self._layout.voltage_ln_v[:, None])
        known = ~np.isnan(flow) & (volts > 0)
        if not known[self._metered].all():
            return None
        current = np.full(shape, np.nan, dtype=np.complex128)
        current[known] = np.conj(flow[known] / (volts * self._unit)[known])
        neutral = np.where(np.isnan(neutral), np.abs(current.sum(axis=1)), neutral)
        lost_w = flow[self._layout.heads].real.sum() - self._own_loads_w(flow)
        return Truth(flow, volts * self._unit, current, neutral, float(np.maximum(lost_w, 0.0)), max(0.0, mim_loss_w))

    def _own_loads_w(self, flow: ComplexArray) -> float:
        """What reaches the ends of the tree: the nodes without children [W]."""
        has_children = np.zeros(len(self._layout.nodes), dtype=np.bool_)
        parents = self._layout.parent
        has_children[parents[parents >= 0]] = True
        return float(flow[~has_children].real.sum())
