"""State estimation of the whole network against the power flow that made the readings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import three_port_mim
from tests.unit.grid.test_grid_estimate import through_a_delta

from mimctl.grid.network import PowerNetwork
from mimctl.grid.observed import ObservedNetwork, Readings
from mimctl.model.layout import SiteLayout
from mimctl.model.phases import Rotation


@pytest.mark.parametrize("rotation", list(Rotation))
@pytest.mark.parametrize("missing", [("rack-a1",), ("xfmr",), ("pdu-b", "rack-a2"), ("feed",)])
def test_exact_readings_give_back_flows_and_voltages_of_what_is_missing(rotation: Rotation, missing: tuple[str, ...]) -> None:
    layout = SiteLayout(replace(through_a_delta(), rotation=rotation))
    rng = np.random.default_rng(4)
    load = np.where(layout.has_own_load[:, None], rng.uniform(500, 6000, (len(layout.nodes), 3)) * (1 + 0.3j), 0)
    truth = PowerNetwork(layout).solve(load)
    measured = np.array([n.id not in missing for n in layout.nodes])
    volts = np.where(measured[:, None], np.abs(truth.voltage_v), np.nan)
    # the guess is far off: readings have to overrule it
    flow = np.where(measured[:, None], truth.flow_va, 0.5 * truth.flow_va)
    sigma = (0.003 * np.abs(truth.flow_va) + 5) * (1 + 1j)
    found = ObservedNetwork(layout).solve(Readings(measured, flow, sigma, np.zeros_like(flow), volts, 0.003 * volts))
    # above the delta the voltages are not measured where the feed is missing: 0.1 % of 16 kW
    np.testing.assert_allclose(found.flow_va, truth.flow_va, atol=12.0 if "feed" in missing else 2.0)
    np.testing.assert_allclose(np.abs(found.voltage_v), np.abs(truth.voltage_v), rtol=1e-3)


@pytest.mark.parametrize(("heard", "within_va"), [(True, 1.0), (False, 40.0)])
def test_a_mim_at_a_node_without_load_is_counted(heard: bool, within_va: float) -> None:
    """What a MIM at the pdu puts in is known: the rack is still what is left, to 2 % where no voltage is measured."""
    site = replace(through_a_delta(), mims=(three_port_mim("mim", "pdu-a", 9),))
    layout = SiteLayout(site)
    at, rack = layout.node_index["pdu-a"], layout.node_index["rack-a1"]
    load = np.where(layout.has_own_load[:, None], 2000 * (1 + 0.2j), 0) * np.ones((1, 3))
    injection = np.zeros_like(load)
    injection[at] = (800, -500, -300)
    truth = PowerNetwork(layout).solve(load - injection)
    measured = np.arange(len(layout.nodes)) != rack
    volts = np.abs(truth.voltage_v) if heard else np.full((len(layout.nodes), 3), np.nan)
    flow = truth.flow_va * measured[:, None]
    found = ObservedNetwork(layout).solve(Readings(measured, flow, np.full_like(load, 5 + 5j), injection, volts, 0.003 * volts))
    np.testing.assert_allclose(found.flow_va[rack], truth.flow_va[rack], atol=within_va)
