"""Links of a site file: where they go, and what is spoken on them."""

from __future__ import annotations

from pathlib import Path

from mimctl.config.schema_devices import LinkItem
from mimctl.config.schema_lorawan import LorawanItem
from mimctl.model.airtime import RULES
from mimctl.model.link import Link, LinkType, Rs485, SerialLine, TlsFiles
from mimctl.model.lorawan import LorawanLink, MulticastGroup, RadioPlan
from mimctl.model.zigbee import ZIGBEE_BAUDRATE, ZigbeeRadio


def build_link(item: LinkItem, folder: Path) -> Link:
    tls = item.tls
    files = None
    if tls is not None:
        ca, certificate, key = (_beside(folder, name) for name in (tls.ca, tls.certificate, tls.key))
        files = TlsFiles(ca, certificate, key, tls.server_name)
    return Link(
        id=item.id,
        type=item.type,
        host=item.host or "",
        port=link_port(item),
        timeout_s=item.timeout_s,
        connect_delay_s=item.connect_delay_s,
        request_gap_s=item.request_gap_s,
        max_registers=item.max_registers,
        any_unit=item.any_unit,
        tid_zero=item.tid_zero,
        tls=files,
        isolated=item.isolated,
        serial=_serial(item, folder),
        max_connections=item.max_connections,
        write_function=item.write_function,
        local_echo=item.local_echo,
        latency_s=item.latency_s,
        lorawan=None if item.lorawan is None else _lorawan(item, item.lorawan, folder),
        zigbee=_zigbee(item, folder),
    )


def _zigbee(item: LinkItem, folder: Path) -> ZigbeeRadio | None:
    if item.radio is None or item.device is None:
        return None
    # a serial port is not resolved, for the same reason as below
    device = item.device if "://" in item.device else str(folder / item.device)
    baudrate = item.baudrate if "baudrate" in item.model_fields_set else ZIGBEE_BAUDRATE
    return ZigbeeRadio(item.radio, device, baudrate, item.flow_control)


def link_port(item: LinkItem) -> int:
    """The TCP port of a link: the one given, else the one registered for what is spoken on it; 0 without a network address.

    Reference: IANA Service Name and Transport Protocol Port Number Registry: mbap 502, mbap-s 802, mqtt 1883, secure-mqtt 8883.
    """
    if not item.host:
        return 0
    if item.port is not None:
        return item.port
    if item.type is LinkType.LORAWAN:
        return 1883 if item.tls is None else 8883
    return 802 if item.type is LinkType.MODBUS_TLS else 502


def _lorawan(link: LinkItem, item: LorawanItem, folder: Path) -> LorawanLink:
    return LorawanLink(
        application=item.application,
        api_host=item.api_host or link.host or "",
        api_port=item.api_port,
        api_ca=None if item.api_ca is None else _beside(folder, item.api_ca),
        token_file=None if item.token_file is None else _beside(folder, item.token_file),
        token_variable=item.token_variable,
        client_id=item.client_id or "",
        confirmed=item.confirmed,
        plan=radio_plan(item),
        multicast=multicast_groups(item),
    )


def multicast_groups(item: LorawanItem) -> tuple[MulticastGroup, ...]:
    """Of a LoRaWAN link."""
    usual = radio_plan(item).downlink_dr
    return tuple(
        MulticastGroup(one.group, tuple(one.members.items()), usual if one.dr is None else one.dr) for one in item.multicast
    )


def radio_plan(item: LorawanItem) -> RadioPlan:
    """How the devices of a LoRaWAN link are set up."""
    downlink_dr = RULES[item.region].downlink_dr if item.downlink_dr is None else item.downlink_dr
    return RadioPlan(item.region, item.uplink_dr, downlink_dr, item.gateways)


def _serial(item: LinkItem, folder: Path) -> SerialLine | None:
    if item.device is None or item.type is LinkType.ZIGBEE:
        return None
    # not resolved: a name such as /dev/serial/by-id/… is a link that goes to another port after each plugging
    device = str(folder / item.device)
    return SerialLine(device, item.baudrate, item.parity, item.stop_bits, item.byte_size, _direction(item))


def _direction(item: LinkItem) -> Rs485 | None:
    own = item.rs485
    return None if own is None else Rs485(own.rts_on_send == "high", own.delay_before_send_s, own.delay_after_send_s)


def _beside(folder: Path, name: str) -> Path:
    return (folder / Path(name).expanduser()).resolve()
