"""The numbers of one instance of the program."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mimctl.balance.frame import Frame
from mimctl.model.bounds import UpstreamPrice
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray

#: share of the reachable that is asked for, so that the feasible set keeps an inside
_REACH = 0.9
_INSIDE = 1e-4
_TINY_VA = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Above:
    """The part of the objective that the upstream prices make.

    Args:
        gradient: (H, 3) by the flows of the heads [1/VA].
        constant: its value there.
    """

    gradient: ComplexArray
    constant: float


def what_is_above(frame: Frame, flow: ComplexArray, upstream: tuple[UpstreamPrice | None, ...]) -> Above | None:
    """At flows (N, 3) [VA]."""
    if all(price is None for price in upstream):
        return None
    gradient, constant = np.zeros((len(upstream), 3), dtype=np.complex128), 0.0
    for h, (head, price) in enumerate(zip(frame.layout.heads, upstream, strict=True)):
        if price is not None:
            away = flow[head].view(np.float64) - price.at
            bent = price.curvature @ away
            gradient[h] = (price.gradient + bent).view(np.complex128)
            constant += float(price.gradient @ away + 0.5 * (away @ bent))
    return Above(gradient, constant)


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """One instance of the program. N nodes, K ports, M MIMs, G neutral groups, H heads.

    Args:
        flow: (N, 3) net import with every free port at zero [VA].
        weights: (N,) of J.
        gradient: (N, 3) of J and concentration at `flow` [1/VA].
        quadratic: (K,) own curvature of each port, movement and effort [1/VA²].
        linear: (K,) gradient of the movement at zero [1/VA].
        free: (K,) False: the port is given and counts in `flow`.
        radius_va: (K,) |x| ≤ it; positive [VA].
        dc_w: (M,) Σp of each MIM [W].
        group_limit_a: (G,) neutral limit [A].
        step_va, centre: (K,) |x − centre| ≤ step [VA].
        steps_matter: whether any step is short enough to bind.
        limit_va: (N, 3) phase limits at nominal voltage, margin taken off [VA].
        neutral_limit_va: (N,) likewise, inf = none [VA].
        neutrals_matter: whether any of them is finite.
        head_min_w: (G,) least import per phase of the guarded nodes [W], −inf = free.
        price_scale: factor on the overload prices: the sum of the weights where it exceeds one.
        upstream: price above each head.
        group_given_a: (G,) complex neutral current of the given ports beside the free ones [A]; None = none.
        above: what the prices make of the flows with every free port at zero; None = nothing.
    """

    flow: ComplexArray
    weights: FloatArray
    gradient: ComplexArray
    quadratic: FloatArray
    linear: ComplexArray
    free: BoolArray
    radius_va: FloatArray
    dc_w: FloatArray
    group_limit_a: FloatArray
    step_va: FloatArray
    centre: ComplexArray
    steps_matter: bool
    limit_va: FloatArray
    neutral_limit_va: FloatArray
    neutrals_matter: bool
    head_min_w: FloatArray
    price_scale: float
    upstream: tuple[UpstreamPrice | None, ...]
    group_given_a: ComplexArray | None = None
    above: Above | None = None

    def neutral_a(self, frame: Frame, power: ComplexArray) -> FloatArray:
        """(G,) neutral currents with the free ports at these powers (K,) [VA], those of the given ports included [A]."""
        current = frame.groups.current_a(power)
        return np.abs(current if self.group_given_a is None else current + self.group_given_a)

    def same_ports(self, other: Values) -> bool:
        """Whether the same ports are free."""
        return self.free is other.free or bool((self.free == other.free).all())

    def same_flow_curvature(self, other: Values) -> bool:
        """Whether J has the same curvature in the flows."""
        weights = self.weights is other.weights or bool((self.weights == other.weights).all())
        if not weights or len(self.upstream) != len(other.upstream):
            return False
        pairs = zip(self.upstream, other.upstream, strict=True)
        return all(p is q or (p is not None and q is not None and _same(p.curvature, q.curvature)) for p, q in pairs)


def _same(one: FloatArray, other: FloatArray) -> bool:
    """Two curvatures: prices change with every solution of the site level, their curvature with its limits alone."""
    return one is other or np.array_equal(one, other)


def yielding_values(frame: Frame, values: Values) -> Values:
    """Values that always leave a feasible point where the power balance is elastic.

    A setpoint in force may stand outside a neutral limit that has just been narrowed, further than one step reaches. The limit
    then comes in as fast as all ports of the group can shrink together.
    """
    groups = frame.groups
    if not groups.count or not values.steps_matter:
        return values
    member = groups.current.tocoo()
    shrink = np.minimum(values.step_va / np.maximum(np.abs(values.centre), _TINY_VA), 1.0)
    together = np.ones(groups.count)
    np.minimum.at(together, member.coords[0], shrink[member.coords[1]])
    stands = values.neutral_a(frame, values.centre * values.free)
    nearest = (1 - _REACH * together) * stands + _INSIDE * groups.base_a
    return replace(values, group_limit_a=np.maximum(values.group_limit_a, nearest))
