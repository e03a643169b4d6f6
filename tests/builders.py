"""Small sites made of model objects, for tests that need no YAML."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from mimctl.model.address import DeviceAddress
from mimctl.model.connection import Connection
from mimctl.model.layout import SiteLayout
from mimctl.model.link import Link, LinkType
from mimctl.model.node import Feed, Node, NodeKind
from mimctl.model.phases import PHASES, Rotation
from mimctl.model.sample import Quality
from mimctl.model.site import BalanceRule, Meter, Mim, PortSpec, Site, Zone
from mimctl.model.state import BatteryState, MimState, NodeState, PortState, SiteState

START = datetime(2026, 1, 5, tzinfo=UTC)


def node(name: str, parent: str | None, kind: NodeKind = NodeKind.RACK, rating_a: float = 100.0, **more: object) -> Node:
    return Node(name, kind, parent, rating_a, voltage_ln_v=230.0, neutral_rating_a=rating_a, **more)  # type: ignore[arg-type]


def three_port_mim(name: str, at: str, unit: int, rating_va: float = 2000.0, **more: object) -> Mim:
    ports = tuple(PortSpec(at, Connection(phase.value), rating_va) for phase in PHASES)
    return Mim(name, DeviceAddress("gw", unit), ports, **more)  # type: ignore[arg-type]


def small_site(
    nodes: Sequence[Node], mims: Sequence[Mim], *, unmetered: Collection[str] = (), rotation: Rotation = Rotation.POSITIVE
) -> Site:
    """A feed at every node without a parent (A, B, …), a meter everywhere but at `unmetered`; one link, zone and balance rule."""
    heads = tuple(n.id for n in nodes if n.parent is None)
    metered = [n.id for n in nodes if n.id not in unmetered]
    return Site(
        id="test",
        name="Test",
        timezone="UTC",
        frequency_hz=50.0,
        rotation=rotation,
        links=(Link("gw", LinkType.MODBUS_TCP, "127.0.0.1", 1502),),
        feeds=tuple(Feed(chr(ord("A") + i), head) for i, head in enumerate(heads)),
        nodes=tuple(nodes),
        meters=tuple(Meter(f"m-{name}", name, DeviceAddress("gw", i + 1)) for i, name in enumerate(metered)),
        mims=tuple(mims),
        batteries=(),
        zones=(Zone("z", heads),),
        rules=(BalanceRule("balance", ("z",)),),
    )


def rack_site(racks: int = 2, *, mims: bool = True, unmetered: tuple[str, ...] = ()) -> Site:
    """feed → pdu → racks; a meter everywhere but at `unmetered`; a three-port MIM of 2 kVA a port in every rack."""
    names = [f"rack{i + 1}" for i in range(racks)]
    nodes = [node("feed", None, NodeKind.FEED, 400.0), node("pdu", "feed", NodeKind.PDU, 200.0)]
    nodes += [node(name, "pdu", rating_a=63.0) for name in names]
    nodes = [replace(n, omega=1 / len(nodes)) for n in nodes]
    made = tuple(three_port_mim(f"mim-{name}", name, 100 + i) for i, name in enumerate(names)) if mims else ()
    return small_site(tuple(nodes), made, unmetered=unmetered)


def state_of(
    site: Site,
    flow_va: np.ndarray,
    port_va: np.ndarray | None = None,
    *,
    now_s: float = 100.0,
    node_taken_s: np.ndarray | float = 100.0,
    mim_taken_s: np.ndarray | float = 100.0,
    good_nodes: np.ndarray | None = None,
    good_mims: np.ndarray | None = None,
) -> SiteState:
    """An image with these net imports (N, 3) [VA] and port outputs (K,) [VA] at nominal voltage."""
    layout = SiteLayout(site)
    n, k, m = len(layout.nodes), len(layout.ports), len(layout.mims)
    output = np.zeros(k, dtype=complex) if port_va is None else port_va
    good_nodes = np.ones(n, dtype=bool) if good_nodes is None else good_nodes
    good_mims = np.ones(m, dtype=bool) if good_mims is None else good_mims
    volts = np.repeat(layout.voltage_ln_v[:, None], 3, axis=1)
    blank = np.full((n, 3), np.nan)
    nodes = NodeState(
        import_w=np.where(good_nodes[:, None], flow_va.real, np.nan),
        import_var=np.where(good_nodes[:, None], flow_va.imag, np.nan),
        voltage_ln_v=np.where(good_nodes[:, None], volts, np.nan),
        current_a=np.where(good_nodes[:, None], np.abs(flow_va) / volts, np.nan),
        neutral_a=np.full(n, np.nan),
        thd_v_pct=blank,
        thd_i_pct=blank,
        quality=np.where(good_nodes, int(Quality.GOOD), int(Quality.BAD)),
        taken_at_s=np.broadcast_to(np.asarray(node_taken_s, dtype=float), (n,)).copy(),
    )
    known = good_mims[layout.port_mim] if m else np.zeros(0, dtype=bool)
    ports = PortState(
        inject_w=np.where(known, output.real, np.nan),
        inject_var=np.where(known, output.imag, np.nan),
        voltage_v=np.where(known, layout.port_voltage_v, np.nan),
        available_inject_w=np.where(known, layout.port_rating_va, np.nan),
        available_absorb_w=np.where(known, layout.port_rating_va, np.nan),
    )
    mims = MimState(
        quality=np.where(good_mims, int(Quality.GOOD), int(Quality.BAD)),
        taken_at_s=np.broadcast_to(np.asarray(mim_taken_s, dtype=float), (m,)).copy(),
        sequence_ack=np.zeros(m),
        command_status=np.zeros(m),
        watchdog_remaining_s=np.full(m, 10.0),
        temperature_degc=np.full(m, 30.0),
        alarms=np.zeros(m),
    )
    b = len(layout.batteries)
    batteries = BatteryState(np.full(b, 60.0), np.full(b, int(Quality.GOOD)))
    return SiteState(layout, now_s, START, nodes, ports, mims, batteries)
