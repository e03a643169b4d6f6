"""Site file: links and the devices behind them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Strict, Tag

from mimctl.config.schema_grid import Id, NotNegative, PhaseWord, Positive, Reference, Share
from mimctl.config.schema_harmonics import HarmonicFilterItem
from mimctl.config.schema_lorawan import Eui, LorawanItem
from mimctl.config.units import (
    APPARENT_POWER,
    CURRENT,
    DURATION,
    ENERGY,
    PER_POWER,
    PERCENT,
    POWER,
    POWER_RATE,
    Record,
)
from mimctl.model.address import SUNSPEC
from mimctl.model.connection import Connection
from mimctl.model.latency import LatencyClass
from mimctl.model.link import LinkType, Parity
from mimctl.model.site import ExpiryAction, SecondMaster
from mimctl.model.zigbee import RadioKind

ConnectionWord = Annotated[Connection, Strict(False)]
UnitId = Annotated[int, Field(ge=0, le=255)]


class TlsItem(Record):
    """Certificates of Modbus/TCP Security (mutual TLS). Paths are relative to the site file."""

    ca: Reference = Field(description="Certificate of the authority that signed the device's certificate (PEM).")
    certificate: Reference = Field(description="Certificate of mimctl (PEM).")
    key: Reference = Field(description="Private key of that certificate (PEM).")
    server_name: Reference | None = Field(None, description="Name in the device's certificate. Default: the host.")


class Rs485Item(Record):
    """Direction of a two-wire bus, switched by the driver of the serial port: the RTS line drives the transceiver."""

    rts_on_send: Literal["high", "low"] = Field("high", description="Level of RTS while sending; the other one while listening.")
    delay_before_send_s: Annotated[float, Field(ge=0, le=0.1), DURATION] = Field(
        0.0, description="From the switch to the first bit, in whole milliseconds."
    )
    delay_after_send_s: Annotated[float, Field(ge=0, le=0.1), DURATION] = Field(
        0.0, description="From the last bit to the switch back, in whole milliseconds."
    )


class LinkItem(Record):
    """One connection that devices share: a device itself, a gateway with several unit ids, or a serial bus."""

    id: Id = Field(description="Name of the link.")
    type: Annotated[LinkType, Strict(False)] = Field(
        LinkType.MODBUS_TCP,
        description="Transport: Modbus/TCP, the same over TLS, RTU on a serial port, RTU frames over TCP; LoRaWAN; Zigbee.",
    )
    host: Reference | None = Field(None, description="Host name or address. Every type but modbus_rtu needs it.")
    port: int | None = Field(
        None, ge=1, le=65535, description="TCP port. Default: 502; of modbus_tls 802; of lorawan 8883, without TLS 1883."
    )
    device: Reference | None = Field(
        None,
        description="Serial port, for the types modbus_rtu and zigbee: a path such as /dev/ttyUSB0; for zigbee also socket://host:port.",
    )
    baudrate: int = Field(
        19200, ge=50, le=4_000_000, description="Bits per second of the serial port. Default of the type zigbee: 115200."
    )
    parity: Annotated[Parity, Strict(False)] = Field(Parity.EVEN, description="Parity of the serial port.")
    stop_bits: Literal[1, 2] = Field(1, description="Stop bits of the serial port; without parity most devices want 2.")
    byte_size: Literal[8] = Field(8, description="Data bits of the serial port; RTU frames take 8.")
    rs485: Rs485Item | None = Field(
        None,
        description="Have the serial port's driver switch the direction of a two-wire bus by RTS. Default: the adapter does it.",
    )
    local_echo: bool = Field(False, description="Whatever is sent comes back first, as on some RS-485 adapters (RTU only).")
    timeout_s: Annotated[float, Field(gt=0, le=60), DURATION] = Field(
        0.5, description="Longest wait for one answer; the time that its bytes take on a serial line comes on top."
    )
    connect_delay_s: Annotated[float, Field(ge=0, le=60), DURATION] = Field(
        0.0, description="Quiet time after connecting that some gateways need."
    )
    latency_s: Annotated[float, Field(gt=0, le=60), DURATION] | None = Field(
        None,
        description="Usual time from a request to its answer, by which `check` tells whether the link can keep up. Default: 10 ms; "
        "30 ms for modbus_rtu_tcp; on a serial port what its baud rate takes; 1 ms inside this machine.",
    )
    request_gap_s: Annotated[float, Field(ge=0, le=10), DURATION] = Field(0.0, description="Quiet time between two requests.")
    max_connections: int = Field(
        1, ge=1, le=16, description="Connections at a time that the other side allows and that are used; many gateways allow one."
    )
    max_registers: int = Field(125, ge=2, le=125, description="Most registers in one read.")
    write_function: Literal[6, 16] = Field(16, description="Function that writes a single register; several always go by 16.")
    any_unit: bool = Field(False, description="Accept answers that carry another unit id than the one asked.")
    tid_zero: bool = Field(False, description="Accept answers that carry transaction id 0.")
    tls: TlsItem | None = Field(None, description="Certificates, for the types modbus_tls and lorawan.")
    lorawan: LorawanItem | None = Field(None, description="The network server, for the type lorawan.")
    radio: Annotated[RadioKind, Strict(False)] | None = Field(
        None, description="Who makes the coordinator of the type zigbee: znp (Texas Instruments) or ezsp (Silicon Labs)."
    )
    flow_control: Literal["hardware", "software"] | None = Field(
        None, description="Flow control of the serial port of a Zigbee coordinator. Default: none."
    )
    isolated: bool = Field(
        False, description="The network of this link is closed to everybody else; silences the warning about plain writes."
    )


class DeviceItem(Record):
    """What every device has."""

    id: Id = Field(description="Name of the device.")
    link: Reference = Field(description="Link it answers on.")
    unit: UnitId = Field(1, description="Modbus unit id.")
    eui: Eui | None = Field(None, description="EUI-64 of a device on a radio link, in place of a unit id.")
    profile: Reference = Field(SUNSPEC, description="`sunspec`, or the id of a device profile.")
    base: int | None = Field(None, ge=0, le=65535, description="First register of the SunSpec chain. Default: searched.")


class MeterItem(DeviceItem):
    """A meter of what flows into a node."""

    node: Reference = Field(description="Node whose supply it measures.")
    phase_map: list[PhaseWord] | None = Field(
        None, description="Phases of the node that the meter's own L1, L2, L3 inputs are on. Default: [L1, L2, L3]."
    )
    sign: Literal[-1, 1] = Field(1, description="-1 where its current transformers look the other way.")
    instances: list[Reference] = Field(
        default_factory=list,
        max_length=3,
        description="Parts of a device with many circuits that this meter is made of: one group (`[group3]`), or up to three "
        "circuits, which become L1, L2, L3 in this order (`[circuit1, circuit3, circuit5]`). Default: the device as a whole.",
    )


class PortItem(Record):
    """One AC port of a MIM."""

    node: Reference | None = Field(None, description="Node it feeds. Default: the node of the MIM.")
    connection: ConnectionWord = Field(description="What it is wired to.")
    rating_va: Annotated[float, Positive, APPARENT_POWER] | None = Field(
        None, description="Largest apparent power of the port. Default: the rating of the MIM."
    )


class LossItem(Record):
    """Conversion losses of a MIM while enabled: standby + linear·Σ|s| + quadratic·Σ|s|²."""

    standby_w: Annotated[float, NotNegative, POWER] = Field(0.0, description="Losses at zero power.")
    linear_pct: Annotated[float, Field(ge=0, le=50), PERCENT] = Field(0.0, description="Losses in proportion to the power.")
    quadratic_per_va: Annotated[float, NotNegative, PER_POWER] = Field(
        0.0, description="Losses in proportion to the power squared, as a share per power."
    )


def _port_form(value: Any) -> str:
    return "full" if isinstance(value, dict | PortItem) else "short"


PortWord = Annotated[
    Annotated[ConnectionWord, Tag("short")] | Annotated[PortItem, Tag("full")],
    Discriminator(_port_form),
]


class LatencyItem(Record):
    """How late a MIM's medium makes it."""

    kind: Annotated[LatencyClass, Strict(False)] = Field(
        LatencyClass.FAST,
        alias="class",
        description="`fast`: wired, answers within a cycle. `medium`: a mesh radio, seconds. `slow`: a wide-area radio, minutes.",
    )
    delay_s: Annotated[float, Field(ge=0, le=600), DURATION] | None = Field(
        None, description="From writing a setpoint until the device begins to act on it. Default: 0 s, 2 s, 30 s by class."
    )
    command_every_s: Annotated[float, Field(ge=0, le=3600), DURATION] | None = Field(
        None, description="Least time between two commands, signs of life included. Default: every cycle, 5 s, 60 s by class."
    )
    report_every_s: Annotated[float, Field(ge=0, le=3600), DURATION] | None = Field(
        None, description="How often the device tells its state. Default: every cycle, 5 s, 60 s by class."
    )


