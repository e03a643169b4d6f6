"""What proves that a bus is cut off, and that it is dead: each function gives one sentence for everything that is not proven.

Silence proves nothing here. A contactor that says that it is open is believed only while what is measured around it agrees.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mimctl.model.island import Island
from mimctl.model.layout import BoolArray
from mimctl.model.sample import Quality
from mimctl.model.transfer import TransferState
from mimctl.safety.case import Case

#: more than this share of a node's limit through an open contactor does not pass through an open contactor
_LEAK_SHARE = 0.02


def cut_off(case: Case, island: Island) -> Iterator[str]:
    """Why it is not proven that nothing but a former can feed the bus: switches, what is above them, what flows through them."""
    for name in island.switches:
        yield from _not_open(case, name)
    yield from _fed_from_above(case, island)
    yield from _flow_through(case, island)


def dead(case: Case, island: Island) -> Iterator[str]:
    """Why it is not proven that the bus has no voltage."""
    layout, limit = case.ratings.layout, case.settings.proven_dead_pu
    top = layout.node_index[island.node]
    if np.isnan(case.evidence.voltage_pu[top][layout.phase_present[top]]).any():
        yield f"no voltage is measured at {island.node}: it may have some"
    # fmax passes over what is not measured
    highest = np.fmax.reduce(np.where(layout.phase_present, case.evidence.voltage_pu, np.nan), axis=1)
    for n in np.flatnonzero(layout.below[top] & (highest > limit)):
        yield f"{layout.nodes[n].id} has {highest[n]:.0%} of nominal voltage"
    for k in np.flatnonzero(inside(case, island)):
        volts = case.state.ports.voltage_v[k]
        if case.evidence.mim_usable[layout.port_mim[k]] and volts / layout.port_voltage_v[k] > limit:
            yield f"{layout.mims[layout.port_mim[k]].id} has {volts:.0f} V at a port"


def inside(case: Case, island: Island) -> BoolArray:
    """(K,) ports on the bus."""
    layout = case.ratings.layout
    found: BoolArray = layout.below[layout.node_index[island.node], layout.port_node]
    return found


def _not_open(case: Case, name: str) -> Iterator[str]:
    devices, image = case.ratings.layout.site.transfers, case.state.transfers
    t = next((t for t, device in enumerate(devices) if device.id == name), None)
    if t is None or image is None:
        yield f"{name} is not seen from here"
        return
    age_s = case.now_s - float(image.taken_at_s[t])
    if devices[t].fixed is not None:
        yield f"the state of {name} is not measured"
    elif image.quality[t] < Quality.GOOD:
        yield f"{name} does not tell its state"
    elif not -case.settings.future_s <= age_s <= case.evidence.max_age_s:
        yield f"what {name} said is {age_s:.1f} s old"
    elif image.state[t] != TransferState.OPEN:
        yield f"{name} is {TransferState(int(image.state[t])).word}, not open"


def _fed_from_above(case: Case, island: Island) -> Iterator[str]:
    """Voltage above the contactor: the grid is there, or is back. Where no meter stands above, nobody sees it."""
    layout, limit = case.ratings.layout, case.settings.proven_dead_pu
    above = int(layout.parent[layout.node_index[island.node]])
    if above < 0 or layout.meter_of_node[above] is None:
        return
    volts_pu = case.evidence.voltage_pu[above][layout.phase_present[above]]
    if np.isnan(volts_pu).any():
        yield f"nobody knows whether {layout.nodes[above].id}, above {island.contactor}, has voltage"
    elif (volts_pu > limit).any():
        yield f"there is voltage above {island.contactor}: {volts_pu.max():.0%} of nominal at {layout.nodes[above].id}"


def _flow_through(case: Case, island: Island) -> Iterator[str]:
    layout, nodes = case.ratings.layout, case.state.nodes
    top = layout.node_index[island.node]
    flow_a = np.hypot(nodes.import_w[top], nodes.import_var[top]) / layout.voltage_ln_v[top]
    most_a = float(np.fmax.reduce(flow_a, initial=0.0))
    if case.evidence.node_usable[top] and most_a > _LEAK_SHARE * layout.limit_a[top]:
        yield f"{most_a:.1f} A flow through {island.contactor}, which says that it is open"
