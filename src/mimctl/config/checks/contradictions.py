"""Figures that say the same twice, or that leave each other nothing to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimctl.config.draft import Draft
from mimctl.config.rule_view import RestraintView, balance_of, restraints_of, zones_of
from mimctl.config.schema_rules import HarmonicItem, LimitItem, RampItem, RelianceItem
from mimctl.model.connection import Connection
from mimctl.model.problem import Problem, warning

#: a control weight beyond this is a slip of the finger
_MOST_WEIGHT = 100.0
#: the fields behind the words of a rule
_FIELDS: dict[tuple[type, str], str] = {
    (LimitItem, "max"): "max_a",
    (LimitItem, "max_load"): "max_load_pct",
    (LimitItem, "max_import"): "max_import_w",
    (RampItem, "max"): "max_w_per_s",
    (RampItem, "max_current"): "max_current_a_per_s",
}


def check_limits_said_twice(draft: Draft) -> Iterator[Problem]:
    """`rule.said_twice`: several limits of the same current in one rule, of which one always holds."""
    for view in restraints_of(draft):
        if isinstance(view.item, LimitItem) and view.nodes:
            yield from _twice(view, [(name, _limits_a(draft, view.item, name)) for name in view.nodes], "A")
        elif isinstance(view.item, RampItem) and not view.place.nodes:
            yield from _twice(view, _ramps(draft, view, view.item), "W/s")


def _limits_a(draft: Draft, item: LimitItem, name: str) -> dict[str, float]:
    """What each limit of the phase current comes to at a node [A]."""
    node, voltage_v = draft.tree.nodes[name], draft.tree.supply[name].voltage_ln_v
    given = {
        "max": item.max_a,
        "max_load": None if item.max_load_pct is None else item.max_load_pct / 100 * node.rating_a,
        "max_import": None if item.max_import_w is None else item.max_import_w / voltage_v,
    }
    return {key: value for key, value in given.items() if value is not None}


def _ramps(draft: Draft, view: RestraintView, item: RampItem) -> list[tuple[str, dict[str, float]]]:
    """What each ramp comes to at the ports that the rule acts on [W/s]."""
    if item.max_w_per_s is None or item.max_current_a_per_s is None:
        return []
    found: dict[str, dict[str, float]] = {}
    for _, mim, port in draft.ports():
        supply = draft.tree.supply.get(port.node)
        if mim.id in view.mims and supply is not None:
            parts = 3 if port.connection is Connection.THREE_PHASE else 1
            volts = parts * port.connection.nominal_voltage_v(supply.voltage_ln_v)
            found[mim.id] = {"max": item.max_w_per_s, "max_current": item.max_current_a_per_s * volts}
    return list(found.items())


def _twice(view: RestraintView, by_place: list[tuple[str, dict[str, float]]], unit: str) -> Iterator[Problem]:
    """One problem for each key that is nowhere the smallest."""
    if not by_place or len(by_place[0][1]) < 2:
        return
    least_of = [min(values, key=values.__getitem__) for _, values in by_place]
    (place, values), least = by_place[0], least_of[0]
    for key in values:
        if key in least_of:
            continue
        how = "is the same" if values[key] == values[least] else "is less everywhere"
        text = (
            f"'{key}' and '{least}' limit the same: {values[key]:.4g} {unit} and {values[least]:.4g} {unit} at '{place}'; "
            f"'{least}' {how}, so '{key}' does nothing: drop it"
        )
        yield warning("rule.said_twice", f"{view.path}.{_FIELDS[type(view.item), key]}", text)


def check_no_current_at_all(draft: Draft) -> Iterator[Problem]:
    """`rule.limit_zero`: MIMs move load from phase to phase; they cannot make it go away."""
    for view in restraints_of(draft):
        if not isinstance(view.item, LimitItem):
            continue
        for key in ("max_a", "max_load_pct", "max_import_w"):
            if getattr(view.item, key) == 0:
                text = "nothing at all may flow there: MIMs move load between phases and cannot take it away; say what may"
                yield warning("rule.limit_zero", f"{view.path}.{key}", text)


def check_filters_that_may_not_work(draft: Draft) -> Iterator[Problem]:
    """`rule.contradiction`: a limit of distortion beside a share of 0 for those who would keep it."""
    for view in restraints_of(draft):
        if isinstance(view.item, HarmonicItem) and view.item.max_share_pct == 0:
            asked = [key for key in ("thd_v_pct", "tdd_pct", "reserve_pct") if getattr(view.item, key)]
            if asked:
                short = asked[0].removesuffix("_pct")
                text = f"with max_share 0 % no filter works, so nobody does anything for '{short}': drop one of the two"
                yield warning("rule.contradiction", f"{view.path}.{asked[0]}", text)


def check_reliance_says_something(draft: Draft) -> Iterator[Problem]:
    """`rule.no_effect`: reliance for a time but on nothing, for no time, or on more than breakers carry anyway."""
    for view in restraints_of(draft):
        item = view.item
        if not isinstance(item, RelianceItem):
            continue
        if item.max_a == 0 and "max_per_day_s" in item.model_fields_set:
            text = "with max 0 A nothing may rest on MIMs at any time, so max_per_day says nothing: give max, or drop this"
            yield warning("rule.no_effect", f"{view.path}.max_per_day_s", text)
        elif item.max_a > 0 and item.max_per_day_s == 0:
            text = "with max_per_day 0 nothing may rest on MIMs at any time, so max says nothing: give max_per_day, or drop this"
            yield warning("rule.no_effect", f"{view.path}.max_a", text)
        nodes = [draft.tree.nodes[name] for name in view.nodes]
        rooms = [node.rating_a * (1 - node.continuous_factor) for node in nodes]
        if rooms and item.max_a > max(rooms):
            text = (
                f"breakers there are {max(rooms):.4g} A over their limit for hours at most before they trip: say less, or drop it"
            )
            yield warning("rule.no_effect", f"{view.path}.max_a", text)


def check_deadbands(draft: Draft) -> Iterator[Problem]:
    """`rule.deadband_all`: a deadband that no port can leave."""
    for path, item in balance_of(draft):
        zones = set(item.zones or zones_of(draft))
        most_a = [
            port.rating_va / port.connection.nominal_voltage_v(draft.tree.supply[port.node].voltage_ln_v)
            for _, _, port in draft.ports()
            if port.node in draft.tree.supply and draft.zone_of_node.get(port.node) in zones
        ]
        if most_a and item.deadband_a >= max(most_a):
            text = f"no port that it acts on can move by more than {max(most_a):.3g} A: no setpoint would ever be written; say less"
            yield warning("rule.deadband_all", f"{path}.deadband_a", text)


def check_weights(draft: Draft) -> Iterator[Problem]:
    """`rule.weights`: a balance rule by which nothing counts, or one node alone."""
    for path, item in balance_of(draft):
        weight = {node.id: item.weights.get(node.id, 1.0) for _, node in draft.nodes()}
        for zone in item.zones or zones_of(draft):
            inside = [name for name, of in draft.zone_of_node.items() if of == zone and name in weight]
            if inside and not any(weight[name] for name in inside):
                text = f"every node of the zone '{zone}' has weight 0: nothing is balanced there; leave one, or make it a lock"
                yield warning("rule.weights", f"{path}.weights", text)
        for name, given in item.weights.items():
            if given > _MOST_WEIGHT:
                text = f"{given:g} lets nothing but '{name}' count: 1 is ordinary, 2 counts twice"
                yield warning("rule.weights", f"{path}.weights.{name}", text)


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    check_limits_said_twice,
    check_no_current_at_all,
    check_filters_that_may_not_work,
    check_reliance_says_something,
    check_deadbands,
    check_weights,
)
