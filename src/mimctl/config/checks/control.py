"""Zones, MIM behaviour, batteries, rules, settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimctl.config.build import build_latency
from mimctl.config.checks.repeats import repeats
from mimctl.config.draft import DEFAULT_CYCLE_S, DEFAULT_ZONE, Draft
from mimctl.model.calendar import timezone_exists
from mimctl.model.problem import Problem, Severity, error, warning
from mimctl.model.site import ExpiryAction


def check_timezone(draft: Draft) -> Iterator[Problem]:
    """`site.timezone`: a time zone that nobody knows."""
    name = draft.file.site.timezone
    if not timezone_exists(name):
        yield error("site.timezone", "site.timezone", f"unknown time zone '{name}'; use an IANA name such as Europe/Zurich or UTC")


def check_zones_are_apart(draft: Draft) -> Iterator[Problem]:
    """`zone.overlap`: a head that stands in the subtree of another head."""
    heads: dict[str, tuple[str, str]] = {}
    for zone, path, head in draft.zone_heads:
        if head in heads:
            yield error("zone.overlap", path, f"'{head}' is already a head of the zone '{heads[head][0]}'")
        heads.setdefault(head, (zone, path))
    for head, (_, path) in heads.items():
        for above in list(draft.tree.upwards(head))[1:]:
            if above in heads:
                text = f"'{head}' stands under '{above}', a head of the zone '{heads[above][0]}'; a node is in one zone at most"
                yield error("zone.overlap", path, text)
                break


def check_zone_heads_are_measured(draft: Draft) -> Iterator[Problem]:
    """`zone.head_unmetered`: a head below a feed without a meter of its own, whose zone could not be held to its share."""
    if draft.unclear("meters", "node"):
        return
    metered = {str(meter.get("node")) for meter in draft.raw("meters")}
    for _, path, head in draft.zone_heads:
        above = list(draft.tree.upwards(head))[1:]
        if above and head not in metered:
            text = (
                f"nothing measures '{head}', so its zone cannot be held to its share of '{above[0]}': "
                f"add a meter with 'node: {head}', or name a metered node as head"
            )
            yield error("zone.head_unmetered", path, text)


def check_mims_stay_in_zone(draft: Draft) -> Iterator[Problem]:
    """`mim.zone_split`: ports in two zones: a MIM is commanded by exactly one."""
    for path, mim_id, zones in _zones_of_mims(draft):
        named = sorted(z for z in zones if z is not None)
        if len(named) > 1:
            text = (
                f"'{mim_id}' has ports in the zones {', '.join(named)}, which would both command it; "
                "make them one zone (it may have several heads), or move the ports"
            )
            yield error("mim.zone_split", path, text)


def check_mims_have_zone(draft: Draft) -> Iterator[Problem]:
    """`mim.no_zone`: a MIM that no zone controls."""
    for path, mim_id, zones in _zones_of_mims(draft):
        if None in zones:
            where = "no port" if len(zones) == 1 else "not every port"
            text = f"'{mim_id}': {where} is in a zone, so it will not be controlled; add its node to the heads of a zone"
            yield warning("mim.no_zone", path, text)


def _zones_of_mims(draft: Draft) -> Iterator[tuple[str, str, set[str | None]]]:
    zones: dict[str, tuple[str, set[str | None]]] = {}
    for path, mim, port in draft.ports():
        if port.node in draft.tree.supply:
            found = zones.setdefault(mim.id, (path.rsplit(".", 1)[0], set()))
            found[1].add(draft.zone_of_node.get(port.node))
    return ((path, mim_id, of) for mim_id, (path, of) in zones.items())


def check_validity(draft: Draft) -> Iterator[Problem]:
    """`mim.validity_short`: setpoints that run out before the third cycle could refresh them."""
    cycles = {zone.id: zone.cycle_s for zone in draft.file.zones} or {DEFAULT_ZONE: DEFAULT_CYCLE_S}
    mims = {mim.id: mim for mim in draft.file.mims}
    for path, mim_id, zones in _zones_of_mims(draft):
        cycle_s = max((cycles.get(z, 0.0) for z in zones if z is not None), default=0.0)
        latency, validity_s = build_latency(mims[mim_id].latency), mims[mim_id].validity_s
        each_s = max(cycle_s, latency.command_every_s)
        least_s = 3 * each_s + latency.delay_s
        if least_s > validity_s:
            late = f" and the {latency.delay_s:g} s that a command takes" if latency.delay_s else ""
            text = (
                f"setpoints of '{mim_id}' run out after {validity_s:g} s, they are refreshed each {each_s:g} s: "
                f"the validity must be at least three times that{late} ({least_s:g} s)"
            )
            yield error("mim.validity_short", f"{path}.validity_s", text)


def check_expiry_hold(draft: Draft) -> Iterator[Problem]:
    """`mim.expiry_hold`: a device that would keep its last setpoint for ever."""
    for path, mim in draft.mims():
        if mim.expiry_action is ExpiryAction.HOLD and not mim.accept_hold:
            text = "'hold' keeps the last setpoint for ever when mimctl is gone: use 'zero', or add 'accept_hold: true'"
            yield error("mim.expiry_hold", f"{path}.expiry_action", text)


def check_one_battery_per_mim(draft: Draft) -> Iterator[Problem]:
    """`battery.mim_twice`: two batteries on one DC link."""
    for path, mim, first in repeats((path, battery.mim, battery.id) for path, battery in draft.batteries()):
        yield error("battery.mim_twice", f"{path}.mim", f"'{mim}' already has the battery '{first}'; describe both as one")


def check_reserve(draft: Draft) -> Iterator[Problem]:
    """`battery.reserve`: nothing left between reserve and full."""
    for path, battery in draft.batteries():
        if battery.reserve_pct >= battery.max_soc_pct:
            text = f"the reserve ({battery.reserve_pct:g} %) must be below max_soc ({battery.max_soc_pct:g} %)"
            yield error("battery.reserve", f"{path}.reserve_pct", text)


def check_battery_power(draft: Draft) -> Iterator[Problem]:
    """`battery.power`: more battery power than the ports of its MIM can pass."""
    through: dict[str, float] = {}
    for _, mim, port in draft.ports():
        through[mim.id] = through.get(mim.id, 0.0) + port.rating_va
    for path, battery in draft.batteries():
        for key in ("max_charge_w", "max_discharge_w"):
            power_w = getattr(battery, key)
            if power_w > through.get(battery.mim, power_w):
                text = f"{power_w / 1e3:g} kW, but the ports of '{battery.mim}' pass {through[battery.mim] / 1e3:g} kVA in all"
                yield warning("battery.power", f"{path}.{key}", text)


def check_windows(draft: Draft) -> Iterator[Problem]:
    """`rule.window_clock_change`: a window with an end where local clocks are changed."""
    if draft.file.site.timezone in {"UTC", "Etc/UTC"}:
        return
    for i, rule in enumerate(draft.file.rules):
        for key in ("start", "end"):
            given: str = getattr(rule.window, key)
            if "01:00" <= given <= "03:00" and rule.window.start != rule.window.end:
                text = f"{given} may be skipped or come twice when the local clock changes; 00:30 or 03:30 never do"
                path = f"{draft.path('rules', i)}.window.{key}"
                yield Problem("rule.window_clock_change", Severity.INFO, path, text)


def check_data_age(draft: Draft) -> Iterator[Problem]:
    """`control.data_age`: measurements are too old before the next cycle brings new ones."""
    cycles = {zone.id: zone.cycle_s for zone in draft.file.zones} or {DEFAULT_ZONE: DEFAULT_CYCLE_S}
    longest = max(cycles, key=cycles.__getitem__)
    age_s = draft.file.control.max_data_age_s
    if age_s < cycles[longest]:
        text = f"measurements are too old after {age_s:g} s, but the zone '{longest}' reads new ones each {cycles[longest]:g} s"
        yield error("control.data_age", "control.max_data_age_s", text)


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    check_timezone,
    check_zones_are_apart,
    check_zone_heads_are_measured,
    check_mims_stay_in_zone,
    check_mims_have_zone,
    check_validity,
    check_expiry_hold,
    check_one_battery_per_mim,
    check_reserve,
    check_battery_power,
    check_windows,
    check_data_age,
)
