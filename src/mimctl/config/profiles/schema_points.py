"""Profile file: registers, points, repeated parts, and what tells one device from another."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, StringConstraints

from mimctl.config.units import DURATION, Record
from mimctl.model.profile import ByteOrder, PointType, WordOrder

Text = Annotated[str, StringConstraints(min_length=1)]
#: as vendors print it; `transport.addressing` says how to read it
Address = Annotated[int, Field(ge=0, le=465536)]
Function = Literal[3, 4]


class TransportItem(Record):
    """How the device is asked. Units to timeouts are hints for whoever writes a site file; they are shown, not set."""

    protocol: Literal["modbus"] = Field("modbus", description="Protocol.")
    types: list[Literal["tcp", "tls", "rtu", "rtu_over_tcp"]] = Field(default_factory=list, description="Links that it comes with.")
    port: int | None = Field(None, ge=1, le=65535, description="TCP port, where it is not 502.")
    units: list[Annotated[int, Field(ge=0, le=255)]] = Field(default_factory=list, description="Unit ids to try first.")
    timeout_s: Annotated[float, Field(gt=0, le=60), DURATION] | None = Field(None, description="Longest answer seen or documented.")
    connect_delay_s: Annotated[float, Field(ge=0, le=60), DURATION] | None = Field(
        None, description="Quiet time that it needs after connecting."
    )
    request_gap_s: Annotated[float, Field(ge=0, le=10), DURATION] | None = Field(
        None, description="Quiet time that it needs between two requests."
    )
    max_connections: int | None = Field(None, ge=1, description="Connections that it accepts at once.")
    addressing: Literal["zero_based", "one_based", "modicon"] = Field(
        "zero_based",
        description="Whether addresses in this file are those on the wire, counted from 1, or numbers such as 40001 and 30001, "
        "whose first digit says the function.",
    )
    max_registers: int = Field(125, ge=2, le=125, description="Most registers that the device gives in one read.")


class DefaultsItem(Record):
    """What holds for every point that does not say otherwise."""

    function: Function = Field(3, description="Function code that reads the registers: 3 holding, 4 input.")
    byte_order: Annotated[ByteOrder, Strict(False)] = Field(ByteOrder.BIG, description="Order of the two bytes of a register.")
    word_order: Annotated[WordOrder, Strict(False)] = Field(
        WordOrder.MSW, description="Which register of a wide value comes first, the most (msw) or least (lsw) significant."
    )
    nan: dict[Literal["int16", "int32", "int64", "uint16", "uint32", "uint64"], list[int]] = Field(
        default_factory=dict, description="Raw values that mean 'no value', by type, for points that name none."
    )


class BlockItem(Record):
    """Registers to read with one request."""

    address: Address = Field(description="First register.")
    count: int = Field(ge=1, le=125, description="Number of registers.")
    function: Function | None = Field(None, description="Function code. Default: that of `defaults`.")


class ScaleRegisterItem(Record):
    """A register that holds the power of ten of a value."""

    address: Address = Field(description="Register with the signed exponent.")
    stride: int | None = Field(None, ge=0, description="In a repeated part: from one to the next. Default: as the value itself.")


class RegisterItem(Record):
    """Where a value stands and how it is stored."""

    address: Address | None = Field(None, description="First register.")
    type: Annotated[PointType, Strict(False)] | None = Field(None, description="How the value is stored.")
    count: int | None = Field(None, ge=1, le=125, description="Registers of a text.")
    function: Function | None = Field(None, description="Function code. Default: that of `defaults`.")
    byte_order: Annotated[ByteOrder, Strict(False)] | None = Field(None, description="Default: that of `defaults`.")
    word_order: Annotated[WordOrder, Strict(False)] | None = Field(None, description="Default: that of `defaults`.")


class SignBitItem(Record):
    """A bit that tells the direction of a size."""

    point: Text = Field(description="Name of the point that holds the bit.")
    bit: int = Field(ge=0, le=63, description="Number of the bit, 0 is the least significant.")
    negative: Literal[0, 1] = Field(1, description="What the bit is while the raw value is negative.")


class PointItem(RegisterItem):
    """One point. Value in the unit of its quantity = raw × scale × 10^(scale register) × sign."""

    scale: float = Field(1.0, description="Units of the quantity per count.")
    scale_register: ScaleRegisterItem | None = Field(None, description="Register with the power of ten, read in the same frame.")
    unit: Text | None = Field(None, description="Unit after scaling; must be the unit of the quantity.")
    nan: list[int | float] | None = Field(None, description="Raw values that mean 'no value'. Default: those of `defaults`.")
    names: dict[Annotated[int, Strict(False)], Text] = Field(
        default_factory=dict, description="Names of the values of an enumeration, or of the bits of a bit field."
    )
    sign: Literal[1, -1] = Field(1, description="−1 where this point alone runs against the conventions.")
    poll: Literal["fast", "slow"] | None = Field(
        None,
        description="Slow points are read now and then where they take a read of their own. Default: by quantity; energies, "
        "temperatures, distortion and apparent power are slow.",
    )
    static: bool = Field(False, description="Does not change while the device runs: read once.")
    difference: Annotated[list[Text], Field(min_length=2, max_length=2)] | None = Field(
        None, description="Names of two other points: the value is the first less the second."
    )
    signed_by: Text | None = Field(None, description="The register holds a size; the sign of this other point is its sign.")
    sign_bit: SignBitItem | None = Field(None, description="The register holds a size; a bit of another point is its sign.")


class InstancePointItem(PointItem):
    """A point of a repeated part. Its address is that in the first part, or counted from the part's base where there are bases."""

    stride: int | None = Field(None, ge=1, description="Registers from one part to the next. Default: that of the part.")


class InstanceItem(Record):
    """Parts of a device that repeat."""

    count: int = Field(ge=1, le=1000, description="How many there are, or can be.")
    count_register: RegisterItem | None = Field(None, description="Register that says how many are there; read when it is found.")
    bases: list[Address] = Field(
        default_factory=list, description="First register of each part; those behind the last one named follow by the stride."
    )
    stride: int | None = Field(None, ge=1, description="Registers from one part to the next.")
    points: dict[Text, InstancePointItem] = Field(min_length=1, description="`quantity` or `quantity.place` → point of each part.")


class ConditionItem(RegisterItem):
    """What a register must hold: either one of `identity`, or one that is named here. Every test that is given must hold."""

    identity: Text | None = Field(None, description="Name in `identity`, in place of an address and a type.")
    equals: list[int | str] = Field(default_factory=list, description="Raw value or text, any of these.")
    matches: list[Text] = Field(default_factory=list, description="Patterns with * and ?, any of these; case counts for nothing.")
    at_least: int | float | Text | None = Field(None, description="Least number, or version such as 1.12.")
    below: int | float | Text | None = Field(None, description="First number or version that does not fit any more.")


class IdentityRuleItem(ConditionItem):
    """One sign by which the device is known."""

    weak: bool = Field(
        False, description="Fits other devices too, or fails while the device has no supply: hints, and never refuses."
    )
