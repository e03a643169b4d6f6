"""What one watt at a zone's head is worth to the grid above it: gradient and curvature at one solution of the whole tree.

The zone under head h gets g = Σ_a T_aᵀ ∇_a(y⁰) and C = Σ_a T_aᵀ W_a T_a over the nodes a above it (T_a: flow at a from the flow at
h), and minimises its own part plus gᵀ(y − y⁰) + ½(y − y⁰)ᵀC(y − y⁰). With the other heads where the solution has them that is the
objective of the site itself, so at the loads of the solution every zone finds its share of it, whatever the others do meanwhile:
there is no loop over the zones that could hunt. Of loads that have moved since, a zone counts its own once, and none of the others.

Reference: M. D. Mesarović, D. Macko, Y. Takahara, "Theory of hierarchical, multilevel systems" (1970), coordination by prices.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mimctl.balance.frame import Frame
from mimctl.control.levels.above import Way
from mimctl.model.bounds import UpstreamPrice
from mimctl.model.layout import ComplexArray, FloatArray
from mimctl.model.plan import ActiveConstraint

#: a current below this share of the limit has no direction worth a price
_TINY = 1e-6


def as_six(flow: ComplexArray) -> FloatArray:
    """(…, 3) complex → (…, 6) real (p1, q1, p2, q2, p3, q3)."""
    return np.stack([flow.real, flow.imag], axis=-1).reshape(*flow.shape[:-1], 6)


def real_operator(operator: ComplexArray) -> FloatArray:
    """(m, 3) complex map as a (2m, 6) real one on (p1, q1, p2, q2, p3, q3)."""
    result = np.empty((2 * len(operator), 6))
    result[0::2, 0::2], result[0::2, 1::2] = operator.real, -operator.imag
    result[1::2, 0::2], result[1::2, 1::2] = operator.imag, operator.real
    return result


@dataclass(frozen=True, slots=True, eq=False)
class HeadPrice:
    """What the site level told about one head.

    Args:
        load_va: (3,) the head's load in the solution, MIM output left out [VA].
    """

    price: UpstreamPrice
    load_va: ComplexArray


@dataclass(eq=False)
class Marginal:
    """First and second derivative of the site's objective by the flows of the nodes above the zones, at one solution.

    Args:
        frame: of the whole site.
        weights: (N,) node weights, zero where nothing is known.
        flow: (N, 3) at the solution [VA].
        active: limits that bind there.
        price_scale: factor on the overload prices.
    """

    frame: Frame
    weights: FloatArray
    flow: ComplexArray
    active: tuple[ActiveConstraint, ...] = ()
    price_scale: float = 1.0
    gradient: FloatArray = field(init=False)
    _curvature: dict[int, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gradient = as_six(self.frame.flow_gradient(self.flow, self.weights))
        index = self.frame.layout.node_index
        for limit in self.active:
            node, _, place = limit.where.rpartition(".")
            if node in index and limit.kind in ("node_current", "node_neutral"):
                self._add_cone(index[node], place, limit.price)
            elif node in index and limit.kind == "head_import":
                self.gradient[index[node], 2 * (int(place[1]) - 1)] -= limit.price

    def curvature(self, node: int) -> FloatArray:
        """(6, 6) [1/W²]"""
        if node not in self._curvature:
            share = 1 / 3 - self.frame.concentration[node] / 9
            form = self.weights[node] * self.frame.gradient_factor[node] * (np.eye(3) - share)
            self._curvature[node] = np.kron(form, np.eye(2))
        return self._curvature[node]

    def _add_cone(self, node: int, place: str, price_per_a: float) -> None:
        """A breaker or neutral that binds: the size of its current has a price, its direction a curvature."""
        frame = self.frame
        turn = frame.neutral_turn if place == "N" else np.eye(3)[int(place[1]) - 1]
        volts, limit_va = frame.layout.voltage_ln_v[node], frame.limit_va[node]
        current = complex(turn @ self.flow[node])
        if abs(current) < _TINY * limit_va:
            return
        rows = real_operator(np.asarray(turn, dtype=np.complex128)[None])
        along = rows.T @ np.array([current.real, current.imag]) / abs(current)
        price = price_per_a / volts
        across = rows.T @ rows - np.outer(along, along)
        over = 2 * frame.settings.overload_quadratic * self.price_scale / limit_va**2
        self.gradient[node] += price * along
        self._curvature[node] = self.curvature(node) + price / abs(current) * across + over * np.outer(along, along)


def head_price(way: Way, marginal: Marginal, at_va: ComplexArray, until_s: float) -> UpstreamPrice:
    """What the solution tells one head.

    Args:
        at_va: (3,) flow of the head in the solution [VA].
        until_s: monotonic [s].
    """
    gradient, curvature = np.zeros(6), np.zeros((6, 6))
    for node, operator in zip(way.nodes, way.upward, strict=True):
        up = real_operator(operator)
        gradient += up.T @ marginal.gradient[node]
        curvature += up.T @ marginal.curvature(int(node)) @ up
    return UpstreamPrice(gradient, curvature, as_six(at_va), until_s)


def standing_price(way: Way, frame: Frame) -> UpstreamPrice | None:
    """What holds without a site level: the rest of the tree is taken for balanced, so the head's own unbalance is what counts."""
    if not len(way.nodes):
        return None
    nothing = np.zeros((len(frame.layout.nodes), 3), dtype=np.complex128)
    return head_price(way, Marginal(frame, frame.layout.omega, nothing), nothing[0], np.inf)
