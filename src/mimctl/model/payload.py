"""Payloads: what stands at which byte of the frames of a device that has no registers. A profile describes them; no code does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mimctl.model.profile import DeviceClass, Provenance


class FieldType(StrEnum):
    """How a number stands in a payload, most significant byte first unless the field says otherwise."""

    INT8 = "int8"
    INT16 = "int16"
    INT24 = "int24"
    INT32 = "int32"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT24 = "uint24"
    UINT32 = "uint32"
    FLOAT32 = "float32"

    @property
    def size(self) -> int:
        """[bytes]"""
        return int(self.value.lstrip("uintfloa")) // 8

    @property
    def is_signed(self) -> bool:
        return self.value.startswith("int")


@dataclass(frozen=True, slots=True)
class PayloadField:
    """One number: value = (raw × scale + offset) × sign, in the unit of its quantity.

    Args:
        key: point key of `model.quantity`; in a downlink what it carries: `sequence`, `validity`, `active_power.port1`, …
        at: first byte.
        mask: bits of the number that belong to the field, in one piece; 0 = all of them.
        signed: a masked field is a two's complement number.
        little: least significant byte first.
        offset: in the unit of the quantity.
        from_nominal: the value is relative to the nominal mains frequency of the site.
        sentinels: raw values that mean “no value”.
        minimum, maximum: values outside are not believed; in a downlink they cannot be sent.
    """

    key: str
    at: int
    type: FieldType
    mask: int = 0
    signed: bool = False
    little: bool = False
    scale: float = 1.0
    offset: float = 0.0
    from_nominal: bool = False
    sign: int = 1
    sentinels: tuple[int, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def end(self) -> int:
        """First byte behind the field."""
        return self.at + self.type.size

    @property
    def bits(self) -> int:
        return 8 * self.type.size if not self.mask else self.mask.bit_count()

    @property
    def shift(self) -> int:
        return (self.mask & -self.mask).bit_length() - 1 if self.mask else 0

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and greatest raw value of an integer."""
        if self.signed or (not self.mask and self.type.is_signed):
            return -(1 << self.bits - 1), (1 << self.bits - 1) - 1
        return 0, (1 << self.bits) - 1


@dataclass(frozen=True, slots=True)
class Frame:
    """One kind of frame.

    Args:
        port: LoRaWAN FPort.
        length: of the whole payload [bytes].
        header: first bytes that every such frame has.
    """

    name: str
    port: int
    length: int
    fields: tuple[PayloadField, ...]
    header: bytes = b""

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(field.key for field in self.fields)

    @property
    def tells_held(self) -> bool:
        """It says which setpoint is in force: the answer to a question, not what a device reports by itself."""
        return any(key.startswith("setpoint_active_power.") for key in self.keys)


@dataclass(frozen=True, slots=True)
class Question:
    """A downlink that changes nothing: the device answers with the setpoint that it holds."""

    name: str
    port: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class GroupFrames:
    """What one frame carries to several devices of a multicast group.

    Args:
        head: how a frame with setpoints begins: its header, and `validity`, which is for all.
        part: the setpoint of one device: `member`, its number in the group, `sequence` and powers; one follows another.
        release: brings every device of the group to its safe state, whatever it holds; its only field is `sequence`.
    """

    head: Frame
    part: Frame
    release: Frame

    def capacity(self, most_bytes: int) -> int:
        """Setpoints that fit into a frame of so many bytes."""
        return max(0, (most_bytes - self.head.length) // self.part.length)

    def length(self, parts: int) -> int:
        """Of a frame with so many setpoints [bytes]."""
        return self.head.length + parts * self.part.length


@dataclass(frozen=True, slots=True)
class UplinkVector:
    """A payload and the values it stands for: the proof that a profile reads what it claims.

    Args:
        expect: (key, value) pairs; None = the payload gives no value.
    """

    name: str
    port: int
    payload: bytes
    expect: tuple[tuple[str, float | None], ...]


@dataclass(frozen=True, slots=True)
class DownlinkVector:
    """Values of the fields of a setpoint, and the payload that must carry them."""

    name: str
    values: tuple[tuple[str, float], ...]
    payload: bytes


@dataclass(frozen=True, slots=True)
class GroupVector:
    """What several devices are told, and the payload that must carry it.

    Args:
        values: what is for all: `validity`; without parts, of a release: `sequence`.
        parts: the fields of each setpoint.
    """

    name: str
    values: tuple[tuple[str, float], ...]
    parts: tuple[tuple[tuple[str, float], ...], ...]
    payload: bytes


@dataclass(frozen=True, slots=True)
class PayloadProfile:
    """One profile file of a device with payloads.

    Args:
        id: `vendor/model`, its path below `device_profiles/lorawan`.
        ports: AC ports that can be commanded; 0 = none.
        uplinks: a payload is read by the first one that fits it.
        setpoint: how it is commanded; None: it cannot be.
        group: how several are told at once; None: each is told by itself.
        question: what a device is asked by which setpoint it holds; None: it cannot be asked.
    """

    id: str
    vendor: str
    models: tuple[str, ...]
    device_class: DeviceClass
    provenance: Provenance
    uplinks: tuple[Frame, ...]
    ports: int = 0
    setpoint: Frame | None = None
    vectors: tuple[UplinkVector, ...] = ()
    command_vectors: tuple[DownlinkVector, ...] = ()
    question: Question | None = None
    group: GroupFrames | None = None
    group_vectors: tuple[GroupVector, ...] = ()

    @property
    def most_number(self) -> int:
        """The last number of a setpoint before they begin again; 0 = it takes none."""
        fields = () if self.setpoint is None else self.setpoint.fields
        return max((field.bounds[1] for field in fields if field.key == "sequence"), default=0)

    @property
    def longest_uplink(self) -> int:
        """[bytes]"""
        return max(frame.length for frame in self.uplinks)

    @property
    def shortest_uplink(self) -> int:
        """[bytes]"""
        return min(frame.length for frame in self.uplinks)
