"""The status of a site as tables for a terminal: nodes, zones, events. Used by `status` and, twice a second, by `demo`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

_MISSING = "–"
_EVENTS_SHOWN = 6

NODE_COLUMNS = ("node", "L1 A", "L2 A", "L3 A", "I2/I1", "I0/I1", "neutral A", "loading %", "headroom A", "firm A")
ZONE_COLUMNS = ("zone", "state", "cycle ms", "of ms", "cycles", "skipped", "objective")
EVENT_COLUMNS = ("since", "severity", "where", "what")


def number(value: float | None, digits: int = 1) -> str:
    return _MISSING if value is None else f"{value:.{digits}f}"


def node_rows(status: Mapping[str, Any], only: frozenset[str]) -> list[list[str]]:
    """One row per node of `only`, in the order of the zones."""
    nodes = [(name, node) for zone in status["zones"].values() for name, node in zone["nodes"].items() if name in only]
    return [_node_row(name, node) for name, node in nodes]


def _node_row(name: str, node: Mapping[str, Any]) -> list[str]:
    return [
        name,
        *(number(a) for a in node["current_a"]),
        number(node["i2_i1"], 3),
        number(node["i0_i1"], 3),
        number(node["neutral_a"]),
        number(node["loading_pct"], 0),
        number(_least(node["headroom_assisted_a"])),
        number(_least(node["headroom_firm_a"])),
    ]


def _least(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return min(known) if len(known) == len(values) else None


def zone_rows(status: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            name,
            zone["state"],
            number(zone.get("cycle_ms")),
            f"{1000 * zone['cycle_s']:.0f}",
            str(zone["cycles"]),
            str(zone["skipped"]),
            number(zone.get("objective"), 4),
        ]
        for name, zone in status["zones"].items()
    ]


def event_rows(status: Mapping[str, Any]) -> list[list[str]]:
    """The open conditions, then the last ones that passed."""
    past = [event | {"text": f"cleared: {event['text']}"} for event in reversed(status["recent"])]
    shown = [*status["events"], *past][:_EVENTS_SHOWN]
    return [[event["since"][11:19], event["severity"], event["where"], event["text"]] for event in shown]


def live_view(status: Mapping[str, Any], only: frozenset[str], headline: str) -> RenderableType:
    """All three tables in one picture."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def table(columns: Sequence[str], rows: list[list[str]], left: int = 1) -> Table:
        made = Table(box=None, header_style="bold", pad_edge=False)
        for i, name in enumerate(columns):
            made.add_column(name, justify="left" if i < left else "right", no_wrap=i < len(columns) - 1)
        for row in rows:
            made.add_row(*(Text(cell, style=_style(columns[i], cell)) for i, cell in enumerate(row)))
        return made

    parts: list[RenderableType] = [Text(headline, style="bold cyan"), table(NODE_COLUMNS, node_rows(status, only)), Text("")]
    parts.append(table(ZONE_COLUMNS, zone_rows(status), left=2))
    if events := event_rows(status):
        parts += [Text(""), table(EVENT_COLUMNS, events, left=4)]
    return Group(*parts)


def _style(column: str, cell: str) -> str:
    """Colour only what asks for attention."""
    if cell == _MISSING or (column == "state" and cell not in {"balancing", "starting"}):
        return "yellow"
    if column == "loading %":
        return "red" if float(cell) >= 100 else "yellow" if float(cell) >= 90 else ""
    return "red" if column == "severity" and cell == "error" else ""
