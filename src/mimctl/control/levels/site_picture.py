"""One picture of the whole tree, made of the zones' last images and the meters above them, all of one instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from mimctl.control.levels.above import Above
from mimctl.control.levels.orders import TakenFromHeads
from mimctl.control.levels.silent_zones import unsure_va
from mimctl.control.levels.zone_bounds import ZoneBounds, ZonePart
from mimctl.forecast.own_loads import OwnLoads
from mimctl.grid.distortion import harmonic_squares
from mimctl.grid.sources import newest_transfers, source_limits
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds
from mimctl.model.decision import DecisionRecord
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout, frozen
from mimctl.model.sample import Quality
from mimctl.model.state import SiteState


class ZoneView(Protocol):
    """What the site level looks at in a zone."""

    @property
    def id(self) -> str: ...

    @property
    def layout(self) -> SiteLayout: ...

    @property
    def operators(self) -> TreeOperators: ...

    @property
    def recent(self) -> Sequence[DecisionRecord]:
        """The last decisions, newest last."""
        ...

    @property
    def taken(self) -> TakenFromHeads:
        """What the orders of the site level took from the bounds of the newest decision."""
        ...

    @property
    def silent_after_s(self) -> float:
        """A zone whose last decision is older is taken for stopped [s]."""
        ...

    def output_va(self, instant_s: float) -> ComplexArray:
        """(K,) what the ports put out at an instant, by the zone's own model [VA]."""
        ...

    def in_force_va(self, instant_s: float, *, sure: bool = False) -> ComplexArray:
        """(K,) what is in force when nobody has written since: setpoints within their validity, then the expiry actions [VA].

        Args:
            sure: NaN also where a write was on its way and may not have come.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SitePicture:
    """What one site solve starts from. N nodes, K ports, H zone heads in the order of `Above.ways`.

    Args:
        forecast: own loads of all nodes.
        bounds: of all MIMs, as their zones had them; nothing may be done in a zone that is silent. Limits of the nodes in zones as
            these have them, but for what the site level itself told their heads.
        accepted_va: (K,) setpoints in force [VA].
        answering: (H,)
        now_s: monotonic instant of the picture [s].
    """

    forecast: LoadForecast
    bounds: Bounds
    accepted_va: ComplexArray
    answering: BoolArray
    now_s: float


@dataclass(eq=False)
class PictureMaker:
    """Puts pictures together for one site; runs where the zones run, in a fraction of what a solve takes."""

    above: Above
    zones: Sequence[ZoneView]

    def __post_init__(self) -> None:
        self._layout = self.above.layout
        self._parts = [self._part(zone) for zone in self.zones]
        self._loads = OwnLoads(self.above.operators)
        self._head_zone = [way.zone for way in self.above.ways]

    def _part(self, zone: ZoneView) -> ZonePart:
        layout, own = self._layout, zone.layout
        mims = [layout.mim_index[mim.id] for mim in own.mims]
        ports = np.array([k for m in mims for k in range(*layout.ports_of_mim[m].indices(len(layout.ports)))], dtype=np.int64)
        nodes = np.array([layout.node_index[node.id] for node in own.nodes], dtype=np.int64)
        flow = self.above.operators.port_flow.tocsc()[:, ports].tocsr()
        over = {int(n) for way in self.above.ways if way.zone == zone.id for n in way.nodes}
        response = {n: flow[3 * n : 3 * n + 3].toarray() for n in over}
        places = {int(n): g for g, n in enumerate(layout.guarded)}
        pairs = [(g, places[int(nodes[n])]) for g, n in enumerate(own.guarded) if int(nodes[n]) in places]
        guards = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return ZonePart(nodes, ports, np.array(mims, dtype=np.int64), response, own.heads, (guards[:, 0], guards[:, 1]))

    @cached_property
    def _template(self) -> Bounds:
        """Nothing but the ratings of the site, and nobody enabled."""
        layout = self._layout
        return Bounds(
            mim_enabled=np.zeros(len(layout.mims), dtype=np.bool_),
            port_s_max_va=np.zeros(len(layout.ports)),
            mim_neutral_max_a=layout.mim_neutral_rating_a,
            mim_dc_w=np.zeros(len(layout.mims)),
            step_max_va=np.full(len(layout.ports), np.inf),
            node_limit_a=frozen(np.repeat(layout.limit_a[:, None], 3, axis=1)),
            node_neutral_limit_a=layout.neutral_limit_a,
            head_min_import_w=layout.head_min_import_w,
            weights=layout.omega,
        )

    def picture(self, upper: SiteState | None, now_s: float) -> SitePicture:
        """The tree as of the meters above the zones; without any, as of the zones' newest images.

        Args:
            upper: image of the whole site in which only the nodes above the zones are looked at.
        """
        usable = np.zeros(len(self._layout.nodes), dtype=np.bool_)
        gross = np.zeros((len(usable), 3), dtype=np.complex128)
        at_s = self._take_upper(upper, usable, gross)
        answers = [bool(zone.recent) and now_s - zone.recent[-1].state.now_s <= zone.silent_after_s for zone in self.zones]
        arrays = ZoneBounds(self._template)
        for zone, part, answering in zip(self.zones, self._parts, answers, strict=True):
            if answering:
                record = _nearest(zone.recent, at_s)
                known = record.forecast.known
                gross[part.nodes[known]] = zone.operators.flow(record.forecast.load_w + 1j * record.forecast.load_var)[known]
                usable[part.nodes] = known
                arrays.put(part.nodes, part.ports, part.mims, record.bounds)
                arrays.limit(part, zone.recent[-1].bounds, zone.taken)
                arrays.accepted_va[part.ports] = zone.in_force_va(record.state.now_s)
            else:
                arrays.accepted_va[part.ports] = zone.in_force_va(now_s)
            if upper is not None:
                self._add_output(zone, part, upper, usable, gross, answering=answering)
        forecast = self._loads.forecast(gross, usable)
        by_zone = dict(zip((zone.id for zone in self.zones), answers, strict=True))
        answering_heads = np.array([by_zone.get(zone, False) for zone in self._head_zone], dtype=np.bool_)
        bounds = self._fed(arrays.bounds(), answers, now_s)
        if upper is not None:
            silent = [(zone, part) for zone, part, tells in zip(self.zones, self._parts, answers, strict=True) if not tells]
            bounds = self._sure(self._left(bounds, upper), usable, gross, silent, now_s)
        return SitePicture(forecast, bounds, arrays.accepted_va, answering_heads, now_s)

    def _fed(self, bounds: Bounds, answers: Sequence[bool], now_s: float) -> Bounds:
        """Limits that leave what the sources behind transfer devices can give and take back now, as the zones have read them."""
        layout, devices = self._layout, self._layout.site.transfers
        states = [zone.recent[-1].state for zone, tells in zip(self.zones, answers, strict=True) if tells]
        if not devices or not states:
            return bounds
        image = newest_transfers(devices, states)
        old_s = max(layout.site.control.max_data_age_s, *(zone.silent_after_s for zone in self.zones))
        limits = source_limits(layout, replace(states[0], transfers=image), old_s, now_s)
        if limits is None:
            return bounds
        return replace(
            bounds,
            node_limit_a=frozen(np.minimum(bounds.node_limit_a, limits.phase_a)),
            head_min_import_w=frozen(np.maximum(bounds.head_min_import_w, limits.min_import_w)),
        )

    def _sure(
        self, bounds: Bounds, usable: BoolArray, gross: ComplexArray, silent: Sequence[tuple[ZoneView, ZonePart]], now_s: float
    ) -> Bounds:
        """Limits that leave what zones that are silent may do to the flows above them."""
        unsure = np.zeros(gross.shape)
        for zone, part in silent:
            held_va = zone.in_force_va(now_s, sure=True)
            for node, response in part.response.items():
                if usable[node]:
                    unsure[node] += unsure_va(gross[node], response, held_va, self._layout.port_rating_va[part.ports])
        return bounds if not unsure.any() else self._less(bounds, unsure)

    def _less(self, bounds: Bounds, by_va: FloatArray) -> Bounds:
        """Limits (N, 3) that leave so much more [VA]."""
        by_a = by_va / self._layout.voltage_ln_v[:, None]
        return replace(
            bounds,
            node_limit_a=frozen(np.maximum(bounds.node_limit_a - by_a, 0.0)),
            node_neutral_limit_a=frozen(np.maximum(bounds.node_neutral_limit_a - by_a.sum(axis=1), 0.0)),
            head_min_import_w=frozen(bounds.head_min_import_w + by_va[self._layout.guarded].max(axis=1)),
        )

    def _left(self, bounds: Bounds, upper: SiteState) -> Bounds:
        """Limits above the zones without what harmonics take of them, and what estimated and doubted flows may be off by.

        No zone's judge sees these breakers: what is granted is all that they are kept by.
        """
        nodes, above = upper.nodes, ~self.above.zoned & (upper.nodes.quality > Quality.BAD)
        squares = harmonic_squares(nodes, self.above.operators.currents(nodes.import_w + 1j * nodes.import_var))
        phase_a2, neutral_a2 = (np.where(np.isfinite(a2), np.maximum(a2, 0.0), 0.0) for a2 in squares)
        phase_a = np.sqrt(np.maximum(bounds.node_limit_a**2 - phase_a2, 0.0))
        neutral_a = np.sqrt(np.maximum(bounds.node_neutral_limit_a**2 - neutral_a2, 0.0))
        bounds = replace(
            bounds,
            node_limit_a=frozen(np.where(above[:, None], phase_a, bounds.node_limit_a)),
            node_neutral_limit_a=frozen(np.where(above, neutral_a, bounds.node_neutral_limit_a)),
        )
        margin_va = nodes.margin_va()
        if margin_va is None:
            return bounds
        # nobody knows how far it is off: then all of it may be spoken for
        margin_va = np.where(np.isfinite(margin_va), margin_va, np.finfo(np.float32).max)
        less = self._less(bounds, np.where(above[:, None], margin_va, 0.0))
        # of what heads feed back the zones know better than a meter that nobody believes
        return replace(less, head_min_import_w=bounds.head_min_import_w)

    def _take_upper(self, upper: SiteState | None, usable: BoolArray, gross: ComplexArray) -> float | None:
        """Net flows of the nodes outside the zones; when they were measured."""
        if upper is None:
            return None
        fine = (upper.nodes.quality > Quality.BAD) & ~self.above.zoned
        usable |= fine
        gross[fine] = (upper.nodes.import_w + 1j * upper.nodes.import_var)[fine]
        return float(np.median(upper.nodes.taken_at_s[fine])) if fine.any() else None

    def _add_output(
        self, zone: ZoneView, part: ZonePart, upper: SiteState, usable: BoolArray, gross: ComplexArray, *, answering: bool
    ) -> None:
        """What the zone's MIMs put out at the instant of each meter above it, added back: load, not net flow."""
        outputs: dict[float, ComplexArray] = {}
        for node, response in part.response.items():
            if not usable[node]:
                continue
            at_s = float(upper.nodes.taken_at_s[node])
            if at_s not in outputs:
                outputs[at_s] = zone.output_va(at_s) if answering else zone.in_force_va(at_s)
            gross[node] += response @ np.nan_to_num(outputs[at_s])


def _nearest(recent: Sequence[DecisionRecord], at_s: float | None) -> DecisionRecord:
    """The decision whose meters were read nearest to an instant; of two that are as near the newer one."""
    if at_s is None:
        return recent[-1]

    def away_s(record: DecisionRecord) -> float:
        taken_s = record.state.nodes.taken_at_s[record.forecast.known]
        taken_s = taken_s[np.isfinite(taken_s)]  # what is estimated was taken at no instant
        return abs(float(np.median(taken_s)) - at_s) if len(taken_s) else np.inf

    return min(reversed(recent), key=away_s)
