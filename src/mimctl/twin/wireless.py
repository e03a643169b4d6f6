"""A device of the twin that has no registers."""

from __future__ import annotations

from dataclasses import dataclass

from mimctl.model.address import DeviceAddress


@dataclass(frozen=True, slots=True)
class WirelessDevice:
    """One device of the twin without registers, for people."""

    id: str
    address: DeviceAddress
    kind: str
