"""Limits that bind, with their prices, in the reader's units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mimctl.control.explain.numbers import Numbers
from mimctl.control.explain.words import gain
from mimctl.model.bounds import Bounds
from mimctl.model.layout import FloatArray, SiteLayout
from mimctl.model.plan import ActiveConstraint
from mimctl.model.site import Mim, Site

#: a current that is over by less than this share of its limit is at it
_OVER, _OVER_W = 1e-3, 1.0
#: a limit with more room than this share of the breaker does not bind: beside an overload, whose price is
#: a million times that of balance, the solver's last digits are left as prices of limits nobody is at
_ROOM = 0.05
#: a limit is taken away by making it so many times as wide
_WIDE = 1e3
_NODE_KINDS = ("node_current", "node_neutral", "head_import")


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit that binds.

    Args:
        node, mim: where it stands, by index; one of them is None.
        place: phase column 0 to 2, None for a neutral; of a port its number among the MIM's, from 0.
        value, allowed: what the plan makes of it, and what it may [A; W for backfeed].
        per_unit: what J, as control weighs it, falls by for each further unit allowed.
        over: the plan passes it all the same, so the price is that of the overload, not of balance.
    """

    kind: str
    node: int | None
    mim: int | None
    place: int | None
    value: float
    allowed: float
    per_unit: float
    over: bool
    text: str


class Limits:
    """Those of one remembered solve."""

    def __init__(self, numbers: Numbers) -> None:
        self._n = numbers

    @cached_property
    def _flow_a(self) -> FloatArray:
        return np.asarray(np.abs(self._n.flow(self._n.plan_va)) / self._n.layout.voltage_ln_v[:, None])

    @cached_property
    def _present(self) -> float:
        """J as it was weighed; zero where something stays overloaded, for then prices are those of the overload."""
        return 0.0 if self._overloaded else self._n.weighted(self._n.flow(self._n.plan_va))

    @cached_property
    def _overloaded(self) -> bool:
        n, bounds = self._n, self._n.bounds
        most_a = (1 - n.settings.margin) * (1 + _OVER) * bounds.node_limit_a
        over = (self._flow_a > most_a) & n.balancer.frame.limited & n.usable[:, None]
        least_w = bounds.head_min_import_w[:, None] - _OVER_W
        return bool(over.any() or (n.flow(n.plan_va)[n.layout.guarded].real < least_w).any())

    @cached_property
    def all(self) -> tuple[Limit, ...]:
        """Every one, dearest first."""
        every = (self._limit(constraint) for constraint in self._n.active)
        # where the flow is not known nobody can tell what binds
        known = (limit for limit in every if limit.node is None or self._n.usable[limit.node])
        return tuple(limit for limit in known if not self._has_room(limit))

    def _has_room(self, limit: Limit) -> bool:
        if limit.node is None or limit.over:
            return False
        if limit.kind == "head_import":
            breaker_w = self._n.layout.nodes[limit.node].rating_a * float(self._n.layout.voltage_ln_v[limit.node])
            return limit.value - limit.allowed > _ROOM * breaker_w
        return limit.value < (1 - _ROOM) * (1 - self._n.settings.margin) * limit.allowed

    def of_mim(self, mim: int) -> list[Limit]:
        """Its own, and those of the nodes at and above its ports."""
        way = set(self._n.way_of(mim))
        return [limit for limit in self.all if limit.mim == mim or limit.node in way]

    def at_node(self, node: int) -> list[Limit]:
        return [limit for limit in self.all if limit.node == node]

    def _limit(self, constraint: ActiveConstraint) -> Limit:
        if constraint.kind in _NODE_KINDS:
            name, _, place = constraint.where.rpartition(".")
            node = self._n.layout.node_index[name]
            column = None if place == "N" else int(place[1]) - 1
            return self._node_limit(constraint, node, column)
        if constraint.kind == "mim_neutral":
            return self._neutral_of_mim(constraint)
        name, _, port = constraint.where.rpartition(".port")
        return self._port(constraint, self._n.layout.mim_index[name], int(port) - 1)

    def _node_limit(self, constraint: ActiveConstraint, node: int, column: int | None) -> Limit:
        layout, bounds, margin = self._n.layout, self._n.bounds, self._n.settings.margin
        name = layout.nodes[node].id
        if constraint.kind == "head_import":
            return self._head(constraint, node, column or 0)
        if column is None:
            value = float(self._n.neutral_a(self._n.flow(self._n.plan_va))[node])
            full, what = float(bounds.node_neutral_limit_a[node]), f"the neutral of {name}"
        else:
            value, full = float(self._flow_a[node, column]), float(bounds.node_limit_a[node, column])
            what = f"{name} L{column + 1}"
        allowed, over = (1 - margin) * full, value > (1 - margin) * full * (1 + _OVER)
        per_unit = (1 - margin) * constraint.price
        of = f"{value:.1f} A planned, {full:.1f} A allowed ({allowed:.1f} A with {100 * margin:.0f} % kept for forecasts that err)"
        if over:
            text = f"{what} stays over its limit: {of}; the MIMs below can take no more away"
        else:
            text = f"{what} is full: {of}; {gain(per_unit, self._present)}"
        return Limit(constraint.kind, node, None, column, value, full, per_unit, over, text)

    def _head(self, constraint: ActiveConstraint, node: int, column: int) -> Limit:
        layout = self._n.layout
        least = float(self._n.bounds.head_min_import_w[list(layout.guarded).index(node)])
        value = float(self._n.flow(self._n.plan_va)[node, column].real)
        what = f"{layout.nodes[node].id} L{column + 1}"
        text = f"{what} must import at least {least:z.0f} W, and {value:z.0f} W are planned"
        over = value < least - _OVER_W
        text += ": the MIMs below can do no more" if over else f"; {gain(constraint.price, self._present, 'W')}"
        return Limit(constraint.kind, node, None, column, value, least, constraint.price, over, text)

    def _neutral_of_mim(self, constraint: ActiveConstraint) -> Limit:
        mim = self._n.layout.mim_index[constraint.where]
        full = float(self._n.bounds.mim_neutral_max_a[mim])
        text = f"the neutral of {constraint.where} is full at {full:.1f} A; {gain(constraint.price, self._present)}"
        return Limit(constraint.kind, None, mim, None, full, full, constraint.price, False, text)

    def _port(self, constraint: ActiveConstraint, mim: int, port: int) -> Limit:
        layout = self._n.layout
        k = layout.ports_of_mim[mim].start + port
        volts, spec = float(layout.port_voltage_v[k]), layout.ports[k]
        per_unit = constraint.price * volts
        value = abs(self._n.plan_va[k]) / volts
        where = f"port {port + 1} of {layout.mims[mim].id} ({spec.node} {spec.connection.value})"
        if constraint.kind == "step":
            full = float(self._n.bounds.step_max_va[k]) / volts
            text = f"{where} moves as far as it may in one cycle, {full:.1f} A; {gain(per_unit, self._present)}"
            return Limit(constraint.kind, None, mim, port, full, full, per_unit, False, text)
        full = float(self._n.bounds.port_s_max_va[k]) / volts
        rated = float(layout.port_rating_va[k]) / volts
        of = f"its rating of {rated:.1f} A" if full >= rated * (1 - _OVER) else f"{full:.1f} A, less than its {rated:.1f} A rated"
        text = f"{where} is at {of}; {gain(per_unit, self._present)}"
        return Limit(constraint.kind, None, mim, port, value, full, per_unit, False, text)


