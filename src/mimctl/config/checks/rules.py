"""Rules: windows that never open, rules that do nothing, and rules that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimctl.config.build_rules import build_window
from mimctl.config.draft import Draft
from mimctl.config.rule_view import (
    RestraintView,
    Surroundings,
    above_zones,
    balance_of,
    restraints_of,
    zones_of,
)
from mimctl.config.schema_rules import HarmonicItem, LimitItem, LockItem, RampItem, RelianceItem, ReserveItem
from mimctl.model.problem import Problem, error, warning
from mimctl.model.rules import Window
from mimctl.model.week import covered, opens, overlap

_NEEDED = {
    LimitItem: ("max_a", "max_load_pct", "max_neutral_a", "min_import_w", "max_import_w"),
    ReserveItem: ("rating_pct", "soc_pct", "spare_mims"),
    RampItem: ("max_w_per_s", "max_current_a_per_s"),
    HarmonicItem: ("max_share_pct", "reserve_pct", "thd_v_pct", "tdd_pct"),
}


def check_windows_open(draft: Draft) -> Iterator[Problem]:
    """`rule.window_never`: dates between which none of the window's days comes."""
    for i, rule in enumerate(draft.file.rules):
        window, path = build_window(rule.window), f"{draft.path('rules', i)}.window"
        if window.first_day is not None and window.last_day is not None and window.last_day < window.first_day:
            yield error("rule.window_never", f"{path}.last_day", f"the window ends before it begins on {window.first_day}")
        elif not opens(window):
            text = f"none of its days comes between {window.first_day} and {window.last_day}: it never opens"
            yield error("rule.window_never", f"{path}.days" if rule.window.days else path, text)


def check_something_is_said(draft: Draft) -> Iterator[Problem]:
    """`rule.empty`: a rule that takes nothing away."""
    for view in restraints_of(draft):
        keys = _NEEDED.get(type(view.item), ())
        if keys and not any(key in view.item.model_fields_set for key in keys):
            yield error("rule.empty", view.path, f"'{view.item.id}' takes nothing away: give {_words(keys)}, or drop it")


def _words(keys: tuple[str, ...]) -> str:
    short = [key.removesuffix("_per_s").removesuffix("_a").removesuffix("_pct").removesuffix("_w") for key in keys]
    names = list(dict.fromkeys(f"'{name}'" for name in short))
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def check_places_are_in_zones(draft: Draft) -> Iterator[Problem]:
    """`rule.outside_zones`: a node beside the zones, or above them where the site level acts on limits alone."""
    heads = ", ".join(f"'{head}'" for _, _, head in draft.zone_heads)
    for view in restraints_of(draft):
        if not isinstance(view.item, LimitItem | RelianceItem | RampItem):
            continue
        kept = above_zones(draft) if isinstance(view.item, LimitItem) else frozenset()
        for node in view.place.nodes:
            if node in draft.tree.supply and node not in draft.zone_of_node and node not in kept:
                text = f"'{node}' is in no zone: name the heads of zones ({heads}) or what stands below them"
                yield error("rule.outside_zones", _at(view, node), text)


def _at(view: RestraintView, node: str) -> str:
    """Where a rule names a node, itself or as the head of a feed."""
    heads = {feed.id: feed.node for feed in view.draft.file.feeds}
    for n, name in enumerate(view.item.nodes or ()):
        if name == node:
            return f"{view.path}.nodes[{n}]"
    for n, name in enumerate(view.item.feeds or ()):
        if heads.get(name) == node:
            return f"{view.path}.feeds[{n}]"
    return view.path


def check_least_import_is_at_heads(draft: Draft) -> Iterator[Problem]:
    """`rule.min_import_place`: a least import is kept where the zone meets what is above it, and nowhere else."""
    heads = {head for _, _, head in draft.zone_heads}
    for view in restraints_of(draft):
        if not isinstance(view.item, LimitItem) or view.item.min_import_w is None:
            continue
        for node in view.nodes:
            if node not in heads:
                text = f"a least import is kept at the heads of zones ({', '.join(sorted(heads))}), not at '{node}'"
                yield error("rule.min_import_place", f"{view.path}.min_import_w", text)


