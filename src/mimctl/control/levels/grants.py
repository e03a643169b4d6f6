"""How much each zone may make of what stands above it: limits at the heads that keep every ancestor inside its own.

MIMs of one zone know nothing of the load of another, so each head gets a share of what is free. What its load draws by itself is
always its own. Of the rest of an ancestor's limit it gets what the site's solution wants of it, so that what the prices ask for can
be done, and then its share by ratings of what is left. As all of it is counted from loads without MIM output, MIMs that fall silent
in one zone cannot turn what another was granted into an overload.

The currents of the zones are added by size: no larger sum of them exists, whatever their angles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mimctl.balance.settings import BalanceSettings
from mimctl.control.levels.above import Above
from mimctl.grid.regions import Regions
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray

#: prices of an old snapshot do harm on bursty load, limits of one are shares of what may be gone; they never live longer
LONGEST_LIFE_S = 60.0
#: kept free at every ancestor: loads that move until the next grant, meters that are not exact
MARGIN = 0.03
#: zones keep their own plans so far below a limit
_KEPT_BY_ZONES = BalanceSettings().margin
_TINY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class HeadLimit:
    """What a zone may do to one of its heads.

    Args:
        phase_a: (3,) greatest current, unless it is less than without MIMs [A].
        neutral_a: likewise [A]; inf = free.
        min_import_w: least net import of each phase [W].
        until_s: monotonic [s].
        rise_a: (3,) what MIMs may add to the current of the load at most, where nobody knows how much is free; None = by
            `phase_a` alone [A].
    """

    phase_a: FloatArray
    neutral_a: float
    min_import_w: float
    until_s: float = np.inf
    rise_a: FloatArray | None = None

    def phases_a(self, load_a: FloatArray) -> FloatArray:
        """(3,) greatest currents of a head whose load alone draws these (3,) [A]."""
        if self.rise_a is None:
            return self.phase_a
        return np.minimum(np.maximum(self.phase_a, load_a), load_a + self.rise_a)


@dataclass(frozen=True, slots=True, eq=False)
class AboveLimits:
    """What may flow at N nodes, as far as is known now; ratings are kept beside it.

    Args:
        phase_a: (N, 3) [A]
        neutral_a: (N,) [A]
        import_w: (N,) least net import of each phase, −inf = free [W]
    """

    phase_a: FloatArray
    neutral_a: FloatArray
    import_w: FloatArray


@dataclass(frozen=True, eq=False)
class _Heads:
    """The heads under one ancestor, H of them, as it sees them.

    Args:
        rows: (H,) positions among all heads.
        size: (H, 3, 3) |upward| of each.
        neutral: (H,) whether the neutral current of the head passes the ancestor.
        share: (H,) of the ancestor's limit by ratings; what is left of one belongs to branches without a zone.
    """

    rows: IntArray
    size: FloatArray
    neutral: BoolArray
    share: FloatArray

    @cached_property
    def most(self) -> FloatArray:
        """(3,) what one VA on each phase of every head makes on the ancestor's phases at most, shares summing to one."""
        return np.asarray(self.size.max(axis=0).sum(axis=1))


