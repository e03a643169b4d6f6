"""What the devices of a site measure at one instant, all of them at once: noise, resolution, and each device's own frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mimctl.model.island import FORMING_STATE
from mimctl.model.layout import ComplexArray, FloatArray, IntArray
from mimctl.model.site import Meter, Mim
from mimctl.twin.firmware import MimFleet
from mimctl.twin.plant import Plant, PlantState

METER_KEYS = (
    *(f"{q}.L{i}" for q in ("voltage", "current", "active_power", "reactive_power", "thd_v", "thd_i") for i in (1, 2, 3)),
    "current.N",
    "frequency",
)
_PORT_QUANTITIES = ("active_power", "reactive_power", "voltage", "available_inject", "available_absorb")
#: of MIMs with a harmonic filter
_FILTER_QUANTITIES = ("current", "harmonic_share")
_MIM_QUANTITIES = ("sequence_ack", "command_status", "watchdog_remaining", "temperature", "alarms")
#: values of St in the definition of the MIM's measurement model
_STANDBY, _FOLLOW = 1.0, 2.0
#: of MIMs with a form mode
_FORMER_QUANTITIES = ("operating_state",)
#: values of a signed 16-bit register: what a meter's scale factor must fit its range into
_REGISTER_SPAN = 32767
_VOLTAGE_V, _CURRENT_A, _POWER_W, _PERCENT, _FREQUENCY_HZ, _SECONDS, _DEGREES = 0.1, 0.01, 1.0, 0.1, 0.01, 1.0, 0.1


def resolution(largest: float, finest: float) -> float:
    """The decimal step in which a meter with 16-bit registers tells values up to `largest`, never below `finest`."""
    return max(finest, 10.0 ** math.ceil(math.log10(largest / _REGISTER_SPAN)))


def mim_keys(mim: Mim, *, battery: bool, forms: bool = False) -> tuple[str, ...]:
    """Point keys of one MIM, ports in the order of the site file."""
    ports = range(1, len(mim.ports) + 1)
    quantities = (*_PORT_QUANTITIES, *(_FILTER_QUANTITIES if mim.harmonic_filter is not None else ()))
    own = (*_MIM_QUANTITIES, *(_FORMER_QUANTITIES if forms else ()))
    keys = (*(f"{quantity}.port{k}" for quantity in quantities for k in ports), *own)
    return (*keys, "soc") if battery else keys


class MeterBank:
    """All meters of a site. One row of values per meter, in its own phases and its own direction."""

    def __init__(self, plant: Plant, seed: int) -> None:
        layout = plant.layout
        self.meters = layout.site.meters
        count = len(self.meters)
        self._plant = plant
        self._nodes: IntArray = np.array([layout.node_index[m.node] for m in self.meters], dtype=np.int64)
        self._columns = np.array([[p.column for p in m.phase_map] for m in self.meters], dtype=np.int64).reshape(count, 3)
        self._sign = np.array([m.sign for m in self.meters], dtype=np.float64)[:, None]
        self._absent = np.tile(~layout.phase_present[self._nodes[:, None], self._columns], 6)
        self._neutral = ~np.isnan(layout.neutral_rating_a[self._nodes])
        self._step = np.array([_meter_steps(plant, m) for m in self.meters]).reshape(count, len(METER_KEYS))
        self._sigma = layout.site.twin.meter_noise_pct / 100
        self._noise = np.random.default_rng([seed, 0x6D65746572])

    def read(self, state: PlantState) -> FloatArray:
        """(meters, keys) readings now."""
        flow, distortion = state.flow, self._plant.harmonics()
        values = np.empty((len(self.meters), len(METER_KEYS)))
        instruments, volts = self._plant.instruments, self._of(flow.voltage_v)
        amps, power = self._of(flow.current_a), self._of(flow.flow_va)
        if instruments.tampered:
            amps, power = instruments.wired(instruments.meters, volts, amps, power)
        power = power * self._sign
        thd_v, thd_i = self._of(distortion.thd_v_pct), self._of(distortion.thd_i_pct)
        values[:, 0:3] = np.abs(volts) * _rms_factor(thd_v)
        values[:, 3:6] = np.abs(amps) * _rms_factor(thd_i)
        values[:, 6:9], values[:, 9:12] = power.real, power.imag
        values[:, 12:15], values[:, 15:18] = thd_v, thd_i
        values[:, 18] = np.where(self._neutral, distortion.neutral_a[self._nodes], np.nan)
        if self._sigma > 0:
            values[:, :-1] *= 1 + self._sigma * self._noise.standard_normal((len(self.meters), len(METER_KEYS) - 1))
        if instruments.tampered:
            told = instruments.falsify(instruments.meters, values[:, 0:3], values[:, 3:6], values[:, 6:9] + 1j * values[:, 9:12])
            values[:, 6:9], values[:, 9:12] = told.real, told.imag
        hertz = self._plant.node_frequency_hz
        values[:, 19] = hertz if isinstance(hertz, float | int) else hertz[self._nodes]
        values[:, :18][self._absent] = np.nan
        rounded: FloatArray = np.rint(values / self._step) * self._step
        return rounded

    def _of(self, per_node: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(N, 3) floats or phasors of the nodes → (meters, 3) at the meters' own inputs."""
        return per_node[self._nodes[:, None], self._columns]


