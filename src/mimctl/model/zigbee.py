"""Zigbee in plain words: the coordinator that a link leads to, and where a device's values stand in its clusters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: numbers of the cluster library by the names of their data types
ZCL_TYPES: dict[str, int] = {
    "boolean": 0x10,
    **{f"bitmap{8 * n}": 0x17 + n for n in range(1, 9)},
    **{f"uint{8 * n}": 0x1F + n for n in range(1, 9)},
    **{f"int{8 * n}": 0x27 + n for n in range(1, 9)},
    "enum8": 0x30,
    "enum16": 0x31,
}
#: what most coordinators are set to [bit/s]
ZIGBEE_BAUDRATE = 115200


class RadioKind(StrEnum):
    """Who makes the coordinator, and so its serial protocol. TWIN is the coordinator of a digital twin on this machine."""

    ZNP = "znp"
    EZSP = "ezsp"
    TWIN = "twin"


@dataclass(frozen=True, slots=True)
class ZigbeeRadio:
    """A coordinator.

    Args:
        device: path of its serial port, or `socket://host:port`.
        flow_control: `hardware`, `software` or None.
    """

    kind: RadioKind
    device: str
    baudrate: int = ZIGBEE_BAUDRATE
    flow_control: str | None = None


def twin_radio(host: str, port: int) -> ZigbeeRadio:
    """The coordinator of a digital twin that is served there."""
    return ZigbeeRadio(RadioKind.TWIN, f"socket://{host}:{port}")


@dataclass(frozen=True, slots=True)
class ZigbeePoint:
    """One value: raw × scale × sign × multiplier / divisor, in the unit of its quantity.

    Args:
        key: point key of `model.quantity`.
        manufacturer: code of a maker's own attribute; None = standard.
        multiplier, divisor: ids of attributes of the same cluster; None = 1.
        sign: −1 turns the device's direction into mimctl's.
        absent: raw values that mean “no value”, besides the pattern that the cluster library has for its data type.
        least_s, most_s: a change is reported not sooner, an unchanged value at least so often [s].
        change: smaller changes wait for the next regular report, in the unit of the quantity.
    """

    key: str
    cluster: int
    attribute: int
    endpoint: int = 1
    manufacturer: int | None = None
    scale: float = 1.0
    multiplier: int | None = None
    divisor: int | None = None
    sign: int = 1
    absent: tuple[int, ...] = ()
    least_s: float = 1.0
    most_s: float = 60.0
    change: float = 0.0


@dataclass(frozen=True, slots=True)
class ZigbeeMap:
    """Everything that mimctl reads from one device over Zigbee.

    Args:
        commands: it has the MIM cluster and takes setpoints.
    """

    points: tuple[ZigbeePoint, ...]
    commands: bool = False
