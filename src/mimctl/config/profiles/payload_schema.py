"""Profile file of a device that sends payloads: which number stands at which byte of its frames."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, StringConstraints

from mimctl.config.profiles.schema import ProvenanceItem
from mimctl.config.profiles.schema_points import Text
from mimctl.config.units import Record
from mimctl.model.payload import FieldType
from mimctl.model.profile import DeviceClass

Hex = Annotated[str, StringConstraints(pattern=r"^([0-9a-fA-F]{2}\s?)*$")]
#: of LoRaWAN: 0 is for the network, 224 and above for tests and extensions
Port = Annotated[int, Field(ge=1, le=223)]


class PayloadFieldItem(Record):
    """One number: value = (raw × scale + offset) × sign."""

    at: int = Field(ge=0, le=241, description="First byte, counted from 0.")
    type: Annotated[FieldType, Strict(False)] = Field(description="How the number is stored.")
    mask: int = Field(
        0, ge=0, le=0xFFFFFFFF, description="Bits of the number that belong to the field, in one piece. Default: all."
    )
    signed: bool = Field(False, description="What the mask leaves is a two's complement number.")
    byte_order: Literal["big", "little"] = Field("big", description="Whether the most or the least significant byte comes first.")
    scale: float = Field(1.0, gt=0, description="Units per raw count.")
    offset: float = Field(0.0, description="Added after scaling.")
    relative_to: Literal["nominal_frequency"] | None = Field(
        None, description="The value is a difference to the nominal mains frequency of the site."
    )
    sign: Literal[-1, 1] = Field(
        1, description="-1 turns the device's direction into mimctl's: load positive at meters, injection positive at MIMs."
    )
    nan: list[int] = Field(default_factory=list, description="Raw values that mean 'no value'.")
    min: float | None = Field(None, description="Smaller values are not believed, and never sent.")
    max: float | None = Field(None, description="Larger values are not believed, and never sent.")


class FrameItem(Record):
    """One kind of frame."""

    name: Text = Field(description="Name, for people.")
    f_port: Port = Field(description="LoRaWAN FPort.")
    length: int = Field(ge=1, le=242, description="Bytes of the payload; one of another length is not read.")
    header: Hex = Field("", description="First bytes of every such frame, in hexadecimal.")
    fields: dict[Text, PayloadFieldItem] = Field(min_length=1, description="`quantity.place` → where it stands.")


class QuestionItem(Record):
    """A frame that changes nothing: the device answers with the uplink that has `setpoint_active_power`."""

    name: Text = Field(description="Name, for people.")
    f_port: Port = Field(description="LoRaWAN FPort.")
    hex: Annotated[str, StringConstraints(pattern=r"^([0-9a-fA-F]{2}\s?)+$")] = Field(description="The payload.")


class GroupPartItem(Record):
    """The setpoint of one device inside a frame for several."""

    length: int = Field(ge=1, le=239, description="Bytes.")
    fields: dict[Text, PayloadFieldItem] = Field(
        min_length=1,
        description="`member` (the device's number in the group), `sequence`, `active_power.port1`, …, from its first byte.",
    )


class GroupItem(Record):
    """Frames for a multicast group: the setpoints of several devices in one, and a release of all."""

    name: Text = Field(description="Name, for people.")
    f_port: Port = Field(description="LoRaWAN FPort.")
    length: int = Field(ge=1, le=64, description="Bytes before the first setpoint.")
    header: Hex = Field("", description="First bytes of every such frame, in hexadecimal.")
    fields: dict[Text, PayloadFieldItem] = Field(min_length=1, description="What is for all: `validity`.")
    each: GroupPartItem = Field(description="One setpoint; as many follow as devices are told.")
    release: FrameItem = Field(description="Brings every device of the group to its safe state at once; it has a `sequence`.")


class UplinkTestItem(Record):
    """A payload, and the values that it must give."""

    name: Text = Field(description="What the payload shows.")
    f_port: Port = Field(description="FPort.")
    hex: Hex = Field(description="The payload.")
    expect: dict[str, float | None] = Field(min_length=1, description="Point key → value; null where there must be none.")


class DownlinkTestItem(Record):
    """What is commanded, and the payload that must carry it."""

    name: Text = Field(description="What is commanded.")
    values: dict[str, float] = Field(min_length=1, description="Field of the setpoint → value.")
    hex: Hex = Field(description="The payload.")


class GroupTestItem(Record):
    """What several devices are told, and the payload that must carry it."""

    name: Text = Field(description="What is commanded.")
    values: dict[str, float] = Field(min_length=1, description="What is for all: `validity`; of a release: `sequence`.")
    each: list[dict[str, float]] = Field(default_factory=list, description="The setpoints; none = a release of all.")
    hex: Hex = Field(description="The payload.")


class PayloadProfileFile(Record):
    """Profile of a LoRaWAN device."""

    schema_: Literal[1] = Field(alias="schema", description="Version of this schema.")
    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_\-]+/[a-z0-9_\-]+$")] = Field(
        description="`vendor/model`: the file's path below device_profiles/lorawan."
    )
    vendor: Text = Field(description="Maker.")
    models: list[Text] = Field(min_length=1, description="Model names that the profile is for.")
    class_: Annotated[DeviceClass, Strict(False)] = Field(
        alias="class", description="What the device is. Inverters, storage and MIMs count injection positive, all others load."
    )
    provenance: ProvenanceItem = Field(description="Where the facts come from.")
    uplinks: list[FrameItem] = Field(min_length=1, description="What it sends; a payload is read by the first one that fits.")
    setpoint: FrameItem | None = Field(
        None, description="How it is commanded: `sequence`, `validity` and `active_power.port1`, …; the echo is `sequence_ack`."
    )
    ask: QuestionItem | None = Field(
        None,
        description="How it is asked which setpoint it holds, after a restart of mimctl. Without it that setpoint is ended.",
    )
    group: GroupItem | None = Field(None, description="How several are commanded by one frame, over a multicast group.")
    tests: list[UplinkTestItem] = Field(min_length=1, description="Golden vectors, worked out by hand.")
    command_tests: list[DownlinkTestItem] = Field(default_factory=list, description="Golden vectors of setpoints.")
    group_tests: list[GroupTestItem] = Field(default_factory=list, description="Golden vectors of frames for several.")
