"""Between what each phase voltage lies with every MIM under command at zero, where its own meter is silent too.

A node's own meter tells it best. Where that gives none, in this order: a MIM with a port between that phase and neutral; the state
estimate, within two standard deviations, where that is less than the band; the voltage of the node next above, with and without
the drop that the load causes on the way, whichever is worse; at the top nominal voltage. So MIMs can never use up more than what
is left of the band, as far as anything tells of it, and a voltage that is not read gives no room of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout
from mimctl.safety.case import Case

#: an estimate is believed within so many standard deviations
_DEVIATIONS = 2.0


def voltages(case: Case, flows_va: Sequence[ComplexArray]) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Highest and lowest phase voltages without the MIMs under command.

    Args:
        flows_va: one or two (N, 3), by which the MIMs lowered the flows when the voltages were read [VA].

    Returns:
        (N, 3), (N, 3) [pu], NaN where the node has no such phase, or is dead above a bus that is formed; (N, 3) those
        that no meter of the node's own tells.
    """
    layout, sensitivity = case.ratings.layout, case.ratings.sensitivity
    read_pu = case.evidence.voltage_pu
    unread: BoolArray = np.isnan(read_pu) & layout.phase_present
    high_pu, low_pu = (_told(case, read_pu, unread, sign) if unread.any() else read_pu for sign in (1.0, -1.0))
    rises = [sensitivity.rise_pu(va, case.impedance_scale) for va in flows_va]
    highest, lowest = high_pu - np.minimum.reduce(rises), low_pu - np.maximum.reduce(rises)
    dead = np.zeros(len(unread), dtype=np.bool_)
    if case.fed is not None:  # what is dead above a bus that is formed has no voltage that anybody on the bus could move
        dead = layout.below[:, case.fed.nodes].any(axis=1) & ~case.fed.nodes
        highest, lowest = (np.where(dead[:, None], np.nan, pu) for pu in (highest, lowest))
    if (np.isnan(highest) & unread & ~dead[:, None]).any():
        loaded_pu = -sensitivity.rise_pu(case.evidence.gross_va, case.impedance_scale)
        _from_above(layout, highest, lowest, loaded_pu, unread & ~dead[:, None])
    return highest, lowest, unread


def _told(case: Case, read_pu: FloatArray, unread: BoolArray, sign: float) -> FloatArray:
    """(N, 3) upper (sign 1) or lower (−1) end of what meters, MIMs and the estimate tell of voltages now; NaN elsewhere [pu]."""
    layout, nodes = case.ratings.layout, case.state.nodes
    found = read_pu.copy()
    if nodes.estimated is not None and nodes.sigma_v is not None:
        volts, control = layout.voltage_ln_v[:, None], layout.site.control
        vague_pu = _DEVIATIONS * nodes.sigma_v / volts
        believed = unread & (nodes.estimated & case.evidence.node_usable)[:, None]
        # one that is vaguer than the band itself tells nothing of it
        believed &= 2 * vague_pu < control.max_voltage_pu - control.min_voltage_pu
        found = np.where(believed, nodes.voltage_ln_v / volts + sign * vague_pu, found)
    ends = np.full(read_pu.shape, np.nan)
    one = np.array([port.connection.uses_neutral for port in layout.ports], dtype=np.bool_)
    column = np.abs(layout.port_shares[one]).argmax(axis=1)
    better = np.fmax if sign > 0 else np.fmin
    better.at(ends, (layout.port_node[one], column), case.evidence.port_voltage_pu[one])
    return np.where(unread & np.isfinite(ends), ends, found)


def _from_above(layout: SiteLayout, highest: FloatArray, lowest: FloatArray, loaded_pu: FloatArray, unread: BoolArray) -> None:
    """Fill what is still not known, from the top down, in place.

    Args:
        loaded_pu: (N, 3) by how much the load alone moves each voltage [pu].
        unread: (N, 3) what may be filled.
    """
    for n in map(int, np.flatnonzero((unread & np.isnan(highest)).any(axis=1))):
        missing, above = unread[n] & np.isnan(highest[n]), int(layout.parent[n])
        high, low, most, least = np.ones(3), np.ones(3), loaded_pu[n], loaded_pu[n]
        if above >= 0 and not np.isnan(highest[above]).all():
            high, low, before_pu = highest[above], lowest[above], loaded_pu[above]
            most = least = loaded_pu[n] - before_pu
            if layout.nodes[n].transformer is not None or np.isnan(high).any():
                # phases are not the same on both sides of a winding: the worst of all of them
                high, low = np.full(3, np.fmax.reduce(high)), np.full(3, np.fmin.reduce(low))
                most, least = loaded_pu[n] - before_pu.min(), loaded_pu[n] - before_pu.max()
        highest[n] = np.where(missing, high + np.maximum(most, 0.0), highest[n])
        lowest[n] = np.where(missing, low + np.minimum(least, 0.0), lowest[n])
