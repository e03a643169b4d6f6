"""Site file: the whole, its zones, rules, control settings and twin.

Every description is shown in the reference pages and by editors that read the JSON Schema.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, StringConstraints

from mimctl.config.patterns import ORDER
from mimctl.config.schema_devices import BatteryItem, ConnectionWord, LinkItem, MeterItem, MimItem
from mimctl.config.schema_grid import FeedItem, Id, Name, NodeItem, NotNegative, Positive, Reference, Share
from mimctl.config.schema_islands import IslandItem
from mimctl.config.schema_rules import RuleItem
from mimctl.config.schema_transfers import TransferItem
from mimctl.config.units import DURATION, FREQUENCY, PERCENT, POWER, VOLTAGE, InText, Record
from mimctl.model.phases import Rotation

Order = Annotated[str, StringConstraints(pattern=ORDER)]


class SiteHead(Record):
    """What holds for the whole site."""

    id: Id = Field(description="Name of the site.")
    name: Name = Field("", description="Name for people.")
    timezone: Reference = Field("UTC", description="IANA time zone of the windows of rules, for example Europe/Zurich.")
    frequency_hz: Annotated[float, Field(ge=16, le=400), FREQUENCY] = Field(50.0, description="Nominal mains frequency.")
    voltage_ln_v: Annotated[float, Positive, VOLTAGE] = Field(description="Nominal voltage at the heads of the feeds.")
    rotation: Annotated[Rotation, Strict(False)] = Field(
        Rotation.POSITIVE, description="Order in which the phase voltages reach their peak."
    )


class ZoneItem(Record):
    """Subtrees that one zone controller balances."""

    id: Id = Field(description="Name of the zone.")
    heads: list[Reference] = Field(
        min_length=1, description="Nodes whose subtrees belong to the zone; one below a feed needs a meter."
    )
    cycle_s: Annotated[float, Field(ge=0.05, le=600), DURATION] = Field(1.0, description="Time between two control cycles.")


class GridItem(Record):
    """What a healthy source looks like. Outside of it everything behind it is released, until it has been healthy for a while."""

    min_voltage_pct: Annotated[float, Field(gt=0, lt=100), PERCENT] = Field(80.0, description="Lowest voltage of every phase.")
    max_voltage_pct: Annotated[float, Field(gt=100, le=200), PERCENT] = Field(120.0, description="Highest voltage of every phase.")
    min_frequency_pct: Annotated[float, Field(gt=50, lt=100), PERCENT] = Field(
        95.0, description="Lowest frequency, share of the nominal one: 47.5 Hz of 50 Hz."
    )
    max_frequency_pct: Annotated[float, Field(gt=100, le=150), PERCENT] = Field(
        103.0, description="Highest frequency, likewise: 51.5 Hz of 50 Hz."
    )
    resync_s: Annotated[float, Field(ge=0, le=3600), DURATION] = Field(
        10.0, description="A source that was lost is used again when it has been healthy for so long."
    )


class ControlItem(Record):
    """How the levels of control run."""

    site_period_s: Annotated[float, Field(gt=0, le=3600), DURATION] = Field(
        10.0, description="Time between two looks at what stands above zones."
    )
    max_data_age_s: Annotated[float, Positive, DURATION] = Field(5.0, description="Nothing is decided on older measurements.")
    hold_cycles: int = Field(5, ge=0, le=1000, description="Cycles that a failed solve may stand on the last accepted plan.")
    min_voltage_pct: Annotated[float, Field(gt=0, lt=100), PERCENT] = Field(
        90.0, description="Lowest phase voltage, share of the nominal one; the default is that of EN 50160, 10 % below."
    )
    max_voltage_pct: Annotated[float, Field(gt=100, le=200), PERCENT] = Field(
        110.0, description="Highest phase voltage, share of the nominal one; the default is that of EN 50160, 10 % above."
    )
    loads_feed_back: bool = Field(
        False,
        description="Some loads give power back, as photovoltaics and lifts do. Otherwise a load that seems to is taken for a "
        "meter whose current transformers are the wrong way round, and the MIMs below it stay where they are.",
    )
    even_feeds_pct: Annotated[float, Field(ge=0, le=100), PERCENT] = Field(
        0.0,
        description="How much it counts, beside balanced phases, that feeds with MIMs between them are loaded alike; 20 % nearly "
        "evens them out. What is moved costs conversion losses. Default: power moves between feeds only where a limit needs it.",
    )
    grid: GridItem = Field(default_factory=GridItem, description="What a healthy source looks like.")


class LoadItem(Record):
    """A load that the digital twin puts at a node."""

    node: Reference = Field(description="Node it stands at.")
    connection: ConnectionWord = Field(description="What it is wired to.")
    typical_w: Annotated[float, NotNegative, POWER] = Field(description="Mean power, for the built-in load generator.")
    column: Reference | None = Field(None, description="Column of a trace file that drives it. Default: the generator does.")
    scale: float = Field(1.0, gt=0, description="Trace value × scale = W.")
    power_factor: float = Field(0.98, ge=-1, le=1, description="Of the fundamental; positive is inductive, negative is capacitive.")
    spectrum: Reference | None = Field(None, description="Harmonics of its current: a name under `twin.spectra`.")


class TwinItem(Record):
    """What the digital twin adds to the site."""

    loads: list[LoadItem] = Field(default_factory=list, description="Loads.")
    spectra: dict[Reference, dict[Order, Annotated[float, Field(ge=0, le=100), InText(PERCENT)]]] = Field(
        default_factory=dict,
        description="Harmonic spectra by name: order → share of the fundamental current, for example `{3: 12 %, 5: 6 %}`.",
    )
    seed: int = Field(1, ge=0, description="Seed of everything random.")
    load_noise_pct: Share = Field(1.0, description="Standard deviation of the sub-minute noise of each load.")
    load_noise_tau_s: Annotated[float, Positive, DURATION] = Field(20.0, description="Correlation time of that noise.")
    meter_noise_pct: Share = Field(0.1, description="Standard deviation of each meter reading, of the reading.")
    battery_soc_pct: Share = Field(60.0, description="State of charge of the batteries at the start.")


class SiteFile(Record):
    """One site as the field engineer describes it."""

    schema_: Literal[1] = Field(alias="schema", description="Version of this format.")
    site: SiteHead = Field(description="What holds for the whole site.")
    links: list[LinkItem] = Field(default_factory=list, description="Connections to devices.")
    feeds: list[FeedItem] = Field(default_factory=list, description="Redundant supplies and their heads.")
    nodes: list[NodeItem] = Field(min_length=1, description="The electrical tree, in any order.")
    meters: list[MeterItem] = Field(default_factory=list, description="Meters.")
    mims: list[MimItem] = Field(default_factory=list, description="Micro-inverter modules.")
    batteries: list[BatteryItem] = Field(default_factory=list, description="Storage behind MIMs.")
    transfers: list[TransferItem] = Field(default_factory=list, description="Transfer switches, UPS, generators, contactors.")
    islands: list[IslandItem] = Field(
        default_factory=list, description="Parts that a MIM may feed by itself, by an operator's lease, while they are cut off."
    )
    redundant: list[Annotated[list[Reference], Field(min_length=2, max_length=2)]] = Field(
        default_factory=list,
        description="Pairs of nodes, one on each feed, such as the two cords of a rack (`[rack-1-a, rack-1-b]`): when a feed "
        "is lost the other node carries the load of both.",
    )
    zones: list[ZoneItem] = Field(default_factory=list, description="Zones. Default: one with every head.")
    rules: list[RuleItem] = Field(
        default_factory=list, description="Rules. Where none of them balances: balance all zones, always, beside the others."
    )
    control: ControlItem = Field(default_factory=ControlItem, description="How the levels of control run.")
    twin: TwinItem = Field(default_factory=TwinItem, description="What the digital twin adds.")
