"""Every device of a site as a register bank over one plant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mimctl.model.errors import UserError
from mimctl.model.layout import SiteLayout
from mimctl.model.profile import DeviceProfile
from mimctl.model.site import SUNSPEC, DeviceAddress
from mimctl.twin.meters import MeterBank
from mimctl.twin.mims import MimBank
from mimctl.twin.picture import World


@dataclass(frozen=True, slots=True)
class VirtualDevice:
    """One device of the twin. `kind` is for people: `meter 203`, `MIM, 3 ports`."""

    id: str
    address: DeviceAddress
    bank: MeterBank | MimBank

    @property
    def kind(self) -> str:
        return self.bank.kind


def virtual_devices(layout: SiteLayout, world: World, profiles: Mapping[str, DeviceProfile], seed: int) -> list[VirtualDevice]:
    """Meters, then MIMs, in the order of the site file.

    Args:
        profiles: every profile that the site names, by id.
        seed: of the measurement noise; every device has a stream of its own.

    Raises:
        UserError: a profile is missing, or a MIM has one: what its registers would do is known for the MIM protocol alone.
    """
    site, devices = layout.site, list[VirtualDevice]()
    for n, meter in enumerate(site.meters):
        name = meter.address.profile
        if name != SUNSPEC and name not in profiles:
            raise UserError(f"meter {meter.id} needs the profile '{name}', which was not loaded")
        rng = np.random.default_rng([seed, 0, n])
        devices.append(VirtualDevice(meter.id, meter.address, MeterBank(meter, layout, world, rng, profiles.get(name))))
    for m, mim in enumerate(site.mims):
        if mim.address.profile != SUNSPEC:
            raise UserError(f"the twin has no virtual MIM for the profile '{mim.address.profile}' of {mim.id}")
        rng = np.random.default_rng([seed, 1, m])
        devices.append(VirtualDevice(mim.id, mim.address, MimBank(m, layout, world, rng)))
    return devices
