"""Profile file: golden vectors of commands."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, StringConstraints

from mimctl.config.profiles.schema_points import Address, Text
from mimctl.config.units import DURATION, Record
from mimctl.model.command_vectors import StepKind
from mimctl.model.site import ExpiryAction

Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F\s]+$")]


class ImageItem(Record):
    """A stretch of registers as the device holds them."""

    address: Address = Field(description="First register.")
    hex: Hex = Field(description="Register bytes as they come over the wire; four digits a register, blanks as you like.")


class WriteItem(Record):
    """A frame that must go out."""

    address: Address = Field(description="First register.")
    hex: Hex = Field(description="Register bytes as they go over the wire.")
    function: Literal[6, 16] = Field(16, description="Function code: 16, or 6 for one register alone.")


class CommandStepItem(Record):
    """Something that a controller does."""

    do: Annotated[StepKind, Strict(False)] = Field(
        description="command: new setpoints; keep_alive: the sign of life that keeps them in force; release: given back."
    )
    setpoints: dict[Text, float] = Field(
        default_factory=dict,
        description="Of a command: `active_power.port1` → W, injection positive. Others get 0.",
    )
    validity_s: Annotated[float, Field(gt=0, le=3600), DURATION] = Field(10.0, description="How long it stands without refresh.")
    expiry_action: Annotated[ExpiryAction, Strict(False)] = Field(
        ExpiryAction.ZERO, description="What the device is told to do when it is not refreshed, where that can be set."
    )
    writes: list[WriteItem] = Field(default_factory=list, description="The frames that must go out, in order.")
    refused: bool = Field(False, description="Of a command: it is outside of what the profile allows, and nothing may go out.")


class CommandVectorItem(Record):
    """What is written to a device, step by step: checked by the tests and before a profile is trusted."""

    name: Text = Field(description="What the steps show.")
    like: Text | None = Field(None, description="The device holds what it does in this one of `tests`, `image` put over it.")
    image: list[ImageItem] = Field(
        default_factory=list, description="Registers as the device holds them at first. Those that are not named hold 0."
    )
    steps: list[CommandStepItem] = Field(min_length=1, description="Each begins where the one before left the device.")
