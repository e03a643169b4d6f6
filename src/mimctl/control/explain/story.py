"""The parts that explanations are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mimctl.control.explain.case import AboveCase, Case, Question, near
from mimctl.control.explain.limits import Limit, Limits
from mimctl.control.explain.numbers import Numbers
from mimctl.control.explain.reasons import Reasons
from mimctl.control.explain.without import Alternative
from mimctl.control.explain.words import clock, counted, heavy, joined, objective, phases, places, seconds
from mimctl.grid.failover import Failover
from mimctl.model.bounds import Restriction, UpstreamPrice
from mimctl.model.layout import FloatArray
from mimctl.model.phases import PHASES

_NARROWER = 1e-4


@dataclass(frozen=True, slots=True)
class Section:
    """Sentences under one heading."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One decision and what follows from it."""

    case: Case
    numbers: Numbers
    limits: Limits
    reasons: Reasons

    @classmethod
    def of(cls, case: Case) -> View:
        numbers = Numbers(case.site, case.record.solve)
        limits = Limits(numbers)
        return cls(case, numbers, limits, Reasons(case, numbers, limits))


def when(case: Case | AboveCase, question: Question) -> list[str]:
    """Which decision this is, and how far from the one that was asked for."""
    record = case.record if isinstance(case, Case) else case.solve
    zone, site = "the site level", case.site
    oldest, _, count = case.remembered
    if isinstance(case, Case):
        zone = f"zone {case.record.zone}, cycle {case.record.number}"
    lines = [f"{clock(record.utc, site.timezone)}, {zone}"]
    if question.asked is None:
        return lines
    off_s = (record.utc - question.asked).total_seconds()
    near_s = near(case).total_seconds()
    if question.asked < oldest and abs(off_s) > near_s:
        began = clock(oldest, site.timezone)
        lines.append(
            f"nothing older than {began} is remembered ({counted(count, 'decision')}); this is the nearest, {seconds(off_s)} later"
        )
    elif abs(off_s) > near_s:
        lines.append(
            f"the nearest decision that is remembered is {seconds(abs(off_s))} {'later' if off_s > 0 else 'earlier'} than asked"
        )
    return lines


def node_line(n: Numbers, node: int, power_va: Any, how: str = "as set") -> str:
    """What a node's load draws, which phase is heavy, and what the setpoints make of it."""
    name = n.layout.nodes[node].id
    alone, with_mims = n.amps(n.flow())[node], n.amps(n.flow(power_va))[node]
    if np.isnan(alone).any():
        return f"{name}: its flow is not known, so it counts for nothing"
    there = n.layout.nodes[node].phases
    uneven = f", {heavy(alone)}" if len(there) == len(PHASES) else ""
    return f"{name}: the loads alone draw {places(alone, there)}{uneven}; with the MIMs {how} {places(with_mims, there)}"


def neutral_lines(n: Numbers, node: int, power_va: Any) -> list[str]:
    """What returns through the neutral of a node that has one; harmonics left out."""
    if n.layout.nodes[node].neutral_rating_a is None or not n.usable[node]:
        return []
    alone, with_mims = (n.neutral_a(n.flow(power))[node] for power in (None, power_va))
    return [f"its neutral: the loads alone {alone:.1f} A, with the MIMs as set {with_mims:.1f} A, harmonics left out"]


def measured_lines(view: View, node: int) -> list[str]:
    """What its meter showed, the MIMs included."""
    record, name = view.case.record, view.numbers.layout.nodes[node].id
    amps, there = np.asarray(record.current_a[node], dtype=np.float64), view.numbers.layout.nodes[node].phases
    if np.isnan(amps).all():
        return []
    rms = " rms" if len(there) == len(PHASES) else " (rms)"
    return [f"{name} was {'estimated' if record.estimated[node] else 'measured'} at {places(amps, there)}{rms}"]


def limit_lines(view: View, limits: Sequence[Limit], most: int = 12) -> list[str]:
    """Each that binds, with its price and who made it narrower than the breaker."""
    named: dict[str, str] = {}
    lines = [limit.text + _narrowed_by(view, limit, named) for limit in limits[:most]]
    more = len(limits) - most
    return [*lines, *([f"… and {more} more limits that bind, each worth less"] if more > 0 else [])]


