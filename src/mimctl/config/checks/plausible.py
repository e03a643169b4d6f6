"""Values that the format allows and no data centre has: a slip of the unit or of a finger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from mimctl.config.draft import Draft
from mimctl.model.connection import Connection
from mimctl.model.phases import PHASES, Phase
from mimctl.model.problem import Problem, warning

#: from instrument fuses to the generator circuit-breakers of power stations (IEC/IEEE 62271-37-013)
_BREAKER_A = (1.0, 50_000.0)
#: line to neutral, from telecommunication supplies to the 36 kV class (IEC 60038, table 3)
_VOLTAGE_LN_V = (40.0, 21_000.0)
#: nominal frequencies of public grids, and how far off a site file may name them
_FREQUENCIES_HZ, _NEAR_HZ = (50.0, 60.0), 0.5
#: of one port; the largest three-phase UPS modules have about this
_PORT_VA = (10.0, 500_000.0)


def check_breakers(draft: Draft) -> Iterator[Problem]:
    """`plausible.breaker`: a breaker of a size that is not made."""
    low, high = _BREAKER_A
    for path, node in draft.nodes():
        if not low <= node.rating_a <= high and node.rating_a != float("inf"):
            text = f"a breaker of {node.rating_a:g} A is unusual ({low:g} A to {high / 1e3:g} kA are made): is the unit right?"
            yield warning("plausible.breaker", f"{path}.rating_a", text)


def check_voltages(draft: Draft) -> Iterator[Problem]:
    """`plausible.voltage`: far from every supply."""
    head = draft.file.site.voltage_ln_v
    given = [("site.voltage_ln_v", head)] if head != float("inf") else []
    given += [
        (f"{path}.transformer.secondary_voltage_ln_v", node.transformer.secondary_voltage_ln_v)
        for path, node in draft.nodes()
        if node.transformer is not None
    ]
    low, high = _VOLTAGE_LN_V
    for path, voltage_v in given:
        if not low <= voltage_v <= high:
            text = f"{voltage_v:g} V from line to neutral is unusual: halls have 120 to 277 V, feeders up to 20 kV"
            yield warning("plausible.voltage", path, text)


def check_frequency(draft: Draft) -> Iterator[Problem]:
    """`plausible.frequency`: neither 50 nor 60 Hz."""
    given = draft.file.site.frequency_hz
    if all(abs(given - usual) > _NEAR_HZ for usual in _FREQUENCIES_HZ):
        band = draft.file.control.grid
        low, high = (given * pct / 100 for pct in (band.min_frequency_pct, band.max_frequency_pct))
        text = (
            f"{given:g} Hz is no usual nominal frequency: public grids have 50 or 60 Hz (aircraft supplies 400 Hz, railways "
            f"16.7 Hz); where less than {low:.1f} Hz or more than {high:.1f} Hz is measured, every MIM is released"
        )
        yield warning("plausible.frequency", "site.frequency_hz", text)


def check_ports(draft: Draft) -> Iterator[Problem]:
    """`plausible.port`: a port as large as a transformer, or as small as a lamp."""
    low, high = _PORT_VA
    for path, _, port in draft.ports():
        if not low <= port.rating_va <= high:
            text = f"a port of {port.rating_va:g} VA is unusual ({low:g} VA to {high / 1e3:g} kVA are common): is the unit right?"
            yield warning("plausible.port", path, text)


def check_mims_can_balance(draft: Draft) -> Iterator[Problem]:
    """`mim.one_phase`: every port on the same phase of one feed: nothing can be moved from phase to phase."""
    ports: dict[str, list[tuple[str, str, Connection]]] = defaultdict(list)
    for path, mim, port in draft.ports():
        for head in list(draft.tree.upwards(port.node))[-1:]:
            ports[mim.id].append((path.rsplit(".", 1)[0], head, port.connection))
    for mim_id, found in ports.items():
        places = {(head, connection) for _, head, connection in found}
        if len(found) > 1 and len(places) == 1:
            text = f"'{mim_id}' has all its ports on {found[0][2].value}: it cannot move power between phases; is `ports` right?"
            yield warning("mim.one_phase", f"{found[0][0]}.ports", text)


def check_some_mim(draft: Draft) -> Iterator[Problem]:
    """`site.no_mim`: nothing that could balance."""
    if not draft.data.get(draft.spelt.get("mims", "mims")):
        yield warning("site.no_mim", "site", "the site has no MIM: mimctl can measure here, and balance nothing")


def check_loads_pass_breakers(draft: Draft) -> Iterator[Problem]:
    """`load.over_breaker`: loads of the twin that trip a breaker even where they are balanced."""
    own = _overlarge(draft)
    yield from own.values()
    if own:
        return  # the sums above them only say the same again
    total_va: dict[str, float] = defaultdict(float)
    for _, load in draft.loads():
        for node in draft.tree.upwards(load.node):
            total_va[node] += load.typical_w / abs(load.power_factor or 1.0)
    for node in draft.tree.order:
        supply, rating_a = draft.tree.supply[node], draft.tree.nodes[node].rating_a
        current_a = total_va[node] / (supply.voltage_ln_v * max(1, len(supply.phases)))
        if current_a > rating_a:
            text = f"the twin's loads under '{node}' take {current_a:.0f} A a phase even balanced, its breaker has {rating_a:g} A"
            yield warning("load.over_breaker", f"{draft.node_path[node]}.rating_a", text)


def _overlarge(draft: Draft) -> dict[str, Problem]:
    """Loads that are too much for their own node, by path."""
    found: dict[str, Problem] = {}
    for path, load in draft.loads():
        node, supply = draft.tree.nodes.get(load.node), draft.tree.supply.get(load.node)
        if node is None or supply is None:
            continue
        lines: tuple[Phase, ...] = PHASES if load.connection is Connection.THREE_PHASE else load.connection.phases[:1]
        voltage_v = load.connection.nominal_voltage_v(supply.voltage_ln_v)
        current_a = load.typical_w / abs(load.power_factor or 1.0) / len(lines) / voltage_v
        if current_a > node.rating_a:
            text = f"the load takes {current_a:.0f} A on average, the breaker of '{node.id}' has {node.rating_a:g} A"
            found[path] = warning("load.over_breaker", f"{path}.typical_w", text)
    return found


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    check_breakers,
    check_voltages,
    check_frequency,
    check_ports,
    check_mims_can_balance,
    check_some_mim,
    check_loads_pass_breakers,
)
