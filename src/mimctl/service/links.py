"""The real links of a site: Modbus transports and the drivers of the devices behind them."""

from __future__ import annotations

from mimctl.config.profile import find_profile, load_profile
from mimctl.drivers.registry import build_groups
from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.model.profile import DeviceProfile
from mimctl.model.protocols import DriverGroup
from mimctl.model.site import SUNSPEC, Link, Site
from mimctl.wire.modbus import ModbusLink


def site_profiles(site: Site) -> dict[str, DeviceProfile]:
    """Every device profile that the site names, by id.

    Raises:
        UserError: one is nowhere to be found.
        ConfigError: one is wrong.
    """
    addresses = [meter.address for meter in site.meters] + [mim.address for mim in site.mims]
    named = {address.profile for address in addresses} - {SUNSPEC}
    beside = site.file.parent if site.file is not None else None
    profiles = {}
    for name in sorted(named):
        path = find_profile(name, beside)
        if path is None:
            raise UserError(f"device profile '{name}' not found beside the site file nor among the packaged ones")
        profiles[name] = load_profile(path)
    return profiles


def open_groups(site: Site, clock: Clock) -> list[DriverGroup]:
    """The drivers of a site over its real links; nothing is connected yet."""

    def transport(link: Link) -> ModbusLink:
        return ModbusLink(link, clock)

    return build_groups(site, transport, site_profiles(site), clock)