def _narrowed_by(view: View, limit: Limit, named: dict[str, str]) -> str:
    """Who made it narrower than the ratings, where somebody did.

    Args:
        named: what was said so far and where: nothing is said twice. Grows.
    """
    n = view.numbers
    if limit.node is None or limit.kind == "head_import":
        return ""
    own = float(n.layout.limit_a[limit.node] if limit.place is not None else n.layout.neutral_limit_a[limit.node])
    if limit.allowed >= own * (1 - _NARROWER):
        return ""
    told = told_at(n, limit.node)
    by = "; ".join(f"{r.reason.text} [{r.reason.code}]" for r in told) or _silent_owner(view, limit.node)
    if by in named:
        return f" (its breaker allows {own:.1f} A for hours; narrowed as at {named[by]})"
    named[by] = n.layout.nodes[limit.node].id + ("" if limit.place is None else f" L{limit.place + 1}")
    return f" (its breaker allows {own:.1f} A for hours; narrowed by: {by})"


def told_at(n: Numbers, node: int) -> list[Restriction]:
    """What was said about one node; what is said of a whole zone is about its heads."""
    site = n.layout.site
    names = {n.layout.nodes[node].id} | ({zone.id for zone in site.zones} if node in n.layout.heads else set())
    return [r for r in n.bounds.restrictions if r.where in names]


def _silent_owner(view: View, node: int) -> str:
    """Who narrows a node without a word: losses of a feed, unmetered load where there is no meter, the site level at heads."""
    n, found = view.numbers, []
    feeds = {feed.node: feed.id for feed in n.layout.site.feeds}
    for loss in Failover(n.operators).losses:
        if loss.reached[node]:
            head = n.layout.nodes[loss.head].id
            found.append(f"the room kept for what comes over when feed {feeds.get(head, head)} is lost")
    if n.layout.meter_of_node[node] is None:
        found.append("the room kept for load that no meter places")
    if node in n.layout.heads and n.bounds.upstream:
        found.append("the share that the site level grants this head")
    return joined(found) if found else "a rule or lease at a place above it"


def narrowed_nodes(view: View, nodes: Sequence[int]) -> list[str]:
    """Nodes that may carry less than their breakers allow, where no limit that binds has told it yet."""
    n, lines = view.numbers, []
    for node in nodes:
        own, now = float(n.layout.limit_a[node]), n.bounds.node_limit_a[node]
        if now.min() < own * (1 - _NARROWER) and not told_at(n, node):
            lines.append(f"{n.layout.nodes[node].id} may carry {phases(now)} instead of {own:.1f} A: {_silent_owner(view, node)}")
    return lines


def alternatives_table(n: Numbers, found: Sequence[Alternative], nodes: Sequence[int]) -> list[str]:
    """One line for each way that it might have gone."""
    shown = [n.layout.nodes[node] for node in nodes]
    width = max(len(a.what) for a in found)
    lines = []
    for a in found:
        currents = ", ".join(f"{node.id} {places(amps, node.phases)}" for node, amps in zip(shown, a.amps, strict=True))
        lines.append(f"{a.what:<{width}}  J {objective(a.objective):<9} {currents}")
    if not n.agrees:
        lines.append(
            "the plan cannot be worked out again as it was (classes planned one after another, or moves made in parts): what is "
            "'planned anew' is planned for all MIMs at once"
        )
    return lines


def price_above(view: View, node: int) -> list[str]:
    """What the grid above the head over a node was worth to this zone."""
    n = view.numbers
    head = n.path(node)[-1]
    position = list(n.layout.heads).index(head)
    price = n.bounds.upstream[position] if position < len(n.bounds.upstream) else None
    if price is None:
        return []
    name = n.layout.nodes[head].id
    per_w = _marginal(price, n.flow(n.plan_va)[head])
    volts = float(n.layout.voltage_ln_v[head])
    dear, cheap = int(np.argmax(per_w)), int(np.argmin(per_w))
    moved = (per_w[dear] - per_w[cheap]) * volts
    who = "the site level has told no valid price: the rest of the tree is taken for balanced"
    left_s = price.expires_at_s - view.case.record.now_s
    if np.isfinite(left_s):
        who = f"by the site level's last word, valid for {seconds(max(0.0, left_s))} more"
    where = f"above {name} an ampere is dearest on {PHASES[dear]} and cheapest on {PHASES[cheap]}"
    return [f"{where}: one moved would lower the site's J by {moved:.2g} ({who})"]


def _marginal(price: UpstreamPrice, flow_va: Any) -> FloatArray:
    """(3,) J above per watt more on each phase of the head [1/W]."""
    here = np.stack([flow_va.real, flow_va.imag], axis=-1).reshape(-1)
    return np.asarray((price.gradient + price.curvature @ (here - price.at))[0::2])
