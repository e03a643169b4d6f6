"""The real links of a site: Modbus transports, radio bridges, and the drivers of the devices behind them."""

from __future__ import annotations

from pathlib import Path

from mimctl.config.payload import site_payload_profiles
from mimctl.config.profile import find_profile, load_profile
from mimctl.config.zigbee_profile import find_zigbee_profile, load_zigbee_profile
from mimctl.drivers.lorawan_group import lorawan_group
from mimctl.drivers.registry import LinkDevices, register_map_registry
from mimctl.drivers.write_budget import FileBudget
from mimctl.drivers.zigbee_group import zigbee_group
from mimctl.model.address import SUNSPEC
from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.model.link import Link, LinkType
from mimctl.model.profile import DeviceProfile
from mimctl.model.protocols import DriverGroup
from mimctl.model.site import Site
from mimctl.model.zigbee import RadioKind
from mimctl.model.zigbee_profile import ZigbeeProfile
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


def zigbee_profiles(site: Site) -> dict[str, ZigbeeProfile]:
    """Every Zigbee profile that the site names, by id. Raises as `site_profiles`."""
    links = {link.id for link in site.links if link.type is LinkType.ZIGBEE}
    addresses = [meter.address for meter in site.meters] + [mim.address for mim in site.mims]
    beside = site.file.parent if site.file is not None else None
    profiles = {}
    for name in sorted({address.profile for address in addresses if address.link in links}):
        path = find_zigbee_profile(name, beside)
        if path is None:
            raise UserError(f"Zigbee profile '{name}' not found beside the site file nor among the packaged ones")
        profiles[name] = load_zigbee_profile(path)
    return profiles


def zigbee_database(site: Site, link: Link) -> Path:
    """Where the coordinator's devices and backups are kept; a twin's never beside a real one's."""
    twin = link.zigbee is not None and link.zigbee.kind is RadioKind.TWIN
    return state_path(site.id) / f"zigbee-{link.id}{'-twin' if twin else ''}.db"


def open_groups(site: Site, clock: Clock) -> list[DriverGroup]:
    """The drivers of a site over its real links; nothing is connected yet.

    Writes to wearing memory are counted in the site's state directory, whichever command makes them.
    """

    def transport(link: Link) -> ModbusLink:
        return ModbusLink(link, clock)

    def over_lorawan(devices: LinkDevices, clock: Clock) -> DriverGroup:
        return lorawan_group(devices, site_payload_profiles(site), clock, site.frequency_hz)

    def over_zigbee(devices: LinkDevices, clock: Clock) -> DriverGroup:
        return zigbee_group(devices, zigbee_profiles(site), zigbee_database(site, devices.link), clock, site.control.max_data_age_s)

    budget = FileBudget(state_path(site.id) / BUDGET_FILE)
    registry = register_map_registry(transport, site_profiles(site), budget)
    registry.register(LinkType.LORAWAN, over_lorawan)
    registry.register(LinkType.ZIGBEE, over_zigbee)
    return registry.build_groups(site, clock)
