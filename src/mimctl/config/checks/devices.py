"""Links, addresses, meters and MIM ports."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from itertools import chain

from mimctl.config.draft import Draft, port_of
from mimctl.config.schema_devices import LinkItem
from mimctl.model.phases import PHASES
from mimctl.model.problem import Problem, error, warning
from mimctl.model.site import LinkType


def check_addresses(draft: Draft) -> Iterator[Problem]:
    """`device.address_twice`: two devices at one link and unit."""
    first: dict[tuple[str, int], str] = {}
    for path, device in chain(draft.meters(), draft.mims()):
        at = (device.link, device.unit)
        if at in first:
            text = f"unit {device.unit} on the link '{device.link}' is already '{first[at]}'; give each device its own unit"
            yield error("device.address_twice", f"{path}.unit", text)
        first.setdefault(at, device.id)


def check_endpoints(draft: Draft) -> Iterator[Problem]:
    """`link.endpoint_twice`: two links to one host and port; many gateways take one connection only."""
    first: dict[tuple[str, int], str] = {}
    for path, link in draft.links():
        at = (link.host.lower(), link.port)
        if at in first:
            text = f"{link.host}:{link.port} is already the link '{first[at]}'; put the devices of both on one link"
            yield error("link.endpoint_twice", f"{path}.port", text)
        first.setdefault(at, link.id)


def check_tls(draft: Draft) -> Iterator[Problem]:
    """`link.tls`: certificates without TLS, or TLS without certificates."""
    for path, link in draft.links():
        if link.type is LinkType.MODBUS_TLS and link.tls is None:
            text = "modbus_tls needs certificates: 'tls: {ca: ca.pem, certificate: mimctl.pem, key: mimctl.key}'"
            yield error("link.tls", path, text)
        if link.type is not LinkType.MODBUS_TLS and link.tls is not None:
            yield error("link.tls", f"{path}.tls", "certificates are used by 'type: modbus_tls' only")


def check_tls_files(draft: Draft) -> Iterator[Problem]:
    """`link.tls_file`: a certificate file that is not there (yet)."""
    for path, link in draft.links():
        for key in ("ca", "certificate", "key"):
            name = getattr(link.tls, key, None)
            if name is not None and not (draft.folder / name).is_file():
                yield warning("link.tls_file", f"{path}.tls.{key}", f"there is no file '{draft.folder / name}'")


def check_plain_writes(draft: Draft) -> Iterator[Problem]:
    """`link.plain_writes`: MIMs that anybody in the network could command."""
    links = {link.id: link for _, link in draft.links()}
    writable = {mim.link for _, mim in draft.mims()}
    for path, link in draft.links():
        if link.id in writable and link.type is LinkType.MODBUS_TCP and not link.isolated and not on_loopback(links[link.id]):
            text = (
                "MIMs are written over a plain link: use 'type: modbus_tls', or say 'isolated: true' where nobody else "
                "can reach its network"
            )
            yield warning("link.plain_writes", path, text)


def on_loopback(link: LinkItem) -> bool:
    """Whether the link stays inside this machine."""
    if link.host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(link.host).is_loopback
    except ValueError:
        return False


def check_phase_maps(draft: Draft) -> Iterator[Problem]:
    """`meter.phase_map`: anything but each of L1, L2, L3 once."""
    for path, meter in draft.meters():
        if meter.phase_map is not None and (len(meter.phase_map) != 3 or set(meter.phase_map) != set(PHASES)):
            text = "must name L1, L2 and L3 once each: the node's phase behind the meter's first, second and third input"
            yield error("meter.phase_map", f"{path}.phase_map", text)


def check_one_meter_per_node(draft: Draft) -> Iterator[Problem]:
    """`meter.node_twice`: a second meter at a node is read, but only the first one counts."""
    first: dict[str, str] = {}
    for path, meter in draft.meters():
        if meter.node in first:
            text = f"'{meter.node}' is already measured by '{first[meter.node]}', whose readings are the ones used"
            yield warning("meter.node_twice", f"{path}.node", text)
        first.setdefault(meter.node, meter.id)


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
    check_endpoints,
    check_tls,
    check_tls_files,
    check_plain_writes,
    check_phase_maps,
    check_one_meter_per_node,
    check_ports_are_complete,
    check_port_phases,
    check_port_neutrals,
)
