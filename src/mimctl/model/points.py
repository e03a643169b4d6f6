"""Points: how one value stands in a device's registers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
        slow: read now and then where it takes a read of its own; None = as its quantity is.
        writable: mimctl may write it.
        minimum, maximum: what may be written, in the unit of the quantity.
        names: (value, name) of an enumeration, (bit number, name) of a bit field.
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
    slow: bool | None = None
    writable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    names: tuple[tuple[int, str], ...] = ()

    @property
    def registers(self) -> int:
        return self.count or self.type.registers

    @property
    def end(self) -> int:
        """First address behind the point."""
        return self.address + self.registers


@dataclass(frozen=True, slots=True)
class ReadBlock:
    """Registers that one request reads."""

    address: int
    count: int
    function: int = 3

    @property
    def end(self) -> int:
        return self.address + self.count
