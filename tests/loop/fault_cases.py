"""Small halls whose breakers leave little room, and runs with faults in them, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tests.builders import START, rack_site

from mimctl.model.address import DeviceAddress
from mimctl.model.connection import Connection
from mimctl.model.fault import Fault, FaultKind, FaultValue
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.link import Link, LinkType
from mimctl.model.node import Cable, Feed, Node, NodeKind
from mimctl.model.site import BalanceRule, ControlSettings, LossModel, Meter, Mim, PortSpec, Site, TwinLoad, TwinSpec, Zone
from mimctl.simulation.engine import Request, simulate
from mimctl.twin.loads import LoadSet

#: W on L1, L2, L3 of each rack: the currents of the fullest phases are just inside what the breakers permit for hours
RACKS = {"rack-a1": (3200, 1200, 900), "rack-a2": (2900, 900, 1500), "rack-b1": (1000, 3100, 700), "rack-b2": (1200, 2700, 1700)}
#: when faults begin and end, when loads change, when the run ends [s]
AT_S, STEP_S, UNTIL_S, END_S = 8.0, 16.0, 34.0, 60.0
_RATING_A = {"rack": 20.0, "pdu": 40.0, "feed": 63.0}


def hall(**control: float) -> Site:
    """feed → two PDUs, a zone each → two racks each, every one with a meter and a MIM; one link a PDU, one for the feed."""
    base = rack_site(1)
    cable = Cable(0.01, 0.004, 0.01, 0.004)
    nodes = [Node("feed", NodeKind.FEED, None, _RATING_A["feed"], voltage_ln_v=230.0, neutral_rating_a=_RATING_A["feed"])]
    for pdu in ("pdu-a", "pdu-b"):
        nodes.append(Node(pdu, NodeKind.PDU, "feed", _RATING_A["pdu"], 230.0, neutral_rating_a=_RATING_A["pdu"], cable=cable))
    for rack in RACKS:
        parent = f"pdu-{rack[5]}"
        nodes.append(Node(rack, NodeKind.RACK, parent, _RATING_A["rack"], 230.0, neutral_rating_a=_RATING_A["rack"], cable=cable))
    nodes = [replace(n, omega=1 / len(nodes)) for n in nodes]
    link_of = {n.id: f"gw-{n.id.partition('-')[2][:1] or 'feed'}" for n in nodes}
    links = tuple(Link(name, LinkType.MODBUS_TCP, "127.0.0.1", 1502 + i) for i, name in enumerate(sorted(set(link_of.values()))))
    meters = tuple(Meter(f"m-{n.id}", n.id, DeviceAddress(link_of[n.id], i + 1)) for i, n in enumerate(nodes))
    mims = tuple(_mim(rack, link_of[rack], 100 + i) for i, rack in enumerate(RACKS))
    loads = tuple(
        TwinLoad(rack, connection, float(w), power_factor=0.97)
        for rack, watts in RACKS.items()
        for connection, w in zip((Connection.L1, Connection.L2, Connection.L3), watts, strict=True)
    )
    zones = (Zone("za", ("pdu-a",)), Zone("zb", ("pdu-b",)))
    return replace(
        base,
        id="hall",
        links=links,
        feeds=(Feed("A", "feed"),),
        nodes=tuple(nodes),
        meters=meters,
        mims=mims,
        zones=zones,
        rules=(BalanceRule("balance", ("za", "zb")),),
        control=ControlSettings(**control),  # type: ignore[arg-type]
        twin=TwinSpec(loads=loads, load_noise_pct=0.0, meter_noise_pct=0.1),
    )


def _mim(rack: str, link: str, unit: int) -> Mim:
    ports = tuple(PortSpec(rack, Connection(phase), 2000.0) for phase in ("L1", "L2", "L3"))
    return Mim(f"mim-{rack}", DeviceAddress(link, unit), ports, losses=LossModel(5.0, 0.015, 0.0))


@dataclass
class SteppedLoads:
    """Every load at its typical power; from `step_s` on each phase of a rack has the load of the phase before."""

    loads: tuple[TwinLoad, ...]
    step_s: float

    def __post_init__(self) -> None:
        before = np.array([load.typical_w * (1 + 0.25j) for load in self.loads])
        self._before, self._after = before, np.roll(before.reshape(-1, 3), 1, axis=1).reshape(-1)

    def at(self, t_s: float) -> ComplexArray:
        return self._before if t_s < self.step_s else self._after


def run(site: Site, faults: Sequence[Fault], seconds: float = END_S) -> dict[str, Any]:
    """What `simulate` says of these faults: they begin in the settled state, and the loads change places under them."""
    layout = SiteLayout(site)
    loads = LoadSet(layout, SteppedLoads(site.twin.loads, STEP_S), noise=False)
    return simulate(Request(site, loads, START, seconds / 3600, 1.0, 1, faults=tuple(faults)))


def fault(kind: FaultKind | str, *targets: str, at_s: float = AT_S, until_s: float = UNTIL_S, **values: FaultValue) -> Fault:
    return Fault(FaultKind(kind), targets, at_s, until_s, tuple(values.items()))
