"""Limits of distortion that nobody measures, and filters that cannot work."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimctl.config.draft import Draft
from mimctl.model.address import SUNSPEC
from mimctl.model.harmonics import HarmonicFilter
from mimctl.model.problem import Problem, error, warning


def check_limits_are_measured(draft: Draft) -> Iterator[Problem]:
    """`harmonic.limit_unmeasured`: a limit at a node without a meter."""
    if draft.unclear("meters", "node"):
        return
    metered = {str(meter.get("node")) for meter in draft.raw("meters")}
    for path, node in draft.nodes():
        if node.harmonic_limits is not None and node.id not in metered:
            text = f"no meter shows the distortion of '{node.id}': add one with 'node: {node.id}', or drop the limits"
            yield warning("harmonic.limit_unmeasured", f"{path}.harmonic_limits", text)


def check_limits_are_in_zones(draft: Draft) -> Iterator[Problem]:
    """`harmonic.limit_above_zones`: a limit at a node that no zone contains; filters are told by zones."""
    if draft.unclear("zones", "id"):
        return
    for path, node in draft.nodes():
        if node.harmonic_limits is not None and node.id in draft.tree.supply and node.id not in draft.zone_of_node:
            text = f"'{node.id}' is in no zone: its distortion is reported, but no filter is told of it; limit the nodes below it"
            yield warning("harmonic.limit_above_zones", f"{path}.harmonic_limits", text)


def check_current_limits_are_one(draft: Draft) -> Iterator[Problem]:
    """`harmonic.limit_twice`: a TDD limit beside the ratio that would give one."""
    for path, node in draft.nodes():
        limits = node.harmonic_limits
        if limits is not None and limits.tdd_pct is not None and limits.isc_il is not None:
            text = "tdd is given, so the table of IEEE 519 is not asked: drop isc_il or tdd"
            yield warning("harmonic.limit_twice", f"{path}.harmonic_limits.isc_il", text)


def check_demand_is_plausible(draft: Draft) -> Iterator[Problem]:
    """`harmonic.demand_over_breaker`: a demand current that trips the breaker makes every TDD look small."""
    for path, node in draft.nodes():
        demand_a = None if node.harmonic_limits is None else node.harmonic_limits.demand_a
        if demand_a is not None and demand_a > node.rating_a:
            text = f"a demand of {demand_a:g} A trips the breaker of {node.rating_a:g} A: TDD would look better than it is"
            yield warning("harmonic.demand_over_breaker", f"{path}.harmonic_limits.demand_a", text)


def check_filters_are_in_time(draft: Draft) -> Iterator[Problem]:
    """`harmonic.filter_late`: orders that a filter's timing error would spoil, and `harmonic.filter_useless` where none is left."""
    hz = draft.file.site.frequency_hz
    for path, mim in draft.mims():
        item = mim.harmonic_filter
        if item is None:
            continue
        orders = tuple(sorted(set(item.orders)))
        from mimctl.grid.harmonics import cancellable  # numpy and scipy, which most sites can be judged without

        kept = cancellable(HarmonicFilter(orders, item.timing_error_s), hz)
        late = ", ".join(str(order) for order in orders if order not in kept)
        place, error_us = f"{path}.harmonic_filter.timing_error_s", 1e6 * item.timing_error_s
        if not kept:
            text = f"with {error_us:.0f} µs no order loses half of itself: '{mim.id}' cannot filter, drop harmonic_filter"
            yield error("harmonic.filter_useless", place, text)
        elif late:
            text = f"with {error_us:.0f} µs more than half of order {late} would be left: it is not compensated"
            yield warning("harmonic.filter_late", place, text)


def check_filters_can_be_told(draft: Draft) -> Iterator[Problem]:
    """`harmonic.filter_profile`: a filter on a device whose register map has no place for a share."""
    for path, mim in draft.mims():
        if mim.harmonic_filter is not None and mim.profile != SUNSPEC:
            text = f"the profile '{mim.profile}' has no register for a harmonic share: drop harmonic_filter"
            yield error("harmonic.filter_profile", f"{path}.harmonic_filter", text)


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    check_limits_are_measured,
    check_limits_are_in_zones,
    check_current_limits_are_one,
    check_demand_is_plausible,
    check_filters_are_in_time,
    check_filters_can_be_told,
)
