"""What the site level told one zone, and what holds where it told nothing: prices and limits of the zone's heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mimctl.balance.inputs import without_nan
from mimctl.control.events import EventLog
from mimctl.control.levels.grants import HeadLimit
from mimctl.control.levels.order_check import wrong_limit, wrong_price
from mimctl.control.levels.upstream import HeadPrice
from mimctl.control.narrow import Situation
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds, Restriction, UpstreamPrice
from mimctl.model.layout import ComplexArray, FloatArray, frozen
from mimctl.model.problem import Severity
from mimctl.model.reason import Reason

#: a head whose load on some phase has moved by this share of its rating has left the snapshot of its price
LEFT_SNAPSHOT = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class HeadOrder:
    """For one head; None = nothing told."""

    price: HeadPrice | None = None
    limit: HeadLimit | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """For one head, when nothing is told; None where nothing stands above it."""

    price: UpstreamPrice | None
    limit: HeadLimit | None


@dataclass(frozen=True, slots=True, eq=False)
class TakenFromHeads:
    """What orders took from the bounds of H heads: without them the heads could go so much further. Inf where nothing else bounds.

    Args:
        phase_a: (H, 3) [A]
        neutral_a: (H,) [A]
        import_w: (H,) [W]
    """

    phase_a: FloatArray
    neutral_a: FloatArray
    import_w: FloatArray


def nothing_taken(heads: int) -> TakenFromHeads:
    """Where no order narrows anything."""
    return TakenFromHeads(np.zeros((heads, 3)), np.zeros(heads), np.zeros(heads))


@dataclass(eq=False)
class SiteOrders:
    """The narrower of one zone that keeps what the site level told, until it expires.

    Args:
        operators: of the zone.
        standing: for each head, in the order of the zone's layout.
        patience_s: how long the first word of the site level may take before it is an event [s].
    """

    operators: TreeOperators
    standing: Sequence[Standing]
    zone: str
    events: EventLog
    patience_s: float

    def __post_init__(self) -> None:
        self._heads = self.operators.layout.heads
        self._orders: Sequence[HeadOrder] = [HeadOrder()] * len(self._heads)
        #: told since the last cycle, and not looked at yet
        self._fresh: Sequence[HeadOrder] | None = None
        self._below = any(stands.limit is not None for stands in self.standing)
        self._began_s: float | None = None
        #: of the last cycle
        self.taken = nothing_taken(len(self._heads))
        self._was_told = False

    def take(self, orders: Sequence[HeadOrder]) -> None:
        """From the site level: replaces everything that it told before.

        Args:
            orders: for each head, in the order of the zone's layout. What is nonsense is refused by the next cycle.
        """
        self._fresh = orders

    @property
    def told(self) -> bool:
        """The site level has told something, which may have expired."""
        orders = self._orders if self._fresh is None else self._fresh
        return any(order.price is not None or order.limit is not None for order in orders)

    def narrow(self, bounds: Bounds, situation: Situation) -> Bounds:
        """The bounds with the limits of the heads, and the prices that are still good; the standing ones where none is."""
        if not self._below:
            return bounds
        now_s = situation.state.now_s
        self._believe(now_s)
        forecast = situation.forecast
        loads_va = self.operators.flow(without_nan(forecast.load_w + 1j * forecast.load_var))[self._heads]
        limits = [self._limit(i, now_s) for i in range(len(self._heads))]
        granted = all(own is None or own is not self.standing[i].limit for i, own in enumerate(limits))
        self._tell(now_s, granted=granted)
        phase_a, neutral_a = bounds.node_limit_a.copy(), bounds.node_neutral_limit_a.copy()
        least_w = bounds.head_min_import_w.copy()
        for i, (head, limit) in enumerate(zip(self._heads, limits, strict=True)):
            if limit is not None:
                load_a = np.abs(loads_va[i]) / self.operators.layout.voltage_ln_v[head]
                phase_a[head] = np.minimum(phase_a[head], limit.phases_a(load_a))
                neutral_a[head] = min(neutral_a[head], limit.neutral_a)
                least_w[i] = max(least_w[i], limit.min_import_w)
        self.taken = TakenFromHeads(
            _less(bounds.node_limit_a[self._heads], phase_a[self._heads]),
            _less(bounds.node_neutral_limit_a[self._heads], neutral_a[self._heads]),
            _less(least_w[: len(self._heads)], bounds.head_min_import_w[: len(self._heads)]),
        )
        return replace(
            bounds,
            node_limit_a=frozen(phase_a),
            node_neutral_limit_a=frozen(neutral_a),
            head_min_import_w=frozen(least_w),
            upstream=tuple(self._price(i, loads_va[i], situation) for i in range(len(self._heads))),
            restrictions=(*bounds.restrictions, *(() if granted else self._on_its_own())),
        )

    def _believe(self, now_s: float) -> None:
        """Take what was told since the last cycle, head by head; of a head of which nonsense was told, nothing."""
        told, self._fresh = self._fresh, None
        if told is None:
            return
        if len(told) != len(self._heads):
            self._orders = [HeadOrder()] * len(self._heads)
            refused = {self.zone: f"it is for {len(told)} heads, and there are {len(self._heads)}"}
        else:
            wrong = [self._wrong(i, order, now_s) for i, order in enumerate(told)]
            self._orders = [order if why is None else HeadOrder() for order, why in zip(told, wrong, strict=True)]
            names = [self.operators.layout.nodes[head].id for head in self._heads]
            refused = {name: why for name, why in zip(names, wrong, strict=True) if why is not None}
        texts = [(name, f"what the site level told {name} is refused: {why}; it goes on alone") for name, why in refused.items()]
        self.events.keep_only("zone.orders_refused", texts, Severity.ERROR)

    def _wrong(self, i: int, order: HeadOrder, now_s: float) -> str | None:
        """Why nothing of an order is believed; None where it is."""
        layout, head = self.operators.layout, int(self._heads[i])
        rating_va = float(layout.rating_a[head] * layout.voltage_ln_v[head])
        found = None if order.price is None else wrong_price(order.price, rating_va, now_s, self._orders[i].price)
        return found if found is not None or order.limit is None else wrong_limit(order.limit, now_s)

    def _limit(self, i: int, now_s: float) -> HeadLimit | None:
        granted = self._orders[i].limit
        return self.standing[i].limit if granted is None or granted.until_s <= now_s else granted

    def _price(self, i: int, load_va: ComplexArray, situation: Situation) -> UpstreamPrice | None:
        """A price ends with its time, or when the load of its head has left the picture it was made from."""
        told, stands = self._orders[i].price, self.standing[i].price
        layout, head = self.operators.layout, int(self._heads[i])
        if told is None or told.price.expires_at_s <= situation.state.now_s or not situation.forecast.covered[head]:
            return stands
        room_va = LEFT_SNAPSHOT * layout.rating_a[head] * layout.voltage_ln_v[head]
        return stands if bool((np.abs(load_va - told.load_va) > room_va).any()) else told.price

    def _tell(self, now_s: float, *, granted: bool) -> None:
        self._was_told |= granted
        self._began_s = now_s if self._began_s is None else self._began_s
        silent = not granted and (self._was_told or now_s - self._began_s > self.patience_s)
        text = f"zone {self.zone} hears nothing from the site level: it keeps to its fair share of what stands above it"
        self.events.keep_only("zone.on_its_own", [(self.zone, text)] if silent else [], Severity.WARNING)

    def _on_its_own(self) -> list[Restriction]:
        names = [self.operators.layout.nodes[head].id for head in self._heads]
        reason = Reason("zone.fair_share", "no valid limit from the site level: its fair share of the breakers above holds")
        return [Restriction(name, reason) for name in names]


def _less(wide: FloatArray, narrow: FloatArray) -> FloatArray:
    """How much wider one is; zero where both are boundless."""
    return np.subtract(wide, narrow, out=np.zeros_like(wide), where=wide != narrow)
