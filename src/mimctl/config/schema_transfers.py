"""Site file: transfer switches, UPS, generators and contactors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, StringConstraints

from mimctl.config.schema_devices import UnitId
from mimctl.config.schema_grid import Id, NotNegative, Positive, Reference
from mimctl.config.units import APPARENT_POWER, DURATION, POWER, Record
from mimctl.model.transfer import TransferKind, TransferState

StateWord = Literal["normal", "alternate", "battery", "generator", "open", "fault", "unknown"]
SourceWord = Literal["normal", "alternate", "battery", "generator"]
Code = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,10}$")]


class TransferSourceItem(Record):
    """One of the sources that a transfer device can be on."""

    available_va: Annotated[float, Positive, APPARENT_POWER] | None = Field(
        None, description="What this source can give in all, a third of it on each phase. Default: as much as the breakers permit."
    )
    reverse_power_limit_w: Annotated[float, NotNegative, POWER] | None = Field(
        None,
        description="How much power may flow back into it out of each phase. Default: none; into the normal source of anything but "
        "a UPS, as much as the feed permits.",
    )


class TransferItem(Record):
    """A device that stands between a source and what it feeds: its state says what may be drawn and whether power may flow back."""

    id: Id = Field(description="Name of the device.")
    kind: Annotated[TransferKind, Strict(False)] = Field(
        description="Static or automatic transfer switch, UPS, generator, contactor."
    )
    feed: Reference | None = Field(None, description="Feed that it supplies; or name a `node`.")
    node: Reference | None = Field(None, description="Node that it supplies, where that is not the head of a feed.")
    link: Reference | None = Field(None, description="Link it answers on; or say its `state`.")
    unit: UnitId = Field(1, description="Modbus unit id.")
    profile: Reference | None = Field(None, description="Device profile, one with the point `status`.")
    states: dict[Code, StateWord] = Field(
        default_factory=dict,
        description="What the values of its point `status` mean, for example `{1: normal, 2: alternate}`; any other is `unknown`.",
    )
    state: StateWord | None = Field(None, description="Its state where it cannot be asked.")
    sources: dict[SourceWord, TransferSourceItem] = Field(
        default_factory=dict,
        description="The sources it can be on, beside `normal`. Default: those of its states, without a limit of their own but "
        "for power that flows back.",
    )
    backup: SourceWord | None = Field(None, description="What the twin's goes to when its feed is lost. Default: it opens.")
    transfer_s: Annotated[float, Field(ge=0, le=600), DURATION] = Field(
        0.0, description="How long that takes in the twin; nothing is fed meanwhile."
    )


def state_of(word: str) -> TransferState:
    """The state that a word of a site file names."""
    return TransferState[word.upper()]
