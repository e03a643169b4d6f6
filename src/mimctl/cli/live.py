"""The status of a site as tables for a terminal: nodes, zones, events. Used by `status` and, twice a second, by `demo`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mimctl.cli.tables import fitted
from mimctl.model.phases import PHASES

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mimctl.model.site import Site

_MISSING = "–"
_EVENTS_SHOWN = 6
#: spaces between the columns of a live table, the best first
_GAPS = (3, 2, 1)
#: lines above the first node: the start message, the headline, a gap and the titles of the columns
_ABOVE_NODES = 4
_FEWEST_NODES = 3

NODE_COLUMNS = ("node", "L1 A", "L2 A", "L3 A", "I2/I1 %", "I0/I1 %", "neutral₁ A", "load %", "headroom A", "firm A")
ZONE_COLUMNS = ("zone", "state", "rule", "MIMs", "cycle ms", "of ms", "cycles", "skipped", "J")
LINK_COLUMNS = ("link", "state", "devices", "sweep ms", "of ms", "busy %", "requests", "timeouts", "late", "wrong", "resting units")
LEASE_COLUMNS = ("lease", "scope", "what", "source", "owner", "ends in", "in force", "reason")
RULE_COLUMNS = ("rule", "type", "where", "condition", "what")
ISLAND_COLUMNS = ("island", "begins at", "contactor", "state", "formed by", "for")
TRANSFER_COLUMNS = ("transfer device", "kind", "supplies", "state", "age s")
EVENT_COLUMNS = ("since UTC", "severity", "where", "what")
#: what a narrow terminal goes without, the first first
NODE_SPARE = ("firm A", "I0/I1 %", "headroom A", "load %", "neutral₁ A")
LEASE_SPARE = ("source", "reason")
ZONE_SPARE = ("skipped", "of ms", "cycles", "J", "cycle ms", "rule")
LINK_SPARE = ("requests", "of ms", "devices", "wrong", "late")

#: states in which no setpoint is refreshed, or nothing is known to refresh it on
_NOT_CONTROLLING = {"stopped", "failing", "silent", "blind"}

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def headline(status: Mapping[str, Any]) -> str:
    """What a person must know before the figures: whose they are, whether anything is written, how much of the site answers."""
    stop = status.get("emergency_stop")
    loud = [*(["EMERGENCY STOP"] if stop else []), *(["DRY RUN"] if status["dry_run"] else [])]
    return " · ".join([status["name"], *loud, answering(status)])


def answering(status: Mapping[str, Any]) -> str:
    """How many of the site's meters and MIMs answer."""
    found = [part["devices"] for part in _parts(status)]
    now, total = (sum(devices[key] for devices in found) for key in ("answering", "total"))
    return f"{now} of {total} devices answer"


