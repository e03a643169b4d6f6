"""The plant as a whole: conservation of energy, caching, line-to-line sites, harmonics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders import rack_site
from mimctl.grid.tree import TreeOperators
from mimctl.model.address import DeviceAddress
from mimctl.model.connection import Connection
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.node import Cable, Feed, Node, NodeKind, Transformer, Winding
from mimctl.model.phases import Rotation
from mimctl.model.site import LossModel, Mim, PortSpec, Site, TwinLoad, TwinSpec
from mimctl.twin.firmware import MimFleet
from mimctl.twin.loads import LoadSet
from mimctl.twin.plant import Plant

RECTIFIER = ((3, 30.0), (5, 20.0), (7, 10.0), (9, 5.0))


class Fixed:
    def __init__(self, loads: tuple[TwinLoad, ...], power: ComplexArray) -> None:
        self.loads, self.power, self.asked = loads, power, 0

    def at(self, t_s: float) -> ComplexArray:
        self.asked += 1
        return self.power


def cabled(site: Site) -> Site:
    nodes = (
        n if n.parent is None else replace(n, cable=Cable(0.02, 0.01, r_neutral_ohm=0.02, x_neutral_ohm=0.01)) for n in site.nodes
    )
    return replace(site, nodes=tuple(nodes), mims=tuple(replace(m, losses=LossModel(5.0, 0.01, 1e-6)) for m in site.mims))


def plant_of(site: Site, powers: dict[tuple[str, Connection], complex], harmonics: tuple[tuple[int, float], ...] = ()) -> Plant:
    loads = tuple(TwinLoad(node, at, 1000.0, harmonic_pct=harmonics) for node, at in powers)
    site = replace(site, twin=TwinSpec(loads=loads))
    layout = SiteLayout(site)
    source = Fixed(loads, np.array(list(powers.values()), dtype=np.complex128))
    return Plant(layout, LoadSet(layout, source, noise=False), fleet=MimFleet(layout) if site.mims else None)


def run_mims(plant: Plant, values: tuple[float, ...], until_s: float = 8.0) -> None:
    assert plant.fleet is not None
    for m in range(len(plant.layout.mims)):
        plant.fleet.enable(m, True)
        plant.fleet.heartbeat(m, 1)
        plant.fleet.apply(m, values, (0,) * len(values), 1)
    plant.advance_to(until_s)


def test_energy_is_conserved() -> None:
    powers = {("rack1", Connection.L1): 3000 + 500j, ("rack2", Connection.L2): 1500 + 0j, ("rack2", Connection.L3L1): 800 + 100j}
    plant = plant_of(cabled(rack_site(2)), powers)
    run_mims(plant, (900, -300, -600))
    state = plant.solve()
    source_w = state.flow_va[plant.layout.heads].sum().real
    assert source_w == pytest.approx(state.load_va.sum().real - state.port_va.sum().real + state.loss_w, abs=0.05)
    # no storage: what the MIMs take in is what they lose
    assert -state.port_va.sum().real == pytest.approx(state.mim_loss_w.sum())
    assert state.mim_loss_w.min() > 5
    assert state.node_load_va.sum() == pytest.approx(sum(powers.values()))


def test_mims_shift_power_between_phases() -> None:
    plant = plant_of(rack_site(1), {("rack1", Connection.L1): 3000, ("rack1", Connection.L2): 600})
    before = np.abs(plant.solve().current_a[2])
    run_mims(plant, (1600, -600, -1000))
    after = np.abs(plant.solve().current_a[2])
    assert before.max() - before.min() > 10
    assert after.max() - after.min() < 2


def test_the_site_without_its_mims() -> None:
    plant = plant_of(rack_site(2, mims=False), {("rack1", Connection.L1): 1000})
    plant.advance_to(5.0)
    state = plant.solve()
    assert state.port_va.shape == (0,)
    assert abs(state.current_a[0, 0]) == pytest.approx(1000 / 230, rel=0.001)


def test_solved_once_an_instant_and_again_after_a_command() -> None:
    plant = plant_of(rack_site(1), {("rack1", Connection.L1): 1000})
    first = plant.solve()
    assert plant.solve() is first
    plant.advance_to(1.0)
    second = plant.solve()
    assert second is not first
    assert plant.fleet is not None
    plant.fleet.enable(0, True)
    assert plant.solve() is not second
    distortion = plant.harmonics()
    assert plant.harmonics() is distortion


def test_ports_see_the_voltage_they_stand_on() -> None:
    site = rack_site(1, mims=False)
    ports = tuple(PortSpec("rack1", c, 1000.0) for c in (Connection.L1, Connection.L2L3, Connection.THREE_PHASE))
    plant = plant_of(replace(site, mims=(Mim("m", DeviceAddress("gw", 9), ports),)), {("rack1", Connection.L1): 1000})
    np.testing.assert_allclose(plant.solve().port_voltage_v, [230, 230 * np.sqrt(3), 230], rtol=1e-3)


def line_to_line_site(rotation: Rotation = Rotation.POSITIVE) -> Site:
    nodes = (
        Node("feed", NodeKind.FEED, None, 400.0, 277.0, neutral_rating_a=400.0),
        Node(
            "tx",
            NodeKind.TRANSFORMER,
            "feed",
            400.0,
            120.0,
            transformer=Transformer(Winding.DYN, 150e3, 0.02),
            neutral_rating_a=400.0,
        ),
        Node("rack", NodeKind.RACK, "tx", 60.0, 120.0, cable=Cable(0.01, 0.005, 0.01, 0.005), neutral_rating_a=60.0),
    )
    return replace(
        rack_site(1, mims=False), nodes=nodes, rotation=rotation, feeds=(Feed("A", "feed", short_circuit_va=1e12),), meters=()
    )


@pytest.mark.parametrize("rotation", list(Rotation))
def test_line_to_line_loads_leave_the_neutral_empty(rotation: Rotation) -> None:
    powers = {("rack", Connection.L1L2): 4000 + 800j, ("rack", Connection.L2L3): 1500 + 0j}
    plant = plant_of(line_to_line_site(rotation), powers)
    assert plant.neutral_a[2] < 0.01
    operators = TreeOperators(plant.layout)
    state = plant.solve()
    np.testing.assert_allclose(state.flow_va[0], operators.flow(state.node_load_va)[0], rtol=0.03, atol=60)


class TestHarmonics:
    def test_equal_rectifiers_add_their_triplens_in_the_neutral(self) -> None:
        powers = {("rack1", c): 2300 + 0j for c in (Connection.L1, Connection.L2, Connection.L3)}
        plant = plant_of(rack_site(1, mims=False), powers, RECTIFIER)
        flow = plant.harmonics()
        # 10 A a phase: the fundamentals and orders 5 and 7 cancel, 3 and 9 are thrice as large
        assert flow.neutral_a[2] == pytest.approx(3 * 10 * np.hypot(0.30, 0.05), rel=1e-3)
        np.testing.assert_allclose(flow.thd_i_pct[2], 100 * np.sqrt(0.3**2 + 0.2**2 + 0.1**2 + 0.05**2), rtol=1e-3)
        np.testing.assert_array_equal(flow.orders, [3, 5, 7, 9])

    def test_a_delta_keeps_the_triplens(self) -> None:
        powers = {("rack", c): 2000 + 0j for c in (Connection.L1, Connection.L2, Connection.L3)}
        flow = plant_of(line_to_line_site(), powers, RECTIFIER).harmonics()
        currents = np.abs(flow.current_a)
        assert currents[0, :, [0, 3]].max() < 1e-2 * currents[1, :, [0, 3]].min()
        # orders 5 and 7 pass with the turns ratio
        np.testing.assert_allclose(currents[0, :, 1:3], currents[1, :, 1:3] * 120 / 277, rtol=1e-3)
        assert flow.neutral_a[0] < 0.01

    @pytest.mark.parametrize("clock", [1, 5, 7, 11])
    @pytest.mark.parametrize("rotation", list(Rotation))
    def test_the_incidence_carries_the_fundamental_as_the_power_flow_does(self, clock: int, rotation: Rotation) -> None:
        """Order 1 with a share of 100 % is the fundamental itself."""
        site = line_to_line_site(rotation)
        unit = Transformer(Winding.DYN, 1e6, 0.001, clock=clock)
        site = replace(site, nodes=(site.nodes[0], replace(site.nodes[1], transformer=unit), site.nodes[2]))
        powers = {("rack", Connection.L1): 3000, ("rack", Connection.L2L3): 2000, ("rack", Connection.THREE_PHASE): 900}
        plant = plant_of(site, powers, ((1, 100.0),))
        np.testing.assert_allclose(plant.harmonics().current_a[:, :, 0], plant.solve().current_a, atol=0.05)

    def test_voltage_distortion_by_hand(self) -> None:
        """One load of 10 A with 20 % of order 5 behind X = 0.1 Ω: 2 A · 0.5 Ω = 1 V of about 230 V."""
        site = rack_site(1, mims=False)
        stiff = replace(site, feeds=(replace(site.feeds[0], short_circuit_va=1e12),))
        wired = replace(stiff, nodes=(*site.nodes[:2], replace(site.nodes[2], cable=Cable(0.0, 0.1))))
        flow = plant_of(wired, {("rack1", Connection.L1): 2300}, ((5, 20.0),)).harmonics()
        assert flow.thd_v_pct[2, 0] == pytest.approx(100 * 1.0 / 230, rel=0.01)
        assert flow.thd_v_pct[1, 0] == pytest.approx(0.0, abs=1e-3)
        # a phase without current has no ratio
        assert np.isnan(flow.thd_i_pct[2, 1])

    def test_source_reactance_grows_with_the_order(self) -> None:
        site = rack_site(1, mims=False)
        weak = replace(site, feeds=(replace(site.feeds[0], short_circuit_va=1e6, rx_ratio=0.0),))
        flow = plant_of(weak, {("rack1", Connection.L1): 2300}, ((5, 10.0), (11, 10.0))).harmonics()
        voltage = np.abs(flow.voltage_v[0, 0])
        reactance = 3 * 230**2 / 1e6
        np.testing.assert_allclose(voltage, np.abs(flow.current_a[0, 0]) * reactance * np.array([5, 11]), rtol=1e-9)

    def test_loads_without_harmonics(self) -> None:
        plant = plant_of(rack_site(1, mims=False), {("rack1", Connection.L1): 2300})
        flow = plant.harmonics()
        assert flow.current_a.shape == (3, 3, 0)
        assert flow.neutral_a[2] == pytest.approx(10.0, rel=1e-3)
        assert flow.thd_i_pct[2, 0] == 0
