"""Zigbee devices for tests: a MIM, with the least firmware that obeys `set_power`, and a meter of another make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mimctl.wire.zigbee import mim_layout as layout
from mimctl.wire.zigbee import zcl
from mimctl.wire.zigbee.air import Air
from mimctl.wire.zigbee.mim_layout import SetPower
from mimctl.wire.zigbee.node import BASIC, ELECTRICAL, Node, Place
from mimctl.wire.zigbee.zcl import Attribute, Header

EUI = "00124b0000000001"
MIM_PLACE: Place = (1, layout.CLUSTER, layout.MANUFACTURER)
METER_PLACE: Place = (1, ELECTRICAL, None)
#: multipliers and divisors of the cluster library, written out by hand: V, A in hundredths, W and var in tenths, Hz in hundredths
SCALES = {0x0600: 1, 0x0601: 100, 0x0602: 1, 0x0603: 100, 0x0604: 1, 0x0605: 10, 0x0400: 1, 0x0401: 100}
VOLTAGE = (0x0505, 0x0905, 0x0A05)
CURRENT = (0x0508, 0x0908, 0x0A08)
ACTIVE = (0x050B, 0x090B, 0x0A0B)
REACTIVE = (0x050E, 0x090E, 0x0A0E)
#: what one count is; on the air what a device takes counts positive, of a MIM what it gives
COUNTS = {"voltage": 0.01, "current": 0.01, "active_power": 0.1, "reactive_power": 0.1}
ATTRIBUTES = {"voltage": VOLTAGE, "current": CURRENT, "active_power": ACTIVE, "reactive_power": REACTIVE}


def basic() -> dict[int, Attribute]:
    return {4: Attribute(zcl.TEXT, layout.MAKER), 5: Attribute(zcl.TEXT, layout.MODEL)}


def meter_place(port: int) -> Place:
    """Where a port, counted from 0, is measured: three of them on each endpoint."""
    return (1 + port // 3, ELECTRICAL, None)


def electrical(phases: int) -> dict[int, Attribute]:
    found = {number: Attribute(zcl.UINT16, value) for number, value in SCALES.items()}
    found[0x0300] = Attribute(zcl.UINT16, 0xFFFF)
    for port in range(phases):
        found[VOLTAGE[port]] = Attribute(zcl.UINT16, 0xFFFF)
        found[CURRENT[port]] = Attribute(zcl.UINT16, 0xFFFF)
        found[ACTIVE[port]] = Attribute(zcl.INT16, -0x8000)
        found[REACTIVE[port]] = Attribute(zcl.INT16, -0x8000)
    return found


def own(ports: int) -> dict[int, Attribute]:
    found = {number: Attribute(kind, zcl.number(kind, None)) for number, (_, kind, _) in layout.DEVICE_ATTRIBUTES.items()}
    for port in range(ports):
        for which, (_, kind, _) in layout.PORT_ATTRIBUTES.items():
            found[layout.port_attribute(port, which)] = Attribute(kind, zcl.number(kind, None))
    return found


def show(node: Node, key: str, value: float, sign: int) -> None:
    """One measured value in mimctl's unit; NaN = none. `sign`: −1 turns injection into load."""
    quantity, _, place = key.partition(".")
    if quantity == "frequency":
        node.set(METER_PLACE, 0x0300, value * 100)
        return
    turn = sign if "power" in quantity else 1
    port = int(place.removeprefix("port").removeprefix("L")) - 1
    node.set(meter_place(port), ATTRIBUTES[quantity][port % 3], turn * value / COUNTS[quantity])


class _Keeping(Node):
    """Keeps what was to change it."""

    heard: list[bytes]

    def _write(self, place: Place, payload: bytes) -> bytes:
        self.heard.append(payload)
        return super()._write(place, payload)

    def _own(self, place: Place, header: Header, payload: bytes) -> None:
        self.heard.append(payload)
        super()._own(place, header, payload)