def check_some_mim_is_reached(draft: Draft) -> Iterator[Problem]:
    """`rule.no_mim`: a rule about MIMs in a place that has none."""
    if draft.unclear("mims", "id"):
        return
    for view in restraints_of(draft):
        if not isinstance(view.item, LimitItem) and not view.mims & view.around.port_nodes.keys():
            yield warning("rule.no_mim", view.path, f"'{view.item.id}' reaches no MIM: it does nothing; name places that have some")


def check_reserve_leaves_some(draft: Draft) -> Iterator[Problem]:
    """`rule.reserve_all`: nothing left to work with."""
    zones = Surroundings(draft).zones_of_mims
    batteries = {battery.mim: battery for battery in draft.file.batteries}
    for view in restraints_of(draft):
        item = view.item
        if not isinstance(item, ReserveItem):
            continue
        if item.rating_pct == 100:
            text = "with 100 % kept free no MIM does anything: say less, or make it a rule of type lock"
            yield warning("rule.reserve_all", f"{view.path}.rating_pct", text)
        for zone in zones_of(draft):
            there = sum(1 for mim in view.mims if zones.get(mim) == zone)
            if item.spare_mims and 0 < there <= item.spare_mims:
                text = f"{item.spare_mims} spare MIMs of the {there} that it reaches in the zone '{zone}': none would work"
                yield error("rule.reserve_all", f"{view.path}.spare_mims", text)
        for mim in sorted(view.mims & batteries.keys()):
            battery = batteries[mim]
            if item.soc_pct is not None and item.soc_pct >= battery.max_soc_pct:
                text = f"'{battery.id}' is charged to {battery.max_soc_pct:g} % at most: it would never be discharged; say less"
                yield error("rule.reserve_all", f"{view.path}.soc_pct", text)


def check_limits_bite(draft: Draft) -> Iterator[Problem]:
    """`rule.no_effect`: a limit that the ratings keep anyway."""
    for view in restraints_of(draft):
        if isinstance(view.item, LimitItem):
            yield from _loose_limits(view, view.item)
        elif isinstance(view.item, RampItem) and view.item.max_w_per_s is not None:
            yield from _loose_ramp(view, view.item.max_w_per_s)
        elif isinstance(view.item, ReserveItem) and view.item.soc_pct is not None:
            own = [b for b in draft.file.batteries if b.mim in view.mims]
            if all(view.item.soc_pct <= b.reserve_pct for b in own):
                text = "no battery that it acts on has a smaller reserve of its own" if own else "it acts on no battery"
                yield warning("rule.no_effect", f"{view.path}.soc_pct", f"{text}: drop it")


def _loose_limits(view: RestraintView, item: LimitItem) -> Iterator[Problem]:
    tree, tight = view.draft.tree, {"max_a": False, "max_load_pct": False, "max_neutral_a": False, "max_import_w": False}
    for name in view.nodes:
        node, supply = tree.nodes[name], tree.supply[name]
        limit_a = node.rating_a * node.continuous_factor
        neutral_a = node.rating_a if node.neutral_rating_a is None else node.neutral_rating_a
        tight["max_a"] |= item.max_a is not None and item.max_a < limit_a
        tight["max_load_pct"] |= item.max_load_pct is not None and item.max_load_pct < 100 * node.continuous_factor
        tight["max_neutral_a"] |= item.max_neutral_a is not None and supply.neutral and item.max_neutral_a < neutral_a
        tight["max_import_w"] |= item.max_import_w is not None and item.max_import_w < limit_a * supply.voltage_ln_v
    for key, bites in tight.items():
        if not bites and getattr(item, key) is not None and view.nodes:
            text = f"{_named(view.nodes)} may not carry more anyway (rating × continuous_factor): say less, or drop it"
            yield warning("rule.no_effect", f"{view.path}.{key}", text)


def _loose_ramp(view: RestraintView, most_w_per_s: float) -> Iterator[Problem]:
    if view.place.nodes:  # what several MIMs do together
        return
    own = [mim.ramp_w_per_s for mim in view.draft.file.mims if mim.id in view.mims]
    if own and all(ramp is not None and ramp <= most_w_per_s for ramp in own):
        text = "every MIM that it acts on is slower by its own ramp: say less, or drop it"
        yield warning("rule.no_effect", f"{view.path}.max_w_per_s", text)


def _named(nodes: tuple[str, ...]) -> str:
    return f"'{nodes[0]}'" if len(nodes) == 1 else f"'{nodes[0]}' and {len(nodes) - 1} others"


