"""Rules of a checked site file to those of the model: feeds become their heads, defaults are filled in."""

from __future__ import annotations

from datetime import time
from typing import TypedDict

from mimctl.config.draft import Draft
from mimctl.config.schema_rules import (
    BalanceItem,
    ConditionItem,
    HarmonicItem,
    LimitItem,
    LockItem,
    RampItem,
    RelianceItem,
    ReserveItem,
    RestraintItem,
    WindowItem,
)
from mimctl.model import rules as m
from mimctl.model.site import DEADBAND_A, BalanceRule

#: the balance rule of a file that names none
DEFAULT_RULE = "balance"
#: of the threshold, where the file says nothing
_HYSTERESIS = 0.05
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def balance_rules(draft: Draft, zones: tuple[str, ...]) -> tuple[BalanceRule, ...]:
    """In the order of the file; the default where there is none."""
    found = tuple(
        BalanceRule(
            id=item.id,
            zones=zones if item.zones is None else tuple(item.zones),
            weights=tuple(item.weights.items()),
            deadband_a=item.deadband_a,
            dwell_s=item.dwell_s,
            window=build_window(item.window),
            when=build_condition(draft, item.when),
        )
        for item in draft.file.rules
        if isinstance(item, BalanceItem)
    )
    return found or (BalanceRule(DEFAULT_RULE, zones, deadband_a=DEADBAND_A),)


def restraints(draft: Draft) -> tuple[m.Restraint, ...]:
    """Every rule that takes away, in the order of the file."""
    return tuple(_restraint(draft, item) for item in draft.file.rules if not isinstance(item, BalanceItem))


class _Said(TypedDict):
    """What every rule says."""

    id: str
    place: m.Place
    window: m.Window
    when: m.Condition | None


def _restraint(draft: Draft, item: RestraintItem) -> m.Restraint:
    said: _Said = {
        "id": item.id,
        "place": build_place(draft, item),
        "window": build_window(item.window),
        "when": build_condition(draft, item.when),
    }
    match item:
        case LimitItem():
            return m.LimitRule(
                **said,
                max_a=item.max_a,
                max_pct=item.max_load_pct,
                max_neutral_a=item.max_neutral_a,
                min_import_w=item.min_import_w,
                max_import_w=item.max_import_w,
            )
        case ReserveItem():
            own = {"rating_pct": item.rating_pct, "soc_pct": item.soc_pct, "spare_mims": item.spare_mims}
            return m.ReserveRule(**said, **own)  # type: ignore[arg-type]
        case RampItem():
            rates = {"max_w_per_s": item.max_w_per_s, "max_a_per_s": item.max_current_a_per_s}
            return m.RampRule(**said, **rates)
        case LockItem():
            return m.LockRule(**said)
        case HarmonicItem():
            return m.HarmonicRule(
                **said,
                max_share_pct=item.max_share_pct,
                reserve_pct=item.reserve_pct,
                thd_v_pct=item.thd_v_pct,
                tdd_pct=item.tdd_pct,
            )
        case RelianceItem():
            most = {"max_a": item.max_a, "max_s_per_day": item.max_per_day_s}
            return m.RelianceRule(**said, **most)


def build_place(draft: Draft, item: RestraintItem) -> m.Place:
    """Where a rule acts; the heads of its feeds among the nodes."""
    heads = {feed.id: feed.node for feed in draft.file.feeds}
    mims = () if isinstance(item, LimitItem | RelianceItem) else item.mims or ()
    nodes = (*(item.nodes or ()), *(heads[feed] for feed in item.feeds or () if feed in heads))
    return m.Place(nodes, tuple(item.zones or ()), tuple(mims))


def build_window(item: WindowItem) -> m.Window:
    days = tuple(range(7)) if item.days is None else tuple(sorted({_DAYS.index(day) for day in item.days}))
    first, last = (None if day is None else day.value for day in (item.first_day, item.last_day))
    return m.Window(days, time.fromisoformat(item.start), time.fromisoformat(item.end), first, last)


def build_condition(draft: Draft, item: ConditionItem | None) -> m.Condition | None:
    """A condition with its hysteresis; None where there is none, or none that says what it looks for."""
    if item is None or (item.above is None and item.below is None):
        return None
    past = item.above or item.below
    if past is None:
        return None
    threshold, above = past.value, item.above is not None
    clear_at = threshold + (-_HYSTERESIS if above else _HYSTERESIS) * abs(threshold)
    heads = {feed.id: feed.node for feed in draft.file.feeds}
    return m.Condition(
        quantity=item.quantity,
        threshold=threshold,
        above=above,
        clear_at=clear_at if item.clear_at is None else item.clear_at.value,
        node=item.node if item.feed is None else heads.get(item.feed),
        battery=item.battery,
        for_s=item.for_s,
    )
