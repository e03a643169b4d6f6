"""Profile file of a Zigbee device: which attribute of which cluster holds which value."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, StringConstraints

from mimctl.config.profiles.schema import ProvenanceItem
from mimctl.config.profiles.schema_points import Text
from mimctl.config.units import DURATION, Record
from mimctl.model.profile import DeviceClass
from mimctl.model.zigbee import ZCL_TYPES

Number16 = Annotated[int, Field(ge=0, le=0xFFFF)]


class ZigbeeAttributeItem(Record):
    """One value: raw × scale × sign × multiplier / divisor."""

    cluster: Number16 = Field(description="Number of the cluster, such as 0x0B04 (electrical measurement) or 0x0702 (metering).")
    attribute: Number16 = Field(description="Number of the attribute.")
    endpoint: int = Field(1, ge=1, le=240, description="Endpoint of the device.")
    manufacturer: Number16 | None = Field(None, description="Manufacturer code, for a maker's own attribute.")
    scale: float = Field(1.0, gt=0, description="Units per raw count, before multiplier and divisor.")
    multiplier: Number16 | None = Field(None, description="Attribute of the same cluster that multiplies; 1 where it is not there.")
    divisor: Number16 | None = Field(None, description="Attribute of the same cluster that divides; 1 where it is not there.")
    sign: Literal[-1, 1] = Field(1, description="-1 turns the device's direction into mimctl's: load positive at meters.")
    nan: list[int] = Field(
        default_factory=list, description="Raw values that mean 'no value', besides the pattern that each data type has."
    )
    least_s: Annotated[float, Field(ge=0, le=3600), DURATION] = Field(1.0, description="A change is told not sooner than this.")
    most_s: Annotated[float, Field(ge=1, le=3600), DURATION] = Field(
        60.0, description="An unchanged value is told at least so often; more often where control needs it."
    )
    change: float = Field(0.0, ge=0, description="Smaller changes wait for the next regular report. In the unit of the quantity.")


class ToldAttributeItem(Record):
    """What the device answers for one attribute."""

    cluster: Number16 = Field(description="Number of the cluster.")
    attribute: Number16 = Field(description="Number of the attribute.")
    endpoint: int = Field(1, ge=1, le=240, description="Endpoint of the device.")
    manufacturer: Number16 | None = Field(None, description="Manufacturer code, for a maker's own attribute.")
    type: Text = Field(description=f"Data type, for each has its own pattern for 'no value': {', '.join(ZCL_TYPES)}.")
    raw: int = Field(description="The number as it comes.")


class ZigbeeTestItem(Record):
    """What a device answers, and the values that it must give."""

    name: Text = Field(description="What the answers show.")
    told: list[ToldAttributeItem] = Field(min_length=1, description="All that it answers; it has no other attribute.")
    expect: dict[str, float | None] = Field(min_length=1, description="Key of `attributes` → value; null where there must be none.")


class ZigbeeProfileFile(Record):
    """Profile of a Zigbee device."""

    schema_: Literal[1] = Field(alias="schema", description="Version of this schema.")
    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_\-]+/[a-z0-9_\-]+$")] = Field(
        description="`vendor/model`: the file's path below device_profiles/zigbee."
    )
    vendor: Text = Field(description="Maker.")
    models: list[Text] = Field(min_length=1, description="Model names that the profile is for.")
    class_: Annotated[DeviceClass, Strict(False)] = Field(alias="class", description="What the device is.")
    provenance: ProvenanceItem = Field(description="Where the facts come from.")
    mim_cluster: bool = Field(False, description="It has mimctl's MIM cluster, which says everything: `attributes` is then empty.")
    attributes: dict[Text, ZigbeeAttributeItem] = Field(default_factory=dict, description="`quantity.place` → where it stands.")
    tests: list[ZigbeeTestItem] = Field(default_factory=list, description="Golden vectors, worked out by hand.")
