"""One site as the field engineer described it: links, the electrical tree, devices, zones, rules.

Built by `config` after every check passed; frozen from then on. All figures are in the unit that their name says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from mimctl.model.address import DeviceAddress
from mimctl.model.connection import Connection
from mimctl.model.harmonics import HarmonicFilter
from mimctl.model.island import Island
from mimctl.model.latency import WIRED, Latency
from mimctl.model.link import Link
from mimctl.model.node import Feed, Node
from mimctl.model.phases import PHASES, Phase, Rotation
from mimctl.model.rules import ALWAYS, Condition, Restraint, Window
from mimctl.model.transfer import Transfer

#: of a balance rule that names none [A]: measured, it saves 25 of 26 writes of a noisy hour for 0.2 % of the unbalance removed
DEADBAND_A = 0.1


@dataclass(frozen=True, slots=True)
class Meter:
    """Measures what flows into `node` (load positive).

    Args:
        phase_map: which of the node's phases the meter's own L1, L2, L3 inputs are clamped on.
        sign: +1, or −1 where its current transformers look the other way.
    """

    id: str
    node: str
    address: DeviceAddress
    phase_map: tuple[Phase, Phase, Phase] = PHASES
    sign: int = 1


@dataclass(frozen=True, slots=True)
class PortSpec:
    """One AC port of a MIM.

    Args:
        rating_va: |p + jq| may not exceed it [VA].
    """

    node: str
    connection: Connection
    rating_va: float


@dataclass(frozen=True, slots=True)
class LossModel:
    """Conversion losses of a MIM while enabled: standby + linear·Σ|s| + quadratic·Σ|s|² [W; |s| in VA]."""

    standby_w: float = 0.0
    linear: float = 0.0
    quadratic_per_va: float = 0.0


class ExpiryAction(StrEnum):
    """What a device does when its setpoint is not refreshed in time."""

    ZERO = "zero"
    REVERT = "revert"
    DISCONNECT = "disconnect"
    HOLD = "hold"


class SecondMaster(StrEnum):
    """What to do about somebody else who writes setpoints to a MIM."""

    INSIST = "insist"
    YIELD = "yield"


@dataclass(frozen=True, slots=True)
class Mim:
    """A micro-inverter module: AC ports around one DC link.

    Args:
        ports: in the order of the device's own register map.
        neutral_rating_a: what its neutral conductor may carry [A]; None = the current of its largest single-phase port.
        ramp_w_per_s: how fast each port may be moved [W/s].
        validity_s: how long a setpoint stands without refresh before the expiry action [s].
        response_s: time to reach 95 % of a step [s].
        second_master: None = insist where the device counts its commands, else yield at the second value that is not ours.
            Insisting has an end.
        authority: share of each port's rating that control may use; None = all of it, less where the device has no failsafe.
        harmonic_filter: what it can do about harmonics; None = nothing, and it is never told a share.
        latency: how late its medium makes it.
    """

    id: str
    address: DeviceAddress
    ports: tuple[PortSpec, ...]
    neutral_rating_a: float | None = None
    ramp_w_per_s: float = float("inf")
    losses: LossModel = LossModel()
    validity_s: float = 10.0
    expiry_action: ExpiryAction = ExpiryAction.ZERO
    response_s: float = 1.0
    second_master: SecondMaster | None = None
    authority: float | None = None
    harmonic_filter: HarmonicFilter | None = None
    latency: Latency = WIRED


@dataclass(frozen=True, slots=True)
class Battery:
    """Storage on the DC link of a MIM. Discharge is positive."""

    id: str
    mim: str
    capacity_wh: float
    max_charge_w: float
    max_discharge_w: float
    reserve_pct: float = 20.0
    max_soc_pct: float = 95.0
    round_trip_efficiency: float = 0.9


@dataclass(frozen=True, slots=True)
class Zone:
    """Subtrees that one zone controller balances; heads are node ids."""

    id: str
    heads: tuple[str, ...]
    cycle_s: float = 1.0


@dataclass(frozen=True, slots=True)
class BalanceRule:
    """Balance the phases of these zones.

    Args:
        weights: control weight of a node relative to the reported objective (default 1).
        deadband_a: setpoint changes below this are not written [A].
        dwell_s: a setpoint stands at least so long, unless the change is large or a limit is near [s].
        when: None = no condition. Where its quantity is not known the rule is not in force.
    """

    id: str
    zones: tuple[str, ...]
    weights: tuple[tuple[str, float], ...] = ()
    deadband_a: float = 0.0
    dwell_s: float = 0.0
    window: Window = ALWAYS
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class GridBand:
    """What a healthy source looks like where it comes in: at the heads and at transfer devices.

    Args:
        min_voltage_pu, max_voltage_pu: of every phase.
        min_frequency_pu, max_frequency_pu: of the site's frequency.
        resync_s: a source that was lost is used again when it has been healthy for so long [s].

    Reference: EN 50549-1:2019, 4.4 (47.5 to 51.5 Hz; undervoltage from 0.85, overvoltage to 1.1 to 1.2).
    """

    min_voltage_pu: float = 0.8
    max_voltage_pu: float = 1.2
    min_frequency_pu: float = 0.95
    max_frequency_pu: float = 1.03
    resync_s: float = 10.0


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """How the levels run.

    Args:
        site_period_s: time between two site solves [s].
        max_data_age_s: nothing is decided on older measurements [s].
        hold_cycles: how many cycles a failed solve may stand on the last accepted plan.
        min_voltage_pu / max_voltage_pu: band of every phase voltage.
        even_feeds: what the loading of feeds with MIMs between them counts beside their unbalance; 0 = only where a limit needs it.
        grid: outside of it a source counts as lost.
        loads_feed_back: some loads give power back (photovoltaics, lifts): such a reading is then no sign of a wrong meter.
    """

    site_period_s: float = 10.0
    max_data_age_s: float = 5.0
    hold_cycles: int = 5
    min_voltage_pu: float = 0.9
    max_voltage_pu: float = 1.1
    loads_feed_back: bool = False
    grid: GridBand = GridBand()
    even_feeds: float = 0.0


@dataclass(frozen=True, slots=True)
class TwinLoad:
    """A load that the twin puts at a node.

    Args:
        column: column of a trace file that drives it; None = only the generator does.
        scale: trace value × scale = W.
        power_factor: of the fundamental; positive = inductive, negative = capacitive.
        typical_w: mean power for the generator [W].
        harmonic_pct: (order, % of the fundamental current) pairs.
    """

    node: str
    connection: Connection
    typical_w: float
    column: str | None = None
    scale: float = 1.0
    power_factor: float = 0.98
    harmonic_pct: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class TwinSpec:
    """What the digital twin adds to the site.

    Args:
        load_noise_pct: σ of the sub-minute noise, % of each load.
        load_noise_tau_s: its correlation time [s].
        meter_noise_pct: σ of each meter reading, % of reading.
    """

    loads: tuple[TwinLoad, ...] = ()
    seed: int = 1
    load_noise_pct: float = 1.0
    load_noise_tau_s: float = 20.0
    meter_noise_pct: float = 0.1
    battery_soc_pct: float = 60.0


@dataclass(frozen=True, slots=True)
class Site:
    """The whole. `nodes` lists parents before their children; feed heads have no parent.

    Args:
        rules: of those of a zone, the first one in force says how it is balanced.
        restraints: all that are in force hold together.
        redundant: pairs of nodes, one on each feed, of which either carries the load of both when the other is lost.
        islands: parts that a MIM may feed by itself while they are cut off.
    """

    id: str
    name: str
    timezone: str
    frequency_hz: float
    rotation: Rotation
    links: tuple[Link, ...]
    feeds: tuple[Feed, ...]
    nodes: tuple[Node, ...]
    meters: tuple[Meter, ...]
    mims: tuple[Mim, ...]
    batteries: tuple[Battery, ...]
    zones: tuple[Zone, ...]
    rules: tuple[BalanceRule, ...]
    control: ControlSettings = ControlSettings()
    twin: TwinSpec = TwinSpec()
    file: Path | None = field(default=None, compare=False)
    restraints: tuple[Restraint, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    redundant: tuple[tuple[str, str], ...] = ()
    islands: tuple[Island, ...] = ()
