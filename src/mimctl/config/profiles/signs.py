"""Which way a device counts: the one place where its conventions are turned into mimctl's."""

from __future__ import annotations

from mimctl.config.profiles.schema import ConventionsItem
from mimctl.model.profile import DeviceClass


def convention_sign(conventions: ConventionsItem, key: str, device_class: DeviceClass = DeviceClass.METER) -> int:
    """+1 or −1 from the device's direction to mimctl's: load and inductive load are positive, at what injects the opposite."""
    quantity = key.partition(".")[0]
    turned = -1 if device_class.injects else 1
    if quantity == "active_power":
        return turned if conventions.active_power == "load_positive" else -turned
    if quantity == "reactive_power":
        return turned if conventions.reactive_power == "inductive_load_positive" else -turned
    if quantity in ("battery_power", "battery_current"):
        return 1 if conventions.battery_power == "discharge_positive" else -1
    return 1
