"""Voltage sensitivities, against the full power flow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import node, rack_site, state_of

from mimctl.grid.network import PowerNetwork
from mimctl.grid.sensitivity import ImpedanceWatch, VoltageSensitivity
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import SiteLayout
from mimctl.model.node import Cable, Feed, NodeKind, SourceKind, Transformer, Winding
from mimctl.model.site import Site


def wired_site(winding: Winding | None = None) -> Site:
    """feed → (transformer →) pdu → two racks, on cables with a thin neutral."""
    cable = Cable(0.04, 0.02, 0.08, 0.03)
    feed = node("feed", None, NodeKind.FEED, 400.0)
    pdu = node("pdu", "feed", NodeKind.PDU, 200.0, cable=Cable(0.01, 0.02, 0.02, 0.02))
    if winding is not None:
        pdu = replace(
            pdu, cable=None, transformer=Transformer(winding, 100e3, 4.0, 1500.0, clock=11 if winding is Winding.DYN else 0)
        )
    racks = [node(name, "pdu", rating_a=63.0, cable=cable) for name in ("rack1", "rack2")]
    site = rack_site(2)
    feeds = (Feed("A", "feed", SourceKind.UTILITY, 1e9, short_circuit_va=5e6),)
    return replace(site, nodes=(feed, pdu, *racks), feeds=feeds)


def voltages_pu(site: Site, load_va: np.ndarray) -> np.ndarray:
    """(N, 3) of the full power flow with these loads at the nodes."""
    layout = SiteLayout(site)
    return np.abs(PowerNetwork(layout).solve(load_va).voltage_v) / layout.voltage_ln_v[:, None]


@pytest.mark.parametrize("winding", [None, Winding.YNYN, Winding.DYN])
@pytest.mark.parametrize("moved", [(1000 + 0j, -1000, 0), (0, 1000, -1000), (600j, 0, -600j), (1500, 0, 0)])
def test_a_move_changes_voltages_as_the_power_flow_says(winding, moved):
    site = wired_site(winding)
    operators = TreeOperators(SiteLayout(site))
    load = np.zeros((4, 3), complex)
    load[2], load[3] = [1200 + 300j, 900, 700], [300, 800 + 100j, 900]
    injected = np.zeros((4, 3), complex)
    injected[2] = moved
    truth = voltages_pu(site, load - injected) - voltages_pu(site, load)
    lowered = operators.flow(injected)
    rise = VoltageSensitivity(operators).rise_pu(lowered)
    assert np.abs(rise - truth)[1:].max() < 0.06 * np.abs(truth).max() + 2e-5


def test_without_the_neutral_a_single_phase_load_is_seen_by_its_own_phase_alone():
    site = wired_site()
    nodes = tuple(replace(n, cable=n.cable and replace(n.cable, r_neutral_ohm=None, x_neutral_ohm=None)) for n in site.nodes)
    operators = TreeOperators(SiteLayout(replace(site, nodes=nodes)))
    lowered = np.zeros((4, 3), complex)
    lowered[2:3, 0] = 1000.0
    rise = VoltageSensitivity(operators).rise_pu(lowered)
    # R·P/V² of 0.04 Ω and 1 kW at 230 V, of this branch alone: nothing passes the others here
    assert rise[2].tolist() == pytest.approx([0.04 * 1000 / 230**2, 0.0, 0.0])


class TestImpedanceWatch:
    def run(
        self, factor: float, *, minutes: int = 10, noise_v: float = 0.05, offset_v: float = 0.0, moving: bool = True
    ) -> np.ndarray:
        """Meters of a site whose cables are `factor` of what its file says; loads wander, and so does the grid above."""
        site = wired_site()
        layout = SiteLayout(site)
        sensitivity = VoltageSensitivity(TreeOperators(layout))
        watch, rng = ImpedanceWatch(sensitivity, every_s=1.0), np.random.default_rng(7)
        load = np.zeros((4, 3), complex)
        for second in range(60 * minutes):
            if moving:
                load[2:] = 1500 + 1200 * rng.standard_normal((2, 3)).clip(-1, 1)
            flow = TreeOperators(layout).flow(load)
            drop = factor * np.asarray((sensitivity.drop @ flow.reshape(-1)).real).reshape(-1, 3)
            above = 230.0 * (1 + 0.02 * np.sin(second / 50))
            volts = np.zeros((4, 3))
            for n in range(4):
                parent = volts[layout.parent[n]] if layout.parent[n] >= 0 else above
                volts[n] = parent - 230.0 * drop[n]
            volts += noise_v * rng.standard_normal(volts.shape)
            volts[2] += offset_v
            state = state_of(site, flow, now_s=float(second), node_taken_s=float(second))
            watch.learn(replace(state, nodes=replace(state.nodes, voltage_ln_v=volts)))
        return watch.scale

    @pytest.mark.parametrize("factor", [0.8, 0.95, 1.0, 1.05, 1.5])
    def test_finds_how_wrong_the_cables_are(self, factor):
        assert self.run(factor)[2:] == pytest.approx([factor, factor], rel=0.05)

    def test_a_meter_that_reads_high_all_the_time_is_no_cable(self):
        assert self.run(1.0, offset_v=1.5)[2] == pytest.approx(1.0, rel=0.05)

    def test_nothing_is_learnt_from_noise_alone(self):
        assert self.run(1.3, moving=False).tolist() == [1.0] * 4

    def test_figures_beyond_belief_are_cut_off(self):
        assert self.run(4.0)[2] == 2.0
