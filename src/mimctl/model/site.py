"""One site as the field engineer described it: links, the electrical tree, devices, zones, rules.

Built by `config` after every check passed; frozen from then on. All figures are in the unit that their name says.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum
from pathlib import Path

from mimctl.model.connection import Connection
from mimctl.model.phases import PHASES, Phase, Rotation


class LinkType(StrEnum):
    """Transport and framing of a link."""

    MODBUS_TCP = "modbus_tcp"
    MODBUS_TLS = "modbus_tls"
    MODBUS_RTU = "modbus_rtu"
    MODBUS_RTU_TCP = "modbus_rtu_tcp"

    @property
    def is_rtu(self) -> bool:
        """RTU frames: answers carry no transaction id."""
        return self in (LinkType.MODBUS_RTU, LinkType.MODBUS_RTU_TCP)


class Parity(StrEnum):
    EVEN = "even"
    ODD = "odd"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A serial port of this machine.

    Reference: MODBUS over Serial Line Specification and Implementation Guide V1.02, section 2.5.1.1 (timing of RTU frames).

    Args:
        device: path of the port.
        baudrate: [bit/s]
    """

    device: str
    baudrate: int = 19200
    parity: Parity = Parity.EVEN
    stop_bits: int = 1
    byte_size: int = 8

    @property
    def character_s(self) -> float:
        """Time of one character on the line: start bit, data, parity, stop bits [s]."""
        return (1 + self.byte_size + (self.parity is not Parity.NONE) + self.stop_bits) / self.baudrate

    @property
    def silence_s(self) -> float:
        """The silence that ends a frame: 3.5 characters, above 19200 bit/s always 1.75 ms [s]."""
        return 3.5 * self.character_s if self.baudrate <= 19200 else 1.75e-3


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Modbus/TCP Security: mutual TLS. Paths are absolute once loaded."""

    ca: Path
    certificate: Path
    key: Path
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """One connection that devices share.

    Args:
        host, port: of the device or gateway; empty and 0 on a serial link.
        timeout_s: for one answer; the time that its bytes take on a serial line comes on top.
        connect_delay_s: quiet time after connecting that some gateways need.
        request_gap_s: quiet time between two requests.
        max_registers: most registers in one read.
        any_unit: accept an answer that carries another unit id.
        tid_zero: accept an answer that carries transaction id 0.
        serial: the port of a serial link.
        max_connections: how many connections at a time the other side allows and may be used.
        write_function: 6 for devices that take a single register by function 6 only, else 16.
        local_echo: whatever is sent comes back first, as many two-wire RS-485 adapters do (RTU only).
        latency_s: from a request to its answer, without its bytes on a serial line; None = as links of its kind have it [s].
    """

    id: str
    type: LinkType
    host: str = ""
    port: int = 0
    timeout_s: float = 0.5
    connect_delay_s: float = 0.0
    request_gap_s: float = 0.0
    max_registers: int = 125
    any_unit: bool = False
    tid_zero: bool = False
    tls: TlsFiles | None = None
    isolated: bool = False
    serial: SerialLine | None = None
    max_connections: int = 1
    write_function: int = 16
    local_echo: bool = False
    latency_s: float | None = None

    @property
    def expected_latency_s(self) -> float:
        """From a request to its answer, without the time of its bytes on a serial line [s]."""
        if self.latency_s is not None:
            return self.latency_s
        if self.serial is not None:
            return self.serial.silence_s
        if self.on_loopback:
            return 1e-3
        return 0.03 if self.type.is_rtu else 0.01

    @property
    def on_loopback(self) -> bool:
        """Whether the link stays inside this machine."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class SourceKind(StrEnum):
    """What stands behind a feed head; decides whether power may flow back into it."""

    UTILITY = "utility"
    UPS = "ups"
    GENERATOR = "generator"


@dataclass(frozen=True, slots=True)
class Feed:
    """A redundant supply, A or B.

    Args:
        node: its head, a node without a parent.
        reverse_power_limit_w: how much may flow back out of each phase of the head [W per phase]; 0 = none. The net
            import of every phase stays ≥ −reverse_power_limit_w.
        short_circuit_va: three-phase short-circuit power of the source behind the head [VA].
        rx_ratio: R/X of that source.
    """

    id: str
    node: str
    source: SourceKind = SourceKind.UPS
    reverse_power_limit_w: float = 0.0
    short_circuit_va: float = 10e6
    rx_ratio: float = 0.1


