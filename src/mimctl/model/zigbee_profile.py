"""The profile of a Zigbee device."""

from __future__ import annotations

from dataclasses import dataclass

from mimctl.model.profile import DeviceClass, Provenance
from mimctl.model.zigbee import ZigbeeMap


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
