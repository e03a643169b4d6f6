"""Profile file: what stands in the registers of a device that does not tell it itself.

The schema holds what mimctl does with a profile, and nothing else: a key that would be read and ignored is refused.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, StringConstraints

from mimctl.config.profiles.schema_commands import CommandVectorItem, ImageItem
from mimctl.config.profiles.schema_points import (
    Address,
    BlockItem,
    ConditionItem,
    DefaultsItem,
    Function,
    IdentityRuleItem,
    InstanceItem,
    PointItem,
    RegisterItem,
    Text,
    TransportItem,
)
from mimctl.config.profiles.schema_setpoints import FailsafeItem, SetpointItem, SwitchItem, WritePolicyItem
from mimctl.config.profiles.schema_sunspec import IdentityName, SunSpecItem
from mimctl.config.units import Record
from mimctl.model.profile import DeviceClass


class ProvenanceItem(Record):
    """Where the facts come from, so that a reader can judge them."""

    source: Text = Field(description="Document, code or measurement that the facts were taken from.")
    confidence: Literal["low", "medium", "high"] = Field(description="How far independent sources agree.")
    verified: Literal["none", "captured_image", "live"] = Field(
        "none", description="What the profile was run against: nothing, registers captured from a device, or a device."
    )


class ConventionsItem(Record):
    """What a positive raw value means, in measurements and setpoints alike. Said once; mimctl turns it into its own signs."""

    active_power: Literal["load_positive", "generation_positive"] = Field(
        description="Direction of positive active power: what the grid delivers (load, import, charging), or the opposite."
    )
    reactive_power: Literal["inductive_load_positive", "capacitive_load_positive"] = Field(
        "inductive_load_positive",
        description="What has positive reactive power: an inductive load, or a capacitive one (an inverter that supplies vars).",
    )
    battery_power: Literal["discharge_positive", "charge_positive"] = Field(
        "discharge_positive", description="Direction of positive power and current of the storage."
    )


class VariantItem(Record):
    """The same device with other firmware or options. What is not named stays as it is."""

    name: Text = Field(description="Name of the variant.")
    when: ConditionItem = Field(description="How the device tells that it is this one; the first variant that fits is taken.")
    points: dict[Text, PointItem | None] = Field(
        default_factory=dict, description="Points that are different or new; null for one that this variant lacks."
    )
    conventions: ConventionsItem | None = Field(None, description="Default: those of the file.")
    blocks: list[BlockItem] | None = Field(None, description="Default: those of the file.")
    max_gap: int | None = Field(None, ge=0, le=120, description="Default: that of the file.")
    max_registers: int | None = Field(None, ge=2, le=125, description="Default: that of the file.")


class VectorItem(Record):
    """Registers, and the values that they must give: checked by the tests and before a profile is trusted."""

    name: Text = Field(description="What the registers show.")
    variant: Text | None = Field(None, description="The variant that is meant. Default: the file without variants.")
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
    class_: Annotated[DeviceClass, Strict(False)] = Field(
        alias="class", description="What the device is. Inverters, storage and MIMs count injection positive, all others load."
    )
    use: str = Field("", description="What it is used for, in a few words.")
    provenance: ProvenanceItem = Field(description="Where the facts come from.")
    transport: TransportItem = Field(default_factory=TransportItem, description="How the device is asked.")
    identify: list[IdentityRuleItem] = Field(
        default_factory=list, description="What the device must hold to be this one; checked when it is found."
    )
    defaults: DefaultsItem = Field(default_factory=DefaultsItem, description="What holds for every point.")
    blocks: list[BlockItem] = Field(
        default_factory=list,
        description="Reads to make. Default: planned from the points, never splitting one nor parting it from its scale register.",
    )
    max_gap: int = Field(0, ge=0, le=120, description="Registers between two points that may be read along with them.")
    sunspec: SunSpecItem | None = Field(
        None,
        description="For a device that tells its own register map. `points` are then registers that it has beside its chain.",
    )
    conventions: ConventionsItem = Field(description="What a positive raw value means.")
    identity: dict[IdentityName, RegisterItem] = Field(
        default_factory=dict, description="Registers that say what the device is; read once."
    )
    points: dict[Text, PointItem] = Field(
        default_factory=dict, description="`quantity.place` → point; any other name is a helper that another point uses."
    )
    instances: dict[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]*$")], InstanceItem] = Field(
        default_factory=dict,
        description="Parts that repeat: circuits, groups, outlets. `current` of the 7th `circuit` is the point `current.circuit7`.",
    )
    setpoints: dict[Text, SetpointItem] = Field(
        default_factory=dict,
        description="`active_power.port1`, `reactive_power.port1`, …: what can be commanded. What is absent cannot.",
    )
    switches: list[SwitchItem] = Field(default_factory=list, description="Modes and enables that a command needs.")
    write_policy: WritePolicyItem = Field(default_factory=WritePolicyItem, description="How the device may be written.")
    failsafe: FailsafeItem | None = Field(
        None, description="What the device does when nobody commands it. Required with setpoints."
    )
    variants: list[VariantItem] = Field(default_factory=list, description="Other firmware or options.")
    gaps: list[Text] = Field(default_factory=list, description="What is not known about the device.")
    tests: list[VectorItem] = Field(default_factory=list, description="Golden vectors.")
    command_tests: list[CommandVectorItem] = Field(
        default_factory=list, description="Golden vectors of commands: the frames that must be written, worked out by hand."
    )

    @property
    def device_class(self) -> DeviceClass:
        return self.class_


__all__ = [
    "Address",
    "BlockItem",
    "ConditionItem",
    "ConventionsItem",
    "FailsafeItem",
    "Function",
    "IdentityRuleItem",
    "InstanceItem",
    "PointItem",
    "ProfileFile",
    "RegisterItem",
    "SetpointItem",
    "SwitchItem",
    "VariantItem",
    "VectorItem",
]
