"""What never changes about a site's program: scales, curvatures, responses. Made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from mimctl.balance.groups import NeutralGroups, neutral_groups
from mimctl.balance.reduction import Reduction, real_stacked, reduce_tree
from mimctl.balance.settings import BalanceSettings
from mimctl.grid.linear import LinearMap
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, SiteLayout, frozen

#: a node gets its own variables where its flow has more real terms than this. Measured: two three-port MIMs
#: (12 terms) are cheaper written out than behind six variables and six equations; a PDU of ten racks is not.
MOST_TERMS = 12


@dataclass(frozen=True, eq=False)
class Frame:
    """Constants of one site. N nodes, K ports, M MIMs, R kept nodes; z̄ are the scaled variables (2K + 6R,)."""

    operators: TreeOperators
    settings: BalanceSettings
    most_terms: int = MOST_TERMS

    @property
    def layout(self) -> SiteLayout:
        return self.operators.layout

    @cached_property
    def reduction(self) -> Reduction:
        return reduce_tree(self.operators, self.most_terms)

    @cached_property
    def ports(self) -> int:
        return len(self.layout.ports)

    @cached_property
    def scale_va(self) -> FloatArray:
        """(2K + 6R,) z = scale · z̄ [VA]: every port to its rating, every kept flow to what its ports can do to a phase."""
        kept = self.reduction.capacity_va[self.reduction.kept] / 3
        return np.concatenate([np.repeat(self.layout.port_rating_va, 2), np.repeat(kept, 6)])

    @cached_property
    def response(self) -> sparse.csr_array:
        """(6N, 2K + 6R) flow response [VA] to z̄."""
        return sparse.csr_array(self.reduction.response @ sparse.diags_array(self.scale_va))

    @cached_property
    def response_transposed(self) -> LinearMap:
        return LinearMap(self.response.T)

    @cached_property
    def defining(self) -> sparse.csr_array:
        """(6R, 2K + 6R) rows that tie the kept flows to the ports, scaled to the kept flows."""
        rows = self.scale_va[2 * self.ports :]
        return sparse.csr_array(sparse.diags_array(1 / rows) @ self.reduction.defining @ sparse.diags_array(self.scale_va))

    @cached_property
    def rating_va(self) -> FloatArray:
        """(N,) V·I_rated of one phase [VA]."""
        return self.layout.voltage_ln_v * self.layout.rating_a

    @cached_property
    def accumulate(self) -> LinearMap:
        """(3N, 3N) complex: flow of every node from the loads."""
        return LinearMap(self.operators.accumulate)

    @cached_property
    def port_response(self) -> LinearMap:
        """(3N, K) complex: flow of every node per VA injected."""
        return LinearMap(-self.operators.port_flow)

    @cached_property
    def port_gradient(self) -> LinearMap:
        """(K, 3N) complex: gradient at the ports from the gradient at the node flows."""
        return LinearMap(-self.operators.port_flow.conj().T)

    @cached_property
    def controllable(self) -> BoolArray:
        """(N, 3) whether any port can change the phase's flow."""
        reach: FloatArray = abs(self.operators.port_flow).sum(axis=1)
        return np.asarray(reach > 1e-9).reshape(-1, 3)

    @cached_property
    def reached(self) -> IntArray:
        """Their indices."""
        return np.flatnonzero(self.reached_mask)

    @cached_property
    def reached_mask(self) -> BoolArray:
        """(N,) nodes that any port can change."""
        mask: BoolArray = np.asarray(self.controllable.any(axis=1))
        return mask

    @cached_property
    def no_node(self) -> BoolArray:
        """(N,) False everywhere."""
        return frozen(np.zeros(len(self.layout.nodes), dtype=np.bool_))

    @cached_property
    def no_power(self) -> ComplexArray:
        """(K,) zeros [VA]."""
        return frozen(np.zeros(self.ports, dtype=np.complex128))

    @cached_property
    def port_curvature(self) -> FloatArray:
        """(K,) ∂²J/∂p² of each port alone with the reported weights [1/VA²]."""
        weights = self.layout.omega if self.layout.omega.any() else np.full(len(self.layout.nodes), 1 / len(self.layout.nodes))
        per_flow = np.repeat(2 * weights / self.rating_va**2, 3)
        squares = abs(self.operators.port_flow.power(2)).T @ per_flow
        sums = _phase_sums(len(self.layout.nodes)) @ self.operators.port_flow
        curvature = np.asarray(squares - abs(sums.power(2)).T @ per_flow[::3] / 3)
        # a balanced port has no curvature of its own: it counts with a thousandth of what its flow would have
        least = np.maximum(1e-3 * squares, 1e-5 * np.max(squares, initial=0.0))
        clipped: FloatArray = np.maximum(curvature, np.where(least > 0, least, 1.0))
        return clipped

    @cached_property
    def objective_scale(self) -> float:
        """Factor on the objective that gives a port at its rating a curvature around one."""
        if not self.ports:
            return 1.0
        return float(1 / np.median(self.port_curvature * self.layout.port_rating_va**2))

    @cached_property
    def own_scale(self) -> FloatArray:
        """(K,) from a port's own curvature [1/VA²] to its entry of P."""
        return self.layout.port_rating_va**2 * self.objective_scale

    @cached_property
    def no_pin(self) -> ComplexArray:
        """(K,) NaN: no port is pinned [VA]."""
        return np.asarray(frozen(np.full(self.ports, np.nan + 0j)))

    @cached_property
    def groups(self) -> NeutralGroups:
        return neutral_groups(self.operators)

    @cached_property
    def limited(self) -> BoolArray:
        """(N, 3) phases with a breaker cone."""
        return self.controllable & self.layout.phase_present

    @cached_property
    def mim_rating_va(self) -> FloatArray:
        """(M,) sum of the MIM's port ratings [VA]."""
        total: FloatArray = np.bincount(self.layout.port_mim, self.layout.port_rating_va, len(self.layout.mims)).astype(np.float64)
        return total

    @cached_property
    def elastic_price(self) -> FloatArray:
        """(2M,) p.u. overload of the smallest breaker that a missed power balance of one p.u. of the MIM is worth, twice."""
        price = self.mim_rating_va / self.limit_va.min()
        return np.concatenate([price, price])

    @cached_property
    def limit_va(self) -> FloatArray:
        """(N,) V·I_limit of one phase: the p.u. of overload [VA]."""
        return self.layout.voltage_ln_v * self.layout.limit_a

    @cached_property
    def neutral_base_va(self) -> FloatArray:
        """(N,) the p.u. of neutral overload [VA]: V times the neutral's rating, the phase limit where it has none."""
        rating = self.layout.neutral_rating_a
        return self.layout.voltage_ln_v * np.where(rating > 0, rating, self.layout.limit_a)

    @cached_property
    def head_base_va(self) -> FloatArray:
        """(G,) the p.u. of missing import [VA]: the smallest breaker under it, so that no breaker is worth backfeed."""
        smallest = self.limit_va.copy()
        for n in range(len(smallest) - 1, -1, -1):
            parent = self.layout.parent[n]
            if parent >= 0:
                smallest[parent] = min(smallest[parent], smallest[n])
        return smallest[self.layout.guarded]

    @cached_property
    def neutral_turn(self) -> ComplexArray:
        """(3,) |flow @ neutral_turn| is V·|ΣI| of each node [VA]."""
        return 1 / self.operators.unit_voltages

    @cached_property
    def neutral_response(self) -> sparse.csr_array:
        """(2N, 2K + 6R) real response of V·ΣI of each node to z̄ [VA]."""
        turn = sparse.kron(sparse.eye_array(len(self.layout.nodes)), self.neutral_turn[None, :])
        return sparse.csr_array(real_stacked(sparse.coo_array(turn)) @ self.response)

    @cached_property
    def concentration(self) -> FloatArray:
        """(N,) weight of |I1|²/I_rated² beside 3(|I0|² + |I2|²)/I_rated²: more at feeds that MIMs are to even out between them.

        A MIM with ports on two feeds can move load from one to the other. The yardstick knows nothing of it.
        """
        weight: FloatArray = np.full(len(self.layout.nodes), self.settings.concentration)
        even = self.layout.site.control.even_feeds
        if even <= 0 or self.settings.concentration <= 0 or not self.layout.mims:
            return weight
        under = self.layout.below[self.layout.heads][:, self.layout.port_node]
        for ports in self.layout.ports_of_mim:
            touched = np.flatnonzero(under[:, ports].any(axis=1))
            if len(touched) > 1:
                heads = self.layout.heads[touched]
                weight[heads] = np.maximum(weight[heads], even)
        return weight

    @cached_property
    def gradient_factor(self) -> FloatArray:
        """(N,) 2/(V·I_rated)² [1/VA²]."""
        return 2 / self.rating_va**2

    def flow_gradient(self, flow: ComplexArray, weights: FloatArray) -> ComplexArray:
        """(N, 3) gradient of Σ w (J_n + concentration) with respect to the node flows [1/VA]."""
        mean = (flow[:, 0] + flow[:, 1] + flow[:, 2]) * (1 / 3 - self.concentration / 9)
        gradient: ComplexArray = (weights * self.gradient_factor)[:, None] * (flow - mean[:, None])
        return gradient


def _phase_sums(nodes: int) -> sparse.csr_array:
    """(N, 3N) sum of the three phases."""
    return sparse.csr_array(sparse.kron(sparse.eye_array(nodes), np.ones((1, 3))))
