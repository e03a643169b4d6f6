"""Rules of a draft as their checks want them: with windows, and with what they reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from mimctl.config.build_rules import build_place, build_window
from mimctl.config.draft import Draft
from mimctl.config.schema_rules import BalanceItem, LimitItem, RelianceItem, RestraintItem
from mimctl.model.rules import Place, Window


@dataclass(frozen=True)
class Surroundings:
    """Of a draft, what every rule asks for: worked out once for all of them."""

    draft: Draft

    @cached_property
    def port_nodes(self) -> dict[str, set[str]]:
        """The nodes of the ports of each MIM."""
        found: dict[str, set[str]] = {}
        for _, mim, port in self.draft.ports():
            found.setdefault(mim.id, set()).add(port.node)
        return found

    @cached_property
    def zones_of_mims(self) -> dict[str, str]:
        """The zone of each MIM that has all its ports in one."""
        zone_of = self.draft.zone_of_node
        found = {mim: {zone_of.get(node) for node in nodes} for mim, nodes in self.port_nodes.items()}
        return {mim: next(iter(zones)) or "" for mim, zones in found.items() if len(zones) == 1 and None not in zones}


@dataclass(frozen=True)
class RestraintView:
    """One rule that takes away.

    Args:
        path: in the document.
    """

    around: Surroundings
    path: str
    item: RestraintItem

    @property
    def draft(self) -> Draft:
        return self.around.draft

    @cached_property
    def window(self) -> Window:
        return build_window(self.item.window)

    @cached_property
    def place(self) -> Place:
        return build_place(self.draft, self.item)

    @cached_property
    def mims(self) -> frozenset[str]:
        """Ids of the MIMs that it reaches."""
        names = self.place
        if not names.names:
            return frozenset(self.around.port_nodes)
        below = {node for head in names.nodes if head in self.draft.tree.supply for node in self.draft.tree.below(head)}
        found = {mim for mim, nodes in self.around.port_nodes.items() if nodes & below}
        found |= {mim for mim, zone in self.around.zones_of_mims.items() if zone in names.zones}
        return frozenset(found | set(names.mims))

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that it means themselves: those named, the heads of the zones named, or of all zones."""
        if not isinstance(self.item, LimitItem | RelianceItem) and not self.place.names:
            return ()
        zones = self.place.zones if self.place.names else tuple(zones_of(self.draft))
        heads = (head for zone, _, head in self.draft.zone_heads if zone in zones)
        return tuple(dict.fromkeys(node for node in (*self.place.nodes, *heads) if node in self.draft.tree.supply))

    @cached_property
    def zones(self) -> tuple[str | None, ...]:
        """Ids of the zones in which it acts; None where that is above them."""
        if not self.place.names:
            return zones_of(self.draft)
        own = self.around.zones_of_mims
        inside = [self.draft.zone_of_node.get(n) for n in self.place.nodes if n in self.draft.tree.supply]
        return tuple(dict.fromkeys([*self.place.zones, *inside, *(own[m] for m in self.place.mims if m in own)]))


def above_zones(draft: Draft) -> frozenset[str]:
    """Nodes with the head of a zone somewhere below them."""
    return frozenset(node for _, _, head in draft.zone_heads for node in list(draft.tree.upwards(head))[1:])


def restraints_of(draft: Draft) -> Iterator[RestraintView]:
    """In the order of the file."""
    around = Surroundings(draft)
    for i, item in enumerate(draft.file.rules):
        if not isinstance(item, BalanceItem):
            yield RestraintView(around, draft.path("rules", i), item)


def balance_of(draft: Draft) -> Iterator[tuple[str, BalanceItem]]:
    """(path, rule) of those that balance."""
    for i, item in enumerate(draft.file.rules):
        if isinstance(item, BalanceItem):
            yield draft.path("rules", i), item


def zones_of(draft: Draft) -> tuple[str, ...]:
    """Ids of all zones, the default one included."""
    return tuple(dict.fromkeys(zone for zone, _, _ in draft.zone_heads))
