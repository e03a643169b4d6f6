"""The real links of a site: Modbus transports and the drivers of the devices behind them."""

from __future__ import annotations

from mimctl.config.profile import find_profile, load_profile
from mimctl.drivers.registry import build_groups
from mimctl.drivers.write_budget import FileBudget
from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.model.link import Link
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
    """The drivers of a site over its real links; nothing is connected yet.

    Writes to wearing memory are counted in the site's state directory, whichever command makes them.
    """

    def transport(link: Link) -> ModbusLink:
        return ModbusLink(link, clock)

    budget = FileBudget(state_path(site.id) / BUDGET_FILE)
    return build_groups(site, transport, site_profiles(site), clock, budget)
