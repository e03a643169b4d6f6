"""Figures as a power engineer says them. Nothing here decides anything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from mimctl.model.calendar import local_time
from mimctl.model.layout import ComplexArray, FloatArray, SiteLayout
from mimctl.model.phases import PHASES, Phase

#: currents below it are not worth a word [A]
LEAST_A = 0.05
_LEAST_VAR = 10.0
#: J below it is what a solver leaves of nothing
_NO_J = 1e-8
#: above this share of J an ampere is too large a step for a price to hold
_MOST_PCT = 50.0
#: below this share of J nobody would act on a price
_LEAST_PCT = 0.01


def clock(instant: datetime, timezone: str) -> str:
    """An instant as the site's people say it."""
    return f"{local_time(instant, timezone):%Y-%m-%d %H:%M:%S} ({timezone})"


def seconds(value: float) -> str:
    """An age or a distance in time."""
    if value < 90:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    if value < 5400:
        return f"{value / 60:.0f} min"
    return f"{value / 3600:.1f} h" if value < 48 * 3600 else f"{value / 86400:.0f} days"


def phases(amps: FloatArray) -> str:
    """Three currents, `12.3 / 4.5 / 6.7 A`; an unknown one is `?`."""
    return " / ".join("?" if np.isnan(a) else f"{a:.1f}" for a in amps) + " A"


def places(amps: FloatArray, there: Sequence[Phase]) -> str:
    """The currents of a node: of all three phases, or of those that it has, `3.7 A on L2`."""
    if len(there) == len(PHASES):
        return phases(amps)
    return joined([f"{'?' if np.isnan(amps[p.column]) else f'{amps[p.column]:.1f}'} A on {p.value}" for p in there])


def objective(value: float) -> str:
    """J, which is small."""
    if np.isnan(value):
        return "unknown"
    return f"{value:.3g}" if value >= _NO_J else "0"


def counted(count: int, word: str) -> str:
    """`1 sign of life`, `3 signs of life`: the first word gets the s."""
    first, space, rest = word.partition(" ")
    return f"{count} {first}{'' if count == 1 else 's'}{space}{rest}"


def joined(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""


def heavy(amps: FloatArray) -> str:
    """Which phase of a node carries most, and by how much more than the mean."""
    if np.isnan(amps).any():
        return "not all of its phases are known"
    above = amps - amps.mean()
    worst = int(np.argmax(above))
    if above[worst] < LEAST_A:
        return "its phases carry the same"
    return f"{PHASES[worst]} is heavy, {above[worst]:.1f} A above the mean"


def moves(layout: SiteLayout, mim: int, power_va: ComplexArray) -> str:
    """What setpoints of one MIM do to the phases it stands on: load taken off one, put on others.

    Args:
        power_va: (K,) injection positive [VA].
    """
    run = layout.ports_of_mim[mim]
    places = _places(layout, mim)
    amps = power_va.real[run] / layout.port_voltage_v[run]
    off = [f"{a:.1f} A of load off {place}" for a, place in zip(amps, places, strict=True) if a >= LEAST_A]
    on = [f"{-a:.1f} A on {place}" for a, place in zip(amps, places, strict=True) if a <= -LEAST_A]
    vars_ = [f"{q:+.0f} var on {p}" for q, p in zip(power_va.imag[run], places, strict=True) if abs(q) >= _LEAST_VAR]
    parts = [f"takes {joined(off)}"] if off else []
    parts += [f"puts {joined(on)}"] if on else []
    parts += [f"supplies {joined(vars_)}"] if vars_ else []
    return joined(parts) if parts else "does next to nothing"


def _places(layout: SiteLayout, mim: int) -> list[str]:
    """Where each port of a MIM stands: the connection, with the node where there are several."""
    ports = layout.mims[mim].ports
    several = len({port.node for port in ports}) > 1
    return [f"{port.node} {port.connection.value}" if several else port.connection.value for port in ports]


def shift(layout: SiteLayout, mim: int, power_va: ComplexArray) -> str:
    """Load put on (+) and taken off (-) at each port of a MIM, `L1 -5.7 A, L2 +1.9 A`."""
    run = layout.ports_of_mim[mim]
    amps = -power_va.real[run] / layout.port_voltage_v[run]
    return ", ".join(f"{place} {a:+z.1f} A" for a, place in zip(amps, _places(layout, mim), strict=True))


def gain(per_unit: float, present: float, unit: str = "A") -> str:
    """What relief of a limit would do to J, in a step small enough that the price still holds.

    Args:
        per_unit: fall of J per unit of relief.
        present: J now, by the same weights; not positive = J is not what the price is about.
    """
    if present <= 0:
        return f"each further {unit} allowed would be worth {per_unit:.2g}, the overload elsewhere counted in"
    pct = 100 * per_unit / present
    if pct < _LEAST_PCT:
        return f"each further {unit} allowed would lower J by less than {_LEAST_PCT:g} %"
    step = next((s for s in (1.0, 0.1, 0.01) if pct * s <= _MOST_PCT), 0.001)
    amount = {("A", 1.0): "ampere", ("W", 1.0): "watt"}.get((unit, step), f"{step:g} {unit}")
    return f"each further {amount} allowed would lower J by {pct * step:.2g} %"
