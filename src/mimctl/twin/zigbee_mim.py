"""A virtual MIM on the air: the firmware of the fleet behind the clusters that the MIM has on Zigbee."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping

import numpy as np

from mimctl.model.layout import SiteLayout
from mimctl.twin.mim_instruments import MimInstruments
from mimctl.twin.picture import Picture, World
from mimctl.twin.status import CommandStatus
from mimctl.wire.zigbee import mim_layout as layout_of
from mimctl.wire.zigbee import zcl
from mimctl.wire.zigbee.air import Frame
from mimctl.wire.zigbee.mim_layout import SetPower
from mimctl.wire.zigbee.node import BASIC, ELECTRICAL, Node, Place
from mimctl.wire.zigbee.zcl import Attribute

_OWN: Place = (1, layout_of.CLUSTER, layout_of.MANUFACTURER)
_PORTS_PER_ENDPOINT = 3
_PHASES = (0x000, 0x400, 0x500)
_VOLTAGE, _CURRENT, _ACTIVE, _REACTIVE, _FREQUENCY = 0x0505, 0x0508, 0x050B, 0x050E, 0x0300
#: multiplier and divisor of frequency, voltage, current
_SCALES = {0x0400: 1, 0x0401: 100, 0x0600: 1, 0x0601: 100, 0x0602: 1, 0x0603: 100}
_POWER_MULTIPLIER, _POWER_DIVISOR = 0x0604, 0x0605
#: a rating below it is told in tenths of a watt, one below ten times as much in watts, the others in tens of watts
_FINE_VA = 2000.0
_STATUS = {
    CommandStatus.OK: layout_of.ACCEPTED,
    CommandStatus.CLIPPED: layout_of.CLIPPED,
    CommandStatus.REJECTED: layout_of.REJECTED,
    CommandStatus.REVERTED: layout_of.REVERTED,
}
#: by the names of the MIM protocol: attribute and counts per unit
_PORT_VALUES = {
    "WAvl": (layout_of.AVAILABLE_INJECT, 1.0),
    "WAvlAbs": (layout_of.AVAILABLE_ABSORB, 1.0),
    "ThdV": (layout_of.THD_V, 100.0),
    "ThdA": (layout_of.THD_I, 100.0),
    "VAng": (layout_of.VOLTAGE_ANGLE, 100.0),
    "HarmShrAct": (layout_of.SHARE, 2.0),
}


class ZigbeeMim:
    """One MIM as a node of the network."""

    def __init__(
        self, m: int, layout: SiteLayout, world: World, rng: np.random.Generator, nwk: int, send: Callable[[Frame], None]
    ) -> None:
        self._m, self._mim, self._layout, self._world = m, layout.mims[m], layout, world
        self._instruments = MimInstruments(m, layout, world, rng)
        self._stores = any(battery.mim == self._mim.id for battery in layout.batteries)
        self._beats = itertools.count(1)
        #: what its attributes show
        self.shown: Picture | None = None
        self._power = _power_scale(max(port.rating_va for port in self._mim.ports))
        places = {(1, BASIC, None): _basic(), _OWN: _own(len(self._mim.ports))}
        for port in range(len(self._mim.ports)):
            places.setdefault(_meter(port), self._scales()).update(_measured(port))
        self.node = Node(self._mim.address.eui, nwk, send, places, {_OWN: self._command}, layout_of.MANUFACTURER)
        self.node.set(_OWN, layout_of.PORTS, len(self._mim.ports))
        self.kind = f"MIM over Zigbee, {len(self._mim.ports)} ports" + (", storage" if self._stores else "")

    @property
    def on(self) -> bool:
        """Whether it runs."""
        return bool(self._instruments.fleet.online[self._m])

    def show(self, picture: Picture) -> None:
        """Measure."""
        values = self._instruments.measured(picture)
        own = {
            layout_of.STATE: layout_of.FOLLOW if self._instruments.fleet.enabled[self._m] else layout_of.STANDBY,
            layout_of.ALARMS: values["Alrm"],
            layout_of.SEQUENCE_ACK: values["SeqAck"] % layout_of.SEQUENCE_MODULO,
            layout_of.COMMAND_STATUS: values["CmdSta"],
            layout_of.WATCHDOG: values["WdRem"],
            layout_of.TEMPERATURE: 10 * values["Tmp"],
            layout_of.SOC: 10 * self._instruments.stored()["SoC"] if self._stores else math.nan,
        }
        for attribute, counts in own.items():
            self.node.set(_OWN, attribute, counts)
        for port in range(len(self._mim.ports)):
            self._show_port(port, values)

    def _show_port(self, port: int, values: Mapping[str, float]) -> None:
        def told(name: str) -> float:
            return values[f"Ph[{port}].{name}"]

        place, phase = _meter(port), _PHASES[port % _PORTS_PER_ENDPOINT]
        per_w = self._power[1] / self._power[0]
        self.node.set(place, _FREQUENCY, 100 * values["Hz"])
        self.node.set(place, _VOLTAGE + phase, 100 * told("V"))
        self.node.set(place, _CURRENT + phase, 100 * told("A"))
        # what the device takes from the grid counts positive there
        self.node.set(place, _ACTIVE + phase, -per_w * told("W"))
        self.node.set(place, _REACTIVE + phase, -per_w * told("Var"))
        for name, (which, counts) in _PORT_VALUES.items():
            self.node.set(_OWN, layout_of.port_attribute(port, which), counts * told(name))
        setpoint = self._instruments.fleet.setpoint_va[self._layout.ports_of_mim[self._m]][port]
        self.node.set(_OWN, layout_of.port_attribute(port, layout_of.SETPOINT_W), float(setpoint.real))
        self.node.set(_OWN, layout_of.port_attribute(port, layout_of.SETPOINT_VAR), float(setpoint.imag))

    # commands

    def _command(self, command: int, payload: bytes) -> tuple[int, bytes] | int:
        self._world.advance()
        self.shown = None
        if command == layout_of.KEEP_ALIVE and len(payload) == 3:
            return self._keep_alive(payload[0], int.from_bytes(payload[1:], "little"))
        if command != layout_of.SET_POWER:
            return zcl.UNSUPPORTED_COMMAND
        try:
            told = layout_of.decode_set_power(payload)
        except ValueError:
            return zcl.MALFORMED
        return self._set_power(told)

    def _set_power(self, told: SetPower) -> tuple[int, bytes]:
        fleet, m = self._instruments.fleet, self._m
        again = told.sequence == self._in_force
        if not again and not layout_of.is_later(told.sequence, self._in_force):
            return self._answer(layout_of.STALE)
        fleet.set_watchdog(m, told.validity_s, told.expiry)
        fleet.heartbeat(m, next(self._beats))
        if told.enable:
            fleet.enable(m, on=True)
        fleet.apply(m, told.inject_w, told.inject_var, told.sequence, told.shares)
        if not told.enable:
            fleet.enable(m, on=False)
        return self._answer(_STATUS[CommandStatus(int(fleet.command_status[m]))])

    def _keep_alive(self, sequence: int, validity_s: int) -> tuple[int, bytes] | int:
        if not validity_s:
            return zcl.INVALID_VALUE
        fleet = self._instruments.fleet
        if sequence != self._in_force:
            return self._answer(layout_of.STALE)
        fleet.set_watchdog(self._m, validity_s)
        fleet.heartbeat(self._m, next(self._beats))
        return self._answer(_STATUS[CommandStatus(int(fleet.command_status[self._m]))])

    @property
    def _in_force(self) -> int:
        return int(self._instruments.fleet.sequence_ack[self._m]) % layout_of.SEQUENCE_MODULO

    def _answer(self, status: int) -> tuple[int, bytes]:
        return layout_of.ANSWER, bytes((self._in_force, status))

    def _scales(self) -> dict[int, Attribute]:
        numbers = {**_SCALES, _POWER_MULTIPLIER: self._power[0], _POWER_DIVISOR: self._power[1]}
        return {number: Attribute(zcl.UINT16, value) for number, value in numbers.items()}


def _meter(port: int) -> Place:
    return (1 + port // _PORTS_PER_ENDPOINT, ELECTRICAL, None)


def _basic() -> dict[int, Attribute]:
    return {4: Attribute(zcl.TEXT, layout_of.MAKER), 5: Attribute(zcl.TEXT, layout_of.MODEL)}


def _own(ports: int) -> dict[int, Attribute]:
    found = {number: Attribute(kind, zcl.number(kind, None)) for number, (_, kind, _) in layout_of.DEVICE_ATTRIBUTES.items()}
    for port in range(ports):
        for which, (_, kind, _) in layout_of.PORT_ATTRIBUTES.items():
            found[layout_of.port_attribute(port, which)] = Attribute(kind, zcl.number(kind, None))
    return found


def _measured(port: int) -> dict[int, Attribute]:
    phase = _PHASES[port % _PORTS_PER_ENDPOINT]
    unsigned = (_FREQUENCY, _VOLTAGE + phase, _CURRENT + phase)
    found = {number: Attribute(zcl.UINT16, zcl.number(zcl.UINT16, None)) for number in unsigned}
    return found | {number + phase: Attribute(zcl.INT16, zcl.number(zcl.INT16, None)) for number in (_ACTIVE, _REACTIVE)}


def _power_scale(rating_va: float) -> tuple[int, int]:
    """Multiplier and divisor of powers, so that one and a half times the rating fits into 16 bits."""
    if rating_va <= _FINE_VA:
        return 1, 10
    return (1, 1) if rating_va <= 10 * _FINE_VA else (10, 1)
