"""The harmonic filters of a zone: slow shares for the MIMs, and room for them where a limit is passed.

Where the site names limits, the filters take what those ask for and no more, for filtering costs losses; where it names none, they
take all that their fundamentals leave. Shares change seldom and by visible steps. What a filter takes now and what the meters still
see bound what there is, so a share that was too small is made larger with the next look, until the limit is met.

The fundamental comes first. A part of the rating is kept from it only while a limit of distortion is passed and no breaker over the
filter is at its limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mimctl.analysis.harmonic_limits import NodeLimits, node_limits
from mimctl.balance.harmonics import FilterProblem, least_effort
from mimctl.control.filtering.filter_places import FilterPlaces
from mimctl.control.narrow import Situation
from mimctl.grid.harmonic_picture import HarmonicPicture, harmonic_picture
from mimctl.grid.harmonics import rms_room_a
from mimctl.model.bounds import Bounds, HarmonicBounds, Restriction
from mimctl.model.layout import BoolArray, FloatArray, SiteLayout, frozen
from mimctl.model.plan import NO_FILTER, HarmonicShares, Plan, SolveStatus
from mimctl.model.reason import Reason
from mimctl.model.sample import Quality

#: shares of limits and of ratings that are aimed at
_OF_LIMIT, _OF_RATING = 0.85, 0.95
#: smaller changes of a share are not made
_SHARE_STEP = 0.03
#: less than this is nothing but a solver's accuracy
_LEAST_SHARE = 1e-3
#: a reserve ends when this part of what it was made for is needed
_STILL_NEEDED = 0.5
#: stands for a neutral without a limit [A]
_BOUNDLESS_A = 1e9
#: a breaker on this part of its limit for hours is at it [%]
_AT_LIMIT_PCT = 97.0
_RESERVED = Reason("harmonic.reserve", "room for its harmonic filter is kept while a limit of distortion is passed")


@dataclass(eq=False)
class HarmonicControl:
    """The filters of one zone. Implements `control.narrow.Narrower`.

    Args:
        layout: of the zone.
        period_s: time between two looks at the shares [s].
        wanted: (K,) shares of the last look.
        reserve_a: (K,) kept from the fundamental [A].
    """

    layout: SiteLayout
    period_s: float
    places: FilterPlaces = field(init=False)
    limits: NodeLimits = field(init=False)
    wanted: FloatArray = field(init=False)
    reserve_a: FloatArray = field(init=False)
    _next_s: float = -np.inf
    _terms: HarmonicBounds | None = None

    def __post_init__(self) -> None:
        self.places = FilterPlaces(self.layout)
        self.limits = node_limits(self.layout)
        count = len(self.layout.ports)
        self.wanted, self.reserve_a = np.zeros(count), np.zeros(count)
        filters = [mim.harmonic_filter for mim in self.layout.mims]
        self._reserve_share = np.array([0.0 if f is None else f.reserve for f in filters], dtype=np.float64)
        self._most_reserve_a = self._reserve_share[self.layout.port_mim] * self.places.ports.rating_a

    def narrow(self, bounds: Bounds, situation: Situation) -> Bounds:
        """Keep the reserve from the fundamental, but never where a breaker needs it."""
        kept_a = np.where(self._free_to_reserve(situation), self.reserve_a, 0.0)
        reserved = kept_a > 0
        if not reserved.any():
            return bounds
        rating_a = self.places.ports.rating_a
        share = rms_room_a(_OF_RATING * rating_a, kept_a) / rating_a
        most_va = np.where(reserved, np.minimum(bounds.port_s_max_va, share * self.layout.port_rating_va), bounds.port_s_max_va)
        neutral_a = np.minimum(bounds.mim_neutral_max_a, self._neutral_left_a(kept_a))
        told = tuple(Restriction(self.layout.mims[m].id, _RESERVED) for m in np.unique(self.layout.port_mim[reserved]))
        return replace(
            bounds,
            port_s_max_va=frozen(most_va),
            mim_neutral_max_a=frozen(neutral_a),
            restrictions=(*bounds.restrictions, *told),
        )

    def _neutral_left_a(self, kept_a: FloatArray) -> FloatArray:
        """(M,) what the reserves leave of each MIM's neutral [A]: its own part of it at most."""
        rating_a = _OF_RATING * np.minimum(self.layout.mim_neutral_rating_a, _BOUNDLESS_A)
        most_a = self._reserve_share * rating_a
        through = np.where(self.layout.port_neutral_per_va != 0, kept_a, 0.0)
        kept = np.minimum(np.bincount(self.layout.port_mim, through, len(rating_a)), most_a)
        return np.where(kept > 0, rms_room_a(rating_a, kept), np.inf)

    def with_shares(self, plan: Plan, bounds: Bounds, situation: Situation, in_force: HarmonicShares | None) -> Plan:
        """The plan with the shares of its ports; those of MIMs that are not commanded now are zero."""
        now_s = situation.state.now_s
        self._heed(bounds.harmonics)
        if now_s >= self._next_s:
            self._next_s = now_s + self.period_s
            self._look(plan, situation, in_force)
        ports = self.places.ports
        commanded = bounds.mim_enabled[self.layout.port_mim]
        most = 1.0 if bounds.harmonics is None else bounds.harmonics.share_max
        share = np.where(ports.able, np.where(commanded, np.minimum(self.wanted, most), 0.0), np.nan)
        return replace(plan, harmonics=HarmonicShares(frozen(share), ports.orders))

    def _heed(self, terms: HarmonicBounds | None) -> None:
        """Take the limits and reserves that hold now; with new ones the next look is due at once."""
        if terms is self._terms:
            return
        was, self._terms = (self.limits.thd_v_pct, self.limits.tdd_pct, self._most_reserve_a), terms
        own, reserve = node_limits(self.layout), self._reserve_share[self.layout.port_mim]
        self.limits = own
        if terms is not None:
            tighter = np.fmin(own.thd_v_pct, terms.thd_v_pct), np.fmin(own.tdd_pct, terms.tdd_pct)
            self.limits, reserve = replace(own, thd_v_pct=tighter[0], tdd_pct=tighter[1]), np.fmin(reserve, terms.reserve_max)
        self._most_reserve_a = reserve * self.places.ports.rating_a
        self.reserve_a = np.minimum(self.reserve_a, self._most_reserve_a)
        now = (self.limits.thd_v_pct, self.limits.tdd_pct, self._most_reserve_a)
        if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(was, now, strict=True)):
            self._next_s = -np.inf

    def _look(self, plan: Plan, situation: Situation, in_force: HarmonicShares | None) -> None:
        """New shares and reserves, out of what is measured now."""
        ports, state = self.places.ports, situation.state
        share = np.zeros(len(self.wanted)) if in_force is None else in_force.share
        picture = harmonic_picture(ports, state, state.nodes.quality > Quality.BAD, share)
        able = ports.able if in_force is None else ports.able & (in_force.orders != NO_FILTER)
        local_a = np.where(able, np.nan_to_num(picture.local_a), 0.0)
        planned_va, standing_va = plan.inject_w + 1j * plan.inject_var, np.nan_to_num(situation.setpoint_va)
        largest_va = np.maximum(np.abs(planned_va), np.abs(standing_va))
        left_a = able * rms_room_a(_OF_RATING * ports.rating_a, ports.fundamental_a(largest_va, state.ports.voltage_v))
        left_a = self.places.beside_neutral(np.minimum(left_a, local_a), (planned_va, standing_va), _OF_RATING)
        found_a = self._amounts(picture, local_a, left_a, situation)
        self._settle(np.where(local_a > 0, found_a / np.maximum(local_a, 1e-9), 0.0))
        self._reserve(picture, local_a, situation)

    def _amounts(self, picture: HarmonicPicture, local_a: FloatArray, left_a: FloatArray, situation: Situation) -> FloatArray:
        """(K,) rms current that each filter should take [A]."""
        room_a = self.places.split(local_a, left_a)
        if not self.limited:
            return room_a
        found_a, status = least_effort(self._problem(picture, room_a, situation))
        return room_a if status is SolveStatus.FAILED else np.minimum(found_a, room_a)

    @property
    def limited(self) -> bool:
        """Whether the zone has any limit of distortion."""
        return bool(np.isfinite(self.limits.tdd_pct).any() or np.isfinite(self.limits.thd_v_pct).any())

    def _problem(self, picture: HarmonicPicture, room_a: FloatArray, situation: Situation) -> FilterProblem:
        """One place per line that is measured and limited."""
        target_a = _OF_LIMIT * self.limits.harmonic_a[:, None] * np.ones(3)
        heads = self.layout.heads
        ratio = self._voltage_ratio(situation)
        target_a[heads] = np.fmin(target_a[heads], (picture.residual_a * ratio[:, None])[heads])
        lines = np.flatnonzero((np.isfinite(target_a) & np.isfinite(picture.residual_a)).reshape(-1))
        effect = self.places.effect[lines].toarray()
        drawn_a = picture.residual_a.reshape(-1)[lines] + effect @ np.nan_to_num(picture.filter_a)
        return FilterProblem(
            harmonic=drawn_a[:, None].astype(np.complex128),
            weight=np.zeros((len(lines), 1)),
            effect=effect,
            room=room_a,
            target=target_a.reshape(-1)[lines],
        )

    def _voltage_ratio(self, situation: Situation) -> FloatArray:
        """(N,) at heads: by what the harmonic current must change for the worst voltage under it; NaN where nothing is limited.

        The distortion of a voltage goes with the harmonic current through the impedance that all below the head share.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            own = _OF_LIMIT * self.limits.thd_v_pct / np.fmax.reduce(situation.state.nodes.thd_v_pct, axis=1)
        result = np.full(len(own), np.nan)
        for head in self.layout.heads:
            known = own[self.layout.below[head] & (own > 0) & np.isfinite(own)]
            result[head] = known.min() if len(known) else np.nan
        return result

    def _settle(self, share: FloatArray) -> None:
        """Take new shares, where they differ by more than measurements do."""
        share = np.where(share < _LEAST_SHARE, 0.0, np.minimum(share, 1.0))
        moved = (np.abs(share - self.wanted) > _SHARE_STEP) | (share == 0) | ((share == 1) & (self.wanted < 1))
        self.wanted = np.where(moved, share, self.wanted)

    def _reserve(self, picture: HarmonicPicture, local_a: FloatArray, situation: Situation) -> None:
        """What the filters would need if no fundamental were in their way, while some line over them is past its limit."""
        over_i = picture.residual_a > self.limits.harmonic_a[:, None]
        over_v = situation.state.nodes.thd_v_pct > self.limits.thd_v_pct[:, None]
        passed: BoolArray = np.logical_or.reduce(over_i | over_v, axis=1)
        under = self._under(passed)
        held = self.reserve_a > 0
        if not (under.any() or held.any()):
            return
        needed_a = np.minimum(
            self._amounts(picture, local_a, _OF_RATING * self.places.ports.rating_a, situation), self._most_reserve_a
        )
        grown = np.maximum(needed_a, self.reserve_a)
        kept = np.where(needed_a >= _STILL_NEEDED * self.reserve_a, self.reserve_a, 0.0)
        self.reserve_a = np.where(under, grown, kept)

    def _under(self, nodes: BoolArray) -> BoolArray:
        """(K,) filters at or below any of these nodes."""
        below: BoolArray = np.logical_or.reduce(self.layout.below[nodes], axis=0)
        return below[self.layout.port_node] & self.places.ports.able

    def _free_to_reserve(self, situation: Situation) -> BoolArray:
        """(K,) no breaker over the port is at its limit."""
        full: BoolArray = np.asarray(situation.report.loading_pct >= _AT_LIMIT_PCT)
        return ~self._under(full)
