"""Whether the links can keep up with the cycles."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain

from mimctl.config.build_links import build_link
from mimctl.config.draft import DEFAULT_CYCLE_S, Draft, port_of
from mimctl.config.link_load import (
    USABLE_SHARE,
    LinkLoad,
    Traffic,
    link_load,
    mapped_device,
    sunspec_device,
    sunspec_meter,
    sunspec_mim,
)
from mimctl.config.schema_devices import MeterItem, MimItem
from mimctl.model.address import SUNSPEC
from mimctl.model.instances import select_instances
from mimctl.model.link import Link, LinkType
from mimctl.model.problem import Problem, error


def check_links_keep_up(draft: Draft) -> Iterator[Problem]:
    """`link.cycle_too_short`: to read and write every device of a link takes more of the cycle than there is."""
    on_link: dict[str, list[MeterItem | MimItem]] = defaultdict(list)
    every: Iterator[MeterItem | MimItem] = chain(draft.file.meters, draft.file.mims)
    for device in every:
        on_link[device.link].append(device)
    for path, item in draft.links():
        if item.type.is_radio or (item.type is LinkType.MODBUS_RTU and item.device is None):
            continue
        link = build_link(item, draft.folder)
        traffic = [found for device in on_link[item.id] if (found := _traffic(draft, link, device)) is not None]
        load = link_load(link, [*traffic, *_transfer_traffic(draft, link)])
        if load is not None and load.share > USABLE_SHARE:
            yield error("link.cycle_too_short", path, _sentence(link, load))


def _transfer_traffic(draft: Draft, link: Link) -> Iterator[Traffic]:
    """What transfer devices ask of a link: each is read in the shortest cycle, once for all zones."""
    cycle_s = min((zone.cycle_s for zone in draft.file.zones), default=DEFAULT_CYCLE_S)
    for _, item in draft.transfers():
        profile = draft.profiles.get(item.profile or "")
        if item.link == link.id and profile is not None and profile.chain is None:
            yield mapped_device(link, profile.register_map, cycle_s, commanded=False)


def _traffic(draft: Draft, link: Link, device: MeterItem | MimItem) -> Traffic | None:
    """What a device asks of its link; None where that is not known, or nobody reads it."""
    cycle_s = _cycle_s(draft, device)
    if cycle_s is None:
        return None
    if device.profile == SUNSPEC:
        return sunspec_mim(link, len(device.ports), cycle_s) if isinstance(device, MimItem) else sunspec_meter(link, cycle_s)
    profile = draft.profiles.get(device.profile)
    if profile is None:
        return None
    register_map = profile.register_map
    if profile.chain is not None:
        return sunspec_device(link, register_map, cycle_s, commanded=isinstance(device, MimItem))
    if isinstance(device, MeterItem) and device.instances:
        try:
            register_map = select_instances(register_map, device.instances)
        except (KeyError, ValueError):  # told by `meter.instance`
            return None
    return mapped_device(link, register_map, cycle_s, commanded=isinstance(device, MimItem))


def _cycle_s(draft: Draft, device: MeterItem | MimItem) -> float | None:
    """How often a device is read; a meter above the zones is read for the site level, a MIM without a zone is not read."""
    cycles = {zone.id: zone.cycle_s for zone in draft.file.zones}
    nodes = {device.node} if isinstance(device, MeterItem) else {port_of(device, port)[0] for port in device.ports}
    zones = {zone for node in nodes if node is not None and (zone := draft.zone_of_node.get(node)) is not None}
    if zones:
        return min(cycles.get(zone, DEFAULT_CYCLE_S) for zone in zones)
    return draft.file.control.site_period_s if isinstance(device, MeterItem) else None


def _sentence(link: Link, load: LinkLoad) -> str:
    """The figures, and what would mend them."""
    reads, writes = _plain(load.reads), _plain(load.writes)
    requests = f"{reads} reads and {writes} writes" if load.writes else f"{reads} reads"
    latency_ms = 1000 * link.expected_latency_s
    each = f"of {_plain(latency_ms)} ms" if link.serial is None else f"at {link.serial.baudrate} bit/s"
    gap = f" with {_plain(1000 * link.request_gap_s)} ms between them" if link.request_gap_s else ""
    at_once = f" on {link.max_connections} connections" if link.max_connections > 1 else ""
    faster = "a higher baudrate" if link.serial is not None else "a shorter 'latency' if the devices answer sooner"
    longer_s = math.ceil(10 * load.busy_s / USABLE_SHARE - 1e-9) / 10
    return (
        f"its {load.devices} devices take {requests} {each}{gap}{at_once}, "
        f"{load.busy_s:.2f} s of each cycle of {load.cycle_s:g} s; "
        f"{USABLE_SHARE:.0%} of a link's time is usable: a cycle of {longer_s:g} s, {faster}, or fewer devices on the link"
    )


def _plain(number: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{float(f'{number:.3g}'):.15g}"


def check_failsafe_times(draft: Draft) -> Iterator[Problem]:
    """`mim.failsafe_short`: a device whose own timer, which cannot be set as long as needed, runs out before the third cycle."""
    for path, mim in draft.mims():
        profile, cycle_s = draft.profiles.get(mim.profile), _cycle_s(draft, mim)
        if profile is None or cycle_s is None:
            continue
        maps = [m.mim for m in (profile.register_map, *(v.register_map for v in profile.variants)) if m.mim is not None]
        longest = [t for m in maps for t in (m.failsafe_s, m.validity.maximum if m.validity is not None else None) if t is not None]
        if longest and min(longest) < 3 * cycle_s:
            text = (
                f"a device of the profile '{profile.id}' waits {min(longest):g} s at most for a sign of life, its zone gives one "
                f"each {cycle_s:g} s: make the zone's cycle {min(longest) / 3:.3g} s or shorter"
            )
            yield error("mim.failsafe_short", f"{path}.profile", text)


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (check_links_keep_up, check_failsafe_times)