class MimItem(DeviceItem):
    """A micro-inverter module: AC ports around one DC link."""

    node: Reference | None = Field(None, description="Node of every port that names none.")
    ports: list[PortWord] = Field(
        min_length=1,
        description="Its ports in the order of its register map: connections (`[L1, L2, L3]`), or `{node, connection, rating}`.",
    )
    rating_va: Annotated[float, Positive, APPARENT_POWER] | None = Field(
        None, description="Rating of every port that names none (of one port, not the sum)."
    )
    neutral_rating_a: Annotated[float, Positive, CURRENT] | None = Field(
        None, description="What its neutral conductor may carry. Default: the current of its largest single-phase port."
    )
    ramp_w_per_s: Annotated[float, Positive, POWER_RATE] | None = Field(
        None, description="How fast each port may be moved. Default: without limit."
    )
    losses: LossItem = Field(default_factory=LossItem, description="Its conversion losses.")
    validity_s: Annotated[float, Field(gt=0, le=3600), DURATION] = Field(
        10.0, description="How long a setpoint stands without refresh before the expiry action."
    )
    expiry_action: Annotated[ExpiryAction, Strict(False)] = Field(
        ExpiryAction.ZERO, description="What the device does when its setpoint is not refreshed in time."
    )
    accept_hold: bool = Field(
        False, description="Accept the expiry action `hold`: the device keeps its last setpoint for ever when mimctl is gone."
    )
    response_s: Annotated[float, Field(ge=0, le=600), DURATION] = Field(1.0, description="Time to reach 95 % of a step.")
    second_master: Annotated[SecondMaster, Strict(False)] | None = Field(
        None,
        description="When somebody else writes setpoints to it: `yield` leaves it alone until nobody else has written for 5 min; "
        "`insist` writes ours again, 5 times in 10 min at most, and then leaves it alone in the same way. Each time in a row it is "
        "left for twice as long, up to 1 h. Default: insist where the device counts its commands, as a SunSpec MIM does; elsewhere "
        "yield, but only at the second value that is not ours: a device may fall back to one value by itself.",
    )
    authority_pct: Annotated[float, Field(gt=0, le=100), PERCENT] | None = Field(
        None,
        description="Share of each port's rating that control may use. Default: 100 %; 25 % where the device has no failsafe: "
        "it would keep its last setpoint for ever when mimctl is gone. Naming a share accepts that.",
    )
    harmonic_filter: HarmonicFilterItem | None = Field(
        None, description="What it can do about harmonics; `{}` takes every default. Default: nothing."
    )
    latency: LatencyItem = Field(default_factory=LatencyItem, description="How late its medium makes it. Default: wired.")


class BatteryItem(Record):
    """Storage on the DC link of a MIM."""

    id: Id = Field(description="Name of the battery.")
    mim: Reference = Field(description="MIM whose DC link it is on.")
    capacity_wh: Annotated[float, Positive, ENERGY] = Field(description="Usable energy from empty to full.")
    max_charge_w: Annotated[float, Positive, POWER] = Field(description="Largest charging power.")
    max_discharge_w: Annotated[float, Positive, POWER] = Field(description="Largest discharging power.")
    reserve_pct: Share = Field(20.0, description="State of charge that control leaves untouched for backup.")
    max_soc_pct: Share = Field(95.0, description="State of charge where charging ends.")
    round_trip_efficiency_pct: Annotated[float, Field(gt=0, le=100), PERCENT] = Field(90.0, description="Energy out per energy in.")