def _parts(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What belongs to no zone, and the zones."""
    above = status.get("above")
    return [*([above] if above else []), *status["zones"].values()]


def shown_nodes(site: Site) -> frozenset[str]:
    """Feeds and PDUs; the racks too where there is nothing between."""
    from mimctl.model.node import NodeKind

    upper = frozenset(node.id for node in site.nodes if node.kind is not NodeKind.RACK)
    return upper if len(upper) > 1 else frozenset(node.id for node in site.nodes)


def number(value: float | None, digits: int = 1) -> str:
    return _MISSING if value is None else f"{value:.{digits}f}"


def node_rows(status: Mapping[str, Any], only: frozenset[str]) -> list[list[str]]:
    """One row per node of `only`: what stands above the zones, then zone by zone."""
    nodes = [(name, node) for part in _parts(status) for name, node in part["nodes"].items() if name in only]
    return [_node_row(name, node) for name, node in nodes]


#: what stands behind the name of a node whose figures are no plain readings
_MARKS = {"estimated": " ~", "doubted": " ?"}


def _node_row(name: str, node: Mapping[str, Any]) -> list[str]:
    return [
        name + _MARKS.get(node.get("source", ""), ""),
        *(number(a) for a in node["current_a"]),
        number(_percent(node["i2_i1"])),
        number(_percent(node["i0_i1"])),
        number(node["neutral_a"]),
        number(node["loading_pct"], 0),
        number(_least(node, "headroom_assisted_a")),
        number(_least(node, "headroom_firm_a")),
    ]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _least(node: Mapping[str, Any], key: str) -> float | None:
    """Of the phases that the node has; unknown where one of them is."""
    there = node.get("phases", PHASES)
    values = [value for phase, value in zip(PHASES, node[key], strict=True) if phase in there]
    return None if None in values else min(values, default=None)


def zone_rows(status: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            name,
            zone["state"],
            zone.get("balance_rule") or _MISSING,
            f"{sum(mim['in_force'] for mim in zone['mims'].values())}/{len(zone['mims'])}",
            number(zone.get("cycle_ms")),
            f"{1000 * zone['cycle_s']:.0f}",
            str(zone["cycles"]),
            str(zone["skipped"]),
            number(zone.get("objective"), 6),
        ]
        for name, zone in status["zones"].items()
    ]


def link_rows(status: Mapping[str, Any]) -> list[list[str]]:
    """One row per link; what a link without wires does not count is missing."""
    return [
        [
            name,
            _MISSING if "connected" not in link else "up" if link["connected"] else "DOWN",
            str(link["devices"]),
            number(link["sweep_ms"]["p50"]),
            number(link["budget_ms"], 0),
            number(link["busy_pct"], 0),
            *(str(link.get(count, _MISSING)) for count in ("requests", "timeouts", "late", "wrong")),
            ", ".join(map(str, link.get("resting", ()))),
        ]
        for name, link in status["links"].items()
    ]


def lease_rows(leases: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Leases as the service tells them, one row each."""
    return [
        [
            one["id"],
            one["scope"],
            one["text"],
            one["source"],
            one["owner"],
            time_left(one["expires_in_s"]),
            in_force(one),
            one["reason"],
        ]
        for one in leases
    ]


def in_force(lease: Mapping[str, Any]) -> str:
    """Whether a lease has an effect now, and where not, whose word stands above it."""
    over = lease.get("overruled_by")
    if over is not None:
        return f"no: {over['lease'] or over['owner']} ({over['source']}) overrules it"
    return "in part: not met" if lease.get("not_met") else "yes"


def transfer_rows(status: Mapping[str, Any]) -> list[list[str]]:
    """Transfer devices, each once, whichever zones look at it: with the newest of what they heard."""
    found: dict[str, Mapping[str, Any]] = {}
    for zone in status["zones"].values():
        for name, told in zone.get("transfers", {}).items():
            if name not in found or _age(told) < _age(found[name]):
                found[name] = told
    return [[name, told["kind"], told["node"], told["state"], _aged(told)] for name, told in found.items()]


def island_rows(status: Mapping[str, Any]) -> list[list[str]]:
    """Islands: whether each is cut off, and who feeds it."""
    return [
        [name, told["node"], told["contactor"], told["contactor_state"], told["formed_by"] or "nobody", told["for"] or "–"]
        for zone in status["zones"].values()
        for name, told in zone.get("islands", {}).items()
    ]


def _aged(told: Mapping[str, Any]) -> str:
    """How long ago it was asked; the site file says the state of one that cannot be asked."""
    if told["fixed"]:
        return "site file"
    return "never" if told["age_s"] is None else f"{told['age_s']:.1f}"


def _age(told: Mapping[str, Any]) -> float:
    return math.inf if told["age_s"] is None else float(told["age_s"])


def rule_rows(status: Mapping[str, Any]) -> list[list[str]]:
    """Rules in force that take something away, one row for each and the zones it reaches."""
    held: dict[str, list[Mapping[str, Any]]] = {}
    for rule in status.get("rules", ()):
        if rule["in_force"] and rule["type"] != "balance":
            held.setdefault(rule["id"], []).append(rule)
    places = {name: ", ".join(place for rule in rules for place in rule["where"]) for name, rules in held.items()}
    return [[name, r[0]["type"], places[name], r[0]["condition"] or "", r[0]["what"]] for name, r in held.items()]


def time_left(seconds: float | None) -> str:
    """How long something still stands; nothing where it has no end."""
    if seconds is None:
        return _MISSING
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds >= 2 * _DAY_S:
        return f"{seconds / _DAY_S:.1f} days"
    return f"{seconds / _MINUTE_S:.0f} min" if seconds < 2 * _HOUR_S else f"{seconds / _HOUR_S:.1f} h"


def event_rows(status: Mapping[str, Any]) -> list[list[str]]:
    """The open conditions, then the last ones that passed."""
    now = [(event, _without_place(event)) for event in status["events"]]
    past = [(event, _of_old(event)) for event in reversed(status["recent"])]
    return [[event["since"][11:19], event["severity"], event["where"], text] for event, text in [*now, *past][:_EVENTS_SHOWN]]


def _of_old(event: Mapping[str, Any]) -> str:
    """A condition that passed says so; what happened at one instant, as the call of an emergency stop, has not ended."""
    text = _without_place(event)
    return text if event["cleared"] == event["since"] else f"cleared: {text}"


def _without_place(event: Mapping[str, Any]) -> str:
    """The text of an event beside a column that names its place already."""
    text: str = event["text"]
    place = event["where"]
    return text[len(place) + 1 :].lstrip() if text.startswith((f"{place} ", f"{place}:")) else text


def live_view(status: Mapping[str, Any], only: frozenset[str], title: str, size: tuple[int, int] = (80, 24)) -> RenderableType:
    """All three tables in one picture that is never larger than the terminal.

    Args:
        size: columns and lines. Where the lines do not suffice, zones and events stay and the last nodes go.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def table(titles: Sequence[str], lines: list[list[str]], left: int = 1, spare: Sequence[str] = ()) -> Table:
        columns, rows, gap = fitted(titles, lines, size[0], spare, _GAPS) if spare else (titles, lines, 1)
        made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, gap, 0, 0))
        for i, name in enumerate(columns):
            made.add_column(name, justify="left" if i < left else "right", no_wrap=True, overflow="ellipsis")
        for row in rows:
            made.add_row(*(Text(cell, style=_style(columns[i], cell)) for i, cell in enumerate(row)))
        return made

    zones, events, nodes = zone_rows(status), event_rows(status), node_rows(status, only)
    below = len(zones) + 3 + (len(events) + 2 if events else 2)
    room = max(_FEWEST_NODES, size[1] - below - _ABOVE_NODES)
    parts: list[RenderableType] = [Text(title, style="bold cyan", overflow="ellipsis", no_wrap=True), Text("")]
    if len(nodes) <= room:
        parts.append(table(NODE_COLUMNS, nodes, spare=NODE_SPARE))
    else:
        parts += [
            table(NODE_COLUMNS, nodes[: room - 1], spare=NODE_SPARE),
            Text(f"… and {len(nodes) - room + 1} more", style="dim"),
        ]
    parts += [Text(""), table(ZONE_COLUMNS, zones, left=3, spare=ZONE_SPARE), Text("")]
    parts.append(table(EVENT_COLUMNS, events, left=4) if events else Text("no events", style="dim"))
    return Group(*parts)


def _style(column: str, cell: str) -> str:
    """Colour only what asks for attention."""
    if column == "state" and cell in _NOT_CONTROLLING:
        return "bold red"
    if cell == _MISSING or (column == "state" and cell not in {"balancing", "starting"}):
        return "yellow"
    if column == "load %":
        return "bold red" if float(cell) >= 100 else "yellow" if float(cell) >= 90 else ""
    if column == "severity":
        return {"error": "red", "warning": "yellow"}.get(cell, "")
    return "dim" if cell.startswith("cleared: ") else ""
