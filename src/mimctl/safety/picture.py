"""The flows that the judge believes in, each seen in more than one way; a setpoint must be safe in every view.

Views: by forecast (own loads summed up the tree) and by measurement (a node's own meter plus the measured output of the MIMs
below it). The second needs no forecast: it sees a rack that tripped at once, and a forecast that is wrong. A MIM that acts late
is seen in a third way: whatever it puts out now is in the meters, and it goes on with that. Where some MIM is out of our hands
each is seen three times: with what it puts out now, with what it was told last, and with nothing. Nodes without a meter keep room
for a load that may be theirs (`grid/regions.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimctl.grid.distortion import harmonic_squares, tells_of_harmonics
from mimctl.model.bounds import Bounds
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, joined
from mimctl.model.state import SiteState
from mimctl.safety.case import Case
from mimctl.safety.evidence import Evidence
from mimctl.safety.ratings import Ratings
from mimctl.safety.segment import BOUNDLESS, narrower
from mimctl.safety.voltages import voltages

#: a phase voltage is believed to lower the current limit down to this share of nominal
_LOWEST_VOLTAGE_PU = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Flows without the MIMs under command, and limits, one for each of V views.

    Args:
        base_va: (V, N, 3) net import with every MIM under command at zero [VA]
        current_a: (V, N, 3) greatest fundamental phase current at nominal voltage [A]
        neutral_a: (V, N) greatest fundamental neutral current [A]
        import_w: (V, G, 3) least import of each guarded node's phases [W]
        highest_pu, lowest_pu: (N, 3) phase voltage with every MIM under command at zero, between these two; NaN where there is none
        impedance_scale: (N,) factor on the impedance of each branch, as measured; None = as the site file has it
        unread: (N, 3) voltages that no meter of the node's own tells; None = none
    """

    base_va: ComplexArray
    current_a: FloatArray
    neutral_a: FloatArray
    import_w: FloatArray
    highest_pu: FloatArray
    lowest_pu: FloatArray
    impedance_scale: FloatArray | None = None
    unread: BoolArray | None = None