@dataclass(eq=False)
class Grants:
    """Limits for all heads of one site; H heads in the order of `above.ways`."""

    above: Above

    def __post_init__(self) -> None:
        layout = self.above.layout
        self._ways = self.above.ways
        self._limit_va = layout.voltage_ln_v * layout.limit_a
        self._neutral_va = layout.voltage_ln_v * layout.neutral_limit_a
        self._regions = Regions(self.above.operators)
        least = np.full(len(layout.nodes), -np.inf)
        least[layout.guarded] = layout.head_min_import_w
        self._least_w = least
        self._heads: dict[int, _Heads] = {int(a): self._under(int(a)) for a in self.above.nodes}

    def _under(self, ancestor: int) -> _Heads:
        layout = self.above.layout
        found = [
            (h, way, int(np.flatnonzero(way.nodes == ancestor)[0])) for h, way in enumerate(self._ways) if ancestor in way.nodes
        ]
        inside = layout.below[ancestor] & ~self.above.zoned
        inside[self.above.nodes] = False
        tops = [n for n in np.flatnonzero(inside) if layout.parent[n] in self.above.nodes]
        whole = sum(self._limit_va[way.head] for _, way, _ in found) + float(self._limit_va[tops].sum())
        maps = [way.upward[i] for _, way, i in found]
        return _Heads(
            rows=np.array([h for h, _, _ in found], dtype=np.int64),
            size=np.abs(np.array(maps)),
            neutral=np.array([np.allclose(m, np.eye(3)) for m in maps]),
            share=np.array([self._limit_va[way.head] / whole for _, way, _ in found]),
        )

    def standing(self) -> tuple[HeadLimit | None, ...]:
        """What holds without a site level: a fair share of every ancestor by ratings, and nothing fed back through the head.

        A head whose load has more than its share is one that others do not know of. So nobody raises a current by more than its
        share of what lies between the limit for hours and the rating: no breaker trips that would not without MIMs.
        """
        heads = len(self._ways)
        nothing = np.zeros((heads, 3))
        own = nothing.astype(np.complex128)
        room = np.zeros((len(self.above.layout.nodes), 3))
        limits = self._limits(nothing, nothing, own, {}, room, self._by_rating, np.zeros(heads), np.inf)
        rises = self._rises_a()
        return tuple(None if limit is None else replace(limit, rise_a=rises[h]) for h, limit in enumerate(limits))

    def _rises_a(self) -> FloatArray:
        """(H, 3) [A]"""
        layout = self.above.layout
        rise_va = np.full((len(self._ways), 3), np.inf)
        for a, heads in self._heads.items():
            reserve = (1 - MARGIN) * layout.voltage_ln_v[a] * (layout.rating_a[a] - layout.limit_a[a])
            capacity, none = np.full(3, reserve), np.zeros((len(heads.rows), 3))
            found = _phase_va(heads, none, capacity, none)
            rise_va[heads.rows] = np.minimum(rise_va[heads.rows], found)
        volts = layout.voltage_ln_v[[way.head for way in self._ways]]
        return np.asarray(rise_va / volts[:, None])

    def granted(
        self,
        gross: ComplexArray,
        planned: ComplexArray,
        answering: BoolArray,
        known: BoolArray,
        until_s: float,
        bounds: AboveLimits | None = None,
    ) -> tuple[HeadLimit | None, ...]:
        """What the present loads leave.

        Args:
            gross: (N, 3) load at and under each node, no MIM counted [VA].
            planned: (N, 3) net import in the site's solution [VA].
            answering: (H,) heads whose zone tells its load; the load of the others is in that of their ancestors.
            known: (N,) whether `gross` means anything.
            until_s: monotonic [s].
            bounds: what may flow; None = the ratings of the site, and what its feeds take back.

        Returns:
            None at the heads of feeds, and where something above is not known.
        """
        bounds = bounds or self._by_rating
        own, other, room = self._shares_of(gross, answering)
        firm = np.abs(own)
        # a zone keeps its plan below its limit by a margin: what the solution wants must fit below that
        wanted = np.abs(planned[[way.head for way in self._ways]]) / (1 - _KEPT_BY_ZONES)
        need = np.maximum(wanted - firm, 0.0) * answering[:, None]
        least_w = self._floors_w(own, other, room, bounds)
        found = self._limits(firm, need, own, other, room, bounds, least_w, until_s)
        usable = [bool(known[way.nodes].all()) and tells for way, tells in zip(self._ways, answering, strict=True)]
        return tuple(limit if fine else None for limit, fine in zip(found, usable, strict=True))

    def floors_w(self, gross: ComplexArray, answering: BoolArray, bounds: AboveLimits) -> FloatArray:
        """(H,) least net import of each head, by what the feeds above take back; −inf where nothing stands above [W].

        Args: as `granted`.
        """
        own, other, room = self._shares_of(gross, answering)
        least_w = self._floors_w(own, other, room, bounds)
        return np.where([len(way.nodes) > 0 for way in self._ways], least_w, -np.inf)

    def _shares_of(self, gross: ComplexArray, answering: BoolArray) -> tuple[ComplexArray, dict[int, ComplexArray], FloatArray]:
        """(H, 3) loads of the heads that tell them; by ancestor (3,) what is not theirs; (N, 3) room for load without a place."""
        own = np.array([gross[way.head] if tells else np.zeros(3) for way, tells in zip(self._ways, answering, strict=True)])
        other = {int(a): gross[a] - self._zoned_flow(int(a), own) for a in self.above.nodes}
        room = np.zeros((len(gross), 3))
        room[self._regions.nodes] = self._regions.reserve_va(gross[None])[0]
        return own, other, room

    @cached_property
    def _by_rating(self) -> AboveLimits:
        layout = self.above.layout
        phase_a = np.repeat(layout.limit_a[:, None], 3, axis=1)
        return AboveLimits(phase_a, layout.neutral_limit_a, self._least_w)

    def _zoned_flow(self, ancestor: int, own: ComplexArray) -> ComplexArray:
        """(3,) what the heads under an ancestor bring to it."""
        total = np.zeros(3, dtype=np.complex128)
        for h in self._heads[ancestor].rows:
            way = self._ways[h]
            total += way.upward[int(np.flatnonzero(way.nodes == ancestor)[0])] @ own[h]
        return total

    def _floors_w(self, own: ComplexArray, other: dict[int, ComplexArray], room: FloatArray, bounds: AboveLimits) -> FloatArray:
        """(H,) by ratings; zero where no guarded node above says more: nobody feeds back into what may be somebody else's.

        Never more than the load of the head draws by itself: no MIM is to draw for others.
        """
        found = np.full(len(self._ways), -np.inf)
        for a, heads in self._heads.items():
            least_w = min(max(float(bounds.import_w[a]), float(self._least_w[a])), np.finfo(np.float64).max)
            if not np.isfinite(least_w):
                continue
            # what may flow back out of the feed, less what flows back beside the zones
            back_w = -least_w - MARGIN * abs(least_w) + min(0.0, float((other[a].real - room[a]).min()))
            found[heads.rows] = np.maximum(found[heads.rows], -heads.share * back_w)
        return np.where(np.isinf(found), 0.0, np.minimum(found, np.maximum(own.real.min(axis=1), 0.0)))

    def _limits(
        self,
        firm: FloatArray,
        need: FloatArray,
        own: ComplexArray,
        other: dict[int, ComplexArray],
        room: FloatArray,
        bounds: AboveLimits,
        least_w: FloatArray,
        until_s: float,
    ) -> tuple[HeadLimit | None, ...]:
        volts = self.above.layout.voltage_ln_v
        limit_va = np.minimum(self._limit_va[:, None], volts[:, None] * bounds.phase_a)
        neutral_va = np.minimum(self._neutral_va, volts * bounds.neutral_a)
        phase = np.full((len(self._ways), 3), np.inf)
        neutral = np.full(len(self._ways), np.inf)
        turn = 1 / self.above.operators.unit_voltages
        for a, heads in self._heads.items():
            rest = other.get(a, np.zeros(3, dtype=np.complex128))
            capacity = (1 - MARGIN) * limit_va[a] - np.abs(rest) - room[a]
            found = _phase_va(heads, firm[heads.rows], capacity, need[heads.rows])
            phase[heads.rows] = np.minimum(phase[heads.rows], found)
            if np.isfinite(neutral_va[a]) and heads.neutral.any():
                left = (1 - MARGIN) * neutral_va[a] - abs(rest @ turn) - _two_largest(room[a])
                found = _neutral_va(np.abs(own[heads.rows] @ turn), left, heads.share)
                neutral[heads.rows] = np.where(heads.neutral, np.minimum(neutral[heads.rows], found), neutral[heads.rows])
        return tuple(self._limit(h, phase[h], neutral[h], least_w[h], until_s) for h in range(len(self._ways)))

    def _limit(self, h: int, phase_va: FloatArray, neutral_va: float, least_w: float, until_s: float) -> HeadLimit | None:
        way = self._ways[h]
        if not len(way.nodes):
            return None
        volts = float(self.above.layout.voltage_ln_v[way.head])
        return HeadLimit(np.maximum(phase_va, 0.0) / volts, max(float(neutral_va), 0.0) / volts, float(least_w), until_s)


