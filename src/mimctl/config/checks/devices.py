"""Addresses, meters and MIM ports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from mimctl.config.checks.repeats import repeats
from mimctl.config.draft import Draft, port_of
from mimctl.config.schema_devices import DeviceItem, MeterItem
from mimctl.config.wording import did_you_mean
from mimctl.model.address import SUNSPEC
from mimctl.model.phases import PHASES
from mimctl.model.problem import Problem, error, warning


def check_addresses(draft: Draft) -> Iterator[Problem]:
    """`device.address_twice`: two devices at one link and unit, other than different parts of one device."""
    there: dict[tuple[str, int], list[DeviceItem]] = {}
    for path, device in chain(draft.meters(), draft.mims()):
        at = (device.link, device.unit)
        if device.link not in draft.known["links"] or device.link in draft.radio_links:
            continue  # that it is unknown is said already; on a radio link the EUI counts
        twice = next((other for other in there.get(at, ()) if not _apart(device, other)), None)
        if twice is not None:
            text = f"unit {device.unit} on the link '{device.link}' is already '{twice.id}'; give each device its own unit"
            yield error("device.address_twice", f"{path}.unit", text)
        there.setdefault(at, []).append(device)


def _apart(one: DeviceItem, other: DeviceItem) -> bool:
    """Whether two devices at one address are parts of one: other circuits, or an inverter and the meter behind it."""
    mine, theirs = (set(d.instances) if isinstance(d, MeterItem) else set() for d in (one, other))
    if one.profile == other.profile:
        return bool(mine) and bool(theirs) and mine.isdisjoint(theirs)
    return SUNSPEC not in (one.profile, other.profile) and one.profile.partition("/")[0] == other.profile.partition("/")[0]


def check_instances(draft: Draft) -> Iterator[Problem]:
    """`meter.instance`: parts that the device's profile does not describe, or that are named twice."""
    from mimctl.config.profiles.registers_profile import find_profile, profile_parts

    known: dict[str, list[str]] = {}
    for path, meter in draft.meters():
        if not meter.instances:
            continue
        if meter.profile not in known:
            file = None if meter.profile == SUNSPEC else find_profile(meter.profile, beside=draft.folder)
            known[meter.profile] = [] if file is None else profile_parts(file)
        for i, name in enumerate(meter.instances):
            if name not in known[meter.profile]:
                text = f"'{meter.profile}' has no part '{name}'{did_you_mean(name, known[meter.profile])}"
                yield error("meter.instance", f"{path}.instances[{i}]", text)
            elif name in meter.instances[:i]:
                yield error("meter.instance", f"{path}.instances[{i}]", f"'{name}' is named twice")


def check_phase_maps(draft: Draft) -> Iterator[Problem]:
    """`meter.phase_map`: anything but each of L1, L2, L3 once."""
    for path, meter in draft.meters():
        if meter.phase_map is not None and (len(meter.phase_map) != 3 or set(meter.phase_map) != set(PHASES)):
            text = "must name L1, L2 and L3 once each: the node's phase behind the meter's first, second and third input"
            yield error("meter.phase_map", f"{path}.phase_map", text)


def check_one_meter_per_node(draft: Draft) -> Iterator[Problem]:
    """`meter.node_twice`: a second meter at a node is read, but only the first one counts."""
    for path, node, first in repeats((path, meter.node, meter.id) for path, meter in draft.meters()):
        text = f"'{node}' is already measured by '{first}', whose readings are the ones used"
        yield warning("meter.node_twice", f"{path}.node", text)


def check_ports_are_complete(draft: Draft) -> Iterator[Problem]:
    """`port.incomplete`: a port without node or rating, neither its own nor its MIM's."""
    for path, mim in draft.mims():
        for i, port in enumerate(mim.ports):
            node, _, rating_va = port_of(mim, port)
            lacking = [w for w, v in (("node: …", node), ("rating: 2 kVA", rating_va)) if v is None]
            if lacking:
                text = f"has no {' and no '.join(w.split(':')[0] for w in lacking)}: write {' and '.join(map(repr, lacking))}"
                yield error("port.incomplete", f"{path}.ports[{i}]", f"{text} at the MIM or at the port")


def check_port_phases(draft: Draft) -> Iterator[Problem]:
    """`port.phase_missing`: a port on a phase that its node lacks."""
    for path, _, port in draft.ports():
        supply = draft.tree.supply.get(port.node)
        lacking = supply.missing(port.connection) if supply is not None else ()
        if supply is not None and lacking:
            text = f"'{port.node}' has {' '.join(supply.phases)} only, the port needs {' '.join(lacking)}"
            yield error("port.phase_missing", path, text)


def check_port_neutrals(draft: Draft) -> Iterator[Problem]:
    """`port.no_neutral`: a single-phase port where there is no neutral to return through."""
    for path, _, port in draft.ports():
        supply = draft.tree.supply.get(port.node)
        if supply is not None and not supply.neutral and port.connection.uses_neutral:
            text = f"'{port.node}' has no neutral: connect the port line to line (L1L2, L2L3, L3L1) or 3ph"
            yield error("port.no_neutral", path, text)


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    check_addresses,
    check_instances,
    check_phase_maps,
    check_one_meter_per_node,
    check_ports_are_complete,
    check_port_phases,
    check_port_neutrals,
)