class Winding(StrEnum):
    """Transformer groups between a node and its parent. The second letter is the node's own side."""

    DYN = "Dyn"
    YNYN = "YNyn"


@dataclass(frozen=True, slots=True)
class Transformer:
    """Between the parent (primary) and this node (secondary).

    Args:
        rated_va: three-phase rating [VA].
        short_circuit_voltage_pct: uk [%].
        copper_loss_w: short-circuit (load) losses at rating [W].
        no_load_loss_w: iron losses [W].
        clock: vector group number, for example 11 in Dyn11. The nominal angles of each node are its own; the clock only
            matters to the power flow.
    """

    winding: Winding
    rated_va: float
    short_circuit_voltage_pct: float = 4.0
    copper_loss_w: float = 0.0
    no_load_loss_w: float = 0.0
    clock: int = 11


@dataclass(frozen=True, slots=True)
class Cable:
    """Series impedance from the parent, per phase conductor, and of the neutral [Ω]."""

    r_ohm: float
    x_ohm: float
    r_neutral_ohm: float | None = None
    x_neutral_ohm: float | None = None


class NodeKind(StrEnum):
    FEED = "feed"
    TRANSFORMER = "transformer"
    UPS = "ups"
    PDU = "pdu"
    BRANCH = "branch"
    RACK = "rack"


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the electrical tree, protected by the breaker on its supply side.

    Args:
        parent: node that supplies it; None for a feed head.
        rating_a: breaker rating per phase [A].
        neutral_rating_a: what the neutral may carry for ever [A]; None where there is no neutral.
        continuous_factor: share of the breaker rating that may be used for hours, 0.8 by common codes.
        phases: line conductors present.
        voltage_ln_v: nominal line-to-neutral voltage [V]; in a three-wire part the line-to-line voltage / √3.
        omega: this node's fixed weight in the reported objective; all of a site's weights sum to one.
    """

    id: str
    kind: NodeKind
    parent: str | None
    rating_a: float
    voltage_ln_v: float
    omega: float = 0.0
    neutral_rating_a: float | None = None
    continuous_factor: float = 0.8
    phases: tuple[Phase, ...] = PHASES
    cable: Cable | None = None
    transformer: Transformer | None = None

    @property
    def limit_a(self) -> float:
        """What each phase may carry for hours [A]."""
        return self.rating_a * self.continuous_factor


#: the device's own SunSpec model chain is its register map
SUNSPEC = "sunspec"


@dataclass(frozen=True, slots=True)
class DeviceAddress:
    """Where a device answers and which register map it has.

    Args:
        link: link id.
        unit: Modbus unit id.
        profile: `sunspec`, or the id of a device profile.
        base: first register of the SunSpec chain; None = search.
        instances: the repeated parts of the device that this one is made of; none = the device as a whole.
    """

    link: str
    unit: int
    profile: str = SUNSPEC
    base: int | None = None
    instances: tuple[str, ...] = ()


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
        second_master: None = insist where the device counts its commands, else yield.
        authority: share of each port's rating that control may use; None = all of it, less where the device has no failsafe.
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
class Window:
    """When a rule is in force, in the site's time zone. Start after end means over midnight; equal means all day.

    Args:
        days: 0 = Monday … 6 = Sunday.
    """

    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    start: time = time(0, 0)
    end: time = time(0, 0)


@dataclass(frozen=True, slots=True)
class BalanceRule:
    """Balance the phases of these zones.

    Args:
        weights: control weight of a node relative to the reported objective (default 1).
        deadband_a: setpoint changes below this are not written [A].
    """

    id: str
    zones: tuple[str, ...]
    weights: tuple[tuple[str, float], ...] = ()
    deadband_a: float = 0.0
    window: Window = Window()


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """How the levels run.

    Args:
        site_period_s: time between two site solves [s].
        max_data_age_s: nothing is decided on older measurements [s].
        hold_cycles: how many cycles a failed solve may stand on the last accepted plan.
        min_voltage_pu / max_voltage_pu: band of every phase voltage.
    """

    site_period_s: float = 10.0
    max_data_age_s: float = 5.0
    hold_cycles: int = 5
    min_voltage_pu: float = 0.9
    max_voltage_pu: float = 1.1


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
    """The whole. `nodes` lists parents before their children; feed heads have no parent."""

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
