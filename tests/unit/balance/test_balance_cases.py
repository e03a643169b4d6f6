"""Cases whose answer is known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from balance_cases import (
    LINE,
    SINGLE,
    forecast,
    free_bounds,
    mim,
    node_flows,
    one_rack,
    rack,
    rated_bounds,
    sequence_matrices,
    site,
)

from mimctl.balance.problem import Balancer
from mimctl.balance.settings import BalanceSettings
from mimctl.grid.tree import TreeOperators
from mimctl.model.connection import Connection
from mimctl.model.node import Node, NodeKind, Transformer, Winding
from mimctl.model.plan import SolveStatus
from mimctl.model.site import Mim, PortSpec

#: moves no more than it must
LAZY = BalanceSettings(effort=1e-2, movement=0.0, concentration=0.0, tolerance=1e-10)
BARE = BalanceSettings(effort=1e-9, movement=0.0, concentration=0.0, tolerance=1e-10)


def solve(layout, load, bounds=None, settings=BARE):
    nothing = np.zeros(len(layout.ports), complex)
    plan = Balancer(TreeOperators(layout), settings).solve(
        forecast(layout, np.asarray(load, complex)), bounds or free_bounds(layout), nothing, nothing
    )
    assert plan.status is SolveStatus.SOLVED
    return plan.inject_w + 1j * plan.inject_var, plan


def sequence_a(layout, flow, node=0):
    fortescue, turn = sequence_matrices(layout, node)
    return np.abs(fortescue @ turn @ flow)


def test_four_wire_power_moves_to_the_mean():
    """A MIM with three single-phase ports and Σp = 0 gives every phase the mean: 3, 2, 1 kW become 2, 2, 2."""
    layout = one_rack()
    power, plan = solve(layout, [[3000, 2000, 1000]])
    assert power.real == pytest.approx([1000, 0, -1000], abs=0.1)
    assert power.imag - power.imag.mean() == pytest.approx([0, 0, 0], abs=0.1)
    assert plan.objective == pytest.approx(0, abs=1e-9)


def test_reactive_power_is_shared_out_like_active_power():
    layout = one_rack()
    load = np.array([[3000 + 900j, 2000, 1000]])
    power, _ = solve(layout, load)
    left = load[0] - power
    assert left == pytest.approx(np.full(3, left[0]), abs=0.1)


def test_reactive_power_alone_cannot_balance_four_wires():
    """Three single-phase var sources: nulling I2 doubles I0, least squares leaves both where they were."""
    layout = site(
        (Node("head", NodeKind.FEED, None, 32.0, 230.0),),
        [mim(f"m{p}", "head", (p,), 5000.0) for p in SINGLE],
    )
    load = np.array([[1000, 200, 300]], complex)
    power, _ = solve(layout, load)
    assert power.real == pytest.approx([0, 0, 0], abs=1e-3)
    before, after = sequence_a(layout, load[0]), sequence_a(layout, load[0] - power)
    assert np.hypot(before[0], before[2]) == pytest.approx(np.hypot(after[0], after[2]), rel=1e-6)


def test_steinmetz_balances_three_wires():
    """One resistive load P on L1L2 of a three-wire system: −P/√3 var on L2L3 and +P/√3 var on L3L1 make it balanced.

    Reference: C. P. Steinmetz's circuit: for a load between a and b, an inductor and a capacitor of √3 times its impedance.
    """
    ports = (Connection.L2L3, Connection.L3L1)
    layout = site((Node("head", NodeKind.FEED, None, 32.0, 230.0),), [mim(f"m{c}", "head", (c,), 5000.0) for c in ports])
    shares = np.array(Connection.L1L2.phase_shares())
    power, _ = solve(layout, [3000 * shares])
    # consuming side: capacitor between b and c (−P/√3 var), inductor between c and a (+P/√3 var)
    assert -power.imag == pytest.approx([-3000 / np.sqrt(3), 3000 / np.sqrt(3)], abs=0.5)
    assert sequence_a(layout, 3000 * shares - sum(s * np.array(c.phase_shares()) for s, c in zip(power, ports, strict=True)))[
        2
    ] == pytest.approx(0, abs=1e-3)


def test_line_to_line_ports_leave_the_zero_sequence():
    layout = one_rack(LINE)
    load = np.array([[3000, 2000, 1000]], complex)
    power, _ = solve(layout, load)
    flow = np.array(node_flows(layout, load, power))[0]
    before, after = sequence_a(layout, load[0]), sequence_a(layout, flow)
    assert after[0] == pytest.approx(before[0], rel=1e-9)
    assert after[2] == pytest.approx(0, abs=1e-4)


def behind_delta(weights):
    nodes = (
        Node("primary", NodeKind.FEED, None, 32.0, 230.0),
        Node("secondary", NodeKind.TRANSFORMER, "primary", 32.0, 230.0, transformer=Transformer(Winding.DYN, 1e5)),
    )
    layout = site(nodes, [mim(f"m{p}", "secondary", (p,), 5000.0) for p in SINGLE])
    return layout, free_bounds(layout, weights=np.array(weights))


def test_above_a_delta_the_zero_sequence_has_no_weight():
    """With weight on the primary alone, vars null the negative sequence there, however much I0 circulates below."""
    layout, bounds = behind_delta([1.0, 0.0])
    load = np.array([[0, 0, 0], [1000, 200, 300]], complex)
    power, plan = solve(layout, load, bounds)
    flows = np.array(node_flows(layout, load, power))
    assert plan.objective == pytest.approx(0, abs=1e-9)
    assert sequence_a(layout, flows[0], 0)[[0, 2]] == pytest.approx([0, 0], abs=1e-4)
    assert sequence_a(layout, flows[1], 1)[0] > 1.0


def test_the_port_rating_is_met_exactly():
    layout = one_rack(rating=500.0)
    power, plan = solve(layout, [[3000, 2000, 1000]])
    assert power.real == pytest.approx([500, 0, -500], abs=0.1)
    kinds = {a.where: a.kind for a in plan.active}
    assert kinds == {"m.port1": "port_rating", "m.port3": "port_rating"}


def test_the_price_is_the_gain_per_va_of_relief():
    load = [[3000, 2000, 1000]]
    _, plan = solve(one_rack(rating=500.0), load)
    relieved = dict.fromkeys(("m.port1", "m.port3"), 0.0) | {a.where: a.price for a in plan.active}
    layout = one_rack(rating=500.0)
    looser = free_bounds(layout, port_s_max_va=np.array([500.0, 500.0, 500.0]) - np.array([1.0, 0.0, 0.0]))
    _, tighter = solve(layout, load, looser)
    assert tighter.objective - plan.objective == pytest.approx(relieved["m.port1"], rel=5e-3)


def test_the_mim_neutral_is_a_limit():
    """Moving ±1 kW between L1 and L3 puts √3·(1,000 W/230 V) into the MIM's neutral."""
    layout = one_rack()
    _, loose = solve(layout, [[3000, 2000, 1000]], free_bounds(layout, mim_neutral_max_a=np.array([8.0])))
    assert not loose.active
    power, plan = solve(layout, [[3000, 2000, 1000]], free_bounds(layout, mim_neutral_max_a=np.array([5.0])))
    turned = power / np.array(layout.site.rotation.unit_voltages)
    assert abs(turned.sum()) / 230 == pytest.approx(5.0, abs=1e-4)
    assert [(a.where, a.kind) for a in plan.active] == [("m", "mim_neutral")]


