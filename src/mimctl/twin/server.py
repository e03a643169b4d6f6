"""The twin on the network and on serial ports: one Modbus server for each link of the site."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mimctl.config.profiles.payload_profile import site_payload_profiles
from mimctl.config.profiles.zigbee_profile import site_zigbee_profiles
from mimctl.model.clock import Clock
from mimctl.model.layout import SiteLayout
from mimctl.model.link import Link, LinkType, TlsFiles
from mimctl.model.profile import DeviceProfile
from mimctl.model.site import Site
from mimctl.model.tasks import end_tasks
from mimctl.model.zigbee import twin_radio
from mimctl.twin.devices import VirtualDevice, virtual_devices
from mimctl.twin.lorawan import LorawanTwin
from mimctl.twin.picture import World
from mimctl.twin.plant import Plant
from mimctl.twin.reach import ReachedBank
from mimctl.twin.wireless import WirelessDevice
from mimctl.twin.zigbee import TwinAir
from mimctl.wire.modbus_answers import RegisterBank
from mimctl.wire.modbus_server import ModbusServer
from mimctl.wire.rtu_server import RtuPtyServer, RtuTcpServer, Server
from mimctl.wire.tls import ThrowawayPki, make_throwaway_pki, server_context
from mimctl.wire.zigbee.air_socket import AirServer

LOOPBACK = "127.0.0.1"
#: what is spoken at an address, where it is not plain Modbus
_SPOKEN = {
    LinkType.MODBUS_TLS: " TLS",
    LinkType.MODBUS_RTU_TCP: " RTU",
    LinkType.ZIGBEE: " Zigbee",
    LinkType.LORAWAN: " MQTT over TLS",
}
#: how often the plant moves on when nobody looks: batteries and temperatures want short steps
_STEP_S = 0.1


class TwinServer:
    """Serves every device of a site over a plant.

    A TLS link is served with `server.pem` and `server.key` beside the CA that the site file names, if they are there;
    otherwise with a throw-away PKI made for this run.

    A serial link is served on a pseudo-terminal. Where its device is a path that does not exist yet in a directory of one's own,
    the pseudo-terminal is found there too, so that the site file can be used as it is.

    Args:
        plant: lives by `clock` from the moment the server is made.
        profiles: every profile that the site names, by id.
        free_ports: on any free port of 127.0.0.1, whatever the site file says. Addresses that are not of this machine's
            loopback are served so in any case.
        seed: of the measurement noise; None = that of the site's twin.
    """

    def __init__(
        self,
        site: Site,
        plant: Plant,
        clock: Clock,
        *,
        profiles: Mapping[str, DeviceProfile] | None = None,
        free_ports: bool = False,
        seed: int | None = None,
    ) -> None:
        self._site = site
        self._clock = clock
        self._free_ports = free_ports
        self.world = World(plant, clock)
        layout: SiteLayout = plant.layout
        self.devices: list[VirtualDevice] = virtual_devices(
            layout, self.world, profiles or {}, site.twin.seed if seed is None else seed
        )
        self._airs = self._zigbee(site.twin.seed if seed is None else seed)
        #: devices without registers
        self.wireless: list[WirelessDevice] = [device for air in self._airs.values() for device in air.devices]
        self._wide: dict[str, LorawanTwin] = {}
        self._wide_links: dict[str, Link] = {}
        self._servers: dict[str, Server | AirServer] = {}
        self._addresses: dict[str, tuple[str, int]] = {}
        self._ports: dict[str, str] = {}
        self._client_files: dict[str, TlsFiles] = {}
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._own_pki: ThrowawayPki | None = None
        self._pump: asyncio.Task[None] | None = None

    def _zigbee(self, seed: int) -> dict[str, TwinAir]:
        links = [link for link in self._site.links if link.type is LinkType.ZIGBEE]
        profiles = site_zigbee_profiles(self._site) if links else {}
        return {link.id: TwinAir(link, self.world.plant.layout, self.world, seed, profiles) for link in links}

    @property
    def addresses(self) -> dict[str, tuple[str, int]]:
        """Host and port of each network link that has a device, by link id."""
        return dict(self._addresses)

    @property
    def serial_ports(self) -> dict[str, str]:
        """Path of the pseudo-terminal of each serial link that has a device, by link id."""
        return dict(self._ports)

    def where(self, link: str) -> str:
        """Where a link that has a device is served, for people."""
        if link in self._ports:
            return self._ports[link]
        host, port = self._addresses[link]
        kinds = {each.id: each.type for each in self._site.links}
        return f"{host}:{port}{_SPOKEN.get(kinds[link], '')}"

    @property
    def client_files(self) -> dict[str, TlsFiles]:
        """What a client of each TLS link must show, by link id."""
        return dict(self._client_files)

    @property
    def site(self) -> Site:
        """The site with its links pointing here: what a service needs to talk to this twin."""
        return replace(self._site, links=tuple(self._moved(link) for link in self._site.links))

    async def start(self) -> None:
        """Serve every link.

        Raises:
            Unreachable: an address cannot be had; nothing is left behind.
            UserError: the TLS files of a link are unusable.
        """
        try:
            for link in self._site.links:
                await self._serve(link)
        except BaseException:
            await self.stop()
            raise
        self._pump = asyncio.create_task(self._live(), name="twin plant")

    async def stop(self) -> None:
        """Close every server and connection."""
        pump, self._pump = self._pump, None
        if pump is not None:
            await end_tasks(pump)
        await asyncio.gather(*(server.stop() for server in self._servers.values()))
        await asyncio.gather(*(wide.stop() for wide in self._wide.values()))
        self._servers, self._addresses, self._ports, self._wide = {}, {}, {}, {}
        directory, self._directory, self._own_pki = self._directory, None, None
        if directory is not None:
            directory.cleanup()

    async def __aenter__(self) -> TwinServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self, link: Link) -> None:
        if link.id in self._airs:
            coordinator = AirServer(self._airs[link.id].air)
            self._addresses[link.id] = await coordinator.start()
            self._servers[link.id] = coordinator
            return
        if link.type is LinkType.LORAWAN:
            await self._serve_lorawan(link)
            return
        units = self._units(link)
        if not units:
            return
        if link.type is LinkType.MODBUS_RTU:
            port = RtuPtyServer(units, self._alias(link))
            self._ports[link.id] = await port.start()
            self._servers[link.id] = port
            return
        at = (link.host, link.port) if not self._free_ports and is_loopback(link.host) else (LOOPBACK, 0)
        over_tcp = link.type is LinkType.MODBUS_RTU_TCP
        server = RtuTcpServer(*at, units) if over_tcp else ModbusServer(*at, units, self._tls_of(link))
        self._addresses[link.id] = await server.start()
        self._servers[link.id] = server

    async def _serve_lorawan(self, link: Link) -> None:
        layout, seed = self.world.plant.layout, self._site.twin.seed
        wide = LorawanTwin(link, layout, self.world, self._clock, site_payload_profiles(self._site), seed=seed)
        here = not self._free_ports and is_loopback(link.host)
        api_port = link.lorawan.api_port if link.lorawan is not None and here else 0
        self._wide[link.id] = wide
        moved = await wide.start(link.port if here else 0, api_port)
        self._wide_links[link.id] = moved
        self._addresses[link.id] = (moved.host, moved.port)
        if moved.tls is not None:
            self._client_files[link.id] = moved.tls
        self.wireless += [mim.device for mim in wide.mims]

    def _units(self, link: Link) -> dict[int, RegisterBank]:
        """By unit id, the devices of a link as far as they can be reached."""
        here = [d for d in self.devices if d.address.link == link.id]
        names: dict[int, list[str]] = {}
        for device in here:
            names.setdefault(device.address.unit, []).append(device.id)
        instruments = self.world.plant.instruments
        return {d.address.unit: ReachedBank(d.bank, tuple(names[d.address.unit]), instruments) for d in here}

    def _alias(self, link: Link) -> Path | None:
        """The path that the site file names, if the pseudo-terminal may have it."""
        if self._free_ports or link.serial is None:
            return None
        wanted = Path(link.serial.device)
        free = not wanted.exists() and wanted.parent.is_dir() and os.access(wanted.parent, os.W_OK)
        return wanted if free and not wanted.is_relative_to("/dev") else None

    def _tls_of(self, link: Link) -> ssl.SSLContext | None:
        if link.type is not LinkType.MODBUS_TLS:
            return None
        if link.tls is not None and (link.tls.ca.parent / "server.key").is_file():
            beside = link.tls.ca.parent
            self._client_files[link.id] = link.tls
            return server_context(TlsFiles(link.tls.ca, beside / "server.pem", beside / "server.key"))
        pki = self._throwaway()
        self._client_files[link.id] = pki.client
        return server_context(pki.server)

    def _throwaway(self) -> ThrowawayPki:
        if self._own_pki is None:
            self._directory = tempfile.TemporaryDirectory(prefix="mimctl-twin-")
            self._own_pki = make_throwaway_pki(Path(self._directory.name))
        return self._own_pki

    def _moved(self, link: Link) -> Link:
        if link.id in self._wide_links:
            return self._wide_links[link.id]
        if link.id in self._ports and link.serial is not None:
            return replace(link, serial=replace(link.serial, device=self._ports[link.id]))
        if link.id not in self._addresses:
            return link
        host, port = self._addresses[link.id]
        if link.id in self._airs:
            return replace(link, zigbee=twin_radio(host, port))
        return replace(link, host=host, port=port, tls=self._client_files.get(link.id, link.tls))

    async def _live(self) -> None:
        while True:
            self.world.advance()
            for air in self._airs.values():
                air.tick(self._clock.monotonic_s())
            for wide in self._wide.values():
                wide.tick(self._clock.monotonic_s())
            await self._clock.sleep_until(self._clock.monotonic_s() + _STEP_S)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False
