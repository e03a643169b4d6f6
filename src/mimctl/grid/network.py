"""Non-linear three-phase power flow of a site: the plant of the twin and of pre-checks.

The site tree becomes one power-grid-model network, built once; every call only changes the loads. Loads are constant power.

A line-to-line load S between x and y appears at the terminals as S·Vx/(Vx − Vy) and −S·Vy/(Vx − Vy). A first solve takes these
shares at nominal voltages, a second one at the voltages found; what is left is of second order in the voltage drop.

Reference: power-grid-model (asymmetric calculation, iterative current method).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mimctl.grid.pgm import (
    KINDS,
    Branch,
    CalculationMethod,
    PowerGridError,
    initialize_array,
    make_model,
    network_parts,
    one_line,
    series_of,
)
from mimctl.model.connection import Connection
from mimctl.model.errors import PowerFlowFailed
from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout
from mimctl.model.phases import Rotation

#: the columns of every array of line-to-line powers
PAIRS = (Connection.L1L2, Connection.L2L3, Connection.L3L1)

VOLTAGES = {"node": ["u", "u_angle"]}
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


class FlowReader:
    """Reads results of power-grid-model in the order of one layout."""

    def __init__(self, layout: SiteLayout, series: Sequence[Branch]) -> None:
        self._layout = layout
        #: power-grid-model knows one rotation; the other one is L2 and L3 exchanged
        self.swapped = layout.site.rotation is Rotation.NEGATIVE
        self.columns = [0, 2, 1] if self.swapped else [0, 1, 2]
        self._branches = {kind: np.array(of) for kind in KINDS if (of := [b.node for b in series if b.kind == kind])}
        #: what a calculation has to give
        self.outputs: dict[str, list[str]] = {**VOLTAGES, "source": ["p", "q"], **dict.fromkeys(self._branches, _BRANCH_OUTPUT)}

    def voltages(self, found: Mapping[str, Mapping[str, FloatArray]]) -> ComplexArray:
        node = found["node"]
        count = len(self._layout.nodes)
        voltage: ComplexArray = node["u"][..., :count, :] * np.exp(1j * node["u_angle"][..., :count, :])
        return voltage[..., self.columns] if self.swapped else voltage

    def result(self, found: Mapping[str, Mapping[str, FloatArray]]) -> FlowResult:
        voltage = self.voltages(found)
        flow = np.empty_like(voltage)
        loss = np.zeros(voltage.shape[:-1])
        source = found["source"]
        flow[..., self._layout.heads, :] = (source["p"] + 1j * source["q"])[..., self.columns]
        for kind, nodes in self._branches.items():
            # a cable behind a transformer comes later: what leaves it is what the node gets
            branch = found[kind]
            flow[..., nodes, :] = -(branch["p_to"] + 1j * branch["q_to"])[..., self.columns]
            loss[..., nodes] += (branch["p_from"] + branch["p_to"]).sum(axis=-1)
        return FlowResult(voltage_v=voltage, current_a=np.conj(flow / voltage), flow_va=flow, branch_loss_w=loss)


class PowerNetwork:
    """The network of one layout. Not thread-safe: a solve changes the loads of the model it holds."""

    def __init__(self, layout: SiteLayout) -> None:
        self.layout = layout
        series = series_of(layout)
        parts = network_parts(layout, series)
        self._model: Any = make_model(parts)
        self._read = FlowReader(layout, series)
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
            shares = pair_shares(self._read.voltages(self._run(VOLTAGES)))
            load = phase_va + (shares @ pair_va[:, :, None])[:, :, 0]
        self._set(load)
        return self._read.result(self._run(self._read.outputs))

    def solve_batch(self, phase_va: ComplexArray, pair_va: ComplexArray | None = None) -> FlowResult:
        """T independent instants at once, each as `solve` would.

        Args:
            phase_va: (T, N, 3) net load between each phase and neutral, load positive [VA].
            pair_va: (T, N, 3) net load between L1L2, L2L3, L3L1, load positive [VA].
        """
        load = phase_va
        if pair_va is not None and pair_va.any():
            nominal = self._batch(phase_va + pair_va @ self._nominal_shares.T)
            shares = pair_shares(self._read.voltages(self._run(VOLTAGES, update_data=nominal)))
            load = phase_va + (shares @ pair_va[..., None])[..., 0]
        return self._read.result(self._run(self._read.outputs, update_data=self._batch(load)))

    def _batch(self, load: ComplexArray) -> dict[str, npt.NDArray[Any]]:
        update = np.repeat(self._update[None, :], len(load), axis=0)
        update["p_specified"] = load.real[..., self._read.columns]
        update["q_specified"] = load.imag[..., self._read.columns]
        return {"asym_load": update}

    @cached_property
    def _nominal_shares(self) -> ComplexArray:
        return pair_shares(np.array(self.layout.site.rotation.unit_voltages))

    def _set(self, load: ComplexArray) -> None:
        if self._read.swapped:
            load = load[:, self._read.columns]
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
            raise PowerFlowFailed(f"no power flow: the loads are more than the network can carry ({one_line(error)})") from error
        return found
