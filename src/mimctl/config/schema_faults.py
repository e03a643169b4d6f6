"""File of faults: what goes wrong in the digital twin, when, and where.

Every description is shown in the reference pages and by editors that read the JSON Schema.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field

from mimctl.config.fault_words import Moment, Targets
from mimctl.config.schema_grid import PhaseWord
from mimctl.config.units import DURATION, FREQUENCY, PERCENT, POWER, Record

_LONGEST = Field(gt=0, le=86_400)
_Part = Annotated[float, Field(gt=0, le=100), PERCENT]


class FaultItem(Record):
    """When a fault happens: what every entry has."""

    at: Moment = Field(Moment(0.0), description="When it begins. Default: at the start.")
    until: Moment | None = Field(None, description="When it ends. Default: it stays.")
    for_s: Annotated[float, Field(gt=0), DURATION] | None = Field(None, description="How long it lasts, instead of `until`.")


class OfMim(FaultItem):
    """A fault of MIMs."""

    mim: Targets = Field(description="MIMs that it befalls.")


class OfMeter(FaultItem):
    """A fault of meters."""

    meter: Targets = Field(description="Meters that it befalls.")


class OfDevice(FaultItem):
    """A fault of meters or MIMs."""

    meter: Targets | None = Field(None, description="Meters that it befalls.")
    mim: Targets | None = Field(None, description="MIMs that it befalls, instead of meters.")


class OfLink(FaultItem):
    """A fault of links."""

    link: Targets = Field(description="Links that it befalls.")


class OfflineItem(OfDevice):
    """Cannot be read or written; it runs on by itself, and the watchdog of a MIM runs out."""

    kind: Literal["offline"]
    transfer: Targets | None = Field(None, description="Transfer devices that it befalls, instead of meters.")


class StuckItem(OfMim):
    """The output stays as it is, whatever is written and whether the watchdog runs out or not; setpoints are acknowledged."""

    kind: Literal["stuck"]


class PretendingItem(OfMim):
    """Setpoints are acknowledged, and nothing follows."""

    kind: Literal["pretending"]


class ReadOnlyItem(OfMim):
    """No write has an effect, neither setpoints nor heartbeats: the watchdog runs out."""

    kind: Literal["read_only"]


class RejectingItem(OfMim):
    """Every setpoint is refused, and the command status says so."""

    kind: Literal["rejecting"]


class ClippedItem(OfMim):
    """Only a share of the setpoint comes out, and nothing tells of it."""

    kind: Literal["clipped"]
    delivers_pct: Annotated[float, Field(ge=0, le=100), PERCENT] = Field(50.0, description="Share of the setpoint that comes out.")


class DeratedItem(OfMim):
    """The device has only a share of its rating, as when it is too hot, and says so."""

    kind: Literal["derated"]
    rating_pct: _Part = Field(50.0, description="Share of the rating that is left.")


class DelayedItem(OfMim):
    """Setpoints take effect late; heartbeats do not wait."""

    kind: Literal["delayed"]
    delay_s: Annotated[float, _LONGEST, DURATION] = Field(2.0, description="How late.")


class RebootedItem(OfMim):
    """Power is lost: the output drops, the device is silent for a while (`for`, 5 s where nothing is said), then it has
    forgotten setpoints and sequence."""

    kind: Literal["rebooted"]


class LyingItem(OfDevice):
    """What it tells of currents and powers is wrong by a factor and an offset; what it does is not."""

    kind: Literal["lying"]
    gain: float = Field(1.0, description="Factor of currents and powers.")
    offset_w: Annotated[float, POWER] = Field(0.0, description="Added to the active power of each phase.")
    phases: list[PhaseWord] | None = Field(None, min_length=1, description="Inputs of a meter that lie. Default: all three.")


class NoisyItem(OfDevice):
    """Its readings are noisier than those of the others."""

    kind: Literal["noisy"]
    noise_pct: _Part = Field(5.0, description="Standard deviation, of the reading.")


class NoValuesItem(OfDevice):
    """It answers, but with the pattern that means "no value"."""

    kind: Literal["no_values"]
    quantity: Literal["voltage", "current", "power", "all"] = Field("all", description="What has no value.")


class SkewedItem(OfDevice):
    """Its readings are older than they say, as behind a gateway that answers out of its memory."""

    kind: Literal["skewed"]
    late_s: Annotated[float, Field(gt=0, le=60), DURATION] = Field(2.0, description="How much older.")


class CtSwappedItem(OfMeter):
    """The current transformers are on each other's inputs, their voltages are not."""

    kind: Literal["ct_swapped"]
    order: list[PhaseWord] | None = Field(
        None, min_length=3, max_length=3, description="On which phase each of the three really is. Default: [L2, L1, L3]."
    )