def test_a_lone_port_is_bound_by_its_neutral():
    layout = one_rack((Connection.L1, Connection.L2L3))
    power, _ = solve(layout, [[9000, 0, 0]], free_bounds(layout, mim_neutral_max_a=np.array([2.0])))
    assert abs(power[0]) == pytest.approx(460.0, abs=0.01)


def test_a_breaker_is_held_inside_its_margin():
    """L1 stands at 36 A before a 32 A breaker at 80 %: the MIM brings it to 97 % of 25.6 A, and no further than it must."""
    layout = one_rack()
    load = np.array([[36, 16, 16]]) * 230.0
    bounds = rated_bounds(layout, mim_neutral_max_a=np.array([np.inf]), weights=np.zeros(1))
    power, plan = solve(layout, load, bounds, LAZY)
    assert (load[0] - power)[0].real / 230 == pytest.approx(0.97 * 25.6, rel=1e-3)
    assert ("head.L1", "node_current") in {(a.where, a.kind) for a in plan.active}


def test_storage_power_is_exact():
    layout = one_rack()
    power, _ = solve(layout, [[3000, 2000, 1000]], free_bounds(layout, mim_dc_w=np.array([600.0])))
    assert power.real.sum() == pytest.approx(600.0, abs=1e-3)
    assert power.real == pytest.approx([1200, 200, -800], abs=0.1)


def test_a_mim_between_feeds_relieves_the_fuller_one():
    """Balanced loads of 30 and 2 A on two feeds of 20 A continuous: the sequence terms see nothing, the breakers do."""
    nodes = (Node("A", NodeKind.FEED, None, 25.0, 230.0), Node("B", NodeKind.FEED, None, 25.0, 230.0))
    ports = tuple(PortSpec(n, Connection.THREE_PHASE, 15000.0) for n in ("A", "B"))
    layout = site(nodes, [Mim("bridge", mim("x", "A").address, ports)])
    load = np.array([[30.0] * 3, [2.0] * 3]) * 230.0
    power, _ = solve(layout, load, rated_bounds(layout), LAZY)
    assert power.real[0] == pytest.approx(-power.real[1], abs=1e-3)
    assert (load[0] - power[0] / 3)[0].real / 230 == pytest.approx(0.97 * 20.0, rel=1e-3)


def test_concentration_prefers_the_fuller_branch():
    """Two racks of one PDU, battery power to give: balance cannot tell them apart, the load concentration can."""
    nodes = (Node("pdu", NodeKind.PDU, None, 64.0, 230.0), rack("r1"), rack("r2"))
    ports = tuple(PortSpec(n, Connection.THREE_PHASE, 3000.0) for n in ("r1", "r2"))
    layout = site(nodes, [Mim("m", mim("x", "r1").address, ports)])
    load = np.array([[0.0] * 3, [3000.0] * 3, [1000.0] * 3])
    power, _ = solve(layout, load, free_bounds(layout, mim_dc_w=np.array([1500.0])), BalanceSettings(tolerance=1e-9))
    assert power.real[0] > power.real[1] + 500