def operating_states(fleet: MimFleet) -> FloatArray:
    """(M,) what each MIM says of itself, as in 64901 St."""
    states: FloatArray = np.where(fleet.enabled, _FOLLOW, _STANDBY)
    return np.where(fleet.formers.forming, FORMING_STATE, states)


def _rms_factor(thd_pct: FloatArray) -> FloatArray:
    """Total rms over the rms of the fundamental; 1 where the distortion is not known."""
    factor: FloatArray = np.sqrt(1 + np.nan_to_num(thd_pct / 100) ** 2)
    return factor


def _meter_steps(plant: Plant, meter: Meter) -> list[float]:
    node = plant.layout.nodes[plant.layout.node_index[meter.node]]
    volts = resolution(1.2 * node.voltage_ln_v, _VOLTAGE_V)
    amps = resolution(1.2 * node.rating_a, _CURRENT_A)
    watts = resolution(1.2 * node.rating_a * node.voltage_ln_v, _POWER_W)
    return [volts] * 3 + [amps] * 3 + [watts] * 6 + [_PERCENT] * 6 + [amps, _FREQUENCY_HZ]


class MimBank:
    """All MIMs of a site. The values of all MIMs in one vector; `rows` cuts it up."""

    def __init__(self, plant: Plant) -> None:
        layout = plant.layout
        self._plant = plant
        with_battery = {b.mim: i for i, b in reversed(list(enumerate(layout.batteries)))}
        kinds: dict[tuple[str, ...], tuple[str, ...]] = {}
        formers = {name for island in layout.site.islands for name in island.formers}
        keys = [mim_keys(mim, battery=mim.id in with_battery, forms=mim.id in formers) for mim in layout.mims]
        #: MIMs of one build share one tuple
        self.keys = [kinds.setdefault(k, k) for k in keys]
        ends = np.cumsum([0, *map(len, self.keys)])
        self.rows = [slice(int(a), int(b)) for a, b in pairwise(ends)]
        self._places = self._find_places(layout.mims)
        self._soc_of = np.array([with_battery[m.id] for m in layout.mims if m.id in with_battery], dtype=np.int64)
        self._step = self._steps(int(ends[-1]))
        self._size = int(ends[-1])

    def _find_places(self, mims: Sequence[Mim]) -> dict[str, IntArray]:
        """Quantity → where its values stand in the vector."""
        all_of_them = (*_PORT_QUANTITIES, *_FILTER_QUANTITIES, *_MIM_QUANTITIES, *_FORMER_QUANTITIES, "soc")
        places: dict[str, list[int]] = {quantity: [] for quantity in all_of_them}
        for row, keys in zip(self.rows, self.keys, strict=True):
            for i, key in enumerate(keys):
                places[key.partition(".")[0]].append(row.start + i)
        return {quantity: np.array(at, dtype=np.int64) for quantity, at in places.items()}

    def _steps(self, size: int) -> FloatArray:
        step = np.ones(size)
        step[self._places["voltage"]] = _VOLTAGE_V
        step[self._places["current"]] = step[self._places["harmonic_share"]] = _CURRENT_A
        step[self._places["temperature"]] = _DEGREES
        step[self._places["soc"]] = _PERCENT
        return step

    def _told(self, state: PlantState) -> tuple[ComplexArray, FloatArray]:
        """(K,) powers and voltages as the MIMs tell them."""
        instruments = self._plant.instruments
        if not instruments.tampered:
            return state.port_va, state.port_voltage_v
        rows = instruments.mims.start + self._plant.layout.port_mim
        return instruments.told(rows, state.port_va, state.port_voltage_v)

    def read(self, state: PlantState) -> FloatArray:
        """(values of all MIMs,) readings now."""
        fleet, places = self._plant.fleet, self._places
        values = np.zeros(self._size)
        if fleet is None:
            return values
        told, volts = self._told(state)
        values[places["active_power"]], values[places["reactive_power"]] = told.real, told.imag
        values[places["voltage"]] = volts
        values[places["available_inject"]] = values[places["available_absorb"]] = fleet.available_w
        for quantity, of_mims in (
            ("sequence_ack", fleet.sequence_ack),
            ("command_status", fleet.command_status),
            ("watchdog_remaining", fleet.watchdog_remaining_s),
            ("temperature", fleet.temperature_degc),
            ("alarms", fleet.alarms),
        ):
            values[places[quantity]] = of_mims
        values[places["operating_state"]] = operating_states(fleet)[fleet.formers.able]
        values[places["soc"]] = fleet.soc_pct[self._soc_of]
        ports = fleet.filters.ports
        if ports.any:
            harmonic_a, able = self._plant.harmonics().filter_a, ports.able
            fundamental_a = ports.fundamental_a(np.abs(state.port_va), state.port_voltage_v)
            rms_a = fundamental_a if harmonic_a is None else np.hypot(fundamental_a, harmonic_a)
            values[places["current"]], values[places["harmonic_share"]] = rms_a[able], 100 * fleet.filters.share[able]
        rounded: FloatArray = np.rint(values / self._step) * self._step
        return rounded
