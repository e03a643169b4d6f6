"""Small sites and healthy images for the judge's tests: every case starts from one where nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
from tests.builders import small_site

from mimctl.grid.tree import TreeOperators
from mimctl.model.address import DeviceAddress
from mimctl.model.bounds import Bounds
from mimctl.model.connection import Connection
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import SiteLayout
from mimctl.model.node import Cable, Node, NodeKind
from mimctl.model.phases import Rotation
from mimctl.model.plan import Plan, SafePlan, SolveStatus
from mimctl.model.sample import Quality
from mimctl.model.site import Battery, Mim, PortSpec, Site
from mimctl.model.state import BatteryState, MimState, NodeState, PortState, SiteState
from mimctl.safety.judge import Accepted, Judge, SafetySettings

NOW_S = 1000.0
VOLTS = 230.0


def node(name: str, parent: str | None, rating_a: float = 50.0, **more: object) -> Node:
    settings: dict = {"kind": NodeKind.PDU, "voltage_ln_v": VOLTS, "continuous_factor": 0.8, "cable": Cable(0.02, 0.01)}
    return Node(id=name, parent=parent, rating_a=rating_a, **(settings | more))


def mim(name: str, *ports: tuple[str, str], rating_va: float = 1500.0, **more: object) -> Mim:
    specs = tuple(PortSpec(n, Connection(c), rating_va) for n, c in ports)
    return Mim(id=name, address=DeviceAddress("gw", 1), ports=specs, **more)


def three(name: str, at: str, **more: object) -> Mim:
    """A MIM with one port on each phase of a node."""
    return mim(name, (at, "L1"), (at, "L2"), (at, "L3"), **more)


def site(
    nodes: tuple[Node, ...],
    mims: tuple[Mim, ...],
    *,
    batteries: tuple[Battery, ...] = (),
    unmetered: frozenset[str] = frozenset(),
    rotation: Rotation = Rotation.POSITIVE,
    reverse_power_limit_w: float = 0.0,
) -> Site:
    """A site with a feed at every node without a parent and a meter at every node but the unmetered."""
    made = small_site(nodes, mims, unmetered=unmetered, rotation=rotation)
    feeds = tuple(replace(feed, reverse_power_limit_w=reverse_power_limit_w) for feed in made.feeds)
    return replace(made, feeds=feeds, batteries=batteries, rules=())


def rack_site(**more: object) -> Site:
    """head (100 A) over pdu (50 A) over two racks (20 A), a MIM on each rack; the continuous factor is 0.8."""
    nodes = (
        node("head", None, 100.0),
        node("pdu", "head", 50.0),
        node("r1", "pdu", 20.0, neutral_rating_a=20.0),
        node("r2", "pdu", 20.0),
    )
    return site(nodes, (three("m1", "r1"), three("m2", "r2")), **more)


@dataclass
class Scene:
    """All inputs of one judgement; healthy unless changed. `load_va` (N, 3), `accepted_va` and `plan_va` (K,)."""

    site: Site
    load_va: np.ndarray
    accepted_va: np.ndarray
    plan_va: np.ndarray
    settings: SafetySettings = field(default_factory=SafetySettings)
    deadband_a: float = 0.0
    now_s: float = NOW_S
    options: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layout = SiteLayout(self.site)
        self.operators = TreeOperators(self.layout)
        self.judge = Judge(self.operators, self.settings)
        self.state = self._state()
        self.forecast = LoadForecast(
            self.load_va.real.copy(), self.load_va.imag.copy(), self._flags(self.layout.nodes), self._flags(self.layout.nodes)
        )
        self.bounds = self._bounds()
        self.plan = self._plan()
        self.accepted = Accepted(self.accepted_va, np.full(len(self.layout.mims), self.now_s - 1.0))

    @staticmethod
    def _flags(of: tuple) -> np.ndarray:
        return np.ones(len(of), dtype=np.bool_)

    def _plan(self) -> Plan:
        return Plan(self.plan_va.real.copy(), self.plan_va.imag.copy(), SolveStatus.SOLVED, 0.0, 0.0, 1, 0.0, (), self.deadband_a)

    def _state(self) -> SiteState:
        layout, n = self.layout, len(self.layout.nodes)
        flow = self.operators.flow(self.load_va, self.accepted_va)
        current = np.abs(flow) / layout.voltage_ln_v[:, None]
        taken = self.now_s - 0.2
        nodes = NodeState(
            import_w=flow.real.copy(),
            import_var=flow.imag.copy(),
            voltage_ln_v=np.repeat(layout.voltage_ln_v[:, None], 3, axis=1).copy(),
            current_a=current,
            neutral_a=np.abs((flow / self.operators.unit_voltages).sum(axis=1)) / layout.voltage_ln_v,
            thd_v_pct=np.zeros((n, 3)),
            thd_i_pct=np.zeros((n, 3)),
            quality=np.where([m is not None for m in layout.meter_of_node], int(Quality.GOOD), int(Quality.BAD)),
            taken_at_s=np.where([m is not None for m in layout.meter_of_node], taken, np.nan),
        )
        ports = PortState(
            inject_w=self.accepted_va.real.copy(),
            inject_var=self.accepted_va.imag.copy(),
            voltage_v=layout.port_voltage_v.copy(),
            available_inject_w=layout.port_rating_va.copy(),
            available_absorb_w=layout.port_rating_va.copy(),
        )
        m, b = len(layout.mims), len(layout.batteries)
        mims = MimState(
            quality=np.full(m, int(Quality.GOOD)),
            taken_at_s=np.full(m, taken),
            sequence_ack=np.full(m, np.nan),
            command_status=np.zeros(m),
            watchdog_remaining_s=np.full(m, 5.0),
            temperature_degc=np.full(m, 30.0),
            alarms=np.zeros(m),
        )
        batteries = BatteryState(np.full(b, 50.0), np.full(b, int(Quality.GOOD)))
        return SiteState(layout, self.now_s, datetime(2025, 1, 1, tzinfo=UTC), nodes, ports, mims, batteries)

    def _bounds(self) -> Bounds:
        layout, n, m, k = self.layout, len(self.layout.nodes), len(self.layout.mims), len(self.layout.ports)
        dc_w = np.zeros(m)
        if np.isfinite(self.plan_va).all():
            np.add.at(dc_w, layout.port_mim, self.plan_va.real)
        return Bounds(
            mim_enabled=np.ones(m, dtype=np.bool_),
            port_s_max_va=layout.port_rating_va.copy(),
            mim_neutral_max_a=np.full(m, np.inf),
            mim_dc_w=dc_w,
            step_max_va=np.full(k, np.inf),
            node_limit_a=np.repeat(layout.limit_a[:, None], 3, axis=1),
            node_neutral_limit_a=np.where(np.isnan(layout.neutral_rating_a), np.inf, layout.neutral_rating_a),
            head_min_import_w=np.full(len(layout.guarded), -np.inf),
            weights=np.ones(n),
        )

    def nodes(self, **changes: object) -> Scene:
        self.state = replace(self.state, nodes=replace(self.state.nodes, **changes))
        return self

    def ports(self, **changes: object) -> Scene:
        self.state = replace(self.state, ports=replace(self.state.ports, **changes))
        return self

    def mims(self, **changes: object) -> Scene:
        self.state = replace(self.state, mims=replace(self.state.mims, **changes))
        return self

    def batteries(self, **changes: object) -> Scene:
        self.state = replace(self.state, batteries=replace(self.state.batteries, **changes))
        return self

    def bound(self, **changes: object) -> Scene:
        self.bounds = replace(self.bounds, **changes)
        return self

    def run(self) -> SafePlan:
        return self.judge.judge(self.state, self.forecast, self.bounds, self.plan, self.accepted, now_s=self.now_s, **self.options)

    def node_of(self, name: str) -> int:
        return self.layout.node_index[name]


def power(plan: SafePlan) -> np.ndarray:
    return plan.inject_w + 1j * plan.inject_var


def codes(plan: SafePlan, name: str) -> list[str]:
    """Reason codes of one MIM's judgements."""
    return [j.reason.code for j in plan.judgements if j.mim == name]


def changed(values: np.ndarray, change: Callable[[np.ndarray], None]) -> np.ndarray:
    """A copy of an array with one change made to it."""
    copy = np.array(values, copy=True)
    change(copy)
    return copy


def at(values: np.ndarray, where: object, value: object) -> np.ndarray:
    """A copy of an array with one element or slice set."""
    copy = np.array(values, copy=True)
    copy[where] = value
    return copy
