"""The profile of a Zigbee device."""

from __future__ import annotations

from dataclasses import dataclass

from mimctl.model.profile import DeviceClass, Provenance
from mimctl.model.zigbee import ZigbeeMap


@dataclass(frozen=True, slots=True)
class ToldAttribute:
    """What a device answers for one attribute.

    Args:
        kind: number of its data type.
    """

    endpoint: int
    cluster: int
    manufacturer: int | None
    attribute: int
    kind: int
    raw: int


@dataclass(frozen=True, slots=True)
class ZigbeeVector:
    """Attributes of a device and the values they stand for: the proof that a profile reads what it claims.

    Args:
        told: what the device has; it knows no other attribute.
        expect: (key, value in the unit of the quantity) pairs; None = the device gives no value.
    """

    name: str
    told: tuple[ToldAttribute, ...]
    expect: tuple[tuple[str, float | None], ...]


@dataclass(frozen=True, slots=True)
class ZigbeeProfile:
    """One profile file of a Zigbee device.

    Args:
        id: `vendor/model`, its path below `device_profiles/zigbee`.
        map: what it reports; of a MIM nothing, its cluster says it all.
    """

    id: str
    vendor: str
    models: tuple[str, ...]
    device_class: DeviceClass
    provenance: Provenance
    map: ZigbeeMap
    vectors: tuple[ZigbeeVector, ...] = ()
