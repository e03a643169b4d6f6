"""Virtual meters: a view of one node through a SunSpec meter model or a profile's register map."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mimctl.model.errors import DeviceRefusal
from mimctl.model.layout import FloatArray, SiteLayout
from mimctl.model.node import Node
from mimctl.model.profile import DeviceProfile, PointType, RegisterMap
from mimctl.model.quantity import quantity_of
from mimctl.model.site import SUNSPEC, Meter
from mimctl.twin.images import ILLEGAL_ADDRESS, MARGIN, Display, Image, exponent_for, image_of_map
from mimctl.twin.picture import Picture, World
from mimctl.wire.sunspec import BASES
from mimctl.wire.sunspec_image import ModelContent, build_chain
from mimctl.wire.sunspec_map import model_map, register_map_of
from mimctl.wire.writes import encode_reading, encode_text

_PLACES = ("L1", "L2", "L3")
_PAIRS = ("L1L2", "L2L3", "L3L1")
#: three-phase wye meters with integers and scale factors, and with floats
_INTEGER_METER, _FLOAT_METER = 203, 213
_INT16_MAX = 32767
_COUNTER_WH = 4_000_000_000.0
#: mandatory points that mimctl does not read
_EXTRA = {"A": "A", "PhV": "PhV", "PPV": "PPV"}


class MeterBank:
    """A meter as a `wire.modbus_server.RegisterBank`: noisy, quantised by its registers, wired as the site file says.

    A meter whose current transformers look the other way, or whose inputs are swapped, shows it that way: undoing it is the
    reader's business.
    """

    def __init__(
        self, meter: Meter, layout: SiteLayout, world: World, rng: np.random.Generator, profile: DeviceProfile | None
    ) -> None:
        self._meter = meter
        self._world = world
        self._rng = rng
        self._noise = layout.site.twin.meter_noise_pct / 100
        self._frequency_hz = layout.site.frequency_hz
        self._row = layout.node_index[meter.node]
        node = layout.nodes[self._row]
        self._present = np.array([phase in node.phases for phase in meter.phase_map], dtype=np.bool_)
        self.kind, self._image, register_map = _registers(meter, node, profile)
        self._shown = _shown(register_map)
        self._display = Display(self._image, register_map, self._shown)
        self._seen: Picture | None = None
        self._energy_wh = np.zeros((2, 3))

    def read(self, address: int, count: int) -> bytes:
        picture = self._world.look()
        if picture is not self._seen:
            self._display.show(self._values(picture))
            self._seen = picture
        return self._image.read(address, count)

    def write(self, address: int, data: bytes) -> None:
        raise DeviceRefusal(self._meter.id, f"register {address} cannot be written", ILLEGAL_ADDRESS)

    def _values(self, picture: Picture) -> dict[str, float]:
        """By point key, for the points that this meter has."""
        columns = [phase.column for phase in self._meter.phase_map]
        flow = self._meter.sign * picture.state.flow_va[self._row, columns]
        measured = {
            "voltage": self._measured(picture.voltage_v[self._row, columns]),
            "current": self._measured(picture.current_a[self._row, columns]),
            "active_power": self._measured(flow.real),
            "reactive_power": self._measured(flow.imag),
            "thd_v": self._measured(picture.harmonics.thd_v_pct[self._row, columns]),
            "thd_i": self._measured(picture.harmonics.thd_i_pct[self._row, columns]),
        }
        measured["apparent_power"] = measured["voltage"] * measured["current"]
        self._count(measured["active_power"], picture)
        values = {f"{name}.{place}": float(v) for name, row in measured.items() for place, v in zip(_PLACES, row, strict=True)}
        lines = self._lines(picture, columns)
        values |= {f"voltage.{pair}": float(v) for pair, v in zip(_PAIRS, lines, strict=True)}
        for name in ("active_power", "reactive_power", "apparent_power"):
            values[f"{name}.total"] = float(np.nansum(measured[name]))
        values |= self._energies()
        neutral = float(picture.harmonics.neutral_a[self._row]) * self._error()
        values |= {"current.N": neutral, "frequency": self._frequency_hz}
        values |= {"A": float(np.nansum(measured["current"])), "PhV": _mean(measured["voltage"]), "PPV": _mean(lines)}
        return {key: values.get(key, math.nan) for key in self._shown}

    def _measured(self, row: FloatArray) -> FloatArray:
        """With noise; NaN for inputs that no conductor runs through."""
        noisy: FloatArray = row * (1 + self._noise * self._rng.standard_normal(3))
        return np.where(self._present, noisy, np.nan)

    def _error(self) -> float:
        return 1 + self._noise * float(self._rng.standard_normal())

    def _lines(self, picture: Picture, columns: list[int]) -> FloatArray:
        phasors = picture.state.voltage_v[self._row, columns]
        across = np.abs(phasors - np.roll(phasors, -1)) * (1 + self._noise * self._rng.standard_normal(3))
        return np.where(self._present & np.roll(self._present, -1), across, np.nan)

    def _count(self, active_w: FloatArray, picture: Picture) -> None:
        """Energy counters: import in the first row, export in the second."""
        if self._seen is not None:
            hours = (picture.t_s - self._seen.t_s) / 3600
            known = np.nan_to_num(active_w)
            self._energy_wh += hours * np.array([np.maximum(known, 0), np.maximum(-known, 0)])

    def _energies(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for name, row in zip(("energy_import", "energy_export"), self._energy_wh % _COUNTER_WH, strict=True):
            values |= {f"{name}.{place}": float(v) for place, v in zip(_PLACES, row, strict=True)}
            values[f"{name}.total"] = float(row.sum() % _COUNTER_WH)
        return values


def _shown(register_map: RegisterMap) -> set[str]:
    """Keys of what is measured; the two halves of a split value are shown by the value that they make."""
    helpers = {key for d in register_map.differences for key in (d.plus, d.minus)}
    measured = {p.key for p in register_map.points if not p.static and not p.type.is_text}
    return measured - helpers | {d.key for d in register_map.differences}


def _mean(row: FloatArray) -> float:
    known = row[~np.isnan(row)]
    return float(known.mean()) if len(known) else math.nan


def _registers(meter: Meter, node: Node, profile: DeviceProfile | None) -> tuple[str, Image, RegisterMap]:
    """What kind of meter it is, its registers, and the map of what it measures."""
    exponents = _exponents(node)
    if meter.address.profile == SUNSPEC:
        return _sunspec(meter, exponents)
    if profile is None:
        raise ValueError(f"meter {meter.id} needs the profile {meter.address.profile}")
    image = image_of_map(meter.id, profile.register_map, exponents)
    texts = {"manufacturer": profile.vendor, "model": profile.models[0] if profile.models else profile.id, "serial": meter.id}
    for name, point in profile.register_map.identity:
        if point.type is PointType.STRING and name in texts:
            image.put(point.address, encode_text(point, texts[name][: 2 * point.registers]))
        elif name == "serial" and not point.type.is_text:
            image.put(point.address, encode_reading(point, meter.address.unit))
    return f"meter {profile.id}", image, profile.register_map


def _exponents(node: Node) -> dict[str, int]:
    """Scale factors by quantity, fine enough for the node and wide enough for more than its rating."""
    current_a = MARGIN * node.rating_a
    power_va = 3 * current_a * node.voltage_ln_v
    power = exponent_for(power_va, _INT16_MAX, -1)
    return {
        "current": exponent_for(3 * current_a, _INT16_MAX, -2),
        "voltage": exponent_for(3 * node.voltage_ln_v, _INT16_MAX, -2),
        "frequency": -2,
        "active_power": power,
        "reactive_power": power,
        "apparent_power": power,
        "thd_v": -1,
        "thd_i": -1,
    }


def _sunspec(meter: Meter, exponents: Mapping[str, int]) -> tuple[str, Image, RegisterMap]:
    # whole watts do not fit 16 bits on a large node: such meters come with floats
    model = _INTEGER_METER if exponents["active_power"] <= 0 else _FLOAT_METER
    names = {"A_SF": "current", "V_SF": "voltage", "Hz_SF": "frequency", "W_SF": "active_power"}
    names |= {"VA_SF": "apparent_power", "VAR_SF": "reactive_power"}
    scales: dict[str, float | str] = {name: exponents[quantity] for name, quantity in names.items()}
    content = ModelContent(model, {**scales, "TotWh_SF": 0, "Evt": 0} if model == _INTEGER_METER else {"Evt": 0})
    base = BASES[0] if meter.address.base is None else meter.address.base
    data, chain = build_chain([common_model("virtual meter", meter.id), content], base)
    register_map = register_map_of(chain.models, meter.id)
    extra = [replace(p, key=_EXTRA[p.key]) for p in model_map(chain.models[1]).points if p.key in _EXTRA]
    known = tuple(p for p in register_map.points if quantity_of(p.key) is not None)
    return f"meter {model}", Image(meter.id, base, data), replace(register_map, points=(*known, *extra))


def common_model(model: str, serial: str) -> ModelContent:
    """The SunSpec common model of a virtual device; texts are cut to the 32 bytes that it has for them."""
    texts = {"Mn": "mimctl", "Md": model, "SN": serial.encode()[:32].decode(errors="ignore"), "Vr": "twin"}
    return ModelContent(1, {**texts, "DA": 1}, length=66)
