"""Virtual MIMs: the firmware of the fleet behind the registers that the MIM protocol gives it."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from mimctl.model.connection import Connection
from mimctl.model.errors import DeviceRefusal
from mimctl.model.harmonics import HarmonicShare
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.profile import PointSpec
from mimctl.twin.firmware import Alarm, MimFleet
from mimctl.twin.images import ILLEGAL_ADDRESS, ILLEGAL_VALUE, NO_ANSWER, Display, Image
from mimctl.twin.mim_models import EXPIRY_CODES, STORAGE, UINT16_MAX, mim_models, watchdog_registers
from mimctl.twin.picture import Picture, World
from mimctl.wire.registers import CompiledMap
from mimctl.wire.sunspec import BASES, ModelBlock
from mimctl.wire.sunspec_image import build_chain
from mimctl.wire.sunspec_map import model_map

_EXPIRY_ACTIONS = {code: action for action, code in EXPIRY_CODES.items()}
#: values of St in the definition of the measurement model
_STANDBY, _FOLLOW = 1, 2
_OVER_TEMPERATURE = 1 << 0
_MASK_32 = 0xFFFFFFFF


class MimBank:
    """A MIM as a `wire.modbus_server.RegisterBank`: common model, storage if it has one, control, measurement.

    Setpoint registers hold what was staged since the last commit, otherwise what is in force. A write is taken as a whole or
    refused as a whole; a MIM that is off line is answered for by its gateway.
    """

    def __init__(self, m: int, layout: SiteLayout, world: World, rng: np.random.Generator) -> None:
        self._m = m
        self._mim = layout.mims[m]
        self._layout = layout
        self._world = world
        self._rng = rng
        self._staged = False
        self._seen: Picture | None = None
        base = BASES[0] if self._mim.address.base is None else self._mim.address.base
        data, chain = build_chain(mim_models(self._mim, layout), base)
        self._image = Image(self._mim.id, base, data)
        self._control = _Control(chain.models[-2])
        self._control_display = Display(self._image, self._control.register_map, self._control.shown())
        self._measurement = self._display_of(chain.models[-1])
        self._storage = self._display_of(chain.models[1]) if chain.models[1].id == STORAGE else None
        self.kind = f"MIM, {len(self._mim.ports)} ports" + (", storage" if self._storage else "")

    def read(self, address: int, count: int) -> bytes:
        self._require_online()
        picture = self._world.look()
        if picture is not self._seen:
            self._measurement.show(self._measured(picture))
            if self._storage is not None:
                self._storage.show(self._stored())
            self._seen = picture
        self._reflect()
        return self._image.read(address, count)

    def write(self, address: int, data: bytes) -> None:
        self._require_online()
        touched = self._control.points_of(self._mim.id, address, len(data) // 2)
        self._world.advance()
        self._reflect()
        before = self._image.read(address, len(data) // 2)
        self._image.put(address, data)
        values = self._control.values(self._image)
        problem = _objection(values)
        if problem is not None:
            self._image.put(address, before)
            raise DeviceRefusal(self._mim.id, problem, ILLEGAL_VALUE)
        self._act(touched, values)
        self._seen = None  # what became of the command is told at once, not with the next picture

    @property
    def _fleet(self) -> MimFleet:
        fleet = self._world.plant.fleet
        if fleet is None:
            raise DeviceRefusal(self._mim.id, "the plant has no MIMs", NO_ANSWER)
        return fleet

    def _require_online(self) -> None:
        if not self._fleet.online[self._m]:
            raise DeviceRefusal(self._mim.id, "off line", NO_ANSWER)

    def _act(self, touched: set[str], values: dict[str, float]) -> None:
        """Hand a write to the firmware: settings, then heartbeat and enable, then the commit; switching off comes last."""
        fleet, m = self._fleet, self._m
        if touched & {"WdTms", "WdAct"}:
            fleet.set_watchdog(m, values["WdTms"], _EXPIRY_ACTIONS[int(values["WdAct"])])
        if any(path.startswith("PhRvrt") for path in touched):
            fleet.set_fallback(m, self._ports(values, "PhRvrt", "W"), self._ports(values, "PhRvrt", "Var"))
        self._staged |= any(path.startswith("Ph[") for path in touched)
        if "Cmt.CtlHb" in touched:
            fleet.heartbeat(m, int(values["Cmt.CtlHb"]))
        if "Cmt.Ena" in touched and values["Cmt.Ena"]:
            fleet.enable(m, on=True)
        if "Cmt.SeqCmd" in touched:
            watts, vars_ = self._ports(values, "Ph", "W"), self._ports(values, "Ph", "Var")
            fleet.apply(m, watts, vars_, int(values["Cmt.SeqCmd"]), self._shares(values))
            self._staged = False
        if "Cmt.Ena" in touched and not values["Cmt.Ena"]:
            fleet.enable(m, on=False)

    def _ports(self, values: dict[str, float], group: str, name: str) -> list[float]:
        return [values[f"{group}[{n}].{name}"] for n in range(len(self._mim.ports))]

    def _shares(self, values: dict[str, float]) -> list[HarmonicShare] | None:
        """What the share registers say; None for a MIM without a filter."""
        if self._mim.harmonic_filter is None:
            return None
        percent, orders = self._ports(values, "Ph", "HarmShr"), self._ports(values, "Ph", "HarmOrd")
        known = [0.0 if math.isnan(o) else o for o in orders]
        return [HarmonicShare(p / 100 if p >= 0 else 0.0, int(o)) for p, o in zip(percent, known, strict=True)]

    def _reflect(self) -> None:
        """Bring the control registers to what the firmware has made of them: clipped, expired, rebooted."""
        fleet, m = self._fleet, self._m
        values: dict[str, float] = {"Cmt.Ena": float(fleet.enabled[m])}
        if not self._staged:
            setpoints = fleet.setpoint_va[self._layout.ports_of_mim[m]]
            for n, s in enumerate(setpoints):
                values |= {f"Ph[{n}].W": float(s.real), f"Ph[{n}].Var": float(s.imag)}
            values |= self._shares_in_force()
        if fleet.alarms[m] & Alarm.REBOOTED:
            values |= {"Cmt.SeqCmd": 0, "Cmt.CtlHb": 0, **watchdog_registers(self._mim)}
        self._control_display.show(values)

    def _shares_in_force(self) -> dict[str, float]:
        if self._mim.harmonic_filter is None:
            return {}
        filters, ports = self._fleet.filters, self._layout.ports_of_mim[self._m]
        told = zip(filters.commanded[ports].tolist(), filters.orders[ports].tolist(), strict=True)
        return {
            f"Ph[{n}].{name}": value
            for n, (share, orders) in enumerate(told)
            for name, value in (("HarmShr", 100 * share), ("HarmOrd", float(orders)))
        }

    def _display_of(self, block: ModelBlock) -> Display:
        register_map = model_map(block)
        return Display(self._image, register_map, (p.key for p in register_map.points))

    def _measured(self, picture: Picture) -> dict[str, float]:
        fleet, m = self._fleet, self._m
        alarms = _OVER_TEMPERATURE if fleet.alarms[m] & Alarm.DERATED else 0
        values: dict[str, float] = {
            "Seq": picture.number & (_MASK_32 >> 1),
            "MimHb": int(picture.t_s) & (_MASK_32 >> 1),
            "WdRem": min(math.ceil(fleet.watchdog_remaining_s[m]), UINT16_MAX),
            "SeqAck": int(fleet.sequence_ack[m]),
            "CmdSta": int(fleet.command_status[m]),
            "Alrm": alarms,
            "St": _FOLLOW if fleet.enabled[m] else _STANDBY,
            "Hz": self._layout.site.frequency_hz,
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
        filters = self._fleet.filters if self._mim.harmonic_filter is not None else None
        harmonic_a = picture.harmonics.filter_a
        available = self._fleet.available_w
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
                rating_va=self._layout.ports[k].rating_va * float(self._fleet.derating[self._m]),
                phases=3 if connection is Connection.THREE_PHASE else 1,
                harmonic_a=0.0 if harmonic_a is None else float(harmonic_a[k]),
                share=None if filters is None else float(filters.share[k]),
            )

    def _stored(self) -> dict[str, float]:
        mine = self._layout.battery_mim == self._m
        capacity_wh = np.array([b.capacity_wh for b in self._layout.batteries])[mine]
        energy_wh = float((self._fleet.soc_pct[mine] / 100 * capacity_wh).sum())
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


class _Control:
    """The control model: which of its registers may be written, and what they say."""

    def __init__(self, block: ModelBlock) -> None:
        self.register_map = model_map(block)
        self._compiled = CompiledMap(self.register_map)
        self._starting: dict[int, PointSpec] = {p.address: p for p in self.register_map.points if p.writable}

    def points_of(self, device: str, address: int, count: int) -> set[str]:
        """The points that a write covers.

        Raises:
            DeviceRefusal: a register that cannot be written, or half a point.
        """
        at, paths = address, set()
        while at < address + count:
            point = self._starting.get(at)
            if point is None:
                raise DeviceRefusal(device, f"register {at} cannot be written", ILLEGAL_ADDRESS)
            paths.add(point.key)
            at = point.end
        if at > address + count:
            raise DeviceRefusal(device, f"a write ends within {point.key if point else at}", ILLEGAL_VALUE)
        return paths

    def shown(self) -> set[str]:
        """What the firmware shows by itself."""
        return {p.key for p in self.register_map.points if p.key.startswith(("Ph[", "Cmt.")) or p.key in ("WdAct", "WdTms")}

    def values(self, image: Image) -> dict[str, float]:
        blocks = [image.read(r.address, r.count) for r in self._compiled.reads]
        return dict(zip(self._compiled.keys, self._compiled.decode(blocks).tolist(), strict=True))


def _objection(values: dict[str, float]) -> str | None:
    """What makes a control image impossible; None if nothing does."""
    if not values["WdTms"] >= 1:
        return "a validity of 0 would mean for ever"
    if values["WdAct"] not in _EXPIRY_ACTIONS:
        return f"no such expiry action: {values['WdAct']}"
    if values["Cmt.Ena"] not in (0, 1):
        return f"enable is 0 or 1, not {values['Cmt.Ena']}"
    if any(math.isnan(values[path]) for path in ("Cmt.CtlHb", "Cmt.SeqCmd")):
        return "a counter that says 'no value'"
    return None


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