def check_limits_agree(draft: Draft) -> Iterator[Problem]:
    """`rule.contradiction`: so much must flow in at least, and less may at most, at the same time."""
    views = [view for view in restraints_of(draft) if isinstance(view.item, LimitItem)]
    for least in views:
        for most in views:
            yield from _disagreement(least, most)


def _disagreement(least: RestraintView, most: RestraintView) -> Iterator[Problem]:
    if not isinstance(least.item, LimitItem) or not isinstance(most.item, LimitItem) or least.item.min_import_w is None:
        return
    for name in set(least.nodes) & set(most.nodes):
        most_w = _most_w(most, most.item, name)
        if least.item.min_import_w <= most_w or not (least is most or overlap(least.window, most.window)):
            continue
        sometimes = least is not most and (least.item.when is not None or most.item.when is not None)
        how = "may be" if sometimes else "are"
        whose = "its own upper limit" if least.path == most.path else f"the limit of '{most.item.id}'"
        text = (
            f"at least {least.item.min_import_w:g} W into each phase of '{name}', but {whose} leaves {most_w:.0f} W; both {how} in "
            "force at once: change one figure or one window"
        )
        yield (warning if sometimes else error)("rule.contradiction", f"{least.path}.min_import_w", text)
        return


def _most_w(view: RestraintView, item: LimitItem, node: str) -> float:
    """What a rule leaves to each phase of a node [W]."""
    voltage_v, rating_a = view.draft.tree.supply[node].voltage_ln_v, view.draft.tree.nodes[node].rating_a
    found = (
        item.max_import_w,
        None if item.max_a is None else item.max_a * voltage_v,
        None if item.max_load_pct is None else item.max_load_pct / 100 * rating_a * voltage_v,
    )
    return min((watts for watts in found if watts is not None), default=float("inf"))


def check_balance_is_not_locked(draft: Draft) -> Iterator[Problem]:
    """`rule.always_locked`: a rule that balances a zone only while others have all its MIMs locked."""
    locks = [view for view in restraints_of(draft) if isinstance(view.item, LockItem) and view.item.when is None]
    own = Surroundings(draft).zones_of_mims
    rules = [(path, item.id, item.zones or zones_of(draft), build_window(item.window)) for path, item in balance_of(draft)]
    for path, name, zones, window in rules or [("rules", "balance", zones_of(draft), Window())]:
        for zone in zones:
            mims = [mim for mim, of in own.items() if of == zone]
            if mims and all(covered(window, [lock.window for lock in locks if mim in lock.mims]) for mim in mims):
                named = ", ".join(f"'{lock.item.id}'" for lock in locks if lock.mims & set(mims))
                text = f"while '{name}' balances the zone '{zone}', {named} has all its MIMs locked: change a window, or drop one"
                yield error("rule.always_locked", path, text)


def check_balance_is_taken(draft: Draft) -> Iterator[Problem]:
    """`rule.never_taken`: a balance rule behind others that are open whenever it is, for the first one is taken."""
    rules = [(path, item, set(item.zones or zones_of(draft))) for path, item in balance_of(draft)]
    for n, (path, item, zones) in enumerate(rules):
        before = [(other, build_window(other.window), where) for _, other, where in rules[:n] if other.when is None]
        if zones and all(covered(build_window(item.window), [w for _, w, where in before if zone in where]) for zone in zones):
            first = next(other.id for other, _, where in before if where & zones)
            text = f"'{first}' comes first and is open whenever '{item.id}' is: it is never taken; put it before, or drop one"
            yield warning("rule.never_taken", path, text)


def check_same_twice(draft: Draft) -> Iterator[Problem]:
    """`rule.twice`: two rules that say the same of the same place at the same time."""
    first: dict[str, str] = {}
    for view in restraints_of(draft):
        said = repr(view.item.model_copy(update={"id": "", "nodes": None, "feeds": None, "zones": None}))
        same = first.setdefault(f"{said} at {view.place}", view.item.id)
        if same != view.item.id:
            yield warning("rule.twice", view.path, f"'{view.item.id}' says what '{same}' says already: drop one")


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    check_windows_open,
    check_something_is_said,
    check_places_are_in_zones,
    check_least_import_is_at_heads,
    check_some_mim_is_reached,
    check_reserve_leaves_some,
    check_limits_bite,
    check_limits_agree,
    check_balance_is_not_locked,
    check_balance_is_taken,
    check_same_twice,
)
