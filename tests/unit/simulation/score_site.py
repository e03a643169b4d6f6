"""A small site and plants of it, for the tests of scoring."""

from __future__ import annotations

import numpy as np

from mimctl.grid.tree import TreeOperators
from mimctl.model.address import DeviceAddress
from mimctl.model.connection import Connection
from mimctl.model.layout import SiteLayout
from mimctl.model.node import Feed, Node, NodeKind
from mimctl.model.phases import Phase, Rotation
from mimctl.model.site import Mim, PortSpec, Site
from mimctl.simulation.score import Truth

ADDRESS = DeviceAddress("link", 1)


def make_site() -> Site:
    """Feeds A (PDU p with rack r and the single-phase branch b) and B; one MIM at r, one from r to B."""
    nodes = (
        Node("A", NodeKind.FEED, None, 100, 230.0, omega=0.5),
        Node("B", NodeKind.FEED, None, 50, 230.0, omega=0.2),
        Node("p", NodeKind.PDU, "A", 50, 230.0, omega=0.2),
        Node("r", NodeKind.RACK, "p", 20, 230.0, omega=0.1),
        Node("b", NodeKind.BRANCH, "p", 10, 230.0, phases=(Phase.L2,)),
    )
    mims = (
        Mim("m", ADDRESS, tuple(PortSpec("r", c, 1000.0) for c in (Connection.L1, Connection.L2, Connection.L3))),
        Mim("t", ADDRESS, (PortSpec("r", Connection.L1, 3000.0), PortSpec("B", Connection.L1, 1000.0))),
    )
    feeds = (Feed("A", "A"), Feed("B", "B"))
    return Site("s", "S", "UTC", 50.0, Rotation.POSITIVE, (), feeds, nodes, (), mims, (), (), ())


OPERATORS = TreeOperators(SiteLayout(make_site()))
LAYOUT = OPERATORS.layout
UNIT = np.exp(-2j * np.pi / 3 * np.arange(3))


def truth(**changes: object) -> Truth:
    """Currents of nodes given in phase with their voltages, e.g. `r=(3, 4, 5)` [A]; every other field by its name."""
    current = np.zeros((5, 3), dtype=np.complex128)
    for i, node in enumerate(LAYOUT.nodes):
        current[i] = np.asarray(changes.pop(node.id, (0, 0, 0))) * UNIT
    voltage = np.full((5, 3), 230.0) * UNIT
    values = {
        "flow_va": voltage * current.conj(),
        "voltage_v": voltage,
        "current_a": current,
        "neutral_a": np.abs(current.sum(axis=1)),
        "network_loss_w": 0.0,
        "mim_loss_w": 0.0,
    }
    return Truth(**(values | changes))  # type: ignore[arg-type]
