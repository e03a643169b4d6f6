"""Frames of the Zigbee Cluster Library, as far as measuring devices and micro-inverters speak it.

Reference: Zigbee Cluster Library Specification, revision 8, chapter 2 (frame format, general commands, data types).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

READ, READ_ANSWER, WRITE, WRITE_ANSWER = 0x00, 0x01, 0x02, 0x04
CONFIGURE, CONFIGURE_ANSWER, REPORT, DEFAULT_ANSWER = 0x06, 0x07, 0x0A, 0x0B

SUCCESS, FAILURE, MALFORMED, UNSUPPORTED_COMMAND = 0x00, 0x01, 0x80, 0x81
UNSUPPORTED_ATTRIBUTE, INVALID_VALUE, READ_ONLY, UNREPORTABLE_ATTRIBUTE = 0x86, 0x87, 0x88, 0x8C

UINT8, UINT16, UINT24, UINT32, UINT48 = 0x20, 0x21, 0x22, 0x23, 0x25
INT8, INT16, INT24, INT32 = 0x28, 0x29, 0x2A, 0x2B
BITMAP8, BITMAP32, ENUM8, TEXT = 0x18, 0x1B, 0x30, 0x42

_FIRST_BITMAP, _FIRST_UNSIGNED, _FIRST_SIGNED = 0x18, 0x20, 0x28
_CLUSTER, _MANUFACTURER, _FROM_SERVER, _NO_DEFAULT = 0x01, 0x04, 0x08, 0x10
#: what fits into a frame that is not fragmented, less the headers below
LONGEST = 74


@dataclass(frozen=True, slots=True)
class Header:
    """Of one frame.

    Args:
        manufacturer: code of a manufacturer's own attributes and commands; None = standard.
        own: a command of the cluster, not one that all clusters have.
        from_server: the device with the attributes sends it.
    """

    command: int
    sequence: int
    manufacturer: int | None = None
    own: bool = False
    from_server: bool = False
    silent: bool = True

    def encode(self) -> bytes:
        control = (_CLUSTER if self.own else 0) | (_FROM_SERVER if self.from_server else 0) | (_NO_DEFAULT if self.silent else 0)
        if self.manufacturer is None:
            return bytes((control, self.sequence, self.command))
        return bytes((control | _MANUFACTURER,)) + self.manufacturer.to_bytes(2, "little") + bytes((self.sequence, self.command))


def decode_header(data: bytes) -> tuple[Header, bytes]:
    """The header of a frame and what follows it.

    Raises:
        ValueError: the frame is shorter than its header.
    """
    control = data[0] if data else 0
    manufacturer, at = None, 1
    if control & _MANUFACTURER:
        manufacturer, at = int.from_bytes(data[1:3], "little"), 3
    if len(data) < at + 2:
        raise ValueError("a frame shorter than its header")
    own, from_server, silent = (bool(control & bit) for bit in (_CLUSTER, _FROM_SERVER, _NO_DEFAULT))
    return Header(data[at + 1], data[at], manufacturer, own, from_server, silent), data[at + 2 :]


def size_of(kind: int) -> int:
    """Bytes of a number of this data type.

    Raises:
        ValueError: it is no number that this module knows.
    """
    if _FIRST_BITMAP <= kind < _FIRST_SIGNED + 8:
        return kind % 8 + 1
    if kind in (ENUM8, 0x10):
        return 1
    if kind == 0x31:
        return 2
    raise ValueError(f"data type 0x{kind:02x} is no number")


def is_signed(kind: int) -> bool:
    return _FIRST_SIGNED <= kind < _FIRST_SIGNED + 8


def is_analog(kind: int) -> bool:
    """Whether a report can be asked for by how much the value has changed."""
    return _FIRST_UNSIGNED <= kind < _FIRST_SIGNED + 8


def no_value(kind: int) -> int | None:
    """The pattern that means “not known”; None where the type has none.

    Reference: ZCL revision 8, table 2-12 (bitmaps have none).
    """
    bits = 8 * size_of(kind)
    if _FIRST_BITMAP <= kind < _FIRST_UNSIGNED:
        return None
    return -(1 << bits - 1) if is_signed(kind) else (1 << bits) - 1


def number(kind: int, value: float | None) -> int:
    """The raw number that stands for a value, held inside the type's range; the pattern for “not known” where there is none."""
    missing, bits = no_value(kind), 8 * size_of(kind)
    if value is None or math.isnan(value):
        return 0 if missing is None else missing
    low, high = (-(1 << bits - 1) + 1, (1 << bits - 1) - 1) if is_signed(kind) else (0, (1 << bits) - (1 if missing is None else 2))
    return min(max(round(value), low), high)


@dataclass(slots=True)
class Attribute:
    """One attribute of a virtual device. `kind` TEXT has text, all others a raw number."""

    kind: int
    value: int | str
    writable: bool = False

    def encode(self) -> bytes:
        if isinstance(self.value, str):
            text = self.value.encode()
            return bytes((self.kind, len(text))) + text
        return bytes((self.kind,)) + self.value.to_bytes(size_of(self.kind), "little", signed=is_signed(self.kind))


@dataclass(slots=True)
class Reporting:
    """What was asked of one attribute [s]; `change` in raw counts."""

    least_s: float
    most_s: float
    change: int = 0
    told: int | str | None = None
    told_at_s: float = field(default=float("-inf"))

    def due(self, value: int | str, now_s: float) -> bool:
        quiet_s = now_s - self.told_at_s
        if quiet_s >= self.most_s:
            return True
        if value == self.told or quiet_s < self.least_s:
            return False
        return isinstance(value, str) or not isinstance(self.told, int) or abs(value - self.told) >= self.change

    def note(self, value: int | str, now_s: float) -> None:
        self.told, self.told_at_s = value, now_s


def split(records: Iterable[bytes], most: int = LONGEST) -> Iterator[bytes]:
    """Records joined into payloads that fit into one frame each."""
    payload = b""
    for record in records:
        if payload and len(payload) + len(record) > most:
            yield payload
            payload = b""
        payload += record
    if payload:
        yield payload
