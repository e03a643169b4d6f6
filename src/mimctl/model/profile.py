"""Register maps: what stands in a device's registers, whatever told us. SunSpec discovery and profile files both end here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mimctl.model.site import ExpiryAction


class PointType(StrEnum):
    """How a point is stored. Enumerations and bit fields are unsigned numbers whose value names something."""

    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    ENUM16 = "enum16"
    ENUM32 = "enum32"
    BITFIELD16 = "bitfield16"
    BITFIELD32 = "bitfield32"
    BITFIELD64 = "bitfield64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    HEX = "hex"

    @property
    def is_text(self) -> bool:
        return self in (PointType.STRING, PointType.HEX)

    @property
    def is_float(self) -> bool:
        return self in (PointType.FLOAT32, PointType.FLOAT64)

    @property
    def is_signed(self) -> bool:
        return self in (PointType.INT16, PointType.INT32, PointType.INT64)

    @property
    def registers(self) -> int:
        """Registers of one value; 0 where the point itself says it (texts)."""
        return 0 if self.is_text else int(self.value[-2:]) // 16

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and greatest raw value of an integer type."""
        bits = 16 * self.registers
        return (-(1 << bits - 1), (1 << bits - 1) - 1) if self.is_signed else (0, (1 << bits) - 1)


class WordOrder(StrEnum):
    """Which register of a wide value comes first: the most or the least significant one."""

    MSW = "msw"
    LSW = "lsw"


class ByteOrder(StrEnum):
    """Order of the two bytes inside each register."""

    BIG = "big"
    LITTLE = "little"


@dataclass(frozen=True, slots=True)
class PointSpec:
    """One point: value = raw × scale × 10^exponent × sign, in the unit of its quantity.

    Args:
        key: point key of `model.quantity`, or a helper's name that only a difference uses.
        address: 0-based wire address.
        function: function code that reads it, 3 or 4.
        count: registers of a text; 0 for numbers, whose type says it.
        scale: engineering units per raw count.
        scale_address: register with the signed power of ten; read in the same frame as the value.
        scale_static: the power of ten never changes, so it may come in another frame where one cannot hold both.
        sentinels: raw values that mean “no value”.
        sign: −1 turns the device's direction into mimctl's.
        static: does not change while the device runs: read once, not polled.
        minimum, maximum: what may be written, in the unit of the quantity.
    """

    key: str
    address: int
    type: PointType
    function: int = 3
    count: int = 0
    scale: float = 1.0
    scale_address: int | None = None
    scale_static: bool = False
    word_order: WordOrder = WordOrder.MSW
    byte_order: ByteOrder = ByteOrder.BIG
    sentinels: tuple[float, ...] = ()
    sign: int = 1
    unit: str = ""
    static: bool = False
    writable: bool = False
    minimum: float | None = None
    maximum: float | None = None

    @property
    def registers(self) -> int:
        return self.count or self.type.registers

    @property
    def end(self) -> int:
        """First address behind the point."""
        return self.address + self.registers


@dataclass(frozen=True, slots=True)
class Difference:
    """A signed value that a device splits into two unsigned ones: `plus` − `minus`, both keys of points."""

    key: str
    plus: str
    minus: str


@dataclass(frozen=True, slots=True)
class ReadBlock:
    """Registers that one request reads."""

    address: int
    count: int
    function: int = 3

    @property
    def end(self) -> int:
        return self.address + self.count


@dataclass(frozen=True, slots=True)
class Guard:
    """Registers that identify a stretch of the map: read in the same frame as the values, or the values are not believed.

    Args:
        address: first of the identifying registers, `values` what they must hold.
        start, end: the stretch they vouch for.
    """

    address: int
    values: tuple[int, ...]
    start: int
    end: int
    function: int = 3


class DeviceClass(StrEnum):
    METER = "meter"
    INVERTER = "inverter"
    MIM = "mim"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class MimMap:
    """Where the commands of a MIM stand.

    Args:
        setpoint_w, setpoint_var: one point per port.
        enable, heartbeat, sequence: the commit; `command` must hold them and every setpoint.
        expiry_action: enumeration; `expiry_codes` gives its values.
        validity: seconds that a setpoint stands without a heartbeat.
        state: registers that hold everything above and the scale factors: read on connect.
        command: the stretch of `state` that one write carries, so that a command is taken as a whole.
    """

    setpoint_w: tuple[PointSpec, ...]
    setpoint_var: tuple[PointSpec, ...]
    enable: PointSpec
    heartbeat: PointSpec
    sequence: PointSpec
    expiry_action: PointSpec
    validity: PointSpec
    expiry_codes: tuple[tuple[ExpiryAction, int], ...]
    state: ReadBlock
    command: ReadBlock


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """Everything that mimctl reads from one device.

    Args:
        points: in the order their values are given; keys are unique.
        identity: (name, point) of manufacturer, model, version, serial; read once, shown as text.
        blocks: reads that the map's author prescribes; empty = planned from the points.
        max_gap: registers without a point that one read may run over.
        max_registers: most registers that the device gives in one read.
    """

    device_class: DeviceClass
    points: tuple[PointSpec, ...]
    differences: tuple[Difference, ...] = ()
    identity: tuple[tuple[str, PointSpec], ...] = ()
    guards: tuple[Guard, ...] = ()
    blocks: tuple[ReadBlock, ...] = ()
    max_gap: int = 0
    max_registers: int = 125
    mim: MimMap | None = None


@dataclass(frozen=True, slots=True)
class GoldenVector:
    """Registers of a device and the values they stand for: the proof that a profile reads what it claims.

    Args:
        image: (first address, register bytes) pairs.
        expect: (key, value in the unit of the quantity) pairs; None = the device gives no value.
    """

    name: str
    image: tuple[tuple[int, bytes], ...]
    expect: tuple[tuple[str, float | None], ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a profile's facts come from.

    Args:
        verified: `none`, `captured_image` or `live`.
    """

    source: str
    confidence: str
    verified: str = "none"


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """One profile file.

    Args:
        id: `vendor/model`, its path below `device_profiles`.
        gaps: what is not known about the device, for people.
    """

    id: str
    vendor: str
    models: tuple[str, ...]
    provenance: Provenance
    register_map: RegisterMap
    vectors: tuple[GoldenVector, ...] = ()
    gaps: tuple[str, ...] = ()
