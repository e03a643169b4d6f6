"""Sites and instances for the balance tests, and the same mathematics written out plainly in cvxpy."""

from __future__ import annotations

import dataclasses

import cvxpy as cp
import numpy as np

from mimctl.balance.settings import BalanceSettings
from mimctl.grid.tree import TreeOperators
from mimctl.model.address import DeviceAddress
from mimctl.model.bounds import Bounds
from mimctl.model.connection import Connection
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import SiteLayout
from mimctl.model.node import Feed, Node, NodeKind, Transformer, Winding
from mimctl.model.phases import Rotation
from mimctl.model.site import LossModel, Mim, PortSpec, Site

LOSSLESS = LossModel()
ADDRESS = DeviceAddress("link", 1)
SINGLE = (Connection.L1, Connection.L2, Connection.L3)
LINE = (Connection.L1L2, Connection.L2L3, Connection.L3L1)


def site(nodes, mims, rotation=Rotation.POSITIVE) -> SiteLayout:
    weighted = tuple(dataclasses.replace(n, omega=1 / len(nodes)) for n in nodes)
    feeds = tuple(Feed(f"feed-{n.id}", n.id) for n in nodes if n.parent is None)
    return SiteLayout(Site("s", "s", "UTC", 50.0, rotation, (), feeds, weighted, (), tuple(mims), (), (), ()))


def rack(node, parent="pdu", rating=16.0, **more) -> Node:
    return Node(node, NodeKind.RACK, parent, rating, 230.0, **more)


def mim(name, node, connections=SINGLE, rating=500.0, losses=LOSSLESS) -> Mim:
    return Mim(name, ADDRESS, tuple(PortSpec(node, c, rating) for c in connections), losses=losses)


def one_rack(connections=SINGLE, rating=5000.0, rotation=Rotation.POSITIVE) -> SiteLayout:
    head = Node("head", NodeKind.FEED, None, 32.0, 230.0, neutral_rating_a=32.0)
    return site((head,), (mim("m", "head", connections, rating),), rotation)


def random_site(rng: np.random.Generator) -> SiteLayout:
    """Two feeds, one behind a delta, uneven depth, mixed ports, one MIM between the feeds."""
    clock = int(rng.choice([1, 5, 7, 11]))
    nodes = [
        Node("A", NodeKind.FEED, None, 200.0, 230.0, neutral_rating_a=200.0),
        Node("B", NodeKind.FEED, None, 200.0, 230.0),
        Node("tr", NodeKind.TRANSFORMER, "B", 120.0, 230.0, transformer=Transformer(Winding.DYN, 1e5, clock=clock)),
        Node("pduA", NodeKind.PDU, "A", 100.0, 230.0, neutral_rating_a=100.0),
        Node("busbar", NodeKind.BRANCH, "pduA", 60.0, 230.0),
        Node("pduB", NodeKind.PDU, "tr", 100.0, 230.0, neutral_rating_a=100.0),
        Node("empty", NodeKind.PDU, "A", 50.0, 230.0),
    ]
    parents = ["busbar"] * 3 + ["pduB"] * 4 + ["pduA"] * 2
    nodes += [rack(f"r{i}", p, float(rng.choice([16, 32]))) for i, p in enumerate(parents)]
    mims = []
    for i in range(len(parents)):
        kind = rng.integers(4)
        connections = [SINGLE, LINE, (Connection.THREE_PHASE,), (Connection.L1, Connection.L3)][kind]
        mims.append(mim(f"m{i}", f"r{i}", connections, float(rng.uniform(300, 1500))))
    bridge = tuple(PortSpec(n, c, 800.0) for n in ("r0", "r3") for c in SINGLE)
    mims.append(Mim("bridge", ADDRESS, bridge))
    return site(nodes, mims, Rotation.POSITIVE if rng.random() < 0.5 else Rotation.NEGATIVE)


def forecast(layout: SiteLayout, load: np.ndarray, known=None, covered=None) -> LoadForecast:
    every = np.ones(len(layout.nodes), dtype=np.bool_)
    known = every if known is None else known
    covered = every if covered is None else covered
    return LoadForecast(load.real.copy(), load.imag.copy(), known, covered)


def random_load(layout: SiteLayout, rng: np.random.Generator, level: float = 0.5) -> np.ndarray:
    racks = np.array([n.kind is NodeKind.RACK for n in layout.nodes])
    base = level * layout.limit_a * 230.0
    power = rng.gamma(2.0, base[:, None] / 2, size=(len(racks), 3)) * racks[:, None]
    return power * (1 + 1j * rng.uniform(-0.1, 0.4, size=power.shape))


