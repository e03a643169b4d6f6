"""What a meter at one node measures: noise, its own wiring, its energy counters."""

from __future__ import annotations

import math

import numpy as np

from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout
from mimctl.model.site import Meter
from mimctl.twin.picture import Picture

_PLACES = ("L1", "L2", "L3")
_PAIRS = ("L1L2", "L2L3", "L3L1")
_COUNTER_WH = 4_000_000_000.0


class MeterValues:
    """Values of one meter of the site, by plain key.

    A meter whose current transformers look the other way, or whose inputs are swapped, shows it that way: undoing it is the
    reader's business.
    """

    def __init__(self, meter: Meter, layout: SiteLayout, rng: np.random.Generator) -> None:
        self._meter = meter
        self._rng = rng
        self._noise = layout.site.twin.meter_noise_pct / 100
        self._row = layout.node_index[meter.node]
        node = layout.nodes[self._row]
        self._present = np.array([phase in node.phases for phase in meter.phase_map], dtype=np.bool_)
        self._counted_s: float | None = None
        self._energy_wh = np.zeros((2, 3))

    def measured(self, picture: Picture) -> dict[str, float]:
        """Everything that it can measure now; NaN at inputs that no conductor runs through."""
        picture = picture.shown_by(self._meter.id)
        columns = [phase.column for phase in self._meter.phase_map]
        volts, amps, flow = self._wired(picture, columns)
        measured = {
            "voltage": self._noisy(volts),
            "current": self._noisy(amps),
            "active_power": self._noisy(flow.real),
            "reactive_power": self._noisy(flow.imag),
            "thd_v": self._noisy(picture.harmonics.thd_v_pct[self._row, columns]),
            "thd_i": self._noisy(picture.harmonics.thd_i_pct[self._row, columns]),
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
        values |= {"current.N": neutral, "frequency": picture.hertz(self._row)}
        values |= {"A": float(np.nansum(measured["current"])), "PhV": _mean(measured["voltage"]), "PPV": _mean(lines)}
        return values

    def _wired(self, picture: Picture, columns: list[int]) -> tuple[FloatArray, FloatArray, ComplexArray]:
        """Voltages, currents and powers at the meter's own inputs, with whatever is wrong with its wiring and its scale."""
        volts, amps = picture.voltage_v[self._row, columns], picture.current_a[self._row, columns]
        flow, instruments = picture.state.flow_va[self._row, columns], picture.instruments
        if instruments.tampered:
            row, state = instruments.row[self._meter.id], picture.state
            phasors, currents = state.voltage_v[self._row, columns], state.current_a[self._row, columns]
            _, flow = instruments.wired(row, phasors, currents, flow)
            amps = np.take_along_axis(amps, instruments.order[row], axis=-1)
            # gain and offset are the meter's own: they do not turn with the direction that the site file gives it
            flow = self._meter.sign * instruments.falsify(row, volts, amps, self._meter.sign * flow)
        return volts, amps, self._meter.sign * flow

    def _noisy(self, row: FloatArray) -> FloatArray:
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
        if self._counted_s is not None:
            hours = (picture.t_s - self._counted_s) / 3600
            known = np.nan_to_num(active_w)
            self._energy_wh += hours * np.array([np.maximum(known, 0), np.maximum(-known, 0)])
        self._counted_s = picture.t_s

    def _energies(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for name, row in zip(("energy_import", "energy_export"), self._energy_wh % _COUNTER_WH, strict=True):
            values |= {f"{name}.{place}": float(v) for place, v in zip(_PLACES, row, strict=True)}
            values[f"{name}.total"] = float(row.sum() % _COUNTER_WH)
        return values


def _mean(row: FloatArray) -> float:
    known = row[~np.isnan(row)]
    return float(known.mean()) if len(known) else math.nan
