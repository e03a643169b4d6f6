"""Where a device answers, and what tells its register map."""

from __future__ import annotations

from dataclasses import dataclass

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
        eui: EUI-64 of a device on a radio link, 16 lower-case hexadecimal digits; empty elsewhere.
    """

    link: str
    unit: int
    profile: str = SUNSPEC
    base: int | None = None
    instances: tuple[str, ...] = ()
    eui: str = ""