class CtReversedItem(OfMeter):
    """Current transformers look the other way."""

    kind: Literal["ct_reversed"]
    phases: list[PhaseWord] | None = Field(None, min_length=1, description="Which. Default: all three.")


class LinkLossItem(OfLink):
    """A share of all frames is lost, requests and answers alike."""

    kind: Literal["link_loss"]
    loss_pct: _Part = Field(10.0, description="Share of the frames.")


class LinkDownItem(OfLink):
    """No device of the link answers."""

    kind: Literal["link_down"]


class CoordinatorItem(FaultItem):
    """The coordinator of a Zigbee link fails: its devices are not reached. `unplugged`: it is not there, as while it restarts;
    `silent`: its line is open and nothing comes; `garbled`: what comes makes no sense; `other_network`: it has another key and PAN,
    as another stick would. In `simulate` all are the same."""

    kind: Literal["coordinator"]
    coordinator: Targets = Field(description="Zigbee links whose coordinators it befalls.")
    how: Literal["unplugged", "silent", "garbled", "other_network"] = Field("unplugged", description="What happens.")


class RackTrippedItem(FaultItem):
    """The breaker of a node opens: no voltage there and below, the loads are gone, the MIMs there stand on a dead bus."""

    kind: Literal["rack_tripped"]
    node: Targets = Field(description="Nodes whose breakers open.")


class FeedLostItem(FaultItem):
    """The source of a feed fails: no voltage from its head down."""

    kind: Literal["feed_lost"]
    feed: Targets = Field(description="Feeds that fail.")


class FrequencyItem(FaultItem):
    """The mains runs too slow or too fast, at every feed alike; voltages stay."""

    kind: Literal["frequency"]
    frequency_hz: Annotated[float, Field(ge=16, le=400), FREQUENCY] = Field(description="How fast it runs.")


class SitePausedItem(FaultItem):
    """The site level does not run; zones go on with the prices they have until these expire. Only in `simulate`."""

    kind: Literal["site_paused"]


class ZoneStoppedItem(FaultItem):
    """The controller of a zone does not run: nothing is read or written, watchdogs run out. Only in `simulate`."""

    kind: Literal["zone_stopped"]
    zone: Targets = Field(description="Zones that stop.")


class ClockStepItem(FaultItem):
    """The wall clock of the controller is wrong from now on, by so much; with an end it steps back there. Only in `simulate`."""

    kind: Literal["clock_step"]
    by_s: Annotated[float, Field(ge=-31_536_000, le=31_536_000), DURATION] = Field(
        description="Forwards, or backwards if negative."
    )


AnyFault = Annotated[
    OfflineItem
    | StuckItem
    | PretendingItem
    | ReadOnlyItem
    | RejectingItem
    | ClippedItem
    | DeratedItem
    | DelayedItem
    | RebootedItem
    | LyingItem
    | NoisyItem
    | NoValuesItem
    | SkewedItem
    | CtSwappedItem
    | CtReversedItem
    | LinkLossItem
    | LinkDownItem
    | CoordinatorItem
    | RackTrippedItem
    | FeedLostItem
    | FrequencyItem
    | SitePausedItem
    | ZoneStoppedItem
    | ClockStepItem,
    Discriminator("kind"),
]


class FaultsFile(Record):
    """Faults of one run, in any order."""

    schema_: Literal[1] = Field(alias="schema", description="Version of this format.")
    faults: list[AnyFault] = Field(min_length=1, description="What goes wrong.")