def _phase_va(heads: _Heads, firm: FloatArray, capacity: FloatArray, need: FloatArray) -> FloatArray:
    """(H, 3) limits of the heads' phases for one ancestor: their load, what they need beside it, and a share of what is left then.

    Where there is less than all need together, each gets the same part of it; less than its load where not even that fits.

    Args:
        capacity: (3,) what the ancestor leaves to its heads [VA].
    """
    drawn, more = (np.einsum("hpq,hq->p", heads.size, power) for power in (firm, need))
    free = capacity - drawn
    met = np.clip(free / np.maximum(more, _TINY), 0.0, 1.0)
    left = np.maximum(free - more, 0.0) / np.maximum(heads.most, _TINY)
    cut = np.maximum(capacity, 0.0) / np.maximum(drawn, _TINY)
    given = firm[:, None, :] + need[:, None, :] * met[:, None] + left[:, None] * heads.share[:, None, None]
    each = np.where(free[:, None] >= 0, given, firm[:, None, :] * cut[:, None])
    touched = heads.size > _TINY
    return np.asarray(np.where(touched, each, np.inf).min(axis=1))


def _neutral_va(drawn: FloatArray, left: float, share: FloatArray) -> FloatArray:
    """(H,) the same for the neutral."""
    free = left - float(drawn.sum())
    if free >= 0:
        return drawn + free * share
    return drawn * max(left, 0.0) / max(float(drawn.sum()), _TINY)


def _two_largest(room: FloatArray) -> float:
    """What loads on three phases can make on a neutral at most."""
    return float(room.sum() - room.min())
