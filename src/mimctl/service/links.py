"""The real links of a site: Modbus transports, radio bridges, and the drivers of the devices behind them."""

from __future__ import annotations

from pathlib import Path

from mimctl.config.profiles.payload_profile import site_payload_profiles
from mimctl.config.profiles.registers_profile import DEVICE_PROFILES
from mimctl.config.profiles.zigbee_profile import site_zigbee_profiles
from mimctl.drivers.lorawan_group import lorawan_group
from mimctl.drivers.registry import LinkDevices, register_map_registry
from mimctl.drivers.write_budget import FileBudget
from mimctl.drivers.zigbee_group import zigbee_group
from mimctl.model.clock import Clock
from mimctl.model.link import Link, LinkType
from mimctl.model.profile import DeviceProfile
from mimctl.model.protocols import DriverGroup
from mimctl.model.site import Site
from mimctl.model.zigbee import RadioKind
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
    return DEVICE_PROFILES.of_site(site, lambda link: not link.type.is_radio)


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
        database = zigbee_database(site, devices.link)
        return zigbee_group(devices, site_zigbee_profiles(site), database, clock, site.control.max_data_age_s)

    budget = FileBudget(state_path(site.id) / BUDGET_FILE)
    registry = register_map_registry(transport, site_profiles(site), budget)
    registry.register(LinkType.LORAWAN, over_lorawan)
    registry.register(LinkType.ZIGBEE, over_zigbee)
    return registry.build_groups(site, clock)
