"""How much the setpoints of a run move, and how often they are written: what wears devices and fills radios."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout

_HOUR_S = 3600.0


class Travel:
    """Counts changes of the setpoints in force at the MIMs of one layout."""

    def __init__(self, layout: SiteLayout) -> None:
        self._layout = layout
        self._last_va = np.zeros(len(layout.ports), dtype=np.complex128)
        self._travel_a = np.zeros(len(layout.ports))
        self._writes = np.zeros(len(layout.mims))
        self._time_s = 0.0

    def add(self, setpoint_va: ComplexArray, dt_s: float) -> None:
        """The setpoints (K,) that hold for the next `dt_s`; those that are not known count as unchanged."""
        now_va = np.where(np.isfinite(setpoint_va), setpoint_va, self._last_va)
        moved_a = np.abs(now_va - self._last_va) / self._layout.port_voltage_v
        self._travel_a += moved_a
        self._writes += np.bincount(self._layout.port_mim, moved_a > 0, len(self._writes)) > 0
        self._last_va, self._time_s = now_va, self._time_s + dt_s

    @property
    def writes_per_h(self) -> FloatArray:
        """(M,) changes of each MIM's setpoint an hour."""
        return np.asarray(self._writes * _HOUR_S / max(self._time_s, 1e-9))

    @property
    def travel_a_per_h(self) -> FloatArray:
        """(K,) Σ |change| of each port's setpoint an hour [A/h]."""
        return np.asarray(self._travel_a * _HOUR_S / max(self._time_s, 1e-9))


def together(travels: Sequence[Travel]) -> dict[str, float | None]:
    """Of all zones: changes of setpoint for each MIM and travel of each port, an hour, mean and largest; None without MIMs."""
    figures = {
        "writes_per_mim_h": np.concatenate([t.writes_per_h for t in travels] or [np.empty(0)]),
        "travel_a_per_port_h": np.concatenate([t.travel_a_per_h for t in travels] or [np.empty(0)]),
    }
    result: dict[str, float | None] = {}
    for name, values in figures.items():
        result[name] = float(values.mean()) if len(values) else None
        result[f"{name}_max"] = float(values.max()) if len(values) else None
    return result
