"""Site file: feeds and the electrical tree."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, StringConstraints

from mimctl.config.patterns import ID, PRINTABLE
from mimctl.config.schema_harmonics import HarmonicLimitsItem
from mimctl.config.units import (
    APPARENT_POWER,
    CURRENT,
    LENGTH,
    PERCENT,
    POWER,
    RESISTANCE,
    RESISTANCE_PER_LENGTH,
    VOLTAGE,
    Record,
)
from mimctl.model.node import NodeKind, SourceKind
from mimctl.model.phases import Phase

#: ids start with a letter or digit; two ids of a kind may not differ by case alone
Id = Annotated[str, StringConstraints(pattern=ID, max_length=64)]
Reference = Annotated[str, StringConstraints(min_length=1, pattern=PRINTABLE)]
Name = Annotated[str, StringConstraints(max_length=200, pattern=PRINTABLE)]
PhaseWord = Annotated[Phase, Strict(False)]
Positive = Field(gt=0)
NotNegative = Field(ge=0)
Share = Annotated[float, Field(ge=0, le=100), PERCENT]


class FeedItem(Record):
    """A redundant supply of the hall."""

    id: Id = Field(description="Name of the feed, A or B by custom.")
    node: Reference = Field(description="Its head: a node without a parent.")
    source: Annotated[SourceKind, Strict(False)] = Field(
        SourceKind.UPS, description="What stands behind the head; decides whether power may flow back into it."
    )
    reverse_power_limit_w: Annotated[float, NotNegative, POWER] = Field(
        0.0, description="How much power may flow back out of each phase of the head; 0 = none, right under a UPS or generator."
    )
    short_circuit_va: Annotated[float, Positive, APPARENT_POWER] = Field(
        10e6, description="Three-phase short-circuit power of the source behind the head."
    )
    rx_ratio: float = Field(0.1, ge=0, description="R/X of that source.")


class CableItem(Record):
    """Series impedance between a node and its parent: in all, or per length."""

    r_ohm: Annotated[float, NotNegative, RESISTANCE] | None = Field(None, description="Resistance of one phase conductor.")
    x_ohm: Annotated[float, NotNegative, RESISTANCE] | None = Field(None, description="Reactance of one phase conductor.")
    r_neutral_ohm: Annotated[float, NotNegative, RESISTANCE] | None = Field(
        None, description="Resistance of the neutral conductor. Default: as a phase conductor."
    )
    x_neutral_ohm: Annotated[float, NotNegative, RESISTANCE] | None = Field(
        None, description="Reactance of the neutral conductor. Default: as a phase conductor."
    )
    length_m: Annotated[float, Positive, LENGTH] | None = Field(None, description="Length, together with r_per_km and x_per_km.")
    r_per_km_ohm: Annotated[float, NotNegative, RESISTANCE_PER_LENGTH] | None = Field(
        None, description="Resistance of one phase conductor per length."
    )
    x_per_km_ohm: Annotated[float, NotNegative, RESISTANCE_PER_LENGTH] | None = Field(
        None, description="Reactance of one phase conductor per length."
    )


class TransformerItem(Record):
    """A transformer between the parent (primary) and this node (secondary)."""

    group: Literal["Dyn1", "Dyn5", "Dyn7", "Dyn11", "YNyn0", "YNyn6"] = Field(
        description="Vector group; the second letters are the side of this node."
    )
    rated_va: Annotated[float, Positive, APPARENT_POWER] = Field(description="Three-phase rating.")
    secondary_voltage_ln_v: Annotated[float, Positive, VOLTAGE] = Field(
        description="Nominal voltage of this node and of everything below it."
    )
    short_circuit_voltage_pct: Annotated[float, Field(gt=0, le=50), PERCENT] = Field(4.0, description="Short-circuit voltage uk.")
    copper_loss_w: Annotated[float, NotNegative, POWER] = Field(0.0, description="Load losses at rating.")
    no_load_loss_w: Annotated[float, NotNegative, POWER] = Field(0.0, description="Iron losses.")


class NodeItem(Record):
    """A place in the electrical tree, protected by the breaker on its supply side."""

    id: Id = Field(description="Name of the node.")
    kind: Annotated[NodeKind, Strict(False)] = Field(description="What it is; for people and reports.")
    parent: Reference | None = Field(None, description="Node that supplies it; the head of a feed has none.")
    rating_a: Annotated[float, Positive, CURRENT] = Field(description="Rating of the breaker, per phase.")
    neutral: bool | None = Field(
        None, description="Whether there is a neutral conductor. Default: as the parent; true at a head and below a transformer."
    )
    neutral_rating_a: Annotated[float, Positive, CURRENT] | None = Field(
        None, description="What the neutral may carry for ever. Default: as the breaker."
    )
    continuous_factor: float = Field(
        0.8, gt=0, le=1, description="Share of the breaker rating that may be used for hours; 0.8 by common codes."
    )
    phases: list[PhaseWord] | None = Field(
        None, min_length=1, max_length=3, description="Line conductors present. Default: as the parent; all three at a head."
    )
    cable: CableItem | None = Field(None, description="Impedance between the parent and this node.")
    transformer: TransformerItem | None = Field(None, description="Transformer between the parent and this node.")
    harmonic_limits: HarmonicLimitsItem | None = Field(
        None, description="How much distortion is permitted here; `{}` is that of the standards. Default: not limited."
    )
    own_load: bool | None = Field(
        None,
        description="Whether something but its children and MIMs may draw power here; where not, its meter and those below it check"
        " each other. Default: no at a feed, transformer, UPS or PDU with children, yes elsewhere.",
    )
    balance_weight: float = Field(
        1.0, ge=0, description="How much this node counts in the reported balance; only the proportions between nodes matter."
    )