def free_bounds(layout: SiteLayout, **changes) -> Bounds:
    """Ratings only: no limit of node, neutral, head or step."""
    mims, ports, nodes = len(layout.mims), len(layout.ports), len(layout.nodes)
    base = Bounds(
        mim_enabled=np.ones(mims, dtype=np.bool_),
        port_s_max_va=layout.port_rating_va,
        mim_neutral_max_a=np.full(mims, np.inf),
        mim_dc_w=np.zeros(mims),
        step_max_va=np.full(ports, np.inf),
        node_limit_a=np.full((nodes, 3), np.inf),
        node_neutral_limit_a=np.full(nodes, np.inf),
        head_min_import_w=np.full(len(layout.heads), -np.inf),
        weights=layout.omega,
    )
    return dataclasses.replace(base, **changes)


def rated_bounds(layout: SiteLayout, **changes) -> Bounds:
    """Every limit at its rating."""
    neutral = layout.neutral_rating_a
    largest = np.array([max(p.rating_va for p in m.ports) / 230.0 for m in layout.mims])
    rated = {
        "mim_neutral_max_a": largest,
        "node_limit_a": np.repeat(layout.limit_a[:, None], 3, axis=1),
        "node_neutral_limit_a": np.where(np.isnan(neutral), np.inf, neutral),
        "head_min_import_w": np.zeros(len(layout.heads)),
    }
    return free_bounds(layout, **(rated | changes))


def node_flows(layout: SiteLayout, load, injection) -> list:
    """Net import of every node by walking the tree."""
    operators = TreeOperators(layout)
    flows = [load[n] for n in range(len(layout.nodes))]
    for k, n in enumerate(layout.port_node):
        flows[n] = flows[n] - injection[k] * layout.port_shares[k]
    for n in range(len(flows) - 1, -1, -1):
        if layout.parent[n] >= 0:
            flows[layout.parent[n]] = flows[layout.parent[n]] + operators.upward[n] @ flows[n]
    return flows


def sequence_matrices(layout: SiteLayout, node: int):
    """(3, 3) Fortescue's matrix and the (3, 3) diagonal that makes conjugate phase currents [A] of a flow [VA].

    Everything stays conjugated, so the operator a is too: only magnitudes are used.
    """
    volts = np.array(layout.site.rotation.unit_voltages) * layout.voltage_ln_v[node]
    a = np.conj(layout.site.rotation.unit_voltages[2])
    return np.array([[1, 1, 1], [1, a, a * a], [1, a * a, a]]) / 3, np.diag(1 / volts)


def reported_objective(layout: SiteLayout, load, injection) -> float:
    """Σ ω·3(|I0|² + |I2|²)/I_rated²."""
    total = 0.0
    for n, flow in enumerate(node_flows(layout, load, injection)):
        fortescue, turn = sequence_matrices(layout, n)
        i0, _, i2 = fortescue @ turn @ flow
        total += layout.omega[n] * 3 * (abs(i0) ** 2 + abs(i2) ** 2) / layout.rating_a[n] ** 2
    return float(total)


