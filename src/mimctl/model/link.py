"""One connection that devices share, as the site file describes it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mimctl.model.lorawan import LorawanLink
from mimctl.model.zigbee import ZigbeeRadio


class LinkType(StrEnum):
    """Transport and framing of a link."""

    MODBUS_TCP = "modbus_tcp"
    MODBUS_TLS = "modbus_tls"
    MODBUS_RTU = "modbus_rtu"
    MODBUS_RTU_TCP = "modbus_rtu_tcp"
    LORAWAN = "lorawan"
    ZIGBEE = "zigbee"

    @property
    def is_rtu(self) -> bool:
        """RTU frames: answers carry no transaction id."""
        return self in (LinkType.MODBUS_RTU, LinkType.MODBUS_RTU_TCP)

    @property
    def is_radio(self) -> bool:
        """Devices have an EUI-64 in place of a unit id, and no registers."""
        return self in (LinkType.LORAWAN, LinkType.ZIGBEE)


class Parity(StrEnum):
    EVEN = "even"
    ODD = "odd"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Rs485:
    """The driver of a serial port switches the direction of a two-wire bus by RTS.

    Args:
        rts_high_on_send: level of RTS while sending; the other one while listening.
        delay_before_send_s: from the switch to the first bit [s].
        delay_after_send_s: from the last bit to the switch back [s].
    """

    rts_high_on_send: bool = True
    delay_before_send_s: float = 0.0
    delay_after_send_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A serial port of this machine.

    Reference: MODBUS over Serial Line Specification and Implementation Guide V1.02, section 2.5.1.1 (timing of RTU frames).

    Args:
        device: path of the port.
        baudrate: [bit/s]
        rs485: None = the adapter, or nobody, switches the direction.
    """

    device: str
    baudrate: int = 19200
    parity: Parity = Parity.EVEN
    stop_bits: int = 1
    byte_size: int = 8
    rs485: Rs485 | None = None

    @property
    def character_s(self) -> float:
        """Time of one character on the line: start bit, data, parity, stop bits [s]."""
        return (1 + self.byte_size + (self.parity is not Parity.NONE) + self.stop_bits) / self.baudrate

    @property
    def silence_s(self) -> float:
        """The silence that ends a frame: 3.5 characters, above 19200 bit/s always 1.75 ms [s]."""
        return 3.5 * self.character_s if self.baudrate <= 19200 else 1.75e-3


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Modbus/TCP Security: mutual TLS. Paths are absolute once loaded."""

    ca: Path
    certificate: Path
    key: Path
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """One connection that devices share.

    Args:
        host, port: of the device or gateway; empty and 0 on a serial link.
        timeout_s: for one answer; the time that its bytes take on a serial line comes on top.
        connect_delay_s: quiet time after connecting that some gateways need.
        request_gap_s: quiet time between two requests.
        max_registers: most registers in one read.
        any_unit: accept an answer that carries another unit id.
        tid_zero: accept an answer that carries transaction id 0.
        serial: the port of a serial link.
        max_connections: how many connections at a time the other side allows and may be used.
        write_function: 6 for devices that take a single register by function 6 only, else 16.
        local_echo: whatever is sent comes back first, as many two-wire RS-485 adapters do (RTU only).
        latency_s: from a request to its answer, without its bytes on a serial line; None = as links of its kind have it [s].
        lorawan: the network server of a LoRaWAN link; host, port and TLS are then those of its MQTT broker.
        zigbee: the coordinator of a Zigbee link.
    """

    id: str
    type: LinkType
    host: str = ""
    port: int = 0
    timeout_s: float = 0.5
    connect_delay_s: float = 0.0
    request_gap_s: float = 0.0
    max_registers: int = 125
    any_unit: bool = False
    tid_zero: bool = False
    tls: TlsFiles | None = None
    isolated: bool = False
    serial: SerialLine | None = None
    max_connections: int = 1
    write_function: int = 16
    local_echo: bool = False
    latency_s: float | None = None
    lorawan: LorawanLink | None = None
    zigbee: ZigbeeRadio | None = None

    @property
    def expected_latency_s(self) -> float:
        """From a request to its answer, without the time of its bytes on a serial line [s]."""
        if self.latency_s is not None:
            return self.latency_s
        if self.serial is not None:
            return self.serial.silence_s
        if self.on_loopback:
            return 1e-3
        return 0.03 if self.type.is_rtu else 0.01

    @property
    def on_loopback(self) -> bool:
        """Whether the link stays inside this machine."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
