"""Profile file: a device that tells its own register map, and what is to be known about it all the same."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mimctl.config.profiles.schema_points import Text
from mimctl.config.units import Record

IdentityName = Literal["manufacturer", "model", "version", "serial", "options"]
#: models that measure power; the ones of one kind never stand for the other
MeterModel = Literal[201, 202, 203, 204, 211, 212, 213, 214]
InverterModel = Literal[101, 102, 103, 111, 112, 113, 701]
MeasuringModel = Literal[InverterModel, MeterModel]
ControlModelId = Literal[123, 124, 704, 715, 802]
ModelId = Annotated[int, Field(ge=2, le=65534)]


class ChainPointItem(Record):
    """One point of a model, or the difference of two such."""

    model: ModelId | None = Field(None, description="Number of the model; the first of that number in the device.")
    point: Text | None = Field(None, description="Name in the definition of the model: `DCW`, `module[2].DCW` (counted from 0).")
    sign: Literal[1, -1] = Field(1, description="−1 where this point alone runs against the conventions.")
    nan: list[int | float] = Field(
        default_factory=list, description="Raw values that mean 'no value', beside those that SunSpec defines."
    )
    requires: list[ModelId] = Field(
        default_factory=list, description="Models that the device must have, or the point has another meaning and is not read."
    )
    difference: Annotated[list[Text], Field(min_length=2, max_length=2)] | None = Field(
        None, description="Names of two other points of this section: the value is the first less the second."
    )


class CommandModelItem(Record):
    """A model that may be commanded."""

    model: ControlModelId = Field(description="704 or 123 and 124: setpoints with their reversion timers; 715, 802: heartbeats.")
    write: Literal["multiple", "single"] = Field(
        "multiple", description="Function 16, or function 6 and one register at a time (models 123 and 124)."
    )


class SunSpecItem(Record):
    """A chain of SunSpec models, found and walked when the device is connected. It says where everything stands; this section says
    what it cannot."""

    bases: list[Annotated[int, Field(ge=0, le=65535)]] = Field(
        default_factory=list, description="First registers of the chain, in the order of trying. Default: 40000, 0, 50000."
    )
    models: list[MeasuringModel] = Field(
        min_length=1,
        description="Measuring models that are read, the best first: where two tell the same, the better one is taken. "
        "A device without any of them is refused, and those not named are left alone.",
    )
    ignore: list[ModelId] = Field(
        default_factory=list, description="Other models that are left alone, because what they say is not to be relied on."
    )
    common: dict[IdentityName, Annotated[list[Text], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="What the common model must say, each name with patterns (* and ?), any of them; case counts for nothing. "
        "Its own common model or the first of the chain: a maker's meter may be another maker's.",
    )
    leave_out: list[Text] = Field(
        default_factory=list,
        description="Quantities (`reactive_power`) or points (`energy_export.L1`) that are not to be believed.",
    )
    silent_zeros: list[Text] = Field(
        default_factory=list, description="Quantities whose 0 means 'no value': inverters that show 0 V and 0 Hz at night."
    )
    points: dict[Text, ChainPointItem] = Field(
        default_factory=dict,
        description="`quantity.place` → point of a model that is read beside, or in place of, what mimctl reads of SunSpec models "
        "anyway; any other name is a helper that a difference uses.",
    )
    commands: list[CommandModelItem] = Field(
        default_factory=list, description="Models that may be commanded. Default: none, the device is only watched."
    )
