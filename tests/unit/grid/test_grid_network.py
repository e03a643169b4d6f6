"""The power flow against hand calculation and an independent backward-forward sweep."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mimctl.grid.network import PowerNetwork, pair_shares
from mimctl.grid.tree import TreeOperators
from mimctl.model.connection import Connection
from mimctl.model.errors import PowerFlowFailed
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.node import Cable, Feed, Node, NodeKind, Transformer, Winding
from mimctl.model.phases import Rotation
from mimctl.model.site import Site

STIFF_VA = 1e12


def site_of(nodes: tuple[Node, ...], rotation: Rotation = Rotation.POSITIVE, short_circuit_va: float = STIFF_VA) -> SiteLayout:
    feeds = tuple(Feed(f"F{n.id}", n.id, short_circuit_va=short_circuit_va) for n in nodes if n.parent is None)
    return SiteLayout(Site("s", "s", "UTC", 50.0, rotation, (), feeds, nodes, (), (), (), (), ()))


def rack(name: str, parent: str, cable: Cable | None, voltage: float = 230.0) -> Node:
    return Node(name, NodeKind.RACK, parent, 32.0, voltage, cable=cable)


def head(voltage: float = 230.0) -> Node:
    return Node("head", NodeKind.FEED, None, 400.0, voltage)


def load(layout: SiteLayout, **values: tuple[complex, complex, complex]) -> ComplexArray:
    array = np.zeros((len(layout.nodes), 3), dtype=np.complex128)
    for name, row in values.items():
        array[layout.node_index[name]] = row
    return array


def sweep(layout: SiteLayout, demand: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
    """Backward-forward sweep over cables with an explicit neutral conductor, stiff source.

    Reference: Shirmohammadi et al., "A compensation-based power flow method …", IEEE Trans. Power Systems 3 (1988).
    """
    v0 = np.array(layout.site.rotation.unit_voltages) * layout.voltage_ln_v[0]
    volts = np.tile(v0, (len(layout.nodes), 1))
    amps = np.zeros_like(volts)
    for _ in range(200):
        amps = np.conj(demand / volts)
        for n in reversed(range(len(layout.nodes))):
            if layout.parent[n] >= 0:
                amps[layout.parent[n]] += amps[n]
        for n, p in enumerate(layout.parent):
            cable = layout.nodes[n].cable
            if p >= 0 and cable is not None:
                own = complex(cable.r_ohm, cable.x_ohm) * amps[n]
                common = complex(cable.r_neutral_ohm or 0.0, cable.x_neutral_ohm or 0.0) * amps[n].sum()
                volts[n] = volts[p] - own - common
            elif p >= 0:
                volts[n] = volts[p]
    return volts, amps


def test_single_phase_load_by_hand() -> None:
    """P at the end of a purely resistive loop R: V² − V0·V + P·R = 0."""
    layout = site_of((head(), rack("r", "head", Cable(0.2, 0.0, r_neutral_ohm=0.1, x_neutral_ohm=0.0))))
    result = PowerNetwork(layout).solve(load(layout, r=(3000, 0, 0)))
    volts = (230 + math.sqrt(230**2 - 4 * 3000 * 0.3)) / 2
    amps = 3000 / volts
    assert abs(result.voltage_v[1, 0]) == pytest.approx(volts, abs=1e-4)
    assert abs(result.current_a[1, 0]) == pytest.approx(amps, abs=1e-4)
    # the return current lifts the local neutral under the two idle phases
    idle = 230 * np.exp(-2j * np.pi / 3) - 0.1 * amps
    assert result.voltage_v[1, 1] == pytest.approx(idle, abs=1e-3)
    assert float(result.loss_w) == pytest.approx(0.3 * amps**2, rel=1e-4)
    assert result.flow_va[0, 0].real == pytest.approx(3000 + 0.3 * amps**2, rel=1e-5)


def test_source_short_circuit_power_by_hand() -> None:
    """Three-phase short-circuit power Sk means |Z| = U²/Sk; R/X = 0.1."""
    layout = site_of((head(),), short_circuit_va=1e6)
    result = PowerNetwork(layout).solve(load(layout, head=(10e3, 10e3, 10e3)))
    z = (230 * math.sqrt(3)) ** 2 / 1e6
    x = z / math.sqrt(1 + 0.1**2)
    impedance = complex(0.1 * x, x)
    volts = result.voltage_v[0, 0]
    assert abs(volts + impedance * np.conj(10e3 / volts)) == pytest.approx(230.0, abs=1e-3)


@pytest.mark.parametrize("rotation", list(Rotation))
def test_unbalanced_tree_agrees_with_a_sweep(rotation: Rotation) -> None:
    generator = np.random.default_rng(3)
    nodes = [head()]
    for i in range(12):
        parent = nodes[generator.integers(0, len(nodes))].id
        cable = Cable(*generator.uniform(0.005, 0.05, 2), *generator.uniform(0.005, 0.05, 2)) if i % 4 else None
        nodes.append(rack(f"n{i}", parent, cable))
    layout = site_of(tuple(nodes), rotation)
    demand = generator.uniform(-500, 3000, (13, 3)) + 1j * generator.uniform(-300, 600, (13, 3))
    volts, amps = sweep(layout, demand)
    result = PowerNetwork(layout).solve(demand)
    np.testing.assert_allclose(result.voltage_v, volts, atol=2e-3)
    np.testing.assert_allclose(result.current_a, amps, atol=2e-3)


def test_energy_balance() -> None:
    layout = site_of((head(), rack("a", "head", Cable(0.05, 0.02)), rack("b", "a", Cable(0.1, 0.03, 0.1, 0.03))))
    demand = load(layout, a=(2000, 100j, -300), b=(0, 4000 + 500j, 900))
    result = PowerNetwork(layout).solve(demand)
    assert result.flow_va[0].sum().real == pytest.approx(demand.sum().real + float(result.loss_w), abs=0.01)
    assert (result.branch_loss_w[1:] > 0).all()
    assert result.branch_loss_w[0] == 0


def transformed(winding: Winding, clock: int, rotation: Rotation, uk: float = 0.01) -> SiteLayout:
    unit = Transformer(winding, 1e6, short_circuit_voltage_pct=uk, clock=clock)
    below = Node("t", NodeKind.TRANSFORMER, "head", 1600.0, 230.0, transformer=unit)
    return site_of((head(6350.0), below, rack("r", "t", Cable(1e-5, 0.0))), rotation)


@pytest.mark.parametrize("rotation", list(Rotation))
@pytest.mark.parametrize("clock", [1, 5, 7, 11])
def test_delta_winding_as_in_the_linear_tree(clock: int, rotation: Rotation) -> None:
    layout = transformed(Winding.DYN, clock, rotation)
    demand = load(layout, r=(9000 + 1000j, 3000, 500j))
    result = PowerNetwork(layout).solve(demand)
    # pgm adds nothing of its own: a nearly ideal transformer must repeat the operators of the lossless tree
    np.testing.assert_allclose(result.flow_va, TreeOperators(layout).flow(demand), atol=8.0)
    assert abs(result.current_a[0].sum()) < 1e-3 * np.abs(result.current_a[0]).max()
    turn = np.angle(result.voltage_v[1, 0] / result.voltage_v[0, 0], deg=True)
    lag = 30.0 * clock if rotation is Rotation.POSITIVE else -30.0 * clock
    assert (turn + lag + 180) % 360 - 180 == pytest.approx(0.0, abs=0.1)


def test_star_star_passes_the_zero_sequence() -> None:
    layout = transformed(Winding.YNYN, 0, Rotation.POSITIVE)
    result = PowerNetwork(layout).solve(load(layout, r=(9000, 0, 0)))
    ratio = 230.0 / 6350.0
    assert result.current_a[0].sum() == pytest.approx(9000 / 230 * ratio, rel=1e-3)


def test_transformer_losses_by_name_plate() -> None:
    unit = Transformer(Winding.DYN, 100e3, 4.0, copper_loss_w=1500, no_load_loss_w=300)
    layout = site_of((head(6350.0), Node("t", NodeKind.TRANSFORMER, "head", 160.0, 230.0, transformer=unit)))
    network = PowerNetwork(layout)
    idle = float(network.solve(load(layout)).loss_w)
    assert idle == pytest.approx(300, rel=1e-3)
    rated = network.solve(load(layout, t=(100e3 / 3, 100e3 / 3, 100e3 / 3)))
    current = abs(rated.current_a[1, 0]) / (100e3 / 3 / 230)
    assert float(rated.loss_w) - idle == pytest.approx(1500 * current**2, rel=0.03)


def test_a_transformer_with_its_cable_is_the_two_in_series() -> None:
    unit, cable = Transformer(Winding.DYN, 100e3, 4.0, copper_loss_w=1500, no_load_loss_w=300), Cable(0.01, 0.005, 0.02, 0.01)
    both = Node("t", NodeKind.TRANSFORMER, "head", 160.0, 230.0, transformer=unit, cable=cable)
    one = site_of((head(6350.0), both, rack("r", "t", Cable(0.05, 0.02))))
    two = site_of((head(6350.0), replace(both, id="x", cable=None), rack("t", "x", cable), rack("r", "t", Cable(0.05, 0.02))))
    demand = {"t": (3000, 0, 9000), "r": (5000, 2000j, 500)}
    found, expected = PowerNetwork(one).solve(load(one, **demand)), PowerNetwork(two).solve(load(two, **demand))
    np.testing.assert_allclose(found.voltage_v[1:], expected.voltage_v[2:], atol=1e-4)
    np.testing.assert_allclose(found.flow_va[[0, 1]], expected.flow_va[[0, 2]], atol=1e-2)
    assert found.branch_loss_w[1] == pytest.approx(expected.branch_loss_w[1:3].sum(), abs=0.01)


@pytest.mark.parametrize("rotation", list(Rotation))
def test_line_to_line_load_draws_its_current_between_two_lines(rotation: Rotation) -> None:
    """Two 208 V loads and one single-phase one: what enters the neutral comes from the single-phase load alone."""
    layout = site_of((head(120.0), rack("r", "head", Cable(0.03, 0.01, 0.03, 0.01), 120.0)), rotation)
    pairs = load(layout, r=(2500 + 500j, 0, 1200))
    result = PowerNetwork(layout).solve(load(layout, r=(0, 800, 0)), pairs)
    v = result.voltage_v[1]
    i12, i31 = np.conj((2500 + 500j) / (v[0] - v[1])), np.conj(1200 / (v[2] - v[0]))
    i2n = np.conj(800 / v[1])
    expected = np.array([i12 - i31, i2n - i12, i31])
    np.testing.assert_allclose(result.current_a[1], expected, atol=0.003)


def test_shares_agree_with_the_connection_at_nominal_voltages() -> None:
    for rotation in Rotation:
        shares = pair_shares(np.array(rotation.unit_voltages))
        for column, pair in enumerate((Connection.L1L2, Connection.L2L3, Connection.L3L1)):
            np.testing.assert_allclose(shares[:, column], pair.phase_shares(rotation), atol=1e-12)


def test_batch_repeats_single_solves() -> None:
    layout = site_of((head(), rack("a", "head", Cable(0.1, 0.05)), rack("b", "head", None)), Rotation.NEGATIVE)
    generator = np.random.default_rng(1)
    demand = generator.uniform(0, 3000, (5, 3, 3)) + 1j * generator.uniform(0, 500, (5, 3, 3))
    pairs = generator.uniform(-500, 1500, (5, 3, 3)) * (1 + 0.2j)
    network = PowerNetwork(layout)
    many = network.solve_batch(demand, pairs)
    assert many.loss_w.shape == (5,)
    for t in range(5):
        one = network.solve(demand[t], pairs[t])
        np.testing.assert_allclose(many.current_a[t], one.current_a, atol=1e-5)
        np.testing.assert_allclose(many.voltage_v[t], one.voltage_v, atol=1e-6)


def test_two_feeds_do_not_see_each_other() -> None:
    layout = site_of((head(), Node("other", NodeKind.FEED, None, 400.0, 230.0)), short_circuit_va=1e6)
    result = PowerNetwork(layout).solve(load(layout, head=(20e3, 0, 0)))
    assert abs(result.voltage_v[0, 0]) < 229
    np.testing.assert_allclose(np.abs(result.voltage_v[1]), 230.0, atol=1e-6)


def test_overload_is_an_error_with_a_sentence() -> None:
    layout = site_of((head(), rack("r", "head", Cable(1.0, 0.5))))
    with pytest.raises(PowerFlowFailed, match="more than the network can carry"):
        PowerNetwork(layout).solve(load(layout, r=(50e3, 0, 0)))
