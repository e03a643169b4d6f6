"""Islands: what cuts them off, who may form them, and how their end is seen in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimctl.config.build_islands import island_node
from mimctl.config.draft import DEFAULT_CYCLE_S, Draft, port_of
from mimctl.config.schema_devices import MimItem
from mimctl.config.schema_islands import IslandItem
from mimctl.model.address import SUNSPEC
from mimctl.model.connection import Connection
from mimctl.model.problem import Problem, error, warning

#: from the last sign of life that a former hears to a bus without voltage, beside its validity: stagger, and the way down [s]
_DOWN_S = 1.0
#: cycles of control between a measurement and the write that follows from it
_CYCLES = 2.0
_WIRED_FORMERS = (Connection.L1, Connection.L2, Connection.L3)


def _placed(draft: Draft) -> Iterator[tuple[str, IslandItem, str]]:
    """(path, island, its node) of all whose contactor has a place in the tree."""
    for path, item in draft.islands():
        node = island_node(draft, item)
        if node is not None and node in draft.tree.supply:
            yield path, item, node


def check_switches(draft: Draft) -> Iterator[Problem]:
    """`island.switch`: a device that cannot prove that it is open."""
    devices = {item.id: item for _, item in draft.transfers()}
    for path, island in draft.islands():
        places = [("contactor", island.contactor), *((f"also_open[{i}]", word) for i, word in enumerate(island.also_open))]
        for key, word in places:
            device = devices.get(word)
            if device is None:
                continue
            if device.link is None:
                text = f"the state of '{word}' is not measured, so it proves nothing: give it a link, a profile and states"
                yield error("island.switch", f"{path}.{key}", text)
            elif "open" not in device.states.values():
                text = f"no value of '{word}' means that it is open: name it, like 'states: {{1: normal, 2: open}}'"
                yield error("island.switch", f"{path}.{key}", text)


def check_places(draft: Draft) -> Iterator[Problem]:
    """`island.overlap`, `island.zone`, `island.transformer`, `island.meter`, `island.upstream`: where it stands."""
    placed = list(_placed(draft))
    metered = {meter.node for meter in draft.file.meters}
    for path, item, node in placed:
        inside = set(draft.tree.below(node))
        other = next((o for p, o, n in placed if p != path and n in inside), None)
        if other is not None:
            text = f"'{other.id}' is inside it: one bus would have two islands, and could be formed twice"
            yield error("island.overlap", path, text)
        zones = {draft.zone_of_node.get(each) for each in inside}
        if len(zones) > 1 or None in zones:
            text = f"'{node}' and all below it must belong to one zone, whose controller sees the whole island"
            yield error("island.zone", path, text)
        wound = sorted(each for each in inside - {node} if draft.tree.nodes[each].transformer is not None)
        if wound:
            text = f"there is a transformer inside, at '{wound[0]}': a former has the neutral of its own node alone"
            yield error("island.transformer", path, text)
        if node not in metered:
            text = f"'{node}' needs a meter: without one nobody can tell that the bus behind '{item.contactor}' is dead"
            yield error("island.meter", path, text)
        yield from _upstream(draft, path, item, node, metered)


def _upstream(draft: Draft, path: str, item: IslandItem, node: str, metered: set[str]) -> Iterator[Problem]:
    """Whether the return of the grid is seen before the contactor closes."""
    above = draft.tree.nodes[node].parent
    if above in metered and above is not None and draft.zone_of_node.get(above) == draft.zone_of_node.get(node):
        return
    text = f"no meter of its zone stands above '{item.contactor}', so the return of the grid is not seen"
    if item.reclose_s is not None:
        yield error("island.upstream", f"{path}.reclose", f"{text}, and the contactor closes on to what is formed")
    else:
        yield warning("island.upstream", path, f"{text}: the contactor must close on to a dead bus alone")


def check_formers(draft: Draft) -> Iterator[Problem]:
    """`island.former`: a MIM that could not feed the island by itself."""
    mims = {item.id: item for _, item in draft.mims()}
    stored = {battery.mim for battery in draft.file.batteries}
    for path, item, node in _placed(draft):
        inside = set(draft.tree.below(node))
        for i, word in enumerate(item.formers):
            mim = mims.get(word)
            why = None if mim is None else _unfit(draft, mim, inside, stored)
            if why is not None:
                yield error("island.former", f"{path}.formers[{i}]", f"'{word}' cannot form '{item.id}': {why}")


def _unfit(draft: Draft, mim: MimItem, inside: set[str], stored: set[str]) -> str | None:
    if mim.link in draft.radio_links or mim.profile != SUNSPEC:
        return "form mode is in the SunSpec MIM models alone; it has another medium or a profile"
    ports = [port_of(mim, port) for port in mim.ports]
    nodes, words = {node for node, _, _ in ports}, {connection for _, connection, _ in ports}
    if not nodes <= inside:
        return "it has a port outside the island"
    if len(nodes) > 1 or (words != {Connection.THREE_PHASE} and words != set(_WIRED_FORMERS)):
        return "a former stands at one node, with a port from each phase to neutral or one on all three"
    return None if mim.id in stored else "it has no battery"


def check_timing(draft: Draft) -> Iterator[Problem]:
    """`island.reclose`, `island.band`: a contactor that may close before the former is silent; a formed voltage out of band."""
    control = draft.file.control
    lowest, highest = control.min_voltage_pct, control.max_voltage_pct
    cycles = {zone.id: zone.cycle_s for zone in draft.file.zones}
    validity_s = {item.id: item.validity_s for _, item in draft.mims()}
    for path, item, node in _placed(draft):
        cycle_s = cycles.get(draft.zone_of_node.get(node, ""), DEFAULT_CYCLE_S)
        longest_s = max((validity_s[word] for word in item.formers if word in validity_s), default=0.0)
        needed_s = max(control.max_data_age_s, 3 * cycle_s) + _CYCLES * cycle_s + longest_s + _DOWN_S + item.dead_time_s
        if item.reclose_s is not None and item.reclose_s < needed_s:
            why = f"a former that hears nothing any more may hold the bus so long that {needed_s:g} s are needed"
            mend = "let it wait longer, or make 'validity' or 'max_data_age' shorter"
            text = f"the contactor closes {item.reclose_s:g} s after the grid is back, but {why}: {mend}"
            yield error("island.reclose", f"{path}.reclose", text)
        if not lowest <= item.voltage_pct <= highest:
            text = f"{item.voltage_pct:g} % is outside the band of control, {lowest:g} to {highest:g} %"
            yield error("island.band", f"{path}.voltage_pct", text)
        grid = control.grid
        if not grid.min_frequency_pct < item.frequency_pct < grid.max_frequency_pct:
            text = f"{item.frequency_pct:g} % is outside the band of control.grid: everything would be released at once"
            yield error("island.band", f"{path}.frequency_pct", text)


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (check_switches, check_places, check_formers, check_timing)
