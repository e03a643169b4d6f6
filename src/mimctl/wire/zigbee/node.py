"""A virtual Zigbee router: answers the device profile and the cluster library byte by byte, and reports what it was asked to.

Reference: Zigbee Specification R22, chapter 2.4 (device profile); ZCL revision 8, chapter 2.5 (general commands).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from mimctl.wire.zigbee import zcl
from mimctl.wire.zigbee.air import COORDINATOR, Frame, Stick
from mimctl.wire.zigbee.zcl import Attribute, Header, Reporting

HOME_AUTOMATION = 0x0104
BASIC, METERING, ELECTRICAL = 0x0000, 0x0702, 0x0B04
_NOT_SUPPORTED, _TABLE_FULL = 0x84, 0x8C

#: endpoint, cluster, manufacturer code (None = standard)
Place = tuple[int, int, int | None]
#: the answer to a cluster's own command: (command, payload), or a status
OwnCommand = Callable[[int, bytes], tuple[int, bytes] | int]


@dataclass(eq=False)
class Node:
    """One device.

    Args:
        eui: its address as people write it, without separators.
        send: puts a frame on the air.
        attributes: by place and id.
        own_commands: by place, what takes the cluster's own commands.
        maker_code: in its node descriptor.
        hears: address of the coordinator.
        unreportable: ids of attributes that it tells when it is asked, and never by itself.
        bindings: so many places fit into its binding table.
    """

    eui: str
    nwk: int
    send: Callable[[Frame], None]
    attributes: dict[Place, dict[int, Attribute]]
    own_commands: Mapping[Place, OwnCommand] = field(default_factory=dict)
    maker_code: int = 0x0000
    hears: str = Stick.eui
    unreportable: set[int] = field(default_factory=set)
    bindings: int = 16
    online: bool = True
    bound: set[tuple[int, int]] = field(default_factory=set)
    reporting: dict[tuple[Place, int], Reporting] = field(default_factory=dict)
    left: bool = False
    _sequence: int = 0

    # what it tells by itself

    def announce(self) -> None:
        """Tell everybody that it is on the network."""
        data = bytes((self._next(),)) + struct.pack("<H", self.nwk) + self._eui_bytes + bytes((0x8E,))
        self._send(0, COORDINATOR, 0, 0x0000, 0x0013, data)

    def tick(self, now_s: float) -> None:
        """Report what is due: one frame for each place, or more where it does not fit."""
        if not self.online:
            return
        due: dict[Place, list[bytes]] = {}
        for (place, attribute), rule in self.reporting.items():
            held = self.attributes[place][attribute]
            if place[:2] in self.bound and rule.due(held.value, now_s):
                rule.note(held.value, now_s)
                due.setdefault(place, []).append(struct.pack("<H", attribute) + held.encode())
        for place, records in due.items():
            for payload in zcl.split(records):
                self._reply(place, Header(zcl.REPORT, self._next(), place[2], from_server=True), payload)

    def set(self, place: Place, attribute: int, value: float | None) -> None:
        """Have an attribute hold what stands for a number of counts."""
        held = self.attributes[place][attribute]
        held.value = zcl.number(held.kind, value)

    def restart(self) -> None:
        """Power was lost; bindings and reporting are kept, as in a device with memory."""
        for rule in self.reporting.values():
            rule.told, rule.told_at_s = None, float("-inf")
        self.announce()

    # what it hears

    def receive(self, frame: Frame) -> None:
        if not self.online:
            return
        if frame.profile == 0 and frame.dst_ep == 0:
            self._device_profile(frame)
        else:
            self._cluster_library(frame)

    def _device_profile(self, frame: Frame) -> None:
        if frame.cluster & 0x8000 or not frame.data:
            return
        answer = self._answer(frame.cluster, frame.data[1:])
        if answer is not None:
            self._send(0, COORDINATOR, 0, 0x0000, frame.cluster | 0x8000, frame.data[:1] + answer)

    def _answer(self, request: int, asked: bytes) -> bytes | None:
        """What follows the transaction number; None = it keeps quiet."""
        answers: dict[int, Callable[[bytes], bytes | None]] = {
            0x0000: lambda a: self._address() if a[:8] == self._eui_bytes else None,
            0x0001: lambda a: self._address() if a[:2] == self._me else None,
            # a router on mains power that always listens
            0x0002: lambda _: self._here + struct.pack("<BBBHBHHHB", 0x01, 0x40, 0x8E, self.maker_code, 82, 82, 0x2C00, 82, 0),
            0x0004: lambda a: self._simple_descriptor(a[2]) if len(a) == 3 else bytes((_NOT_SUPPORTED,)),
            0x0005: lambda _: self._endpoints(),
            0x0021: self._bind,
            0x0022: self._unbind,
            # its one neighbour is the coordinator
            0x0031: lambda _: self._neighbours(),
            0x0032: lambda _: b"\x00\x00\x00\x00",
            0x0034: self._leave,
        }
        if request in (0x0013, 0x0036, 0x0038):  # announcements and permissions of others
            return None
        answer = answers.get(request)
        return bytes((_NOT_SUPPORTED,)) if answer is None else answer(asked)

    def _address(self) -> bytes:
        return b"\x00" + self._eui_bytes + self._me

    def _endpoints(self) -> bytes:
        endpoints = sorted({endpoint for endpoint, _, _ in self.attributes})
        return self._here + bytes((len(endpoints), *endpoints))

    def _leave(self, _: bytes) -> bytes:
        self.left = True
        return b"\x00"

    def _neighbours(self) -> bytes:
        near = bytes(8) + bytes.fromhex(self.hears)[::-1] + struct.pack("<HBBBB", COORDINATOR, 0x04, 0x00, 0, 200)
        return b"\x00\x01\x00\x01" + near

    def _simple_descriptor(self, endpoint: int) -> bytes:
        clusters = sorted({cluster for at, cluster, _ in self.attributes if at == endpoint})
        body = struct.pack("<BHHBB", endpoint, HOME_AUTOMATION, 0x0501, 0, len(clusters))
        body += b"".join(struct.pack("<H", cluster) for cluster in clusters) + b"\x00"
        return b"\x00" + struct.pack("<HB", self.nwk, len(body)) + body

    def _bind(self, asked: bytes) -> bytes:
        if len(self.bound) >= self.bindings and _bound_place(asked) not in self.bound:
            return bytes((_TABLE_FULL,))
        self.bound.add(_bound_place(asked))
        return b"\x00"

    def _unbind(self, asked: bytes) -> bytes:
        self.bound.discard(_bound_place(asked))
        return b"\x00"

    def _cluster_library(self, frame: Frame) -> None:
        try:
            header, payload = zcl.decode_header(frame.data)
        except ValueError:
            return
        if header.from_server:
            return
        place: Place = (frame.dst_ep, frame.cluster, header.manufacturer)
        if header.own:
            self._own(place, header, payload)
            return
        general = {zcl.READ: self._read, zcl.WRITE: self._write, zcl.CONFIGURE: self._configure}.get(header.command)
        if general is not None:
            self._reply(place, _answering(header, _ANSWERS[header.command]), general(place, payload))
        elif header.command != zcl.DEFAULT_ANSWER:
            self._default(place, header, zcl.UNSUPPORTED_COMMAND)

    def _own(self, place: Place, header: Header, payload: bytes) -> None:
        taker = self.own_commands.get(place)
        told = zcl.UNSUPPORTED_COMMAND if taker is None else taker(header.command, payload)
        if isinstance(told, int):
            self._default(place, header, told)
        else:
            self._reply(place, _answering(header, told[0]), told[1])

    def _default(self, place: Place, header: Header, status: int) -> None:
        answer = Header(zcl.DEFAULT_ANSWER, header.sequence, header.manufacturer, from_server=True)
        self._reply(place, answer, bytes((header.command, status)))

    def _read(self, place: Place, payload: bytes) -> bytes:
        found = self.attributes.get(place, {})
        records = []
        for (attribute,) in struct.iter_unpack("<H", payload[: len(payload) // 2 * 2]):
            held = found.get(attribute)
            told = bytes((zcl.UNSUPPORTED_ATTRIBUTE,)) if held is None else b"\x00" + held.encode()
            records.append(struct.pack("<H", attribute) + told)
        return next(zcl.split(records), b"")

    def _write(self, place: Place, payload: bytes) -> bytes:
        if len(payload) < 3:
            return bytes((zcl.MALFORMED,))
        attribute = int.from_bytes(payload[:2], "little")
        known = attribute in self.attributes.get(place, {})
        return struct.pack("<BH", zcl.READ_ONLY if known else zcl.UNSUPPORTED_ATTRIBUTE, attribute)

    def _configure(self, place: Place, payload: bytes) -> bytes:
        found, refused = self.attributes.get(place, {}), list[bytes]()
        for attribute, kind, least_s, most_s, change in _reporting_records(payload):
            held = found.get(attribute)
            if held is None or held.kind != kind:
                refused.append(struct.pack("<BBH", zcl.UNSUPPORTED_ATTRIBUTE, 0, attribute))
            elif attribute in self.unreportable:
                refused.append(struct.pack("<BBH", zcl.UNREPORTABLE_ATTRIBUTE, 0, attribute))
            elif most_s == 0xFFFF:
                self.reporting.pop((place, attribute), None)
            else:
                self.reporting[place, attribute] = Reporting(least_s, most_s or float("inf"), change)
        return b"".join(refused) or b"\x00"

    # sending

    @property
    def _me(self) -> bytes:
        return struct.pack("<H", self.nwk)

    @property
    def _here(self) -> bytes:
        return b"\x00" + self._me

    @property
    def _eui_bytes(self) -> bytes:
        return bytes.fromhex(self.eui)[::-1]

    def _next(self) -> int:
        self._sequence = (self._sequence + 1) % 256
        return self._sequence

    def _reply(self, place: Place, header: Header, payload: bytes) -> None:
        self._send(place[0], COORDINATOR, 1, HOME_AUTOMATION, place[1], header.encode() + payload)

    def _send(self, src_ep: int, dst: int, dst_ep: int, profile: int, cluster: int, data: bytes) -> None:
        self.send(Frame(self.nwk, src_ep, dst, dst_ep, profile, cluster, data))


_ANSWERS = {zcl.READ: zcl.READ_ANSWER, zcl.WRITE: zcl.WRITE_ANSWER, zcl.CONFIGURE: zcl.CONFIGURE_ANSWER}


def _bound_place(asked: bytes) -> tuple[int, int]:
    """Endpoint and cluster of a binding, behind the device's own address."""
    return int.from_bytes(asked[8:9], "little"), int.from_bytes(asked[9:11], "little")


def _answering(header: Header, command: int) -> Header:
    return Header(command, header.sequence, header.manufacturer, header.own, from_server=True)


def _reporting_records(payload: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Attribute, data type, least and most interval [s], change; ends at the first record that cannot be read."""
    at = 0
    while len(payload) >= at + 8 and payload[at] == 0:
        attribute, kind, least_s, most_s = struct.unpack_from("<HBHH", payload, at + 1)
        at += 8
        change = 0
        if zcl.is_analog(kind):
            size = zcl.size_of(kind)
            change = int.from_bytes(payload[at : at + size], "little", signed=zcl.is_signed(kind))
            at += size
        yield attribute, kind, least_s, most_s, change
