"""The site level: solves the whole tree, and tells each zone what a watt at its heads is worth and how far its heads may go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mimctl.balance.inputs import usable_nodes, without_nan
from mimctl.balance.problem import Balancer
from mimctl.balance.settings import BalanceSettings
from mimctl.control.levels.above import Above
from mimctl.control.levels.grants import LONGEST_LIFE_S, AboveLimits, Grants, HeadLimit
from mimctl.control.levels.orders import HeadOrder, Standing
from mimctl.control.levels.site_picture import SitePicture
from mimctl.control.levels.upstream import HeadPrice, Marginal, head_price, standing_price
from mimctl.model.bounds import Bounds
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray
from mimctl.model.plan import Plan, SolveStatus

#: the site level tells where the zones should end, not how to get there: nothing holds it to its last answer
_SETTINGS = BalanceSettings(movement=0.0, active_max=10_000)
#: a solver is no more exact than this
_BEYOND = 1e-3


@dataclass(eq=False)
class SiteLevel:
    """One solver for the whole tree.

    Args:
        life_s: how long its orders stand [s], at most `LONGEST_LIFE_S`.
        last: the plan of the last solve; moved_on_from_va: (K,) that of the one before [VA].
        within: the bounds that the last solve kept to: those of the picture, and what heads can be granted.
    """

    above: Above
    life_s: float = LONGEST_LIFE_S
    last: Plan | None = None
    moved_on_from_va: ComplexArray | None = None
    within: Bounds | None = None
    _anchor_va: ComplexArray = field(init=False)
    _standing: tuple[HeadLimit | None, ...] | None = None

    def __post_init__(self) -> None:
        self._balancer = Balancer(self.above.operators, _SETTINGS)
        self._grants = Grants(self.above)
        self._anchor_va = np.zeros(len(self.above.layout.ports), dtype=np.complex128)

    @property
    def balancer(self) -> Balancer:
        return self._balancer

    def needed(self) -> bool:
        """Whether anything stands above some zone head; a zone that starts at a feed needs no orders."""
        return self.above.any

    def standing(self, zone: str) -> Sequence[Standing]:
        """What holds for the heads of a zone while nothing is told."""
        if self._standing is None:
            self._standing = self._grants.standing()
        ways = zip(self.above.ways, self._standing, strict=True)
        return [Standing(standing_price(way, self._balancer.frame), limit) for way, limit in ways if way.zone == zone]

    def solve(self, picture: SitePicture) -> Mapping[str, Sequence[HeadOrder]]:
        """Orders for every zone, in the order of its heads. Touches nothing but its own solver: may run beside the zones.

        Returns:
            Empty where the solve failed: what was told before expires by itself.
        """
        load = without_nan(picture.forecast.load_w + 1j * picture.forecast.load_var)
        gross = self.above.operators.flow(load)
        bounds = self._floored(picture.bounds, gross, picture.answering)
        told = AboveLimits(bounds.node_limit_a, bounds.node_neutral_limit_a, self._least_w(bounds))
        plan = self._balancer.solve(picture.forecast, bounds, self._anchor_va, picture.accepted_va)
        self.last, self.moved_on_from_va, self.within = plan, self._anchor_va, bounds
        if plan.status is SolveStatus.FAILED:
            return {}
        flow, until_s = self._flow(load, plan), picture.now_s + min(self.life_s, LONGEST_LIFE_S)
        limits = self._grants.granted(gross, flow, picture.answering, picture.forecast.covered, until_s, told)
        within = self._within(bounds, flow, limits)
        if within is not None:
            # more is wanted of some head than can be granted beside the others: prices of what nobody can follow are none
            again = self._balancer.solve(picture.forecast, within, self._anchor_va, picture.accepted_va)
            if again.status is not SolveStatus.FAILED:
                plan = self.last = again
                self.within = within
                flow = self._flow(load, plan)
        self._anchor_va = plan.inject_w + 1j * plan.inject_var
        return self._orders(picture, plan, gross, flow, limits)

    def _flow(self, load: ComplexArray, plan: Plan) -> ComplexArray:
        """(N, 3) net import by a plan [VA]."""
        return self.above.operators.flow(load, plan.inject_w + 1j * plan.inject_var)

    def _least_w(self, bounds: Bounds) -> FloatArray:
        """(N,) least net import of every node, −inf where none is kept [W]."""
        layout = self.above.layout
        least_w = np.full(len(layout.nodes), -np.inf)
        least_w[layout.guarded] = bounds.head_min_import_w
        return least_w

    def _floored(self, bounds: Bounds, gross: ComplexArray, answering: BoolArray) -> Bounds:
        """With what each head may feed back, where the layout guards heads of zones: the solution keeps to what it can grant."""
        layout = self.above.layout
        told = AboveLimits(bounds.node_limit_a, bounds.node_neutral_limit_a, self._least_w(bounds))
        floors_w = np.full(len(layout.nodes), -np.inf)
        for way, floor_w in zip(self.above.ways, self._grants.floors_w(gross, answering, told), strict=True):
            floors_w[way.head] = floor_w
        return replace(bounds, head_min_import_w=np.maximum(bounds.head_min_import_w, floors_w[layout.guarded]))

    def _within(self, bounds: Bounds, flow: ComplexArray, limits: Sequence[HeadLimit | None]) -> Bounds | None:
        """The bounds with the limits that heads are granted, where the solution goes beyond one of them; None where it does not."""
        layout, kept = self.above.layout, 1 - _SETTINGS.margin
        phase_a, neutral_a = bounds.node_limit_a.copy(), bounds.node_neutral_limit_a.copy()
        beyond = False
        for way, limit in zip(self.above.ways, limits, strict=True):
            if limit is None:
                continue
            head, volts = way.head, float(layout.voltage_ln_v[way.head])
            current_a = flow[head] / volts
            beyond |= bool((np.abs(current_a) > (1 + _BEYOND) * kept * limit.phase_a).any())
            beyond |= abs(current_a @ self._balancer.frame.neutral_turn) > (1 + _BEYOND) * kept * limit.neutral_a
            phase_a[head] = np.minimum(phase_a[head], limit.phase_a)
            neutral_a[head] = min(neutral_a[head], limit.neutral_a)
        return replace(bounds, node_limit_a=phase_a, node_neutral_limit_a=neutral_a) if beyond else None

    def _orders(
        self,
        picture: SitePicture,
        plan: Plan,
        gross: ComplexArray,
        flow: ComplexArray,
        limits: Sequence[HeadLimit | None],
    ) -> Mapping[str, Sequence[HeadOrder]]:
        until_s = picture.now_s + min(self.life_s, LONGEST_LIFE_S)
        forecast, covered, weights = picture.forecast, picture.forecast.covered, picture.bounds.weights
        load = without_nan(forecast.load_w + 1j * forecast.load_var)
        usable = usable_nodes(self._balancer.frame, forecast.known, covered, load)
        marginal = Marginal(self._balancer.frame, weights * usable, flow, plan.active, price_scale=max(1.0, float(weights.sum())))
        orders: dict[str, list[HeadOrder]] = {}
        for way, tells, limit in zip(self.above.ways, picture.answering, limits, strict=True):
            price = None
            if tells and len(way.nodes) and covered[way.nodes].all():
                price = HeadPrice(head_price(way, marginal, flow[way.head], until_s), gross[way.head])
            orders.setdefault(way.zone, []).append(HeadOrder(price, limit))
        return orders
