"""Site file: rules.

Every description is shown in the reference pages and by editors that read the JSON Schema.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Strict, StringConstraints

from mimctl.config.patterns import TIME_OF_DAY
from mimctl.config.rule_values import Amount, DayOfYear
from mimctl.config.schema_grid import Id, NotNegative, Positive, Reference, Share
from mimctl.config.units import CURRENT, CURRENT_RATE, DURATION, PERCENT, POWER, POWER_RATE, Record
from mimctl.model.rules import Watched
from mimctl.model.site import DEADBAND_A

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
TimeOfDay = Annotated[str, StringConstraints(pattern=TIME_OF_DAY)]
_Ids = Annotated[list[Reference], Field(min_length=1)]


class WindowItem(Record):
    """When a rule is in force, by the local clock of the site. Start after end means over midnight; equal means all day."""

    days: list[Day] | None = Field(None, min_length=1, description="Days of the week on which the window starts. Default: all.")
    start: TimeOfDay = Field("00:00", description="Start, HH:MM.")
    end: TimeOfDay = Field("00:00", description="End, HH:MM.")
    first_day: DayOfYear | None = Field(None, description="The window starts on no day before this one.")
    last_day: DayOfYear | None = Field(None, description="The window starts on no day after this one.")


class ConditionItem(Record):
    """A measured quantity past a threshold; of several phases the fullest counts, of voltages the one that is furthest out."""

    quantity: Annotated[Watched, Strict(False)] = Field(
        description="What is looked at: `imbalance` is J of the node, or of the zone where no node is named; `load` is the "
        "current in % of the limit for hours; `active_power` is that of all phases together."
    )
    node: Reference | None = Field(None, description="Where it is measured: a node of each zone in which the rule acts.")
    feed: Reference | None = Field(None, description="The head of a feed, instead of `node`.")
    battery: Reference | None = Field(None, description="Whose charge, for `soc`.")
    above: Amount | None = Field(None, description="The condition holds above this.")
    below: Amount | None = Field(None, description="Or: the condition holds below this.")
    clear_at: Amount | None = Field(
        None, description="It ends when the quantity comes back past this. Default: 5 % on the other side of the threshold."
    )
    for_s: Annotated[float, Field(ge=0, le=86_400), DURATION] = Field(
        0.0, description="The quantity must be past the threshold for so long."
    )


class _Rule(Record):
    """What every rule has."""

    id: Id = Field(description="Name of the rule.")
    window: WindowItem = Field(default_factory=WindowItem, description="When the rule is in force. Default: always.")
    when: ConditionItem | None = Field(
        None,
        description="On what condition. A quantity that is not measured leaves it as it was for `control.max_data_age`; after "
        "that a balance rule is not in force, every other rule is.",
    )


class BalanceItem(_Rule):
    """A rule of type `balance`: balance the phases of these zones. Of those in force the first one of a zone is taken."""

    type: Literal["balance"] = Field("balance", description="What the rule does.")
    zones: list[Reference] | None = Field(None, min_length=1, description="Zones it acts on. Default: all.")
    weights: dict[Reference, Annotated[float, NotNegative]] = Field(
        default_factory=dict, description="Control weight of single nodes; 1 is ordinary, 2 counts twice."
    )
    deadband_a: Annotated[float, NotNegative, CURRENT] = Field(
        DEADBAND_A, description="Smaller changes of a setpoint are not written; while it is moving, half as much is enough."
    )
    dwell_s: Annotated[float, Field(ge=0, le=3600), DURATION] = Field(
        0.0,
        description="A setpoint stands at least so long, unless it is to change by a fifth of the port's rating or more, or a "
        "limit is near.",
    )


class _AtNodes(_Rule):
    """A rule about nodes."""

    nodes: _Ids | None = Field(None, description="Nodes it acts on. Default, where no zone or feed is named either: every zone.")
    feeds: _Ids | None = Field(None, description="Feeds it acts on, which means their heads.")
    zones: _Ids | None = Field(None, description="Zones it acts on, which means their heads.")


class _OnMims(_Rule):
    """A rule about MIMs."""

    mims: _Ids | None = Field(None, description="MIMs it acts on. Default, where nothing else is named either: all.")
    nodes: _Ids | None = Field(None, description="Nodes it acts on: every MIM with a port there or below.")
    feeds: _Ids | None = Field(None, description="Feeds it acts on: every MIM with a port below their heads.")
    zones: _Ids | None = Field(None, description="Zones it acts on: every MIM in them.")


class LimitItem(_AtNodes):
    """A rule of type `limit`: less than the ratings permit. MIMs do what they can for it, as they do for breakers."""

    type: Literal["limit"] = Field(description="What the rule does.")
    max_a: Annotated[float, NotNegative, CURRENT] | None = Field(None, description="Greatest current of each phase.")
    max_load_pct: Annotated[float, Field(ge=0, le=100), PERCENT] | None = Field(
        None, description="The same as a share of the breaker's rating."
    )
    max_neutral_a: Annotated[float, NotNegative, CURRENT] | None = Field(None, description="Greatest current of the neutral.")
    min_import_w: Annotated[float, POWER] | None = Field(
        None, description="Least net import of each phase, at the heads of zones; negative: so much may flow back."
    )
    max_import_w: Annotated[float, NotNegative, POWER] | None = Field(
        None, description="Greatest net import of each phase; vars count as if they were watts."
    )


class ReserveItem(_OnMims):
    """A rule of type `reserve`: something is kept free."""

    type: Literal["reserve"] = Field(description="What the rule does.")
    rating_pct: Share = Field(0.0, description="Of the rating of every MIM it acts on.")
    soc_pct: Share | None = Field(
        None, description="Charge below which no battery it acts on is discharged. Default: as each battery says."
    )
    spare_mims: int = Field(
        0,
        ge=0,
        le=100_000,
        description="So many MIMs of each zone rest, the last of the file; they step in where others fail.",
    )


class RampItem(_OnMims):
    """A rule of type `ramp`: setpoints move no faster. At a node it is what all MIMs there and below do to each phase together.
    Below a breaker that is over its limit for hours, or a head that is fed back into, it holds nobody up."""

    type: Literal["ramp"] = Field(description="What the rule does.")
    max_w_per_s: Annotated[float, Positive, POWER_RATE] | None = Field(
        None, description="Greatest rate of each port; vars likewise."
    )
    max_current_a_per_s: Annotated[float, Positive, CURRENT_RATE] | None = Field(None, description="The same as a current.")


class LockItem(_OnMims):
    """A rule of type `lock`: MIMs are at their safe state. It is no isolation: before work on conductors open the isolator."""

    type: Literal["lock"] = Field(description="What the rule does.")


class HarmonicItem(_OnMims):
    """A rule of type `harmonic`: what harmonic filters may do, and what they are asked for."""

    type: Literal["harmonic"] = Field(description="What the rule does.")
    max_share_pct: Share = Field(
        100.0, description="Greatest part of the harmonic current that a port compensates; 0 = no filter works."
    )
    reserve_pct: Share | None = Field(
        None,
        description="Greatest part of a port's rating kept from the fundamental while a limit of distortion is passed; 0 = balance "
        "comes first. Default: as each MIM's `harmonic_filter` says.",
    )
    thd_v_pct: Annotated[float, Field(gt=0, le=100), PERCENT] | None = Field(
        None, description="Limit of voltage distortion at the nodes or heads of zones named, where it is tighter than their own."
    )
    tdd_pct: Annotated[float, Field(gt=0, le=100), PERCENT] | None = Field(
        None, description="Limit of current distortion at the same places, where it is tighter than their own."
    )


class RelianceItem(_AtNodes):
    """A rule of type `reliance`: how much of a breaker's load may rest on MIMs. With all MIMs at their expiry action a phase may
    be over its limit for hours by so much, for so long in a day; what is more, MIMs do not take off, up to the breaker's rating."""

    type: Literal["reliance"] = Field(description="What the rule does.")
    max_a: Annotated[float, NotNegative, CURRENT] = Field(0.0, description="Over the limit for hours, of each phase.")
    max_per_day_s: Annotated[float, Field(ge=0, le=86_400), DURATION] = Field(
        86_400.0, description="For so long in a day of the site's time zone."
    )


def _typed(given: Any) -> Any:
    """A rule that names no type balances."""
    return {"type": "balance", **given} if isinstance(given, dict) else given


RestraintItem = LimitItem | ReserveItem | RampItem | LockItem | HarmonicItem | RelianceItem
AnyRule = BalanceItem | LimitItem | ReserveItem | RampItem | LockItem | HarmonicItem | RelianceItem
RuleItem = Annotated[Annotated[AnyRule, Discriminator("type")], BeforeValidator(_typed)]
