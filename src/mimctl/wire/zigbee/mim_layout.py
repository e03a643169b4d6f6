"""The MIM on Zigbee: its own cluster, attribute by attribute. What a firmware maker implements, and the only place of its numbers.

Measurements of ports 1 to 3 are phases A, B, C of ElectricalMeasurement on endpoint 1, those of ports 4 to 6 on endpoint 2. There,
as the cluster library has it, what the device takes from the grid counts positive; setpoints count what it gives.

`set_power` carries everything at once: sequence, validity, expiry action, switch and the setpoints of every port. It takes effect
when its sequence is a later one (modulo 256, at most 127 ahead), and its answer tells the sequence in force: the only proof.
`keep_alive` starts the validity anew where its sequence is the one in force.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from mimctl.model.harmonics import HarmonicShare
from mimctl.model.site import ExpiryAction
from mimctl.wire.zigbee import zcl

#: placeholders until a cluster and a manufacturer code are assigned
CLUSTER = 0xFC10
MANUFACTURER = 0x1F4D

MAKER, MODEL = "mimctl", "MIM"

PORTS, STATE, ALARMS, SEQUENCE_ACK, COMMAND_STATUS, WATCHDOG, SOC, TEMPERATURE = range(8)
#: attributes of port n stand at PORT + n × PORT_STEP + one of these
PORT, PORT_STEP = 0x0100, 0x10
SETPOINT_W, SETPOINT_VAR, AVAILABLE_INJECT, AVAILABLE_ABSORB, THD_V, THD_I, VOLTAGE_ANGLE, SHARE, ORDERS = range(9)

#: data type and value of one count
DEVICE_ATTRIBUTES: dict[int, tuple[str, int, float]] = {
    PORTS: ("ports", zcl.UINT8, 1),
    STATE: ("status", zcl.ENUM8, 1),
    ALARMS: ("alarms", zcl.BITMAP32, 1),
    SEQUENCE_ACK: ("sequence_ack", zcl.UINT8, 1),
    COMMAND_STATUS: ("command_status", zcl.ENUM8, 1),
    WATCHDOG: ("watchdog_remaining", zcl.UINT16, 1),
    SOC: ("soc", zcl.UINT16, 0.1),
    TEMPERATURE: ("temperature", zcl.INT16, 0.1),
}
PORT_ATTRIBUTES: dict[int, tuple[str, int, float]] = {
    SETPOINT_W: ("setpoint_active_power", zcl.INT24, 1),
    SETPOINT_VAR: ("setpoint_reactive_power", zcl.INT24, 1),
    AVAILABLE_INJECT: ("available_inject", zcl.UINT24, 1),
    AVAILABLE_ABSORB: ("available_absorb", zcl.UINT24, 1),
    THD_V: ("thd_v", zcl.UINT16, 0.01),
    THD_I: ("thd_i", zcl.UINT16, 0.01),
    VOLTAGE_ANGLE: ("voltage_angle", zcl.INT16, 0.01),
    SHARE: ("harmonic_share", zcl.UINT8, 0.5),
    ORDERS: ("harmonic_orders", zcl.BITMAP32, 1),
}
OFF, STANDBY, FOLLOW = range(3)

#: commands to the device, and its answer to both
SET_POWER, KEEP_ALIVE = 0x00, 0x01
ANSWER = 0x00
ACCEPTED, CLIPPED, REJECTED, REVERTED, STALE = range(5)

EXPIRY_CODES = {ExpiryAction.HOLD: 0, ExpiryAction.ZERO: 1, ExpiryAction.REVERT: 2, ExpiryAction.DISCONNECT: 3}
#: a share of this leaves the filter as it is
_LEAVE = 0xFF
MOST_PORTS, MOST_W = 6, (1 << 23) - 1
MOST_VALIDITY_S = 0xFFFE
SEQUENCE_MODULO = 256


def port_attribute(port: int, which: int) -> int:
    """Attribute id of a port, counted from 0."""
    return PORT + port * PORT_STEP + which


def kind_of(attribute: int) -> int | None:
    """Data type of an attribute of the MIM's cluster; None where it has none of that number."""
    known = DEVICE_ATTRIBUTES.get(attribute)
    if attribute >= PORT:
        known = PORT_ATTRIBUTES.get((attribute - PORT) % PORT_STEP)
    return None if known is None else known[1]


def is_later(sequence: int, in_force: int) -> bool:
    """Whether a command's number follows the one in force, its wrap considered."""
    return 0 < (sequence - in_force) % SEQUENCE_MODULO < SEQUENCE_MODULO // 2


@dataclass(frozen=True, slots=True)
class SetPower:
    """One command: one value per port, injection positive [W], [var].

    Args:
        validity_s: whole seconds, never 0.
        shares: one per port; None = the filters are left as they are.
    """

    sequence: int
    validity_s: int
    expiry: ExpiryAction
    enable: bool
    inject_w: tuple[int, ...]
    inject_var: tuple[int, ...]
    shares: tuple[HarmonicShare, ...] | None = field(default=None)

    def encode(self) -> bytes:
        """Its payload: 6 bytes, then 11 for each port."""
        head = struct.pack(
            "<BHBBB", self.sequence, self.validity_s, EXPIRY_CODES[self.expiry], int(self.enable), len(self.inject_w)
        )
        parts = [head]
        for port, (w, var) in enumerate(zip(self.inject_w, self.inject_var, strict=True)):
            share = None if self.shares is None else self.shares[port]
            told = (_LEAVE, 0) if share is None else (round(200 * share.share), share.orders)
            parts.append(w.to_bytes(3, "little", signed=True) + var.to_bytes(3, "little", signed=True) + struct.pack("<BI", *told))
        return b"".join(parts)


def decode_set_power(data: bytes) -> SetPower:
    """A payload, checked.

    Raises:
        ValueError: it is none: its length, its expiry action, its validity or a share.
    """
    if len(data) < 6 or len(data) != 6 + 11 * data[5] or not 1 <= data[5] <= MOST_PORTS:
        raise ValueError("a set_power of the wrong length")
    sequence, validity_s, code, enable, ports = struct.unpack("<BHBBB", data[:6])
    actions = {number: action for action, number in EXPIRY_CODES.items()}
    if code not in actions or enable > 1 or not 0 < validity_s <= MOST_VALIDITY_S:
        raise ValueError("a set_power with an impossible field")
    watts, vars_, shares = list[int](), list[int](), list[HarmonicShare]()
    for record in (data[6 + 11 * n : 17 + 11 * n] for n in range(ports)):
        watts.append(int.from_bytes(record[:3], "little", signed=True))
        vars_.append(int.from_bytes(record[3:6], "little", signed=True))
        share, orders = struct.unpack("<BI", record[6:])
        if share != _LEAVE and share > 200:
            raise ValueError("a set_power with an impossible share")
        if share != _LEAVE:
            shares.append(HarmonicShare(share / 200, orders))
    filtered = tuple(shares) if len(shares) == ports else None
    return SetPower(sequence, validity_s, actions[code], bool(enable), tuple(watts), tuple(vars_), filtered)
