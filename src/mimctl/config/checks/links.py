"""Links: what belongs to which kind, and what two of them cannot share."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from mimctl.config.build_links import build_link, link_port
from mimctl.config.certificates import certificate_troubles
from mimctl.config.checks.repeats import repeats
from mimctl.config.draft import Draft
from mimctl.config.quoting import quoted
from mimctl.config.schema_devices import LinkItem
from mimctl.model.clock import SystemClock
from mimctl.model.link import LinkType
from mimctl.model.problem import Problem, error, warning

#: whoever is in their network can write too
_OPEN = (LinkType.MODBUS_TCP, LinkType.MODBUS_RTU_TCP)
#: what may carry certificates
_WITH_TLS = (LinkType.MODBUS_TLS, LinkType.LORAWAN)
_HOST = "host is a name or an address; write the port in 'port:'"
_LONGEST_NAME = 253
_LABEL = re.compile(r"(?!-)[\w-]{1,63}(?<!-)\Z")
_WITH_PORT = re.compile(r"(\[[^\]]*\]|[^:/]+)(?::([0-9]{1,5}))?(?:/.*)?\Z")
#: keys that say something about a serial port only, and those that say something about the network only
_SERIAL_KEYS = ("device", "baudrate", "parity", "stop_bits", "byte_size")
_NETWORK_KEYS = ("host", "port")
#: addresses of devices on a serial line; 0 is for everybody, 248 to 255 are reserved
_FIRST_UNIT, _LAST_UNIT = 1, 247


def check_ends(draft: Draft) -> Iterator[Problem]:
    """`link.end`: nothing that says where the link goes, or keys of another kind of link."""
    for path, link in draft.links():
        serial = link.type in (LinkType.MODBUS_RTU, LinkType.ZIGBEE)
        if link.type is LinkType.MODBUS_RTU and link.device is None:
            yield error("link.end", path, "modbus_rtu needs its serial port: 'device: /dev/ttyUSB0'")
        if not serial and link.host is None:
            yield error("link.end", path, f"{link.type.value} needs the address of the device: 'host: 192.0.2.10'")
        for key in _NETWORK_KEYS if serial else _SERIAL_KEYS:
            if key in link.model_fields_set and getattr(link, key) is not None:
                there = "a serial link has no network address" if serial else "only the type modbus_rtu has a serial port"
                yield error("link.end", f"{path}.{key}", f"'{key}' does not belong to the type {link.type.value}: {there}")


def check_hosts(draft: Draft) -> Iterator[Problem]:
    """`link.host`: what is neither a name nor an address: a URL, an address with a port, a slip of the finger."""
    for path, link in draft.links():
        if link.host is not None and not is_host(link.host):
            yield error("link.host", f"{path}.host", f"{quoted(link.host)}: {_HOST}{_host_hint(link.host)}")


def is_host(text: str) -> bool:
    """Whether a text may be a host name, an IPv4 or an IPv6 address.

    Reference: RFC 1123 (1989), section 2.1: labels of up to 63 letters, digits and hyphens; a name that ends in digits alone is an
    address. The underscore is let through, for container networks use it.
    """
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.removesuffix(".").split(".")
        return len(text) <= _LONGEST_NAME and all(map(_LABEL.match, labels)) and not labels[-1].isdigit()
    return True


def _host_hint(text: str) -> str:
    """The keys that a URL or an address with a port should have been."""
    bare = text.partition("://")[2] or text
    found = _WITH_PORT.match(bare)
    if found is None or not is_host(found[1].strip("[]")):
        return ""
    port = f", 'port: {found[2]}'" if found[2] else ""
    return f" ('host: {found[1].strip('[]')}'{port})"


def check_rtu_keys(draft: Draft) -> Iterator[Problem]:
    """`link.rtu`: what needs transaction ids on a link without them, and echoes where there are none."""
    for path, link in draft.links():
        if link.type.is_rtu and link.max_connections > 1:
            text = "answers on RTU links carry no transaction id, so only one connection can be told from others: leave it at 1"
            yield error("link.rtu", f"{path}.max_connections", text)
        if link.type.is_rtu and link.tid_zero:
            yield error("link.rtu", f"{path}.tid_zero", "answers on RTU links carry no transaction id: leave it out")
        if link.type is not LinkType.MODBUS_RTU and link.rs485 is not None:
            text = "only the type modbus_rtu has a serial port whose direction could be switched: leave it out"
            yield error("link.rtu", f"{path}.rs485", text)
        if not link.type.is_rtu and link.local_echo:
            yield error("link.rtu", f"{path}.local_echo", "only the RTU types can have an echo: leave it out")


def check_serial_units(draft: Draft) -> Iterator[Problem]:
    """`device.unit_serial`: a unit id that no device on a serial line can have."""
    serial = {link.id for _, link in draft.links() if link.type is LinkType.MODBUS_RTU}
    for path, device in chain(draft.meters(), draft.mims()):
        if device.link in serial and not _FIRST_UNIT <= device.unit <= _LAST_UNIT:
            text = f"units on a serial line are {_FIRST_UNIT} to {_LAST_UNIT}, not {device.unit}"
            yield error("device.unit_serial", f"{path}.unit", text)


def check_serial_ports(draft: Draft) -> Iterator[Problem]:
    """`link.device_twice`: two links on one serial port."""
    ports = ((path, _port(draft, link), link.id) for path, link in draft.links())
    for path, port, first in repeats(ports):
        text = f"{port} is already the link '{first}'; put the devices of both on one link"
        yield error("link.device_twice", f"{path}.device", text)


def _port(draft: Draft, link: LinkItem) -> str | None:
    """The serial port itself, whichever of its names the link has."""
    return None if link.device is None else os.path.realpath(draft.folder / link.device)


def check_endpoints(draft: Draft) -> Iterator[Problem]:
    """`link.endpoint_twice`: two links to one host and port; many gateways take one connection only."""
    for path, (host, port), first in repeats((path, _endpoint(link), link.id) for path, link in draft.links()):
        text = f"{host}:{port} is already the link '{first}'; put the devices of both on one link"
        yield error("link.endpoint_twice", f"{path}.port", text)


def _endpoint(link: LinkItem) -> tuple[str, int] | None:
    return None if link.host is None or link.type.is_radio else (link.host.lower(), link_port(link))


def check_tls(draft: Draft) -> Iterator[Problem]:
    """`link.tls`: certificates without TLS, or TLS without certificates."""
    for path, link in draft.links():
        if link.type is LinkType.MODBUS_TLS and link.tls is None:
            text = "modbus_tls needs certificates: 'tls: {ca: ca.pem, certificate: mimctl.pem, key: mimctl.key}'"
            yield error("link.tls", path, text)
        if link.type not in _WITH_TLS and link.tls is not None:
            yield error("link.tls", f"{path}.tls", "certificates are used by 'type: modbus_tls' and 'type: lorawan' only")


def check_certificates(draft: Draft) -> Iterator[Problem]:
    """`link.tls_file`, `link.tls_date`, `link.tls_key`: files that are missing, no longer or not yet good, or not of one pair.

    A file that several links name is told once.
    """
    told: set[tuple[Path, str]] = set()
    now = SystemClock().utc()
    for path, item in draft.links():
        if item.type not in _WITH_TLS or (item.tls is None and item.lorawan is None):
            continue
        for trouble in certificate_troubles(build_link(item, draft.folder), now):
            if (trouble.file, trouble.text) not in told:
                told.add((trouble.file, trouble.text))
                yield warning(trouble.code, f"{path}.{trouble.key}", trouble.text)


def check_plain_writes(draft: Draft) -> Iterator[Problem]:
    """`link.plain_writes`: MIMs that anybody in the network could command."""
    writable = {mim.link for _, mim in draft.mims()}
    for path, link in draft.links():
        if link.id in writable and link.type in _OPEN and not link.isolated and not on_loopback(link):
            text = (
                "MIMs are written over a plain link: use 'type: modbus_tls', or say 'isolated: true' where nobody else "
                "can reach its network"
            )
            yield warning("link.plain_writes", path, text)


def on_loopback(link: LinkItem) -> bool:
    """Whether the link stays inside this machine."""
    host = (link.host or "").lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    check_ends,
    check_hosts,
    check_rtu_keys,
    check_serial_units,
    check_endpoints,
    check_serial_ports,
    check_tls,
    check_certificates,
    check_plain_writes,
)
