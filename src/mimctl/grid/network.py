"""Non-linear three-phase power flow of a site: the plant of the twin and of pre-checks.

The site tree becomes one power-grid-model network, built once; every call only changes the loads. Loads are constant power.
Where a neutral impedance is given, the return path is in the zero-sequence impedance of the cable (Z0 = Z1 + 3·Zn), so that
the voltages are those between phase and local neutral; elsewhere they are to earth.

A line-to-line load S between x and y appears at the terminals as S·Vx/(Vx − Vy) and −S·Vy/(Vx − Vy). A first solve takes these
shares at nominal voltages, a second one at the voltages found; what is left is of second order in the voltage drop.

Reference: power-grid-model (asymmetric calculation, iterative current method); J. Arrillaga, C. P. Arnold, "Computer analysis
of power systems" (1990) for the sequence impedances; vector groups as in IEC 60076-1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from power_grid_model import CalculationMethod, LoadGenType, PowerGridModel, WindingType, initialize_array
from power_grid_model.errors import PowerGridError  # type: ignore[attr-defined]  # not in its __all__

from mimctl.model.connection import Connection
from mimctl.model.errors import PowerFlowFailed
from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout
from mimctl.model.node import Node, Transformer, Winding
from mimctl.model.phases import Rotation

#: the columns of every array of line-to-line powers
PAIRS = (Connection.L1L2, Connection.L2L3, Connection.L3L1)

_KINDS = ("transformer", "line", "link")
_VOLTAGES = {"node": ["u", "u_angle"]}
_BRANCH_OUTPUT = ["p_from", "q_from", "p_to", "q_to"]
_TOLERANCE_PU = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class FlowResult:
    """One solved instant, or T of them in a leading axis. Phasors are rms, their angles referred to L1 of the head.

    Args:
        voltage_v: (N, 3) phase to neutral (to earth where there is none) [V]
        current_a: (N, 3) current that enters each node from its parent, at the node's own side; out of the source for a head [A]
        flow_va: (N, 3) net import of each node, V·I*, load positive [VA]
        branch_loss_w: (N,) lost between each node and its parent; 0 for heads [W]
    """

    voltage_v: ComplexArray
    current_a: ComplexArray
    flow_va: ComplexArray
    branch_loss_w: FloatArray

    @property
    def loss_w(self) -> FloatArray:
        """() or (T,) sum over all branches [W]."""
        return np.asarray(self.branch_loss_w.sum(axis=-1))


def pair_shares(voltage: ComplexArray) -> ComplexArray:
    """(…, 3, 3): [terminal, pair] factors that a line-to-line power has at the phase terminals.

    Args:
        voltage: (…, 3) phase voltages, any unit.
    """
    shares = np.zeros((*voltage.shape, 3), dtype=np.complex128)
    for pair in range(3):
        x, y = pair, (pair + 1) % 3
        across = voltage[..., x] - voltage[..., y]
        shares[..., x, pair] = voltage[..., x] / across
        shares[..., y, pair] = -voltage[..., y] / across
    return shares


class PowerNetwork:
    """The network of one layout. Not thread-safe: a solve changes the loads of the model it holds."""

    def __init__(self, layout: SiteLayout) -> None:
        self.layout = layout
        negative = layout.site.rotation is Rotation.NEGATIVE
        #: power-grid-model knows one rotation; the other one is L2 and L3 exchanged
        self._columns = [0, 2, 1] if negative else [0, 1, 2]
        self._swapped = negative
        series = _series(layout)
        parts = _network(layout, series)
        try:
            self._model: Any = PowerGridModel(parts)
        except PowerGridError as error:
            raise PowerFlowFailed(f"the site is not a network that can be solved: {_one_line(error)}") from error
        self._branches = {kind: np.array([b.node for b in series if b.kind == kind]) for kind in _KINDS if kind in parts}
        self._outputs: dict[str, list[str]] = {**_VOLTAGES, "source": ["p", "q"]}
        self._outputs.update((kind, _BRANCH_OUTPUT) for kind in self._branches)
        self._update = initialize_array("update", "asym_load", len(layout.nodes))
        self._update["id"] = parts["asym_load"]["id"]

    def solve(self, phase_va: ComplexArray, pair_va: ComplexArray | None = None) -> FlowResult:
        """Power flow at constant net loads.

        Args:
            phase_va: (N, 3) net load between each phase and neutral, load positive [VA].
            pair_va: (N, 3) net load between L1L2, L2L3, L3L1, load positive [VA].

        Raises:
            PowerFlowFailed: no solution: the loads are more than the network can carry.
        """
        load = phase_va
        if pair_va is not None and pair_va.any():
            self._set(phase_va + pair_va @ self._nominal_shares.T)
            shares = pair_shares(self._voltages(self._run(_VOLTAGES)))
            load = phase_va + (shares @ pair_va[:, :, None])[:, :, 0]
        self._set(load)
        return self._result(self._run(self._outputs))

    def solve_batch(self, phase_va: ComplexArray, pair_va: ComplexArray | None = None) -> FlowResult:
        """T independent instants at once, each as `solve` would.

        Args:
            phase_va: (T, N, 3) net load between each phase and neutral, load positive [VA].
            pair_va: (T, N, 3) net load between L1L2, L2L3, L3L1, load positive [VA].
        """
        load = phase_va
        if pair_va is not None and pair_va.any():
            nominal = self._batch(phase_va + pair_va @ self._nominal_shares.T)
            shares = pair_shares(self._voltages(self._run(_VOLTAGES, update_data=nominal)))
            load = phase_va + (shares @ pair_va[..., None])[..., 0]
        return self._result(self._run(self._outputs, update_data=self._batch(load)))

    def _batch(self, load: ComplexArray) -> dict[str, npt.NDArray[Any]]:
        update = np.repeat(self._update[None, :], len(load), axis=0)
        update["p_specified"] = load.real[..., self._columns]
        update["q_specified"] = load.imag[..., self._columns]
        return {"asym_load": update}

    @cached_property
    def _nominal_shares(self) -> ComplexArray:
        return pair_shares(np.array(self.layout.site.rotation.unit_voltages))

    def _set(self, load: ComplexArray) -> None:
        if self._swapped:
            load = load[:, self._columns]
        self._update["p_specified"] = load.real
        self._update["q_specified"] = load.imag
        self._model.update(update_data={"asym_load": self._update})

    def _run(self, outputs: Mapping[str, list[str]], **options: Any) -> Mapping[str, Mapping[str, FloatArray]]:
        options |= {"symmetric": False, "calculation_method": CalculationMethod.iterative_current, "error_tolerance": _TOLERANCE_PU}
        try:
            found: Mapping[str, Mapping[str, FloatArray]] = self._model.calculate_power_flow(
                max_iterations=50, output_component_types=outputs, **options
            )
        except PowerGridError as error:
            raise PowerFlowFailed(f"no power flow: the loads are more than the network can carry ({_one_line(error)})") from error
        return found

    def _voltages(self, found: Mapping[str, Mapping[str, FloatArray]]) -> ComplexArray:
        node = found["node"]
        count = len(self.layout.nodes)
        voltage: ComplexArray = node["u"][..., :count, :] * np.exp(1j * node["u_angle"][..., :count, :])
        return voltage[..., self._columns] if self._swapped else voltage

    def _result(self, found: Mapping[str, Mapping[str, FloatArray]]) -> FlowResult:
        voltage = self._voltages(found)
        flow = np.empty_like(voltage)
        loss = np.zeros(voltage.shape[:-1])
        source = found["source"]
        flow[..., self.layout.heads, :] = (source["p"] + 1j * source["q"])[..., self._columns]
        for kind, nodes in self._branches.items():
            # a cable behind a transformer comes later: what leaves it is what the node gets
            branch = found[kind]
            flow[..., nodes, :] = -(branch["p_to"] + 1j * branch["q_to"])[..., self._columns]
            loss[..., nodes] += (branch["p_from"] + branch["p_to"]).sum(axis=-1)
        return FlowResult(voltage_v=voltage, current_a=np.conj(flow / voltage), flow_va=flow, branch_loss_w=loss)


@dataclass(frozen=True, slots=True)
class _Branch:
    """One element between a node and its parent. `start` and `end` are ids of power-grid-model nodes."""

    kind: str
    node: int
    start: int
    end: int


def _series(layout: SiteLayout) -> list[_Branch]:
    """Node n has id n. A node with both a transformer and a cable gets a hidden one between them, with an id from N on."""
    branches: list[_Branch] = []
    hidden = len(layout.nodes)
    for n, p in enumerate(map(int, layout.parent)):
        node = layout.nodes[n]
        cabled = node.cable is not None and (node.cable.r_ohm > 0 or node.cable.x_ohm > 0)
        if p < 0:
            continue
        if node.transformer is not None and cabled:
            branches += [_Branch("transformer", n, p, hidden), _Branch("line", n, hidden, n)]
            hidden += 1
        else:
            branches.append(_Branch("transformer" if node.transformer is not None else "line" if cabled else "link", n, p, n))
    return branches


def _network(layout: SiteLayout, series: Sequence[_Branch]) -> dict[str, npt.NDArray[Any]]:
    """The input of power-grid-model; every component has an id of its own."""
    count = len(layout.nodes)
    behind = [b.node for b in series if b.end >= count]
    total = count + len(behind)
    node = initialize_array("input", "node", total)
    node["id"] = np.arange(total)
    node["u_rated"] = _rated_voltages(layout)[[*range(count), *behind]]
    load = initialize_array("input", "asym_load", count)
    load["id"], load["node"], load["status"] = total + np.arange(count), np.arange(count), 1
    load["type"] = LoadGenType.const_power
    load["p_specified"] = load["q_specified"] = 0.0
    parts = {"node": node, "asym_load": load, "source": _sources(layout, 2 * total)}
    for number, kind in enumerate(_KINDS, start=3):
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


def _branches(layout: SiteLayout, kind: str, chosen: Sequence[_Branch], first_id: int) -> npt.NDArray[Any]:
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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
