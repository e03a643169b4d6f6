"""The site level: solves the whole tree, and tells each zone what a watt at its heads is worth and how far its heads may go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mimctl.balance.inputs import usable_nodes, without_nan
from mimctl.balance.problem import Balancer
from mimctl.balance.settings import BalanceSettings
from mimctl.control.above import Above
from mimctl.control.grants import LONGEST_LIFE_S, Grants, HeadLimit
from mimctl.control.orders import HeadOrder, Standing
from mimctl.control.site_picture import SitePicture
from mimctl.control.upstream import HeadPrice, Marginal, head_price, standing_price
from mimctl.model.layout import BoolArray, ComplexArray
from mimctl.model.plan import Plan, SolveStatus

#: the site level tells where the zones should end, not how to get there: nothing holds it to its last answer
_SETTINGS = BalanceSettings(movement=0.0, active_max=10_000)


@dataclass(eq=False)
class SiteLevel:
    """One solver for the whole tree.

    Args:
        life_s: how long its orders stand [s], at most `LONGEST_LIFE_S`.
        last: the plan of the last solve; moved_on_from_va: (K,) that of the one before [VA].
    """

    above: Above
    life_s: float = LONGEST_LIFE_S
    last: Plan | None = None
    moved_on_from_va: ComplexArray | None = None
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
        plan = self._balancer.solve(picture.forecast, picture.bounds, self._anchor_va, picture.accepted_va)
        self.last, self.moved_on_from_va = plan, self._anchor_va
        if plan.status is SolveStatus.FAILED:
            return {}
        self._anchor_va = plan.inject_w + 1j * plan.inject_var
        load = without_nan(picture.forecast.load_w + 1j * picture.forecast.load_var)
        operators = self.above.operators
        gross, flow = operators.flow(load), operators.flow(load, self._anchor_va)
        usable = usable_nodes(self._balancer.frame, picture.forecast.known, picture.forecast.covered, load)
        return self._orders(picture, plan, gross=gross, flow=flow, usable=usable)

    def _orders(
        self, picture: SitePicture, plan: Plan, *, gross: ComplexArray, flow: ComplexArray, usable: BoolArray
    ) -> Mapping[str, Sequence[HeadOrder]]:
        until_s = picture.now_s + min(self.life_s, LONGEST_LIFE_S)
        covered = picture.forecast.covered
        weights = picture.bounds.weights
        marginal = Marginal(self._balancer.frame, weights * usable, flow, plan.active, price_scale=max(1.0, float(weights.sum())))
        narrowed = picture.bounds.node_limit_a, picture.bounds.node_neutral_limit_a
        limits = self._grants.granted(gross, flow, picture.answering, covered, until_s, narrowed)
        orders: dict[str, list[HeadOrder]] = {}
        for way, tells, limit in zip(self.above.ways, picture.answering, limits, strict=True):
            price = None
            if tells and len(way.nodes) and covered[way.nodes].all():
                price = HeadPrice(head_price(way, marginal, flow[way.head], until_s), gross[way.head])
            orders.setdefault(way.zone, []).append(HeadOrder(price, limit))
        return orders
