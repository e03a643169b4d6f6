"""What the samples of one instant say about harmonic currents: at the lines of nodes, in the ports, and what the ports see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimctl.grid.harmonics import FilterPorts
from mimctl.model.layout import BoolArray, FloatArray
from mimctl.model.state import SiteState

#: a filter that is told less, and shows less, is silent
_SILENT = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class HarmonicPicture:
    """Upper bounds, NaN where unknown [A rms].

    Args:
        residual_a: (N, 3) harmonic current as the meters see it, filters at work.
        filter_a: (K,) harmonic current of each port.
        local_a: (K,) what each port would see without the filters of its own node; zero where there is no filter.
    """

    residual_a: FloatArray
    filter_a: FloatArray
    local_a: FloatArray


def harmonic_picture(ports: FilterPorts, state: SiteState, usable: BoolArray, share: FloatArray) -> HarmonicPicture:
    """From one image.

    Args:
        usable: (N,) the node's meter may be believed; an estimate of its flow says nothing about harmonics.
        share: (K,) shares in force by our knowledge, NaN = not known.
    """
    read = usable if state.nodes.estimated is None else usable & ~state.nodes.estimated
    residual_a = np.where(read[:, None], _residual_a(state), np.nan)
    residual_a = np.where(ports.layout.phase_present, residual_a, 0.0)
    filter_a = _filter_a(ports, state, share)
    return HarmonicPicture(residual_a, filter_a, ports.local_bound_a(ports.line_bound_a(residual_a, filter_a)))


def _residual_a(state: SiteState) -> FloatArray:
    """(N, 3) THD × fundamental; where a meter tells no THD, what its rms has beyond the fundamental."""
    nodes = state.nodes
    size_va = np.hypot(nodes.import_w, nodes.import_var)
    fundamental_a = size_va / np.where(nodes.voltage_ln_v > 0, nodes.voltage_ln_v, np.nan)
    beyond_a = np.sqrt(np.maximum(nodes.current_a**2 - fundamental_a**2, 0.0))
    told_a = nodes.thd_i_pct / 100 * fundamental_a
    return np.where(np.isnan(told_a), beyond_a, told_a)


def _filter_a(ports: FilterPorts, state: SiteState, share: FloatArray) -> FloatArray:
    """(K,) what the rms current of a port has beyond its fundamental; zero at ports that have no filter, or a silent one."""
    seen, shown = state.ports.current_a, state.ports.harmonic_share
    power_va = np.hypot(state.ports.inject_w, state.ports.inject_var)
    fundamental_a = ports.fundamental_a(power_va, state.ports.voltage_v)
    rms_a = np.full(len(power_va), np.nan) if seen is None else seen
    beyond_a = np.sqrt(np.maximum(rms_a**2 - fundamental_a**2, 0.0))
    silent = share <= _SILENT
    if shown is not None:
        silent = silent & ~(shown > _SILENT)
    return np.where(ports.able & ~silent, beyond_a, 0.0)
