"""Which part of a site each zone sees: a zone is a site of its own, only smaller."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mimctl.model.site import Site, Zone
from mimctl.model.transfer import Transfer


def nodes_under(site: Site, heads: Iterable[str]) -> frozenset[str]:
    """Ids of the heads and everything below them."""
    inside = set(heads)
    for node in site.nodes:
        if node.parent in inside:
            inside.add(node.id)
    return frozenset(inside)


def restrict(site: Site, zone: Zone) -> Site:
    """The part of a site that a zone sees, its heads without parents. Weights stay those of the whole site.

    A MIM belongs to the zone that has all its ports, which may stand under several of its heads; any other is commanded by
    nobody, and what it does counts as load.
    """
    inside = nodes_under(site, zone.heads)
    heads = frozenset(zone.heads)
    nodes = tuple(replace(n, parent=None) if n.id in heads else n for n in site.nodes if n.id in inside)
    mims = tuple(m for m in site.mims if all(port.node in inside for port in m.ports))
    names = {m.id for m in mims}
    return replace(
        site,
        feeds=tuple(f for f in site.feeds if f.node in inside),
        nodes=nodes,
        transfers=tuple(part for t in site.transfers if (part := _placed(site, t, zone, inside)) is not None),
        meters=tuple(m for m in site.meters if m.node in inside),
        mims=mims,
        batteries=tuple(b for b in site.batteries if b.mim in names),
        zones=(zone,),
        rules=tuple(r for r in site.rules if zone.id in r.zones),
        # one that reaches beyond the zone is nobody's to form
        islands=tuple(i for i in site.islands if i.node in inside and names.issuperset(i.formers)),
    )


def _placed(site: Site, transfer: Transfer, zone: Zone, inside: frozenset[str]) -> Transfer | None:
    """A transfer device as a zone sees it: at its own node, else at those of the zone's heads that it supplies, None if none.

    Where it stands above, each head has its fair share of what is available: by the ratings of all heads that it supplies, or by
    its own node's where those are less.
    """
    if transfer.node in inside:
        return transfer
    below = nodes_under(site, (transfer.node,))
    limit_va = {node.id: node.limit_a * node.voltage_ln_v for node in site.nodes}
    supplied = {head for each in site.zones for head in each.heads if head in below}
    whole_va = max(sum(limit_va[head] for head in supplied), limit_va[transfer.node])
    places = tuple((head, limit_va[head] / whole_va) for head in zone.heads if head in below)
    return replace(transfer, places=places) if places else None


def outside_zones(site: Site) -> frozenset[str]:
    """Nodes that belong to no zone: their meters are the site level's own."""
    inside: set[str] = set()
    for zone in site.zones:
        inside |= nodes_under(site, zone.heads)
    return frozenset(node.id for node in site.nodes) - inside
