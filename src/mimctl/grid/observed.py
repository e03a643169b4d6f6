"""State estimation of a site: voltages and flows of the whole network that fit its readings best.

The network of power-grid-model gets a power sensor for every flow that is measured, a voltage sensor for every node that measures
its voltage, and wide guesses elsewhere: of the load, and of the voltage, without which the solver may not converge (and above a
delta winding no zero sequence can be had from below). A node without a load of its own has none in the network either: that its
flow is the sum of its children's is built in.

Reference: power-grid-model (asymmetric state estimation, iterative linear; its Newton-Raphson finds some of these networks
singular); A. Abur, A. Gomez Exposito, "Power system state estimation" (2004).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mimctl.grid.network import FlowReader, FlowResult
from mimctl.grid.pgm import (
    CalculationMethod,
    MeasuredTerminalType,
    PowerGridError,
    initialize_array,
    make_model,
    network_parts,
    one_line,
    series_of,
)
from mimctl.model.errors import PowerFlowFailed
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, IntArray, SiteLayout

#: the solver's own 20 rounds at 1e-8 miss now and then
_ROUNDS, _TOLERANCE_PU = 100, 1e-5
#: how far the voltage may be from nominal where it is not measured: at a head, and below; with wider guesses the solver diverges
_HEAD_PU, _BELOW_PU = 0.01, 0.02
#: no sensor is better than this [VA]: keeps the weights within what floating point can weigh against each other
_LEAST_SIGMA_VA = 1.0
_KEPT_MODELS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """What is measured at one instant. Shapes (N, 3) unless said.

    Args:
        measured: (N,) the flow is.
        flow_va: net import of the measured nodes, and the best guess for the others [VA].
        sigma_va: standard deviations, of P in the real and of Q in the imaginary part.
        injection_va: what MIMs put in at each node [VA].
        voltage_v, sigma_v: phase to neutral; NaN in any phase = the node does not measure it [V].
    """

    measured: BoolArray
    flow_va: ComplexArray
    sigma_va: ComplexArray
    injection_va: ComplexArray
    voltage_v: FloatArray
    sigma_v: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """A network with the sensors of one set of measured nodes; `at` says which node each row of sensors belongs to."""

    model: Any
    power: npt.NDArray[Any]
    flows_at: IntArray
    loads_at: IntArray
    voltage: npt.NDArray[Any]


class ObservedNetwork:
    """The network of one layout with its sensors. Not thread-safe: a solve changes the sensors of the model it holds."""

    def __init__(self, layout: SiteLayout) -> None:
        self.layout = layout
        self._series = series_of(layout)
        self._read = FlowReader(layout, self._series)
        ported = np.bincount(layout.port_node, minlength=len(layout.nodes)) > 0
        self._loaded: BoolArray = layout.has_own_load | ported
        self._parts = network_parts(layout, self._series, np.flatnonzero(self._loaded))
        ids = {str(kind): iter(part["id"]) for kind, part in self._parts.items()}
        #: (node → id of the element whose lower end its flow leaves); a cable behind a transformer comes later
        self._supply = {branch.node: int(next(ids[branch.kind])) for branch in sorted(self._series, key=_of_kind)}
        self._supply |= dict(zip(map(int, layout.heads), map(int, self._parts["source"]["id"]), strict=True))
        self._load_id = dict(zip(map(int, self._parts["asym_load"]["node"]), map(int, self._parts["asym_load"]["id"]), strict=True))
        self._free_id = 1 + max(int(part["id"].max()) for part in self._parts.values() if len(part))
        self._nominal_pu = np.where(layout.parent < 0, _HEAD_PU, _BELOW_PU)[:, None]
        self._models: dict[bytes, _Model] = {}

    def solve(self, readings: Readings) -> FlowResult:
        """The state that fits best.

        Raises:
            PowerFlowFailed: the readings do not determine one, or none was found.
        """
        model = self._model(readings.measured)
        self._set(model, readings)
        try:
            found: Mapping[str, Mapping[str, FloatArray]] = model.model.calculate_state_estimation(
                symmetric=False,
                error_tolerance=_TOLERANCE_PU,
                max_iterations=_ROUNDS,
                calculation_method=CalculationMethod.iterative_linear,
                output_component_types=self._read.outputs,
            )
        except PowerGridError as error:
            raise PowerFlowFailed(f"no state fits the readings ({one_line(error)})") from error
        return self._read.result(found)

    def _model(self, measured: BoolArray) -> _Model:
        key = measured.tobytes()
        if key not in self._models:
            if len(self._models) >= _KEPT_MODELS:
                self._models.clear()
            self._models[key] = self._make(measured)
        return self._models[key]

    def _make(self, measured: BoolArray) -> _Model:
        flows_at = np.flatnonzero(measured)
        # what a MIM alone puts in is known; what a load without a meter draws is guessed
        loads_at = np.flatnonzero(self._loaded & (~measured | ~self.layout.has_own_load))
        power = initialize_array("input", "asym_power_sensor", len(flows_at) + len(loads_at))
        power["id"] = self._free_id + np.arange(len(power))
        power["measured_object"] = [*(self._supply[int(n)] for n in flows_at), *(self._load_id[int(n)] for n in loads_at)]
        head = np.isin(flows_at, self.layout.heads)
        flow_kinds = np.where(head, int(MeasuredTerminalType.source), int(MeasuredTerminalType.branch_to))
        power["measured_terminal_type"] = [*flow_kinds, *[int(MeasuredTerminalType.load)] * len(loads_at)]
        power["power_sigma"] = power["p_sigma"] = power["q_sigma"] = 1.0
        power["p_measured"] = power["q_measured"] = 0.0
        voltage = initialize_array("input", "asym_voltage_sensor", len(self.layout.nodes))
        voltage["id"] = self._free_id + len(power) + np.arange(len(voltage))
        voltage["measured_object"] = np.arange(len(voltage))
        voltage["u_sigma"], voltage["u_measured"] = 1.0, self.layout.voltage_ln_v[:, None]
        model = make_model({**self._parts, "asym_power_sensor": power, "asym_voltage_sensor": voltage})
        return _Model(model, _update(power, "asym_power_sensor"), flows_at, loads_at, _update(voltage, "asym_voltage_sensor"))

    def _set(self, model: _Model, readings: Readings) -> None:
        columns, layout = self._read.columns, self.layout
        sign = np.where(np.isin(model.flows_at, layout.heads), 1.0, -1.0)[:, None]
        flow = np.concatenate([sign * readings.flow_va[model.flows_at], self._loads(model.loads_at, readings)])[:, columns]
        sigma = np.concatenate([readings.sigma_va[model.flows_at], self._load_sigmas(model.loads_at, readings)])[:, columns]
        model.power["p_measured"], model.power["q_measured"] = flow.real, flow.imag
        model.power["p_sigma"] = np.maximum(sigma.real, _LEAST_SIGMA_VA)
        model.power["q_sigma"] = np.maximum(sigma.imag, _LEAST_SIGMA_VA)
        nominal = layout.voltage_ln_v[:, None]
        known = np.isfinite(readings.voltage_v + readings.sigma_v).all(axis=1, keepdims=True)
        model.voltage["u_measured"] = np.where(known, readings.voltage_v, nominal)[:, columns]
        model.voltage["u_sigma"] = np.where(known, readings.sigma_v, self._nominal_pu * nominal).max(axis=1)
        model.model.update(update_data={"asym_power_sensor": model.power, "asym_voltage_sensor": model.voltage})

    def _loads(self, nodes: IntArray, readings: Readings) -> ComplexArray:
        """What the loads without a sensor of their own are taken for: what flows in, less what flows on, plus what MIMs give."""
        layout = self.layout
        own = readings.flow_va.copy()
        for n, p in enumerate(layout.parent):
            if p >= 0:
                own[p] -= readings.flow_va[n]
        return np.where(layout.has_own_load[nodes, None], own[nodes], -readings.injection_va[nodes])

    def _load_sigmas(self, nodes: IntArray, readings: Readings) -> ComplexArray:
        layout = self.layout
        wide = (layout.limit_a * layout.voltage_ln_v)[nodes, None] * (1 + 1j)
        exact = _LEAST_SIGMA_VA * (1 + 1j)
        return np.where(layout.has_own_load[nodes, None], np.broadcast_to(wide, (len(nodes), 3)), exact)


def _of_kind(branch: Any) -> int:
    return 1 if branch.kind == "line" else 0


def _update(sensors: npt.NDArray[Any], component: str) -> npt.NDArray[Any]:
    update = initialize_array("update", component, len(sensors))
    update["id"] = sensors["id"]
    return update
