"""One remembered solve as flows, currents and J: with the plan, without a MIM, without any."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from mimctl.balance.inputs import usable_nodes, without_nan
from mimctl.balance.problem import Balancer
from mimctl.balance.settings import BalanceSettings
from mimctl.control.past.light import LightSolve
from mimctl.control.past.light_arrays import wide
from mimctl.grid.tree import TreeOperators, node_objective
from mimctl.model.bounds import Bounds
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, SiteLayout
from mimctl.model.plan import ActiveConstraint, Plan, SolveStatus
from mimctl.model.site import Site

#: every limit that binds is wanted here, not only the dearest
_ALL = 10_000
#: a solve done again agrees with the one remembered within this share of a port's rating
_AGREES = 0.01


class Numbers:
    """Everything is at nominal voltage, of the fundamental, and by the loads as the decision saw them. N nodes, K ports.

    Args:
        level: the site level solves without a price on movement.
    """

    def __init__(self, site: Site, solve: LightSolve, *, level: bool = False) -> None:
        self.layout = SiteLayout(site)
        self.operators = TreeOperators(self.layout)
        self.solve = solve
        self.bounds: Bounds = solve.bounds
        self.forecast: LoadForecast = solve.forecast
        self.settings = BalanceSettings(movement=0.0, active_max=_ALL) if level else BalanceSettings(active_max=_ALL)
        self.load_va = without_nan(self.forecast.load_w + 1j * self.forecast.load_var)
        self.plan_va: ComplexArray = wide(solve.plan_va)

    @cached_property
    def balancer(self) -> Balancer:
        return Balancer(self.operators, self.settings)

    @cached_property
    def usable(self) -> BoolArray:
        """(N,) nodes whose flow means something."""
        return usable_nodes(self.balancer.frame, self.forecast.known, self.forecast.covered, self.load_va)

    def flow(self, power_va: ComplexArray | None = None) -> ComplexArray:
        """(N, 3) net import with these port outputs (K,); None = no MIM at all [VA]."""
        return self.operators.flow(self.load_va, None if power_va is None else without_nan(power_va))

    def amps(self, flow_va: ComplexArray) -> FloatArray:
        """(N, 3) [A], NaN where the flow is not known."""
        amps: FloatArray = np.abs(flow_va) / self.layout.voltage_ln_v[:, None]
        return np.where(self.usable[:, None], amps, np.nan)

    def neutral_a(self, flow_va: ComplexArray) -> FloatArray:
        """(N,) fundamental current in each neutral [A]."""
        amps: FloatArray = np.abs(flow_va @ self.balancer.frame.neutral_turn) / self.layout.voltage_ln_v
        return amps

    def node_j(self, flow_va: ComplexArray) -> FloatArray:
        """(N,) J of each node without its weight, zero where the flow is not known."""
        sequence = self.operators.sequence_currents(self.operators.currents(flow_va))
        return np.where(self.usable, node_objective(sequence, self.layout.rating_a), 0.0)

    def objective(self, flow_va: ComplexArray) -> float:
        """Reported J of these nodes; NaN where nothing is known."""
        weight = float(self.layout.omega[self.usable].sum())
        return float(self.layout.omega @ self.node_j(flow_va)) / weight if weight > 0 else float("nan")

    def weighted(self, flow_va: ComplexArray) -> float:
        """J as the control of that cycle weighed it."""
        return float(self.bounds.weights @ self.node_j(flow_va))

    def again(self, bounds: Bounds | None = None, without: int | None = None) -> Plan:
        """The same solve once more.

        Args:
            bounds: instead of its own.
            without: a MIM that is not there.
        """
        bounds = bounds or self.bounds
        before, anchor = wide(self.solve.before_va), wide(self.solve.anchor_va)
        if without is not None:
            enabled = bounds.mim_enabled.copy()
            enabled[without] = False
            bounds = replace(bounds, mim_enabled=enabled)
            gone = self.layout.port_mim == without
            before, anchor = np.where(gone, 0.0, before), np.where(gone, 0.0, anchor)
        return self.balancer.solve(self.forecast, bounds, anchor, before)

    @cached_property
    def repeated(self) -> Plan:
        """The remembered solve, done again with every limit told."""
        return self.again()

    @cached_property
    def agrees(self) -> bool:
        """Whether the solve done again gives what is remembered.

        Not so where MIMs of several latency classes were planned one class after another, or a late one was moved in parts.
        """
        plan = self.repeated
        if plan.status is SolveStatus.FAILED or not len(self.layout.ports):
            return plan.status is self.solve.plan.status
        apart = np.abs(plan.inject_w + 1j * plan.inject_var - self.plan_va)
        return bool((apart <= _AGREES * self.layout.port_rating_va + 1.0).all())

    @cached_property
    def active(self) -> tuple[ActiveConstraint, ...]:
        """What binds, dearest first."""
        return self.repeated.active if self.agrees else self.solve.plan.active

    def path(self, node: int) -> list[int]:
        """A node and what stands above it, nearest first."""
        found = [node]
        while self.layout.parent[found[-1]] >= 0:
            found.append(int(self.layout.parent[found[-1]]))
        return found

    def nodes_of(self, mim: int) -> IntArray:
        """The nodes that a MIM's ports stand at."""
        return np.unique(self.layout.port_node[self.layout.ports_of_mim[mim]])

    def way_of(self, mim: int) -> list[int]:
        """Its nodes and all above them, each once, nearest first."""
        return list(dict.fromkeys(n for node in self.nodes_of(mim) for n in self.path(int(node))))
