"""What a site file leaves the judge without: found before the service runs, not when a setpoint is refused."""

from __future__ import annotations

from collections.abc import Iterator

from mimctl.model.node import SourceKind
from mimctl.model.problem import Problem, Severity
from mimctl.model.site import Mim, Site


def check(site: Site) -> list[Problem]:
    """Every finding; the site is complete and its references hold."""
    return [*_mims_without_meter(site), *_nodes_between_without_meter(site), *_reverse_power_into_sources(site)]


def _mims_without_meter(site: Site) -> Iterator[Problem]:
    """A port with no meter at or above it never gets a setpoint."""
    parents = {node.id: node.parent for node in site.nodes}
    metered = {meter.node for meter in site.meters}
    for m, mim in enumerate(site.mims):
        for p, port in enumerate(mim.ports):
            at: str | None = port.node
            while at is not None and at not in metered:
                at = parents[at]
            if at is None:
                text = f"no meter at {port.node} or above it: {mim.id} will never get a setpoint; add a meter to one of these nodes"
                yield Problem("safety.port_unseen", Severity.ERROR, f"mims[{m}].ports[{p}].node", text)


def _nodes_between_without_meter(site: Site) -> Iterator[Problem]:
    """Where a MIM stands on a node without a meter, all load that the next meters leave unplaced may be at that node.

    And nobody but the MIM itself tells whether the bus is alive.
    """
    metered = {meter.node for meter in site.meters}
    seen: set[str] = set()
    for m, mim in enumerate(site.mims):
        for p, port in enumerate(mim.ports):
            if port.node in metered or port.node in seen:
                continue
            seen.add(port.node)
            text = (
                f"{port.node} has no meter: its breaker keeps room for all load around it, and {mim.id} gets what is left; that "
                f"the bus is alive is known by the voltage that {mim.id} tells of its own port alone{_how_often(mim)}"
            )
            yield Problem("safety.load_unseen", Severity.WARNING, f"mims[{m}].ports[{p}].node", text)


def _how_often(mim: Mim) -> str:
    """Of a MIM that tells it seldom."""
    return f", each {mim.latency.report_every_s:g} s" if mim.latency.report_every_s > 0 else ""


def _reverse_power_into_sources(site: Site) -> Iterator[Problem]:
    """Few UPS and generators take power back."""
    for f, feed in enumerate(site.feeds):
        if feed.reverse_power_limit_w > 0 and feed.source is not SourceKind.UTILITY:
            power = f"{feed.reverse_power_limit_w:g} W"
            text = f"{power} a phase may flow back into a {feed.source.value}; most of them cannot take any: 0 is safe"
            yield Problem("safety.reverse_power", Severity.WARNING, f"feeds[{f}].reverse_power_limit", text)
