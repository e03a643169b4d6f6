"""Conditions of rules: complete, possible, and about something that the zone in which the rule acts can see."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimctl.config.build_rules import build_condition
from mimctl.config.draft import Draft
from mimctl.config.rule_values import unit_of
from mimctl.config.rule_view import RestraintView, Surroundings, zones_of
from mimctl.config.schema_rules import AnyRule, BalanceItem, ConditionItem
from mimctl.model.problem import Problem, error, warning
from mimctl.model.rules import Watched

#: a breaker does not carry so many times its rating for a second cycle, and no supply has so much of its voltage
_TRIPPED = 2.0
_CHARGE_AND_J = {Watched.SOC, Watched.IMBALANCE}
_NEVER_NEGATIVE = set(Watched) - {Watched.ACTIVE_POWER}


def _conditions(draft: Draft) -> Iterator[tuple[str, AnyRule, ConditionItem]]:
    for i, rule in enumerate(draft.file.rules):
        if rule.when is not None:
            yield f"{draft.path('rules', i)}.when", rule, rule.when


def check_thresholds(draft: Draft) -> Iterator[Problem]:
    """`rule.condition_threshold`: none, two, or a hysteresis that goes the wrong way."""
    for path, _, when in _conditions(draft):
        if (when.above is None) == (when.below is None):
            yield error("rule.condition_threshold", path, "give 'above' or 'below', one of the two")
            continue
        built = build_condition(draft, when)
        if built is None or when.clear_at is None:
            continue
        if (built.clear_at > built.threshold) if built.above else (built.clear_at < built.threshold):
            side, unit = ("below" if built.above else "above"), f" {unit_of(when.quantity)}".rstrip()
            text = f"it must end {side} {built.threshold:g}{unit}, else it would end before it begins"
            yield error("rule.condition_threshold", f"{path}.clear_at", text)


def check_possible(draft: Draft) -> Iterator[Problem]:
    """`rule.condition_never`: a threshold that nothing can pass."""
    for path, _, when in _conditions(draft):
        if when.above is not None and when.quantity is Watched.SOC and when.above.value >= 100:
            yield warning("rule.condition_never", f"{path}.above", "no charge is above 100 %: the condition never holds")
        if when.below is not None and when.quantity in _NEVER_NEGATIVE and when.below.value <= 0:
            yield warning("rule.condition_never", f"{path}.below", f"'{when.quantity}' is never below 0: the condition never holds")
        if when.above is not None and (reason := _beyond(draft, when)) is not None:
            yield warning("rule.condition_never", f"{path}.above", f"{reason}: the condition never holds; is the unit right?")


def _beyond(draft: Draft, when: ConditionItem) -> str | None:
    """Why a quantity cannot be above a threshold where it is measured, if so."""
    built = build_condition(draft, when)
    name = None if built is None else built.node
    if built is None or name is None or name not in draft.tree.supply:
        return None
    node, voltage_v = draft.tree.nodes[name], draft.tree.supply[name].voltage_ln_v
    match when.quantity:
        case Watched.LOAD if built.threshold > _TRIPPED * 100 / node.continuous_factor:
            return f"the breaker of '{name}' trips long before {built.threshold:g} % of its limit for hours"
        case Watched.CURRENT if built.threshold > _TRIPPED * node.rating_a:
            return f"the breaker of '{name}' has {node.rating_a:g} A and trips long before {built.threshold:g} A"
        case Watched.VOLTAGE if built.threshold > _TRIPPED * voltage_v:
            return f"'{name}' has {voltage_v:g} V from line to neutral"
    return None


def check_places(draft: Draft) -> Iterator[Problem]:
    """`rule.condition_where`: a quantity without a place, or with one that it cannot be measured at."""
    for path, _, when in _conditions(draft):
        places = [key for key in ("node", "feed", "battery") if getattr(when, key) is not None]
        if when.quantity is Watched.SOC and places != ["battery"]:
            yield error("rule.condition_where", path, "'soc' is that of a battery: give 'battery' and nothing else")
        elif when.quantity is not Watched.SOC and "battery" in places:
            text = f"'{when.quantity}' is measured at a node: give 'node' or 'feed' in place of 'battery'"
            yield error("rule.condition_where", f"{path}.battery", text)
        elif len(places) > 1:
            yield error("rule.condition_where", f"{path}.feed", "give 'node' or 'feed', not both")
        elif not places and when.quantity not in _CHARGE_AND_J:
            yield error("rule.condition_where", path, f"where is '{when.quantity}' measured? give 'node' or 'feed'")


def check_seen_in_zone(draft: Draft) -> Iterator[Problem]:
    """`rule.condition_elsewhere`: a zone that measures something else; `rule.condition_unmeasured`: no meter there."""
    metered, around = {str(meter.get("node")) for meter in draft.raw("meters")}, Surroundings(draft)
    for path, rule, when in _conditions(draft):
        built = build_condition(draft, when)
        if built is None:
            continue
        key, name, zone = _watched_in(draft, when, built.node)
        if name is None or (key != "battery" and name not in draft.tree.supply):
            continue
        for acts in _zones(around, path, rule):
            if acts != zone:
                here = "above the zones, where nobody measures" if acts is None else f"in the zone '{acts}', which does not measure"
                text = f"'{rule.id}' acts {here} '{name}': name something that is measured there"
                yield error("rule.condition_elsewhere", f"{path}.{key}", text)
                break
        if key != "battery" and name not in metered and not draft.unclear("meters", "node"):
            text = f"no meter shows '{name}': the condition stands on estimates, or on nothing; add a meter there"
            yield warning("rule.condition_unmeasured", f"{path}.{key}", text)


def _watched_in(draft: Draft, when: ConditionItem, node: str | None) -> tuple[str, str | None, str | None]:
    """Key and id of what is watched, and the zone that measures it."""
    if when.battery is not None:
        mims = {battery.id: battery.mim for battery in draft.file.batteries}
        known = mims.get(when.battery)
        return "battery", None if known is None else when.battery, Surroundings(draft).zones_of_mims.get(known or "")
    return "feed" if when.feed is not None else "node", node, draft.zone_of_node.get(node or "")


def _zones(around: Surroundings, path: str, rule: AnyRule) -> tuple[str | None, ...]:
    if isinstance(rule, BalanceItem):
        return tuple(rule.zones or zones_of(around.draft))
    return RestraintView(around, path, rule).zones


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (check_thresholds, check_possible, check_places, check_seen_in_zone)
