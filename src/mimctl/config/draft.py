"""A site file on its way to a site: what could be read of it, also where its shape has errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimctl.config.schema import LoadItem, SiteFile
from mimctl.config.schema_devices import BatteryItem, LinkItem, MeterItem, MimItem, PortItem
from mimctl.config.schema_grid import FeedItem, NodeItem
from mimctl.config.schema_islands import IslandItem
from mimctl.config.schema_transfers import TransferItem
from mimctl.config.tree_view import TreeView, view_tree
from mimctl.model.address import SUNSPEC
from mimctl.model.connection import Connection
from mimctl.model.site import PortSpec, Zone

if TYPE_CHECKING:
    from mimctl.model.payload import PayloadProfile
    from mimctl.model.profile import DeviceProfile

#: the zone of a file that names none
DEFAULT_ZONE = "site"
DEFAULT_CYCLE_S = Zone(DEFAULT_ZONE, ()).cycle_s
#: sections that are lists of entries with an id
SECTIONS = ("links", "feeds", "nodes", "meters", "mims", "batteries", "zones", "rules", "transfers", "islands")


@dataclass(frozen=True)
class Draft:
    """The readable part of a site file.

    Args:
        file: the entries that could be read.
        data: the whole document.
        kept: by section (`twin.loads` too), the position in the document of every entry of `file`.
        folder: of the site file.
        spelt: top-level key → how the file misspells it.
    """

    file: SiteFile
    data: dict[str, Any]
    kept: dict[str, list[int]]
    folder: Path
    spelt: dict[str, str] = field(default_factory=dict)

    @cached_property
    def known(self) -> dict[str, set[str]]:
        """Ids of each section, those of unreadable entries included, so that references to them are no second error."""
        return {section: {str(entry["id"]) for entry in self.raw(section) if "id" in entry} for section in SECTIONS}

    @cached_property
    def radio_links(self) -> set[str]:
        """Ids of the links whose devices have no registers."""
        return {link.id for link in self.file.links if link.type.is_radio}

    @cached_property
    def tree(self) -> TreeView:
        return view_tree(self.file.nodes, self.file.site.voltage_ln_v)

    @cached_property
    def profiles(self) -> Mapping[str, DeviceProfile]:
        """The device profiles that are named, those without an error."""
        wired = (d for d in (*self.file.meters, *self.file.mims) if d.link not in self.radio_links)
        named = {device.profile for device in wired} - {SUNSPEC}
        named |= {item.profile for item in self.file.transfers if item.profile is not None}
        if not named:
            return {}  # reading profiles takes imports that a site without them need not wait for
        from mimctl.config.profiles.registers_profile import DEVICE_PROFILES

        return DEVICE_PROFILES.sound(named, self.folder)

    @cached_property
    def payloads(self) -> Mapping[str, PayloadProfile]:
        """The profiles of devices on radio links that are named, those without an error."""
        named = {device.profile for device in (*self.file.meters, *self.file.mims) if device.link in self.radio_links} - {SUNSPEC}
        if not named:
            return {}
        from mimctl.config.profiles.payload_profile import PAYLOAD_PROFILES

        return PAYLOAD_PROFILES.sound(named, self.folder)

    def raw(self, section: str) -> list[dict[str, Any]]:
        """The mappings of a section as the document has them, readable or not."""
        return [entry for entry in list_at(self.data, section) if isinstance(entry, dict)]

    def unclear(self, section: str, key: str) -> bool:
        """Whether something unreadable in a section may hold what seems to be missing: an entry whose `key` is no text."""
        given = self.data.get(section, [])
        return not isinstance(given, list) or any(not isinstance(e, dict) or not isinstance(e.get(key), str) for e in given)

    def path(self, section: str, position: int) -> str:
        top, dot, rest = section.partition(".")
        return f"{self.spelt.get(top, top)}{dot}{rest}[{self.kept[section][position]}]"

    def links(self) -> Iterator[tuple[str, LinkItem]]:
        return ((self.path("links", i), item) for i, item in enumerate(self.file.links))

    def feeds(self) -> Iterator[tuple[str, FeedItem]]:
        return ((self.path("feeds", i), item) for i, item in enumerate(self.file.feeds))

    def nodes(self) -> Iterator[tuple[str, NodeItem]]:
        return ((self.path("nodes", i), item) for i, item in enumerate(self.file.nodes))

    def meters(self) -> Iterator[tuple[str, MeterItem]]:
        return ((self.path("meters", i), item) for i, item in enumerate(self.file.meters))

    def mims(self) -> Iterator[tuple[str, MimItem]]:
        return ((self.path("mims", i), item) for i, item in enumerate(self.file.mims))

    def batteries(self) -> Iterator[tuple[str, BatteryItem]]:
        return ((self.path("batteries", i), item) for i, item in enumerate(self.file.batteries))

    def transfers(self) -> Iterator[tuple[str, TransferItem]]:
        return ((self.path("transfers", i), item) for i, item in enumerate(self.file.transfers))

    def islands(self) -> Iterator[tuple[str, IslandItem]]:
        return ((self.path("islands", i), item) for i, item in enumerate(self.file.islands))

    def loads(self) -> Iterator[tuple[str, LoadItem]]:
        return ((self.path("twin.loads", i), item) for i, item in enumerate(self.file.twin.loads))

    def ports(self) -> Iterator[tuple[str, MimItem, PortSpec]]:
        """Every port that is complete, the MIM's node and rating filled in."""
        for path, mim in self.mims():
            for i, port in enumerate(mim.ports):
                node, connection, rating_va = port_of(mim, port)
                if node is not None and rating_va is not None:
                    yield f"{path}.ports[{i}]", mim, PortSpec(node, connection, rating_va)

    @cached_property
    def node_path(self) -> dict[str, str]:
        return {item.id: path for path, item in self.nodes()}

    @cached_property
    def zone_heads(self) -> list[tuple[str, str, str]]:
        """(zone, path of the head, head) of every zone, the default zone included."""
        if not self.file.zones:
            return [(DEFAULT_ZONE, self.node_path[n.id], n.id) for n in self.file.nodes if n.parent is None]
        return [
            (zone.id, f"{self.path('zones', i)}.heads[{h}]", head)
            for i, zone in enumerate(self.file.zones)
            for h, head in enumerate(zone.heads)
        ]

    @cached_property
    def zone_of_node(self) -> dict[str, str]:
        """Zone of every node that is in one; the nearest head above decides."""
        heads = {head: zone for zone, _, head in reversed(self.zone_heads)}
        zones: dict[str, str] = {}
        for node in self.tree.order:
            parent = self.tree.nodes[node].parent
            zone = heads.get(node) or (zones.get(parent) if parent is not None else None)
            if zone is not None:
                zones[node] = zone
        return zones


def port_of(mim: MimItem, port: Connection | PortItem) -> tuple[str | None, Connection, float | None]:
    """Node, connection and rating [VA] of a port, each from the MIM where the port does not say."""
    if isinstance(port, PortItem):
        return port.node or mim.node, port.connection, mim.rating_va if port.rating_va is None else port.rating_va
    return mim.node, port, mim.rating_va


def whole(file: SiteFile, data: dict[str, Any], folder: Path) -> Draft:
    """The draft of a file without shape errors."""
    kept = {section: list(range(len(getattr(file, section)))) for section in SECTIONS}
    return Draft(file, data, kept | {"twin.loads": list(range(len(file.twin.loads)))}, folder)


def list_at(data: dict[str, Any], section: str) -> list[Any]:
    """The list of a section such as `nodes` or `twin.loads`, empty where there is none."""
    here: Any = data
    for key in section.split("."):
        here = here.get(key) if isinstance(here, dict) else None
    return here if isinstance(here, list) else []
