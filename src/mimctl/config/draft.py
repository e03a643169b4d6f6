"""A site file on its way to a site: what could be read of it, also where its shape has errors."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mimctl.config.annotations import known_keys
from mimctl.config.schema import LoadItem, SiteFile
from mimctl.config.schema_devices import BatteryItem, LinkItem, MeterItem, MimItem, PortItem
from mimctl.config.schema_grid import FeedItem, NodeItem
from mimctl.config.tree_view import TreeView, view_tree
from mimctl.config.validate import loc_in_data, meant_key
from mimctl.model.connection import Connection
from mimctl.model.site import PortSpec

#: sections that are lists of entries with an id
SECTIONS = ("links", "feeds", "nodes", "meters", "mims", "batteries", "zones", "rules")
#: what stands in for a broken value, so that the rest of its entry can still be checked
_STAND_INS: dict[str, dict[str, Any]] = {"nodes": {"rating_a": float("inf"), "kind": "branch"}}
#: optional keys without which an entry would mean something else
_VITAL = {"nodes": {"parent", "phases", "neutral", "transformer"}, "mims": {"node", "rating", "rating_va"}, "rules": {"zones"}}
_NO_HEAD = {"id": "unknown", "voltage_ln_v": float("inf")}


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
    def tree(self) -> TreeView:
        return view_tree(self.file.nodes, self.file.site.voltage_ln_v)

    def raw(self, section: str) -> list[dict[str, Any]]:
        """The mappings of a section as the document has them, readable or not."""
        return [entry for entry in _list_at(self.data, section) if isinstance(entry, dict)]

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
            return [("site", self.node_path[n.id], n.id) for n in self.file.nodes if n.parent is None]
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


def salvage(data: Any, folder: Path) -> Draft | None:
    """The draft of what fits the schema: broken optional keys and broken entries left out; None where nothing is left."""
    if not isinstance(data, dict):
        return None
    spelt = _misspelt_sections(data)
    data = {section: data[key] for section, key in spelt.items()} | {k: v for k, v in data.items() if k not in spelt.values()}
    rest = deepcopy(data)
    kept = {section: list(range(len(_list_at(rest, section)))) for section in (*SECTIONS, "twin.loads")}
    for first in (True, *[False] * 6):
        try:
            return Draft(SiteFile.model_validate(rest), data, kept, folder, spelt)
        except ValidationError as exc:
            details = exc.errors(include_url=False)
            locs = [(loc_in_data(d["loc"], rest, d["type"], SiteFile), d["type"]) for d in details]
            locs = [each for each in locs if not _respelt(rest, *each)] if first else locs
            _prune(rest, kept, locs)
    return None


def _misspelt_sections(data: dict[str, Any]) -> dict[str, str]:
    """Top-level key → the unknown key that was probably meant to be it."""
    known = set(known_keys(SiteFile, ()))
    meant = {key: meant_key((key,), SiteFile) for key in data if key not in known}
    return {section: key for key, section in meant.items() if section is not None and section not in data}


def _list_at(data: dict[str, Any], section: str) -> list[Any]:
    here: Any = data
    for key in section.split("."):
        here = here.get(key) if isinstance(here, dict) else None
    return here if isinstance(here, list) else []


def _prune(rest: dict[str, Any], kept: dict[str, list[int]], locs: list[tuple[tuple[str | int, ...], str]]) -> None:
    """Take what is broken out of `rest`; whole entries last, so that positions hold while keys are dropped."""
    doomed: dict[str, set[int]] = {}
    for loc, kind in locs:
        section, steps = _split(loc)
        if not steps:
            _drop_top(rest, loc)
        elif not _mended(_list_at(rest, section)[int(steps[0])], section, steps[1:], kind):
            doomed.setdefault(section, set()).add(int(steps[0]))
    for section, positions in doomed.items():
        entries = _list_at(rest, section)
        entries[:] = [e for i, e in enumerate(entries) if i not in positions]
        kept[section] = [k for i, k in enumerate(kept[section]) if i not in positions]


def _respelt(rest: dict[str, Any], loc: tuple[str | int, ...], kind: str) -> bool:
    """Give a misspelt key the name it was meant to have."""
    if kind != "extra_forbidden" or (near := meant_key(loc, SiteFile)) is None:
        return False
    if len(loc) == 1 or (loc[0], near) == ("twin", "loads"):
        return False
    owner: Any = rest
    for step in loc[:-1]:
        owner = owner[step]
    if near in owner:
        return False
    owner[near] = owner.pop(str(loc[-1]))
    return True


def _split(loc: tuple[str | int, ...]) -> tuple[str, tuple[str | int, ...]]:
    if loc[:2] == ("twin", "loads"):
        return "twin.loads", loc[2:]
    return (str(loc[0]), loc[1:]) if loc and loc[0] in SECTIONS else ("", ())


def _mended(entry: Any, section: str, steps: tuple[str | int, ...], kind: str) -> bool:
    """Try to keep an entry by dropping or replacing its one broken key."""
    if not isinstance(entry, dict) or not steps:
        return False
    key = str(steps[0])
    stand_ins = _STAND_INS.get(section, {})
    if kind == "extra_forbidden" and len(steps) == 1:
        entry.pop(key, None)
        return True
    for name, value in stand_ins.items():
        if key in {name, name.removesuffix("_a")}:
            entry.pop(name.removesuffix("_a"), None)
            entry[name] = value
            return True
    if kind == "missing" and len(steps) == 1:
        return False
    if key in _VITAL.get(section, ()):
        return False
    return entry.pop(key, _DROPPED) is not _DROPPED


_DROPPED = object()


def _drop_top(rest: dict[str, Any], loc: tuple[str | int, ...]) -> None:
    """A broken key outside the lists: drop it, or put in what it takes to go on."""
    head = str(loc[0]) if loc else ""
    inside = rest.get(head)
    if head == "schema":
        rest["schema"] = 1
    elif head == "site" and not isinstance(inside, dict):
        rest["site"] = dict(_NO_HEAD)
    elif head == "site" and isinstance(inside, dict):
        for step in loc[1:2]:
            inside.pop(str(step), None)
        if not {"voltage", "voltage_ln_v"} & inside.keys():
            inside["voltage_ln_v"] = _NO_HEAD["voltage_ln_v"]
        inside.setdefault("id", _NO_HEAD["id"])
    elif len(loc) > 1 and isinstance(inside, dict):
        inside.pop(str(loc[1]), None)
    else:
        rest.pop(head, None)
