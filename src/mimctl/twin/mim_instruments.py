"""What the instruments of a MIM see of the plant and of their own firmware, whatever medium tells of it."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from mimctl.model.connection import Connection
from mimctl.model.errors import DeviceRefusal
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.twin.firmware import Alarm, MimFleet
from mimctl.twin.images import NO_ANSWER
from mimctl.twin.metering import operating_states
from mimctl.twin.mim_models import UINT16_MAX
from mimctl.twin.picture import Picture, World

_OVER_TEMPERATURE = 1 << 0
_MASK_32 = 0xFFFFFFFF


class MimInstruments:
    """Of one MIM; values by the names of the points of the MIM protocol."""

    def __init__(self, m: int, layout: SiteLayout, world: World, rng: np.random.Generator) -> None:
        self._m = m
        self._mim = layout.mims[m]
        self._layout = layout
        self._world = world
        self._rng = rng

    @property
    def fleet(self) -> MimFleet:
        fleet = self._world.plant.fleet
        if fleet is None:
            raise DeviceRefusal(self._mim.id, "the plant has no MIMs", NO_ANSWER)
        return fleet

    def measured(self, picture: Picture) -> dict[str, float]:
        fleet, m = self.fleet, self._m
        alarms = _OVER_TEMPERATURE if fleet.alarms[m] & Alarm.DERATED else 0
        remaining_s = max(float(fleet.watchdog_remaining_s[m]), float(fleet.formers.remaining_s()[m]))
        values: dict[str, float] = {
            "Seq": picture.number & (_MASK_32 >> 1),
            "MimHb": int(picture.t_s) & (_MASK_32 >> 1),
            "WdRem": min(math.ceil(remaining_s), UINT16_MAX),
            "SeqAck": int(fleet.sequence_ack[m]),
            "CmdSta": int(fleet.command_status[m]),
            "Alrm": alarms,
            "St": float(operating_states(fleet)[m]),
            "Hz": picture.hertz(int(self._layout.port_node[self._layout.ports_of_mim[m].start])),
            "Tmp": float(fleet.temperature_degc[m]),
        }
        for n, port in enumerate(self._port_readings(picture.shown_by(self._mim.id))):
            values |= {f"Ph[{n}].{name}": value for name, value in port.values(self._error).items()}
        return values

    def _error(self) -> float:
        return 1 + self._layout.site.twin.meter_noise_pct / 100 * float(self._rng.standard_normal())

    def _port_readings(self, picture: Picture) -> Iterable[_PortReading]:
        ports = self._layout.ports_of_mim[self._m]
        reference: float | None = None
        filters = self.fleet.filters if self._mim.harmonic_filter is not None else None
        harmonic_a = picture.harmonics.filter_a
        available = self.fleet.available_w
        told, volts = picture.state.port_va, picture.state.port_voltage_v
        if picture.instruments.tampered:
            rows = picture.instruments.mims.start + self._layout.port_mim
            told, volts = picture.instruments.told(rows, told, volts)
        for k in range(ports.start, ports.stop):
            node, connection = int(self._layout.port_node[k]), self._layout.ports[k].connection
            across = _across(picture.state.voltage_v[node], connection)
            reference = cmath.phase(across) if reference is None else reference
            yield _PortReading(
                power_va=complex(told[k]),
                voltage_v=float(volts[k]),
                angle_deg=math.degrees(cmath.phase(cmath.rect(1, cmath.phase(across) - reference))),
                thd_v_pct=_distortion(picture, node, connection),
                available_w=float(available[k]),
                rating_va=self._layout.ports[k].rating_va * float(self.fleet.derating[self._m]),
                phases=3 if connection is Connection.THREE_PHASE else 1,
                harmonic_a=0.0 if harmonic_a is None else float(harmonic_a[k]),
                share=None if filters is None else float(filters.share[k]),
            )

    def stored(self) -> dict[str, float]:
        mine = self._layout.battery_mim == self._m
        capacity_wh = np.array([b.capacity_wh for b in self._layout.batteries])[mine]
        energy_wh = float((self.fleet.soc_pct[mine] / 100 * capacity_wh).sum())
        whole_wh = float(capacity_wh.sum())
        return {"SoC": 100 * energy_wh / whole_wh, "WHRtg": whole_wh, "WHAvail": energy_wh}


@dataclass(frozen=True, slots=True)
class _PortReading:
    """What the instruments of one port see. `share`: of its filter, None where it has none."""

    power_va: complex
    voltage_v: float
    angle_deg: float
    thd_v_pct: float
    available_w: float
    rating_va: float
    phases: int
    harmonic_a: float = 0.0
    share: float | None = None

    def values(self, error: Callable[[], float]) -> dict[str, float]:
        """By point of the port group."""
        w, var = self.power_va.real * error(), self.power_va.imag * error()
        voltage = self.voltage_v * error()
        lag = math.degrees(cmath.phase(self.power_va)) if self.power_va else 0.0
        fundamental_a = math.hypot(w, var) / (self.phases * self.voltage_v) if self.voltage_v else 0.0
        return {
            "V": voltage,
            "A": math.hypot(fundamental_a, self.harmonic_a),
            "W": w,
            "Var": var,
            "VAng": self.angle_deg,
            "AAng": math.remainder(self.angle_deg - lag, 360.0),
            "ThdV": self.thd_v_pct * error(),
            "ThdA": math.nan if self.share is None or not fundamental_a else 100 * self.harmonic_a / fundamental_a,
            "WAvl": self.available_w,
            "WAvlAbs": self.available_w,
            "VarAvl": math.sqrt(max(self.rating_va**2 - self.power_va.real**2, 0.0)),
            "HarmShrAct": math.nan if self.share is None else 100 * self.share,
        }


def _across(phasors: ComplexArray, connection: Connection) -> complex:
    """Voltage phasor across a connection; that of L1 for a three-phase one."""
    columns = [phase.column for phase in connection.phases]
    first = complex(phasors[columns[0]])
    return first - complex(phasors[columns[1]]) if connection.is_line_to_line else first


def _distortion(picture: Picture, node: int, connection: Connection) -> float:
    """THD of the voltage across a connection [%]; NaN where it is not known."""
    columns = [phase.column for phase in connection.phases]
    if not connection.is_line_to_line:
        return float(np.mean(picture.harmonics.thd_v_pct[node, columns]))
    orders = picture.harmonics.voltage_v[node, columns[0]] - picture.harmonics.voltage_v[node, columns[1]]
    fundamental = abs(_across(picture.state.voltage_v[node], connection))
    return 100 * float(np.linalg.norm(orders)) / fundamental if fundamental else math.nan
