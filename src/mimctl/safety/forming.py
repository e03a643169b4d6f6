"""Who may form a bus: the one place where a `FormOrder` is made, anew in every cycle, out of what is measured in that cycle.

To begin, the bus must be proven cut off and proven dead, everybody else on it at rest. To go on, it must be proven cut off still,
and what the former does must look like a formed bus. Whatever is missing ends it: the MIM goes to its safe state, and only a new
lease begins again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mimctl.model.island import FORMING_STATE, FormOrder, FormWish, Island
from mimctl.model.layout import BoolArray, FloatArray
from mimctl.model.sample import Quality
from mimctl.safety.case import Case, Fed
from mimctl.safety.isolation import cut_off, dead, inside
from mimctl.safety.leave import Interlock, Leave
from mimctl.safety.locks import locked_mims

#: a bus looks formed when its former has had so long, and so many cycles [s]
_SETTLE_S, _SETTLE_CYCLES = 3.0, 3.0
#: what its own metering may be off: above the rating by more than this is overload
_OVERLOAD = 1.02


@dataclass(frozen=True, slots=True, eq=False)
class Forms:
    """What became of the wishes of one cycle.

    Args:
        permitted: (M,) MIMs that form a bus from this plan on.
        orders: what each of them makes of it.
        refused: (M,) MIMs that were to form a bus, or do so by their own account or ours, and may not.
        why: sentences by MIM, for the refused ones.
    """

    permitted: BoolArray
    orders: tuple[FormOrder, ...]
    refused: BoolArray
    why: dict[int, tuple[str, ...]]

    def interlock(self) -> Iterator[Interlock]:
        """The refused ones go to their safe state."""
        if self.refused.any():
            yield Interlock(self.refused, Leave.RELEASE, "form.refused", lambda m: "; ".join(self.why[m]))


def judge_forms(case: Case) -> Forms:
    """Every wish of this cycle, the oldest first; and whoever forms a bus though nobody wishes it."""
    layout = case.ratings.layout
    if not layout.site.islands:
        nobody = np.zeros(len(layout.mims), dtype=np.bool_)
        return Forms(nobody, (), nobody, {})
    permitted, refused = (np.zeros(len(layout.mims), dtype=np.bool_) for _ in range(2))
    orders: list[FormOrder] = []
    why: dict[int, tuple[str, ...]] = {}
    islands = {island.id: island for island in layout.site.islands}
    for wish in case.forms:
        m, island = layout.mim_index.get(wish.mim), islands.get(wish.island)
        if m is None or island is None or permitted[m]:
            continue
        found = tuple(objections(case, wish, tuple(order for order in orders if order.island == island.id)))
        permitted[m], refused[m] = not found, bool(found)
        if found:
            why[m] = found
        else:
            orders.append(_order(case, m, island))
    unasked = _forming(case) & ~permitted & ~refused
    why |= {int(m): ("nobody's lease has it form a bus now",) for m in np.flatnonzero(unasked)}
    return Forms(permitted, tuple(orders), refused | unasked, why)


def fed_buses(case: Case, forms: Forms) -> Fed | None:
    """The buses of the permitted formers; others may follow on those that were formed for as long as a source must be healthy."""
    layout, forming = case.ratings.layout, case.accepted.forming
    islands = {island.id: layout.node_index[island.node] for island in layout.site.islands}
    nodes, phase_a = np.zeros(len(layout.nodes), dtype=np.bool_), np.full((len(layout.nodes), 3), np.inf)
    sources = forms.permitted[layout.port_mim]
    if forming is None or not sources.any():
        return None
    for order in forms.orders:
        m, top = layout.mim_index[order.mim], islands[order.island]
        long_s = max(_settle_s(case), layout.site.control.grid.resync_s)
        if _says_so(case)[m] and case.now_s - float(forming.since_s[m]) >= long_s:
            nodes |= layout.below[top]
            phase_a[top] = _gives_a(case, m, top)
    inside = ~case.ratings.any_of(~nodes[layout.port_node])
    return Fed(nodes, inside & ~forms.permitted, sources, phase_a)


def _gives_a(case: Case, m: int, top: int) -> FloatArray:
    """(3,) what the ports of one former can give to each phase [A]."""
    layout = case.ratings.layout
    given_va = np.zeros(3)
    for k in range(layout.ports_of_mim[m].start, layout.ports_of_mim[m].stop):
        phases = [phase.column for phase in layout.ports[k].connection.phases]
        given_va[phases] += layout.port_rating_va[k] / len(phases)
    return np.asarray(given_va / layout.voltage_ln_v[top])


def objections(case: Case, wish: FormWish, before: tuple[FormOrder, ...] = ()) -> Iterator[str]:
    """Everything that keeps a MIM from forming a bus, one sentence each; nothing = it may.

    Args:
        before: those who form the same bus by an older lease.
    """
    layout = case.ratings.layout
    m = layout.mim_index[wish.mim]
    island = next(island for island in layout.site.islands if island.id == wish.island)
    if case.emergency_stop:
        yield "emergency stop"
    if case.locked and locked_mims(case.ratings, case.locked)[m]:
        yield f"{wish.mim} is locked out"
    if wish.mim not in island.formers:
        yield f"{wish.mim} is no former of {island.id}"
    yield from (f"{order.mim} forms it already" for order in before)
    yield from _unfit(case, m)
    yield from cut_off(case, island)
    yield from _others(case, m, island)
    if _told(case)[m]:
        yield from _not_formed(case, m, island)
    else:
        yield from dead(case, island)
        yield from _not_at_rest(case, m, island)


def _order(case: Case, m: int, island: Island) -> FormOrder:
    layout = case.ratings.layout
    volts = float(layout.voltage_ln_v[layout.port_node[layout.ports_of_mim[m].start]])
    return FormOrder(layout.mims[m].id, island.id, island.voltage_pu * volts, island.frequency_pu * layout.site.frequency_hz)


def _told(case: Case) -> BoolArray:
    """(M,) told by us to form a bus, and not told to end it."""
    forming = case.accepted.forming
    return np.zeros(len(case.ratings.layout.mims), dtype=np.bool_) if forming is None else np.isfinite(forming.since_s)


def _says_so(case: Case) -> BoolArray:
    """(M,) forms a bus by its own fresh account."""
    states = case.state.mims.operating_state
    if states is None:
        return np.zeros(len(case.ratings.layout.mims), dtype=np.bool_)
    found: BoolArray = case.evidence.mim_usable & (states == FORMING_STATE)
    return found


def _forming(case: Case) -> BoolArray:
    return np.asarray(_told(case) | _says_so(case))


def _unfit(case: Case, m: int) -> Iterator[str]:
    """The MIM itself: its form mode, its data, its storage."""
    layout, evidence, forming = case.ratings.layout, case.evidence, case.accepted.forming
    name, ports = layout.mims[m].id, layout.ports_of_mim[m]
    if forming is None or not forming.able[m]:
        yield f"{name} has no form mode, as far as it has told"
    if not evidence.mim_good[m]:
        yield f"{name} does not tell its state"
    elif np.isnan(case.state.ports.voltage_v[ports]).any() or np.isnan(evidence.output_va[ports]).any():
        yield f"{name} does not tell what is at its ports"
    mine = np.flatnonzero(layout.battery_mim == m)
    soc, reserve = case.state.batteries.soc_pct[mine], layout.battery_band_pct[0][mine]
    known = case.state.batteries.quality[mine] > Quality.BAD
    if not (known & (soc > reserve)).any():
        yield f"{name} has nothing to give: its storage is at its reserve, or not known"


def _others(case: Case, m: int, island: Island) -> Iterator[str]:
    """Nobody else may form the same bus, or be able to without anybody seeing it."""
    layout, forming = case.ratings.layout, case.accepted.forming
    ports = inside(case, island)
    for other in map(int, np.unique(layout.port_mim[ports])):
        able = forming is not None and bool(forming.able[other])
        if other == m or not (able or layout.mims[other].id in island.formers):
            continue
        if _forming(case)[other]:
            yield f"{layout.mims[other].id} forms it"
        elif not case.evidence.mim_usable[other]:
            yield f"nobody knows whether {layout.mims[other].id} forms it: it does not answer"


def _not_at_rest(case: Case, m: int, island: Island) -> Iterator[str]:
    """Before a bus is formed nobody on it holds a setpoint, the former too; and the last former is gone for long enough."""
    layout, forming = case.ratings.layout, case.accepted.forming
    on_it = np.unique(layout.port_mim[inside(case, island)])
    for other in map(int, on_it):
        ports = layout.ports_of_mim[other]
        if not case.known[other] or case.accepted_va[ports].any():
            yield f"{layout.mims[other].id} holds a setpoint still"
    if forming is not None:
        gone_s = case.now_s - float(forming.ended_s[on_it].max(initial=-np.inf))
        if gone_s < island.dead_time_s:
            yield f"it was formed {gone_s:.1f} s ago: {island.dead_time_s:g} s without voltage are needed"


def _not_formed(case: Case, m: int, island: Island) -> Iterator[str]:
    """What does not look like a formed bus, once the former has had time to make one."""
    layout, state, forming = case.ratings.layout, case.state, case.accepted.forming
    if forming is None:
        return
    settled_s = float(forming.since_s[m]) + _settle_s(case)
    name, ports = layout.mims[m].id, layout.ports_of_mim[m]
    load = np.abs(case.evidence.output_va[ports]) / layout.port_rating_va[ports]
    most = float(np.fmax.reduce(load, initial=0.0))
    if most > _OVERLOAD:
        yield f"{name} is overloaded: {most:.0%} of a port's rating"
    neutral_a = abs(complex((case.evidence.output_va[ports] * layout.port_neutral_per_va[ports]).sum()))
    if neutral_a > _OVERLOAD * layout.mim_neutral_rating_a[m]:
        yield f"the neutral of {name} carries {neutral_a:.1f} A, its rating is {layout.mim_neutral_rating_a[m]:g} A"
    if state.mims.taken_at_s[m] < settled_s:
        return
    if not _says_so(case)[m]:
        yield f"{name} does not form it: it refused, or has fallen back by itself"
        return
    control = layout.site.control
    volts_pu = state.ports.voltage_v[ports] / layout.port_voltage_v[ports]
    if not ((volts_pu >= control.min_voltage_pu) & (volts_pu <= control.max_voltage_pu)).all():
        yield f"{np.min(volts_pu):.0%} to {np.max(volts_pu):.0%} of nominal voltage at the ports of {name}"
    yield from _bus_out_of_band(case, island, settled_s)


def _settle_s(case: Case) -> float:
    """How long after its beginning a bus must look formed [s]."""
    return max(_SETTLE_S, _SETTLE_CYCLES * case.ratings.cycle_s)


def _bus_out_of_band(case: Case, island: Island, settled_s: float) -> Iterator[str]:
    """The meter of the bus must see it as well: voltage and frequency."""
    layout, control = case.ratings.layout, case.ratings.layout.site.control
    top = layout.node_index[island.node]
    present = layout.phase_present[top]
    volts_pu = case.evidence.voltage_pu[top][present]
    if np.isnan(volts_pu).any():
        yield f"no voltage is measured at {island.node} any more"
        return
    if case.state.nodes.taken_at_s[top] < settled_s:
        return
    if not ((volts_pu >= control.min_voltage_pu) & (volts_pu <= control.max_voltage_pu)).all():
        yield f"{island.node} has {volts_pu.min():.0%} to {volts_pu.max():.0%} of nominal voltage"
    hertz = np.nan if case.state.nodes.frequency_hz is None else float(case.state.nodes.frequency_hz[top])
    share = hertz / layout.site.frequency_hz
    if share < control.grid.min_frequency_pu or share > control.grid.max_frequency_pu:
        yield f"{island.node} runs at {hertz:.2f} Hz"
