"""Site file: parts that a MIM may feed by itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mimctl.config.schema_grid import Id, Positive, Reference
from mimctl.config.units import DURATION, PERCENT, Record


class IslandItem(Record):
    """What stands behind a contactor, and the MIMs that may feed it while the contactor is proven open."""

    id: Id = Field(description="Name of the island.")
    contactor: Reference = Field(description="Transfer device whose state `open` cuts it off; what it supplies is the island.")
    formers: list[Reference] = Field(
        min_length=1, description="MIMs that may form it: voltage, frequency and phase. One at a time, by an operator's lease."
    )
    also_open: list[Reference] = Field(
        default_factory=list, description="Transfer devices that must be open too, such as the breaker above or a bypass."
    )
    voltage_pct: Annotated[float, Field(ge=50, le=120), PERCENT] = Field(
        100.0, description="Voltage that is formed, of the nominal one; inside the band of `control`."
    )
    frequency_pct: Annotated[float, Field(ge=90, le=110), PERCENT] = Field(
        100.0, description="Frequency that is formed, of the nominal one; inside the band of `control.grid`."
    )
    dead_time_s: Annotated[float, Field(ge=1, le=600), DURATION] = Field(
        5.0, description="How long the bus stays without voltage between a former and whatever feeds it next."
    )
    reclose_s: Annotated[float, Positive, Field(le=3600), DURATION] | None = Field(
        None,
        description="How long the contactor waits, with voltage above it, before it closes. Default: it closes on to a dead bus "
        "alone, by an interlock of its own.",
    )
