"""Profile file: what stands in the registers of a device that does not tell it itself.

The schema holds what mimctl does with a profile, and nothing else: a key that would be read and ignored is refused.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, StringConstraints

from mimctl.config.units import Record
from mimctl.model.profile import ByteOrder, DeviceClass, PointType, WordOrder

Text = Annotated[str, StringConstraints(min_length=1)]
#: as vendors print it; `transport.addressing` says how to read it
Address = Annotated[int, Field(ge=0, le=465536)]
Function = Literal[3, 4]
Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F\s]+$")]


class ProvenanceItem(Record):
    """Where the facts come from, so that a reader can judge them."""

    source: Text = Field(description="Document, code or measurement that the facts were taken from.")
    confidence: Literal["low", "medium", "high"] = Field(description="How far independent sources agree.")
    verified: Literal["none", "captured_image", "live"] = Field(
        "none", description="What the profile was run against: nothing, registers captured from a device, or a device."
    )


class TransportItem(Record):
    """How the device is asked."""

    protocol: Literal["modbus"] = Field("modbus", description="Protocol.")
    addressing: Literal["zero_based", "one_based"] = Field(
        "zero_based",
        description="Whether addresses in this file are those on the wire, or counted from 1 as vendors print them.",
    )
    max_registers: int = Field(125, ge=2, le=125, description="Most registers that the device gives in one read.")


class DefaultsItem(Record):
    """What holds for every point that does not say otherwise."""

    function: Function = Field(3, description="Function code that reads the registers: 3 holding, 4 input.")
    byte_order: Annotated[ByteOrder, Strict(False)] = Field(ByteOrder.BIG, description="Order of the two bytes of a register.")
    word_order: Annotated[WordOrder, Strict(False)] = Field(
        WordOrder.MSW, description="Which register of a wide value comes first, the most (msw) or least (lsw) significant."
    )


class BlockItem(Record):
    """Registers to read with one request."""

    address: Address = Field(description="First register.")
    count: int = Field(ge=1, le=125, description="Number of registers.")
    function: Function | None = Field(None, description="Function code. Default: that of `defaults`.")


class ScaleRegisterItem(Record):
    """A register that holds the power of ten of a value."""

    address: Address = Field(description="Register with the signed exponent.")


class PointItem(Record):
    """One point. Value in the unit of its quantity = raw × scale × 10^(scale register) × sign."""

    address: Address | None = Field(None, description="First register.")
    type: Annotated[PointType, Strict(False)] | None = Field(None, description="How the value is stored.")
    count: int | None = Field(None, ge=1, le=125, description="Registers of a text.")
    function: Function | None = Field(None, description="Function code. Default: that of `defaults`.")
    scale: float = Field(1.0, description="Units of the quantity per count.")
    scale_register: ScaleRegisterItem | None = Field(None, description="Register with the power of ten, read in the same frame.")
    unit: Text | None = Field(None, description="Unit after scaling; must be the unit of the quantity.")
    nan: list[int | float] = Field(default_factory=list, description="Raw values that mean 'no value'.")
    byte_order: Annotated[ByteOrder, Strict(False)] | None = Field(None, description="Default: that of `defaults`.")
    word_order: Annotated[WordOrder, Strict(False)] | None = Field(None, description="Default: that of `defaults`.")
    sign: Literal[1, -1] = Field(1, description="−1 where this point alone runs against the conventions.")
    difference: Annotated[list[Text], Field(min_length=2, max_length=2)] | None = Field(
        None, description="Names of two other points: the value is the first less the second."
    )


class ConventionsItem(Record):
    """What a positive raw value means. Said once; mimctl turns it into its own signs."""

    active_power: Literal["load_positive", "generation_positive"] = Field(description="Direction of positive active power.")
    reactive_power: Literal["inductive_load_positive", "capacitive_load_positive"] = Field(
        "inductive_load_positive", description="Kind of load that has positive reactive power."
    )


class ImageItem(Record):
    """A stretch of registers as the device holds them."""

    address: Address = Field(description="First register.")
    hex: Hex = Field(description="Register bytes as they come over the wire; four digits a register, blanks as you like.")


class VectorItem(Record):
    """Registers, and the values that they must give: checked by the tests and before a profile is trusted."""

    name: Text = Field(description="What the registers show.")
    image: list[ImageItem] = Field(min_length=1, description="The registers.")
    expect: dict[str, float | None] = Field(min_length=1, description="Point key → value; null where there must be none.")


class ProfileFile(Record):
    """A device profile."""

    schema_: Literal[1] = Field(alias="schema", description="Version of this schema.")
    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_\-]+/[a-z0-9_\-]+$")] = Field(
        description="`vendor/model`: the file's path below device_profiles."
    )
    vendor: Text = Field(description="Maker.")
    models: list[Text] = Field(min_length=1, description="Model names that the profile is for.")
    class_: Literal["meter"] = Field(alias="class", description="What the device is.")
    provenance: ProvenanceItem = Field(description="Where the facts come from.")
    transport: TransportItem = Field(default_factory=TransportItem, description="How the device is asked.")
    defaults: DefaultsItem = Field(default_factory=DefaultsItem, description="What holds for every point.")
    blocks: list[BlockItem] = Field(
        default_factory=list, description="Reads to make. Default: planned from the points, without registers in between."
    )
    max_gap: int = Field(0, ge=0, le=120, description="Registers between two points that may be read along with them.")
    conventions: ConventionsItem = Field(description="What a positive raw value means.")
    identity: dict[Literal["manufacturer", "model", "version", "serial"], PointItem] = Field(
        default_factory=dict, description="Points that say what the device is; read once."
    )
    points: dict[Text, PointItem] = Field(
        min_length=1, description="`quantity.place` → point; any other name is a helper that a difference uses."
    )
    gaps: list[Text] = Field(default_factory=list, description="What is not known about the device.")
    tests: list[VectorItem] = Field(default_factory=list, description="Golden vectors.")

    @property
    def device_class(self) -> DeviceClass:
        return DeviceClass(self.class_)
