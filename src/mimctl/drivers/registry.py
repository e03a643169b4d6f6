"""From a site to its drivers: one group per link, made by whoever registered for that kind of link."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mimctl.drivers.discovery import MapSource, ProfileSource, SunSpecSource
from mimctl.drivers.register_device import RegisterDevice
from mimctl.drivers.register_mim import RegisterMim
from mimctl.drivers.write_budget import BudgetStore, MemoryBudget
from mimctl.model.address import SUNSPEC, DeviceAddress
from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.model.link import Link, LinkType
from mimctl.model.profile import DeviceClass, DeviceProfile
from mimctl.model.protocols import Driver, DriverGroup, Tended
from mimctl.model.reads import SLOW_PERIOD_S
from mimctl.model.site import Meter, Mim, Site
from mimctl.model.transfer import Transfer
from mimctl.wire.sunspec_device import wanted_class
from mimctl.wire.transport import Transport


@dataclass(frozen=True, slots=True)
class LinkDevices:
    """A link of the site and what answers on it."""

    link: Link
    meters: tuple[Meter, ...]
    mims: tuple[Mim, ...]
    transfers: tuple[Transfer, ...] = ()


#: makes the drivers of one link
GroupFactory = Callable[[LinkDevices, Clock], DriverGroup]
TransportFactory = Callable[[Link], Transport]


class Registry:
    """Which factory serves which kind of link. The service fills it with real links, a simulation with its plant."""

    def __init__(self) -> None:
        self._factories: dict[str, GroupFactory] = {}

    def register(self, kind: str, factory: GroupFactory) -> None:
        """`kind` as in the site file; a later registration replaces an earlier one."""
        self._factories[kind] = factory

    def build_groups(self, site: Site, clock: Clock) -> list[DriverGroup]:
        """One group for every link that has a device, in the order of the site file.

        Raises:
            UserError: a link is of a kind that nobody registered for.
        """
        return [self._factory(devices.link)(devices, clock) for devices in devices_by_link(site)]

    def _factory(self, link: Link) -> GroupFactory:
        factory = self._factories.get(link.type)
        if factory is None:
            known = ", ".join(sorted(self._factories)) or "none"
            raise UserError(f"link '{link.id}' is of type '{link.type}', which no driver serves (there are: {known})")
        return factory


def devices_by_link(site: Site) -> list[LinkDevices]:
    found = [
        LinkDevices(
            link,
            tuple(m for m in site.meters if m.address.link == link.id),
            tuple(m for m in site.mims if m.address.link == link.id),
            tuple(t for t in site.transfers if t.address is not None and t.address.link == link.id),
        )
        for link in site.links
    ]
    return [d for d in found if d.meters or d.mims or d.transfers]


def register_map_registry(
    make_transport: TransportFactory, profiles: Mapping[str, DeviceProfile], budget: BudgetStore | None = None
) -> Registry:
    """A registry that serves every link whose devices have registers.

    Args:
        profiles: every profile that the site names, by id.
        budget: counts the writes of registers with wearing memory; None = only for the life of the process.
    """

    def factory(devices: LinkDevices, clock: Clock) -> DriverGroup:
        return register_group(devices, make_transport(devices.link), profiles, clock, budget)

    registry = Registry()
    for kind in (LinkType.MODBUS_TCP, LinkType.MODBUS_TLS, LinkType.MODBUS_RTU, LinkType.MODBUS_RTU_TCP):
        registry.register(kind, factory)
    return registry


def build_groups(
    site: Site,
    make_transport: TransportFactory,
    profiles: Mapping[str, DeviceProfile],
    clock: Clock,
    budget: BudgetStore | None = None,
) -> list[DriverGroup]:
    """The drivers of a site over real links."""
    return register_map_registry(make_transport, profiles, budget).build_groups(site, clock)


@dataclass(frozen=True, eq=False)
class RegisterGroup:
    """The devices behind one transport. Implements `model.protocols.DriverGroup`."""

    transport: Transport
    drivers: Mapping[str, Driver] = field(default_factory=dict)

    @property
    def link(self) -> str:
        return self.transport.link

    async def open(self) -> None:
        await self.transport.open()

    async def close(self) -> None:
        await self.transport.close()

    def background(self) -> Sequence[asyncio.Task[Any]]:
        """What keeps the link up."""
        return self.transport.background() if isinstance(self.transport, Tended) else ()


def register_group(
    devices: LinkDevices,
    transport: Transport,
    profiles: Mapping[str, DeviceProfile],
    clock: Clock,
    budget: BudgetStore | None = None,
) -> RegisterGroup:
    """The drivers behind one link, in the order in which they are read."""
    most = devices.link.max_registers
    shared = MemoryBudget() if budget is None else budget
    drivers: list[Driver] = [_transfer_driver(t, transport, profiles, clock, most) for t in devices.transfers]
    for device in reading_order(devices):
        wanted = DeviceClass.MIM if isinstance(device, Mim) else DeviceClass.METER
        how = Reading(transport, source_of(device.address, wanted, profiles, most), clock, most)
        drivers.append(_mim_driver(device, how, shared) if isinstance(device, Mim) else _meter_driver(device, how))
    return RegisterGroup(transport, {d.device: d for d in drivers})


def reading_order(devices: LinkDevices) -> Iterator[Meter | Mim]:
    """Each meter, and behind it the MIMs at its node: what is subtracted from each other is measured close together."""
    waiting = list(devices.mims)
    for meter in devices.meters:
        yield meter
        near = [mim for mim in waiting if mim.ports[0].node == meter.node]
        waiting = [mim for mim in waiting if mim not in near]
        yield from near
    yield from waiting


@dataclass(frozen=True, slots=True)
class Reading:
    """How one device is read."""

    transport: Transport
    source: MapSource
    clock: Clock
    max_registers: int


def _meter_driver(meter: Meter, how: Reading) -> Driver:
    return RegisterDevice(
        meter.id,
        how.transport,
        meter.address.unit,
        source=how.source,
        clock=how.clock,
        max_registers=how.max_registers,
        slow_period_s=SLOW_PERIOD_S,
    )


def _transfer_driver(
    transfer: Transfer, transport: Transport, profiles: Mapping[str, DeviceProfile], clock: Clock, max_registers: int
) -> Driver:
    if transfer.address is None:
        raise ValueError(f"{transfer.id} is no device that can be asked")
    source = source_of(transfer.address, DeviceClass.METER, profiles, max_registers)
    return RegisterDevice(
        transfer.id,
        transport,
        transfer.address.unit,
        source=source,
        clock=clock,
        max_registers=max_registers,
        slow_period_s=SLOW_PERIOD_S,
    )


def _mim_driver(mim: Mim, how: Reading, budget: BudgetStore) -> Driver:
    return RegisterMim(
        mim,
        how.transport,
        source=how.source,
        clock=how.clock,
        max_registers=how.max_registers,
        slow_period_s=SLOW_PERIOD_S,
        budget=budget,
    )


def source_of(address: DeviceAddress, wanted: DeviceClass, profiles: Mapping[str, DeviceProfile], max_registers: int) -> MapSource:
    """Where the register map of a device comes from: its own chain, with what the profile says of it, or the profile alone.

    Raises:
        UserError: the profile is not among those that were loaded.
    """
    if address.profile == SUNSPEC:
        return SunSpecSource(wanted, address.base, max_registers)
    profile = profiles.get(address.profile)
    if profile is None:
        raise UserError(f"profile '{address.profile}' was not loaded{_known(profiles)}")
    if profile.chain is None:
        return ProfileSource(profile, address.instances)
    kind = wanted if wanted is DeviceClass.MIM else wanted_class(profile)
    return SunSpecSource(kind, address.base, max_registers, profile)


def _known(profiles: Iterable[str]) -> str:
    names = ", ".join(sorted(profiles))
    return f" (there are: {names})" if names else ""