def picture(case: Case, commanded: BoolArray) -> Picture:
    """What this cycle's setpoints are held against.

    Args:
        commanded: (K,) ports whose setpoint the coming plan decides; the others are out of our hands.
    """
    ratings, state, evidence, bounds, accepted_va = case.ratings, case.state, case.evidence, case.bounds, case.accepted_va
    shape = (len(ratings.layout.nodes), 3)
    seen, all_ours = evidence.seen, bool(commanded.all())
    output_va = evidence.output_va if seen.all() else np.where(seen, evidence.output_va, accepted_va)
    forecast_va, behind_va = evidence.gross_va, ratings.operators.behind(output_va)
    measured_va, measured_a = _measured(case, output_va, behind_va, seen, commanded)
    found_va, allowances_a, outputs_va = [forecast_va, measured_va], [np.zeros(shape), measured_a], [output_va]
    late = ratings.late & commanded
    if (output_va != accepted_va)[late].any():
        # with their setpoints taken for acting already, the setpoints add nothing to what the meters show
        outputs_va.append(np.where(late, accepted_va, output_va))
        late_va, late_a = _measured(case, outputs_va[1], ratings.operators.behind(outputs_va[1]), seen | late, commanded & ~late)
        found_va, allowances_a = [*found_va, late_va], [*allowances_a, late_a]
    gross_va, allowance_a = np.array(found_va), np.array(allowances_a)
    room_va = _room(ratings, gross_va)
    # a former counts as the source of its bus, not as something that feeds into it
    ours = commanded if case.fed is None else commanded | case.fed.sources
    views = gross_va if all_ours else _views(ratings, gross_va, *(np.where(ours, 0.0, va) for va in (output_va, accepted_va)))

    source_a = np.inf if case.sources is None else case.sources.phase_a
    if case.fed is not None:
        source_a = np.minimum(source_a, case.fed.phase_a)
    phase_a, neutral_a = _current_limits(ratings, state, evidence, bounds, source_a)
    heads = ratings.layout.guarded
    least = ratings.layout.head_min_import_w[:, None] + evidence.margin_va[heads]
    least = np.fmax(least, bounds.head_min_import_w[:, None])
    if case.sources is not None:
        least = np.fmax(least, case.sources.min_import_w[:, None] + evidence.margin_va[heads])
    imports = least - allowance_a[:, heads] * ratings.layout.voltage_ln_v[heads, None]
    currents, neutrals = phase_a + allowance_a, neutral_a + allowance_a.sum(axis=2)
    if room_va is not None:
        currents, neutrals = _less_room(ratings, currents, neutrals, room_va)
    if len(views) > len(gross_va):
        currents, neutrals, imports = (np.concatenate([a] * (len(views) // len(gross_va))) for a in (currents, neutrals, imports))
    if all_ours and len(outputs_va) == 1:
        flows_va = [behind_va]
    else:
        flows_va = [ratings.operators.behind(np.where(commanded, va, 0.0)) for va in outputs_va]
    highest_pu, lowest_pu, unread = voltages(case, flows_va)
    return Picture(views, currents, neutrals, imports, highest_pu, lowest_pu, case.impedance_scale, unread)


def _measured(
    case: Case, output_va: ComplexArray, behind_va: ComplexArray, seen: BoolArray, moving: BoolArray
) -> tuple[ComplexArray, FloatArray]:
    """(N, 3) gross loads by each node's own meter, the forecast's where that says nothing [VA]; (N, 3) how far they may be off [A].

    Args:
        output_va: (K,) what the ports put out, by what they report [VA]; `seen` (K,) where they do.
        behind_va: (N, 3) by how much they lower the flows [VA].
        moving: (K,) ports that may already put out what they were told last.
    """
    ratings, nodes, shape = case.ratings, case.state.nodes, case.evidence.gross_va.shape
    net_va = joined(nodes.import_w, nodes.import_var)
    measurable = case.evidence.node_usable[:, None] & np.isfinite(net_va)
    if not seen.all():
        measurable &= (ratings.port_flow_size @ (~seen).astype(np.float64)).reshape(shape) < 1e-9
    gross_va = np.where(measurable, net_va + behind_va, case.evidence.gross_va)
    doubt_va = (ratings.port_flow_size @ np.where(moving, np.abs(output_va - case.accepted_va), 0.0)).reshape(shape)
    off_a = doubt_va / ratings.layout.voltage_ln_v[:, None] + case.settings.meter_tolerance * ratings.layout.limit_a[:, None]
    return gross_va, np.where(measurable, off_a, 0.0)


def _room(ratings: Ratings, gross_va: ComplexArray) -> FloatArray | None:
    """(V, U, 3) room for load of the regions at nodes without a meter [VA]; their rows of the gross loads become what is known."""
    regions = ratings.regions
    if not len(regions.nodes):
        return None
    room_va = regions.reserve_va(gross_va)
    gross_va[:, regions.nodes] = regions.passing_va(gross_va)
    return room_va


def _less_room(ratings: Ratings, currents: FloatArray, neutrals: FloatArray, room_va: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Limits (V, N, 3), (V, N) that leave the room. Those of the bounds are for the known flow already and only narrow them."""
    layout, nodes = ratings.layout, ratings.regions.nodes
    phase_a = np.repeat(layout.limit_a[:, None], 3, axis=1)
    left_a, left_neutral_a = ratings.regions.left_a(phase_a, layout.neutral_limit_a, room_va)
    currents[:, nodes] = np.minimum(currents[:, nodes], left_a)
    neutrals[:, nodes] = np.minimum(neutrals[:, nodes], left_neutral_a)
    return currents, neutrals


def _views(ratings: Ratings, gross_va: ComplexArray, output_va: ComplexArray, told_va: ComplexArray) -> ComplexArray:
    """(V, N, 3) gross loads → (V, 2V or 3V, N, 3) flows with the MIMs out of our hands as they are, as they were told, and at zero.

    Args:
        output_va, told_va: (K,) zero where we command [VA].
    """
    found = [gross_va]
    for va in (told_va, output_va) if not np.array_equal(told_va, output_va) else (output_va,):
        if va.any():
            found.insert(0, gross_va - ratings.operators.behind(va))
    return np.concatenate(found) if len(found) > 1 else gross_va


def _current_limits(
    ratings: Ratings, state: SiteState, evidence: Evidence, bounds: Bounds, source_a: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    """(N, 3), (N,) limits of the fundamental at nominal voltage: harmonics take their part, a low voltage raises currents.

    Harmonic currents come from the loads and stay when the fundamental changes; an estimated node keeps those it had.
    """
    layout, usable, nodes = ratings.layout, evidence.node_usable, state.nodes
    # fmin and fmax take the other operand for a NaN: what is not measured takes no part
    voltage = np.maximum(np.fmin(evidence.voltage_pu, 1.0), _LOWEST_VOLTAGE_PU)
    lowest = np.minimum(np.minimum(voltage[:, 0], voltage[:, 1]), voltage[:, 2])
    left_a, left_neutral_a = np.minimum(layout.limit_a[:, None], source_a), layout.neutral_limit_a
    if evidence.margin_va is not ratings.no_margin_va:
        # the worse of both readings, or of both ends of an estimate
        margin_a = evidence.margin_va / layout.voltage_ln_v[:, None]
        left_a, left_neutral_a = left_a - margin_a, left_neutral_a - margin_a.sum(axis=1)
    phase_a = narrower(left_a, bounds.node_limit_a)
    neutral_a = np.minimum(narrower(left_neutral_a, bounds.node_neutral_limit_a), BOUNDLESS)
    if not tells_of_harmonics(nodes):
        return phase_a * voltage, neutral_a * lowest
    harmonic_a2, triplen_a2 = harmonic_squares(nodes, joined(nodes.import_w, nodes.import_var) * ratings.per_volt)
    harmonic_a2 = np.fmax(np.where(usable[:, None], harmonic_a2, 0.0), 0.0)
    triplen_a2 = np.fmax(np.where(usable, triplen_a2, 0.0), 0.0)
    return (
        np.sqrt(np.maximum(phase_a**2 - harmonic_a2, 0.0)) * voltage,
        np.sqrt(np.maximum(neutral_a**2 - triplen_a2, 0.0)) * lowest,
    )
