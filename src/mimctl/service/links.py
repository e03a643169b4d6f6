"""The real links of a site: Modbus transports, radio bridges, and the drivers of the devices behind them."""

from __future__ import annotations

from pathlib import Path

from mimctl.config.payload import find_payload_profile, load_payload_profile
from mimctl.config.profile import find_profile, load_profile
from mimctl.drivers.lorawan_group import lorawan_group
from mimctl.drivers.registry import LinkDevices, register_map_registry
from mimctl.drivers.write_budget import FileBudget
from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.model.link import Link, LinkType
from mimctl.model.payload import PayloadProfile
from mimctl.model.profile import DeviceProfile
from mimctl.model.protocols import DriverGroup
from mimctl.model.site import SUNSPEC, Site
from mimctl.service.state_dir import state_path
from mimctl.wire.modbus import ModbusLink

#: in the site's state directory: writes of the day to registers with wearing memory
BUDGET_FILE = "write_budget.json"


def site_profiles(site: Site) -> dict[str, DeviceProfile]:
    """Every device profile that the site names, by id.

    Raises:
        UserError: one is nowhere to be found.
        ConfigError: one is wrong.
    """
    addresses = [meter.address for meter in site.meters] + [mim.address for mim in site.mims]
    addresses += [transfer.address for transfer in site.transfers if transfer.address is not None]
    radio = {link.id for link in site.links if link.type.is_radio}
    named = {address.profile for address in addresses if address.link not in radio} - {SUNSPEC}
    beside = site.file.parent if site.file is not None else None
    profiles = {}
    for name in sorted(named):
        path = find_profile(name, beside)
        if path is None:
            raise UserError(f"device profile '{name}' not found beside the site file nor among the packaged ones")
        profiles[name] = load_profile(path)
    return profiles


def lorawan_profiles(site: Site) -> dict[str, PayloadProfile]:
    """Every profile of payloads that the site names, by id.

    Raises:
        UserError: one is nowhere to be found.
        ConfigError: one is wrong.
    """
    links = {link.id for link in site.links if link.type is LinkType.LORAWAN}
    addresses = [meter.address for meter in site.meters] + [mim.address for mim in site.mims]
    named = {address.profile for address in addresses if address.link in links}
    beside = site.file.parent if site.file is not None else None
    profiles = {}
    for name in sorted(named):
        path = find_payload_profile(name, beside)
        if path is None:
            raise UserError(f"profile '{name}' of payloads not found beside the site file nor among the packaged ones")
        profiles[name] = load_payload_profile(path)
    return profiles


def open_groups(site: Site, clock: Clock) -> list[DriverGroup]:
    """The drivers of a site over its real links; nothing is connected yet.

    Writes to wearing memory are counted in the site's state directory, whichever command makes them.
    """

    def transport(link: Link) -> ModbusLink:
        return ModbusLink(link, clock)

    def over_lorawan(devices: LinkDevices, clock: Clock) -> DriverGroup:
        return lorawan_group(devices, lorawan_profiles(site), clock, site.frequency_hz)

    budget = FileBudget(state_path(site.id) / BUDGET_FILE)
    registry = register_map_registry(transport, site_profiles(site), budget)
    registry.register(LinkType.LORAWAN, over_lorawan)
    return registry.build_groups(site, clock)
