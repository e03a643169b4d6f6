"""The site's tree as a network of power-grid-model: the one place that knows the package.

Where a neutral impedance is given, the return path is in the zero-sequence impedance of the cable (Z0 = Z1 + 3·Zn), so that
the voltages are those between phase and local neutral; elsewhere they are to earth.

Reference: J. Arrillaga, C. P. Arnold, "Computer analysis of power systems" (1990) for the sequence impedances; vector groups as
in IEC 60076-1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from power_grid_model import (
    CalculationMethod,
    LoadGenType,
    MeasuredTerminalType,
    PowerGridModel,
    WindingType,
    initialize_array,
)
from power_grid_model.errors import PowerGridError  # type: ignore[attr-defined]  # not in its __all__

from mimctl.model.errors import PowerFlowFailed
from mimctl.model.layout import FloatArray, IntArray, SiteLayout
from mimctl.model.node import Node, Transformer, Winding
from mimctl.model.phases import Rotation

__all__ = [
    "KINDS",
    "Branch",
    "CalculationMethod",
    "MeasuredTerminalType",
    "PowerGridError",
    "initialize_array",
    "make_model",
    "network_parts",
    "one_line",
    "series_of",
]

#: what may stand between a node and its parent; the order of ids, and of reading results
KINDS = ("transformer", "line", "link")


def make_model(parts: dict[str, npt.NDArray[Any]]) -> Any:
    """A model of these components.

    Raises:
        PowerFlowFailed: they make no network.
    """
    try:
        return PowerGridModel(parts)
    except PowerGridError as error:
        raise PowerFlowFailed(f"the site is not a network that can be solved: {one_line(error)}") from error


@dataclass(frozen=True, slots=True)
class Branch:
    """One element between a node and its parent. `start` and `end` are ids of power-grid-model nodes."""

    kind: str
    node: int
    start: int
    end: int


def series_of(layout: SiteLayout) -> list[Branch]:
    """Node n has id n. A node with both a transformer and a cable gets a hidden one between them, with an id from N on."""
    branches: list[Branch] = []
    hidden = len(layout.nodes)
    for n, p in enumerate(map(int, layout.parent)):
        node = layout.nodes[n]
        cabled = node.cable is not None and (node.cable.r_ohm > 0 or node.cable.x_ohm > 0)
        if p < 0:
            continue
        if node.transformer is not None and cabled:
            branches += [Branch("transformer", n, p, hidden), Branch("line", n, hidden, n)]
            hidden += 1
        else:
            branches.append(Branch("transformer" if node.transformer is not None else "line" if cabled else "link", n, p, n))
    return branches


def network_parts(layout: SiteLayout, series: Sequence[Branch], loads: IntArray | None = None) -> dict[str, npt.NDArray[Any]]:
    """The input of power-grid-model; every component has an id of its own.

    Args:
        loads: nodes that get a load; all where None. The others can neither draw nor give.
    """
    count = len(layout.nodes)
    behind = [b.node for b in series if b.end >= count]
    total = count + len(behind)
    node = initialize_array("input", "node", total)
    node["id"] = np.arange(total)
    node["u_rated"] = _rated_voltages(layout)[[*range(count), *behind]]
    at = np.arange(count) if loads is None else loads
    load = initialize_array("input", "asym_load", len(at))
    load["id"], load["node"], load["status"] = total + at, at, 1
    load["type"] = LoadGenType.const_power
    load["p_specified"] = load["q_specified"] = 0.0
    parts = {"node": node, "asym_load": load, "source": _sources(layout, 2 * total)}
    for number, kind in enumerate(KINDS, start=3):
        chosen = [b for b in series if b.kind == kind]
        if chosen:
            parts[kind] = _branches(layout, kind, chosen, number * total)
    return parts


def _rated_voltages(layout: SiteLayout) -> FloatArray:
    """(N,) line-to-line base [V]: a cable keeps its parent's, so that its ends cannot disagree."""
    rated = layout.voltage_ln_v * math.sqrt(3)
    for n, p in enumerate(layout.parent):
        if p >= 0 and layout.nodes[n].transformer is None:
            rated[n] = rated[p]
    return rated


def _sources(layout: SiteLayout, first_id: int) -> npt.NDArray[Any]:
    heads = layout.heads
    feeds = {feed.node: feed for feed in layout.site.feeds}
    source = initialize_array("input", "source", len(heads))
    source["id"], source["node"], source["status"] = first_id + np.arange(len(heads)), heads, 1
    source["u_ref"] = 1.0
    for i, head in enumerate(heads):
        feed = feeds.get(layout.nodes[head].id)
        source["sk"][i] = feed.short_circuit_va if feed else 10e6
        source["rx_ratio"][i] = feed.rx_ratio if feed else 0.1
    return source


def _branches(layout: SiteLayout, kind: str, chosen: Sequence[Branch], first_id: int) -> npt.NDArray[Any]:
    branch = initialize_array("input", kind, len(chosen))
    branch["id"] = first_id + np.arange(len(chosen))
    branch["from_node"], branch["to_node"] = [b.start for b in chosen], [b.end for b in chosen]
    branch["from_status"] = branch["to_status"] = 1
    rated = _rated_voltages(layout)
    for i, part in enumerate(chosen):
        node = layout.nodes[part.node]
        if kind == "line":
            _fill_line(branch, i, node)
        elif node.transformer is not None:
            branch["u1"][i], branch["u2"][i] = rated[layout.parent[part.node]], rated[part.node]
            _fill_transformer(branch, i, node.transformer, layout.site.rotation)
    return branch


def _fill_line(line: npt.NDArray[Any], i: int, node: Node) -> None:
    cable = node.cable
    assert cable is not None
    line["r1"][i], line["x1"][i] = cable.r_ohm, cable.x_ohm
    line["r0"][i] = cable.r_ohm + 3 * (cable.r_neutral_ohm or 0.0)
    line["x0"][i] = cable.x_ohm + 3 * (cable.x_neutral_ohm or 0.0)
    for shunt in ("c1", "tan1", "c0", "tan0"):
        line[shunt][i] = 0.0
    line["i_n"][i] = node.rating_a


def _fill_transformer(branch: npt.NDArray[Any], i: int, unit: Transformer, rotation: Rotation) -> None:
    delta = unit.winding is Winding.DYN
    branch["winding_from"][i] = WindingType.delta if delta else WindingType.wye_n
    branch["winding_to"][i] = WindingType.wye_n
    # with L2 and L3 exchanged the same windings turn the angle the other way
    clock = unit.clock if delta else 0
    branch["clock"][i] = clock if rotation is Rotation.POSITIVE else (12 - clock) % 12
    branch["sn"][i] = unit.rated_va
    branch["uk"][i] = unit.short_circuit_voltage_pct / 100
    branch["pk"][i] = unit.copper_loss_w
    branch["p0"][i] = unit.no_load_loss_w
    branch["i0"][i] = unit.no_load_loss_w / unit.rated_va
    branch["tap_side"][i] = 0
    for tap in ("tap_pos", "tap_min", "tap_max", "tap_nom"):
        branch[tap][i] = 0
    branch["tap_size"][i] = 0.0


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())
