"""A small site with everything that the analysis distinguishes, and images of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from mimctl.grid.tree import TreeOperators
from mimctl.model.address import SUNSPEC, DeviceAddress
from mimctl.model.connection import Connection
from mimctl.model.layout import SiteLayout
from mimctl.model.node import Feed, Node, NodeKind
from mimctl.model.phases import Phase, Rotation
from mimctl.model.sample import Quality
from mimctl.model.site import ExpiryAction, Meter, Mim, PortSpec, Site
from mimctl.model.state import BatteryState, MimState, NodeState, PortState, SiteState

ADDRESS = DeviceAddress("link", 1, SUNSPEC)


def node(name: str, parent: str | None, rating_a: float, omega: float = 0.0, phases: tuple[Phase, ...] = tuple(Phase)) -> Node:
    kind = NodeKind.FEED if parent is None else NodeKind.RACK
    return Node(name, kind, parent, rating_a=rating_a, voltage_ln_v=230.0, omega=omega, neutral_rating_a=rating_a, phases=phases)


def three_ports(name: str, at: str, action: ExpiryAction = ExpiryAction.ZERO) -> Mim:
    ports = tuple(PortSpec(at, c, 2300.0) for c in (Connection.L1, Connection.L2, Connection.L3))
    return Mim(name, ADDRESS, ports, expiry_action=action)


def tie(name: str, one: str, other: str) -> Mim:
    return Mim(name, ADDRESS, (PortSpec(one, Connection.L1, 2300.0), PortSpec(other, Connection.L1, 2300.0)))


def make_site(nodes: tuple[Node, ...], mims: tuple[Mim, ...] = (), rotation: Rotation = Rotation.POSITIVE) -> Site:
    feeds = tuple(Feed(n.id, n.id) for n in nodes if n.parent is None)
    meters = tuple(Meter(f"m-{n.id}", n.id, ADDRESS) for n in nodes)
    return Site("s", "S", "UTC", 50.0, rotation, (), feeds, nodes, meters, mims, (), (), ())


#: feeds A (racks r1, r2, single-phase b1) and B (rack r3); r1 has two MIMs, r2 one on hold, one MIM ties r1 to r3
SITE = make_site(
    (
        node("A", None, 100, omega=0.4),
        node("B", None, 50, omega=0.2),
        node("r1", "A", 40, omega=0.2),
        node("r2", "A", 40, omega=0.1),
        node("b1", "A", 16, phases=(Phase.L2,)),
        node("r3", "B", 40, omega=0.1),
    ),
    (
        three_ports("m1", "r1"),
        three_ports("m2", "r1", ExpiryAction.DISCONNECT),
        three_ports("m3", "r2", ExpiryAction.HOLD),
        tie("ab", "r1", "r3"),
    ),
)


@dataclass(frozen=True)
class Bench:
    """A layout with its operators, and images of it."""

    operators: TreeOperators

    @property
    def layout(self) -> SiteLayout:
        return self.operators.layout

    def state(
        self,
        load_va: np.ndarray,
        injection_va: np.ndarray | None = None,
        node_changes: dict[str, np.ndarray] | None = None,
        port_changes: dict[str, np.ndarray] | None = None,
    ) -> SiteState:
        """A perfect measurement at nominal voltage: loads (N, 3) [VA] and port injections (K,) [VA]."""
        n, k, m = len(self.layout.nodes), len(self.layout.ports), len(self.layout.mims)
        injection = np.zeros(k, dtype=complex) if injection_va is None else injection_va
        flow = self.operators.flow(load_va, injection)
        nan, nan3 = np.full(n, np.nan), np.full((n, 3), np.nan)
        volts = np.where(self.layout.phase_present, self.layout.voltage_ln_v[:, None], np.nan)
        nodes = NodeState(
            flow.real.copy(), flow.imag.copy(), volts, nan3, nan, nan3, nan3, np.full(n, int(Quality.GOOD)), np.zeros(n)
        )
        ports = PortState(injection.real.copy(), injection.imag.copy(), *([np.full(k, np.nan)] * 3))
        mims = MimState(np.full(m, int(Quality.GOOD)), *([np.zeros(m)] * 6))
        batteries = BatteryState(np.zeros(0), np.zeros(0, dtype=int))
        nodes = replace(nodes, **(node_changes or {}))
        ports = replace(ports, **(port_changes or {}))
        return SiteState(self.layout, 0.0, datetime(2026, 1, 1, tzinfo=UTC), nodes, ports, mims, batteries)


def make_bench(*parts: object) -> Bench:
    """Of `make_site(*parts)`."""
    return Bench(TreeOperators(SiteLayout(make_site(*parts))))  # type: ignore[arg-type]