@dataclass
class ZigbeeMeter:
    """A three-phase meter that keeps to the cluster library. `heard`: what was to change it."""

    air: Air
    eui: str = EUI
    nwk: int = 0x1001

    def __post_init__(self) -> None:
        told = {4: Attribute(zcl.TEXT, "ACME"), 5: Attribute(zcl.TEXT, "P1")}
        self.node = _Keeping(self.eui, self.nwk, self.air.carry, {(1, BASIC, None): told, METER_PLACE: electrical(3)})
        self.node.heard = []

    @property
    def heard(self) -> list[bytes]:
        return self.node.heard

    def switch_on(self) -> None:
        self.air.add(self.node)
        self.node.announce()

    def show(self, values: Mapping[str, float]) -> None:
        """Values in mimctl's units, load positive; NaN = none."""
        for key, value in values.items():
            show(self.node, key, value, 1)


@dataclass
class ZigbeeMim:
    """`taken`: every command that took effect; `alive`: signs of life that were accepted."""

    air: Air
    ports: int = 3
    eui: str = EUI
    nwk: int = 0x1001
    deaf: bool = False
    rejects: bool = False
    in_force: int = 0
    taken: list[SetPower] = field(default_factory=list)
    heard: list[int] = field(default_factory=list)
    alive: int = 0

    def __post_init__(self) -> None:
        places = {(1, BASIC, None): basic(), MIM_PLACE: own(self.ports)}
        places |= {meter_place(port): electrical(min(3, self.ports - port)) for port in range(0, self.ports, 3)}
        self.node = Node(self.eui, self.nwk, self.air.carry, places, {MIM_PLACE: self._command}, layout.MANUFACTURER)
        self.tell(layout.PORTS, self.ports)
        self.tell(layout.SEQUENCE_ACK, 0)
        self.tell(layout.STATE, layout.STANDBY)
        for port in range(self.ports):
            self.tell(layout.port_attribute(port, layout.SETPOINT_W), 0)
            self.tell(layout.port_attribute(port, layout.SETPOINT_VAR), 0)

    def switch_on(self) -> None:
        self.air.add(self.node)
        self.node.announce()

    def tell(self, attribute: int, counts: float | None) -> None:
        self.node.set(MIM_PLACE, attribute, counts)

    def show(self, values: Mapping[str, float]) -> None:
        """Values in mimctl's units and signs; NaN = none."""
        for key, value in values.items():
            if key in ("soc", "temperature"):
                self.tell(layout.SOC if key == "soc" else layout.TEMPERATURE, value * 10)
            else:
                show(self.node, key, value, -1)

    def setpoints(self) -> tuple[list[int], list[int]]:
        last = self.taken[-1] if self.taken else None
        return ([], []) if last is None else (list(last.inject_w), list(last.inject_var))

    def restart(self) -> None:
        self.in_force, self.taken = 0, []
        self.tell(layout.SEQUENCE_ACK, 0)
        self.tell(layout.STATE, layout.STANDBY)
        self.node.restart()

    def _command(self, command: int, payload: bytes) -> tuple[int, bytes] | int:
        self.heard.append(command)
        if command == layout.KEEP_ALIVE and len(payload) == 3:
            fresh = payload[0] == self.in_force
            self.alive += fresh
            return self._answer(layout.ACCEPTED if fresh else layout.STALE)
        if command != layout.SET_POWER:
            return zcl.UNSUPPORTED_COMMAND
        try:
            return self._answer(self._judged(layout.decode_set_power(payload)))
        except ValueError:
            return zcl.MALFORMED

    def _judged(self, told: SetPower) -> int:
        if self.rejects:
            return layout.REJECTED
        if told.sequence != self.in_force and not layout.is_later(told.sequence, self.in_force):
            return layout.STALE
        if told.sequence != self.in_force and not self.deaf:
            self._take(told)
        return layout.ACCEPTED

    def _take(self, told: SetPower) -> None:
        self.taken.append(told)
        self.in_force = told.sequence
        self.tell(layout.SEQUENCE_ACK, told.sequence)
        self.tell(layout.STATE, layout.FOLLOW if told.enable else layout.STANDBY)
        for port, (w, var) in enumerate(zip(told.inject_w, told.inject_var, strict=True)):
            self.tell(layout.port_attribute(port, layout.SETPOINT_W), w)
            self.tell(layout.port_attribute(port, layout.SETPOINT_VAR), var)
        self.show({f"active_power.port{n + 1}": w for n, w in enumerate(told.inject_w)})

    def _answer(self, status: int) -> tuple[int, bytes]:
        return layout.ANSWER, bytes((self.in_force, status))
