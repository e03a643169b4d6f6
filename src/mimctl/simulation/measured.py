"""Score a real run: the truth as the site's own meters tell it, cycle by cycle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mimctl.control.zone import ZoneController
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.state import SiteState
from mimctl.simulation.score import Metrics, ScenarioScore, Truth


class MeasuredScore:
    """Gathers one phase of a run, for example "without control".

    Angles are not measured: currents are taken at the angle of their power against nominal voltage angles. What a meter does not
    tell in a cycle leaves that cycle out.
    """

    def __init__(self, layout: SiteLayout) -> None:
        self._layout = layout
        self._score = ScenarioScore(TreeOperators(layout))
        self._unit = np.array(layout.site.rotation.unit_voltages)
        self.cycles = 0

    def add(self, zones: Sequence[ZoneController], dt_s: float) -> None:
        """The last image of every zone, as one instant."""
        states = [zone.cycle.last.state for zone in zones if zone.cycle.last is not None]
        truth = self._truth(states)
        if truth is not None:
            self._score.add(truth, dt_s)
            self.cycles += 1

    def summary(self) -> dict[str, Metrics | dict[str, Metrics]] | None:
        """As in `simulate`; None when no cycle was complete."""
        return self._score.summary() if self.cycles else None

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
        current = np.conj(flow / (volts * self._unit))
        if np.isnan(current).any():
            return None
        neutral = np.where(np.isnan(neutral), np.abs(current.sum(axis=1)), neutral)
        heads = flow[self._layout.heads].real.sum()
        ends = self._own_loads_w(flow)
        return Truth(flow, volts * self._unit, current, neutral, max(0.0, heads - ends), max(0.0, mim_loss_w))

    def _own_loads_w(self, flow: ComplexArray) -> float:
        """What reaches the ends of the tree: the nodes without children [W]."""
        has_children = np.zeros(len(self._layout.nodes), dtype=np.bool_)
        parents = self._layout.parent
        has_children[parents[parents >= 0]] = True
        return float(flow[~has_children].real.sum())