def least_objective(  # noqa: PLR0912
    layout: SiteLayout, load, bounds: Bounds, settings: BalanceSettings, *, accepted, curvature, anchor=None, movement=None
) -> tuple[float, np.ndarray]:
    """Optimum of the program as stated, solved by cvxpy with every constraint in.

    Args:
        curvature: (K,) own curvature of J, the unit of effort.
        anchor, movement: (K,) centre and curvature of the movement term.
    """
    kva = 1e-3
    x = cp.Variable(len(layout.ports), complex=True)
    ports, nodes = len(layout.ports), len(layout.nodes)
    nothing = np.zeros((nodes, 3), complex)
    start = np.array(node_flows(layout, load, np.zeros(ports))).ravel()
    per_va = np.array([np.array(node_flows(layout, nothing, unit)).ravel() for unit in np.eye(ports)]).T
    flows = start + (1e3 * per_va) @ x
    price = max(1.0, float(bounds.weights.sum()))
    linear, quadratic = settings.overload_linear * price, settings.overload_quadratic * price
    unbalance, phases, phase_limits, neutrals, neutral_limits = [], [], [], [], []
    for n in range(nodes):
        fortescue, turn = sequence_matrices(layout, n)
        factors = np.sqrt(bounds.weights[n] * np.array([3, settings.concentration, 3])) / layout.rating_a[n]
        pick = np.eye(3 * nodes)[3 * n : 3 * n + 3]
        unbalance.append(factors[:, None] * (fortescue @ turn @ pick))
        if np.isfinite(bounds.node_limit_a[n]).all():
            held = np.abs(pick @ per_va).sum(axis=1) > 1e-9  # an overload that no port can change costs nothing
            phases.append((turn @ pick / layout.limit_a[n])[held])
            phase_limits.append((1 - settings.margin) * bounds.node_limit_a[n, held] / layout.limit_a[n])
        if np.isfinite(bounds.node_neutral_limit_a[n]):
            neutrals.append(turn.sum(axis=0, keepdims=True) @ pick / layout.neutral_rating_a[n])
            neutral_limits.append((1 - settings.margin) * bounds.node_neutral_limit_a[n] / layout.neutral_rating_a[n])
    cost, rules = cp.sum_squares(cp.abs(np.vstack(unbalance) @ flows)), []
    for currents, limits in ((phases, phase_limits), (neutrals, neutral_limits)):
        if currents:
            slack = cp.Variable(len(np.hstack(limits)), nonneg=True)
            rules.append(cp.abs(np.vstack(currents) @ flows) <= np.hstack(limits) + slack)
            cost = cost + linear * cp.sum(slack) + quadratic * cp.sum_squares(slack)
    for h, head in enumerate(layout.heads):
        if np.isfinite(bounds.head_min_import_w[h]):
            smallest = (layout.limit_a * layout.voltage_ln_v)[layout.below[head]].min()
            slack = cp.Variable(3, nonneg=True)
            rules.append(cp.real(flows[3 * head : 3 * head + 3]) + slack * smallest >= bounds.head_min_import_w[h])
            cost = cost + settings.head_import_factor * linear * cp.sum(slack) + quadratic * cp.sum_squares(slack)
    for h, upstream in enumerate(bounds.upstream):
        if upstream is not None:
            flow = flows[3 * layout.heads[h] : 3 * layout.heads[h] + 3]
            away = cp.hstack([part(flow[phase]) for phase in range(3) for part in (cp.real, cp.imag)]) - upstream.at
            cost = cost + upstream.gradient @ away + 0.5 * cp.quad_form(away, cp.psd_wrap(upstream.curvature))
    cost = cost + 0.5 * settings.effort * 1e6 * (curvature @ cp.square(cp.abs(x)))
    if movement is not None:
        cost = cost + 0.5 * 1e6 * (movement @ cp.square(cp.abs(x - anchor * kva)))
    enabled = bounds.mim_enabled[layout.port_mim]
    mims = (np.arange(len(layout.mims))[:, None] == layout.port_mim[None, :]).astype(float)
    on = bounds.mim_enabled
    rules.append(mims[on] @ cp.real(x) == bounds.mim_dc_w[on] * kva)
    rules.append(cp.multiply(~enabled, x) == ~enabled * accepted * kva)
    rules.append(cp.abs(cp.multiply(enabled, x)) <= bounds.port_s_max_va * kva)
    if np.isfinite(bounds.step_max_va).all():
        rules.append(cp.abs(cp.multiply(enabled, x - accepted * kva)) <= bounds.step_max_va * kva)
    groups: dict[tuple[int, int], list] = {}
    for k, port in enumerate(layout.ports):
        if port.connection.uses_neutral and enabled[k] and np.isfinite(bounds.mim_neutral_max_a[layout.port_mim[k]]):
            node = int(layout.port_node[k])
            volt = layout.site.rotation.unit_voltages[port.connection.phases[0].column] * layout.voltage_ln_v[node]
            groups.setdefault((int(layout.port_mim[k]), node), []).append(np.eye(ports)[k] / volt)
    if groups:
        limits = bounds.mim_neutral_max_a[[m for m, _ in groups]] * kva
        rules.append(cp.abs(np.array([sum(terms) for terms in groups.values()]) @ x) <= limits)
    problem = cp.Problem(cp.Minimize(1e2 * cost), rules)
    problem.solve(solver=cp.CLARABEL, tol_gap_rel=1e-8, tol_gap_abs=1e-8, tol_feas=1e-8)
    assert problem.status in ("optimal", "optimal_inaccurate"), problem.status
    return float(problem.value) / 1e2, np.asarray(x.value) * 1e3