def relieved(bounds: Bounds, limit: Limit, layout: SiteLayout) -> Bounds:
    """The bounds without one limit; the rating of a port is relieved by `site_relieved` beside it."""
    match limit.kind:
        case "node_current" if limit.node is not None and limit.place is not None:
            most_a = bounds.node_limit_a.copy()
            most_a[limit.node, limit.place] *= _WIDE
            return replace(bounds, node_limit_a=most_a)
        case "node_neutral":
            most = bounds.node_neutral_limit_a.copy()
            most[limit.node] = np.inf
            return replace(bounds, node_neutral_limit_a=most)
        case "head_import":
            least = bounds.head_min_import_w.copy()
            least[list(layout.guarded).index(limit.node)] = -np.inf
            return replace(bounds, head_min_import_w=least)
        case "mim_neutral":
            most = bounds.mim_neutral_max_a.copy()
            most[limit.mim] = np.inf
            return replace(bounds, mim_neutral_max_a=most)
    k = _port_of(limit, layout)
    if limit.kind == "step":
        step = bounds.step_max_va.copy()
        step[k] = np.inf
        return replace(bounds, step_max_va=step)
    radius = bounds.port_s_max_va.copy()
    radius[k] = _WIDE * layout.port_rating_va[k]
    return replace(bounds, port_s_max_va=radius)


def site_relieved(site: Site, limit: Limit) -> Site:
    """The site with a port that has no rating worth the name, where that is the limit; else the site itself."""
    if limit.kind != "port_rating" or limit.mim is None or limit.place is None:
        return site
    mim: Mim = site.mims[limit.mim]
    ports = tuple(replace(p, rating_va=10 * p.rating_va) if i == limit.place else p for i, p in enumerate(mim.ports))
    wider = replace(mim, ports=ports)
    return replace(site, mims=tuple(wider if m is mim else m for m in site.mims))


def _port_of(limit: Limit, layout: SiteLayout) -> int:
    return int(layout.ports_of_mim[limit.mim or 0].start) + (limit.place or 0)
