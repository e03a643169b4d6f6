"""Every device of a site as a register bank over one plant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mimctl.model.address import SUNSPEC, DeviceAddress
from mimctl.model.errors import UserError
from mimctl.model.layout import SiteLayout
from mimctl.model.profile import DeviceProfile
from mimctl.model.site import Meter
from mimctl.twin.meters import MeterBank, meter_kind
from mimctl.twin.mims import MimBank
from mimctl.twin.picture import World
from mimctl.twin.transfer_bank import TransferBank


@dataclass(frozen=True, slots=True)
class VirtualDevice:
    """One device of the twin. Meters that are parts of one device share its bank.

    Args:
        kind: for people: `meter 203`, `MIM, 3 ports`.
    """

    id: str
    address: DeviceAddress
    bank: MeterBank | MimBank | TransferBank
    kind: str


def virtual_devices(layout: SiteLayout, world: World, profiles: Mapping[str, DeviceProfile], seed: int) -> list[VirtualDevice]:
    """Meters, then MIMs, then transfer devices, in the order of the site file; those without registers are not among them.

    Args:
        profiles: every profile that the site names, by id.
        seed: of the measurement noise; every device has a stream of its own.

    Raises:
        UserError: a profile is missing, or a MIM has one: what its registers would do is known for the MIM protocol alone.
    """
    site, devices = layout.site, list[VirtualDevice]()
    radio = {link.id for link in site.links if link.type.is_radio}
    banks = _meter_banks(layout, world, profiles, seed)
    for meter in site.meters:
        if meter.address.link in radio:
            continue
        kind = meter_kind(meter, layout.nodes[layout.node_index[meter.node]])
        devices.append(VirtualDevice(meter.id, meter.address, banks[meter.id], kind))
    for m, mim in enumerate(site.mims):
        if mim.address.link in radio:
            continue
        if mim.address.profile != SUNSPEC:
            raise UserError(f"the twin has no virtual MIM for the profile '{mim.address.profile}' of {mim.id}")
        rng = np.random.default_rng([seed, 1, m])
        bank = MimBank(m, layout, world, rng)
        devices.append(VirtualDevice(mim.id, mim.address, bank, bank.kind))
    devices += transfer_devices(world, profiles, seed)
    return devices


def transfer_devices(world: World, profiles: Mapping[str, DeviceProfile], seed: int) -> Iterator[VirtualDevice]:
    """The transfer devices that can be asked.

    Raises:
        UserError: a profile is missing.
    """
    for t, switch in enumerate(world.plant.switches.devices):
        device = switch.device
        if device.address is None:
            continue
        profile = profiles.get(device.address.profile)
        if profile is None:
            raise UserError(f"{device.id} needs the profile '{device.address.profile}', which was not loaded")
        bank = TransferBank(switch, device.address, world, profile, np.random.default_rng([seed, 2, t]))
        yield VirtualDevice(device.id, device.address, bank, f"{device.kind.value} {profile.id}")


def _meter_banks(layout: SiteLayout, world: World, profiles: Mapping[str, DeviceProfile], seed: int) -> dict[str, MeterBank]:
    """By meter id. Those at one address are parts of one device and share its registers."""
    groups: dict[tuple[str, int], list[tuple[int, Meter]]] = {}
    radio = {link.id for link in layout.site.links if link.type.is_radio}
    for n, meter in enumerate(layout.site.meters):
        if meter.address.link in radio:
            continue
        name = meter.address.profile
        if name != SUNSPEC and name not in profiles:
            raise UserError(f"meter {meter.id} needs the profile '{name}', which was not loaded")
        groups.setdefault((meter.address.link, meter.address.unit), []).append((n, meter))
    banks: dict[str, MeterBank] = {}
    for group in groups.values():
        rngs = [np.random.default_rng([seed, 0, n]) for n, _ in group]
        bank = MeterBank([meter for _, meter in group], layout, world, rngs, profiles)
        banks |= {meter.id: bank for _, meter in group}
    return banks
