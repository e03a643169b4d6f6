"""A hall with two feeds: racks with a cord on each, and MIMs that stand on both."""

from __future__ import annotations

from dataclasses import replace

from tests.builders import node, rack_site

from mimctl.model.address import DeviceAddress
from mimctl.model.connection import Connection
from mimctl.model.node import Cable, Feed, Node, NodeKind
from mimctl.model.phases import PHASES
from mimctl.model.site import BalanceRule, LossModel, Meter, Mim, PortSpec, Site, TwinLoad, TwinSpec, Zone

CABLE = Cable(0.01, 0.004, 0.01, 0.004)
#: W on L1, L2, L3 of each cord
LOADS = {
    "rack1-a": (3000.0, 1200.0, 700.0),
    "rack2-a": (2600.0, 900.0, 1900.0),
    "rack1-b": (700.0, 800.0, 600.0),
    "rack2-b": (500.0, 400.0, 900.0),
}


def bridge(name: str, rack: str, unit: int, rating_va: float) -> Mim:
    """A MIM with three ports on either cord of a rack."""
    ports = tuple(PortSpec(f"{rack}-{side}", Connection(phase.value), rating_va) for side in "ab" for phase in PHASES)
    return Mim(name, DeviceAddress("gw", unit), ports, losses=LossModel(5.0, 0.015, 0.0))


def own(name: str, at: str, unit: int, rating_va: float) -> Mim:
    """A MIM on one cord."""
    ports = tuple(PortSpec(at, Connection(phase.value), rating_va) for phase in PHASES)
    return Mim(name, DeviceAddress("gw", unit), ports, losses=LossModel(5.0, 0.015, 0.0))


def two_feed_site(*, bridges: bool = True, rating_va: float = 2000.0, breaker_a: float = 63.0) -> Site:
    """feed-a and feed-b, each → pdu → two racks; without bridges a MIM on every cord; one zone."""
    nodes: list[Node] = []
    for side in "ab":
        nodes += [node(f"feed-{side}", None, NodeKind.FEED, 200.0), node(f"pdu-{side}", f"feed-{side}", NodeKind.PDU, breaker_a)]
        nodes += [node(f"rack{r}-{side}", f"pdu-{side}", rating_a=32.0) for r in (1, 2)]
    nodes = [replace(n, omega=1 / len(nodes), cable=CABLE if n.parent else None) for n in nodes]
    if bridges:
        mims = tuple(bridge(f"mim-rack{r}", f"rack{r}", 100 + r, rating_va) for r in (1, 2))
    else:
        mims = tuple(own(f"mim-{cord}", cord, 100 + i, rating_va) for i, cord in enumerate(LOADS))
    loads = tuple(
        TwinLoad(cord, Connection(phase.value), watts, power_factor=0.97)
        for cord, row in LOADS.items()
        for phase, watts in zip(PHASES, row, strict=True)
    )
    return replace(
        rack_site(1),
        feeds=(Feed("A", "feed-a"), Feed("B", "feed-b")),
        nodes=tuple(nodes),
        meters=tuple(Meter(f"m-{n.id}", n.id, DeviceAddress("gw", i + 1)) for i, n in enumerate(nodes)),
        mims=mims,
        zones=(Zone("z", ("feed-a", "feed-b")),),
        rules=(BalanceRule("balance", ("z",)),),
        twin=TwinSpec(loads=loads, load_noise_pct=0.0, meter_noise_pct=0.0),
    )
