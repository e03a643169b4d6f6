"""Missing flows against weighted least squares by hand, hand calculation, and the power flow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import node, rack_site

from mimctl.grid.branches import BranchLosses
from mimctl.grid.estimate import Estimate, Known, estimate, groups_of
from mimctl.grid.network import PowerNetwork
from mimctl.grid.sums import sums_of
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import SiteLayout
from mimctl.model.node import Cable, NodeKind, Transformer, Winding
from mimctl.model.site import Site

#: what the meters of feed, pdu and three racks say [W], and their standard deviations
READ_W = np.array([6020.0, 5990.0, 1500.0, 2480.0, 2010.0])
SIGMA_W = np.array([60.0, 30.0, 10.0, 20.0, 15.0])


def known(layout: SiteLayout, flow_va: np.ndarray, missing: tuple[str, ...], **more: np.ndarray) -> Known:
    shape = (len(layout.nodes), 3)
    sigma = np.broadcast_to(SIGMA_W[:, None], shape) if shape[0] == len(SIGMA_W) else np.full(shape, 10.0)
    usable = np.array([n.id not in missing for n in layout.nodes])
    values = {
        "usable": usable,
        "gross_va": np.where(usable[:, None], flow_va, np.nan),
        "sigma_va": sigma * (1 + 1j),
        "last_va": np.full(shape, np.nan + 1j * np.nan),
        "last_sigma_va": np.full(shape, np.nan + 1j * np.nan),
        "lost_va": np.zeros(shape, dtype=complex),
        "lost_sigma_va": np.zeros(shape),
        "present": layout.phase_present,
    }
    return Known(**(values | more))  # type: ignore[arg-type]


def solve(site: Site, flow_va: np.ndarray, missing: tuple[str, ...], **more: np.ndarray) -> tuple[SiteLayout, Estimate]:
    layout = SiteLayout(site)
    operators = TreeOperators(layout)
    sums, given = sums_of(operators, np.ones(len(layout.nodes), dtype=bool)), known(layout, flow_va, missing, **more)
    return layout, estimate(sums, groups_of(sums, given.usable), given)


def racks(**more: np.ndarray) -> np.ndarray:
    return np.repeat(READ_W[:, None], 3, axis=1).astype(complex)


@pytest.mark.parametrize("missing", ["rack1", "rack3", "pdu", "feed"])
def test_one_missing_meter_is_what_least_squares_over_all_meters_say(missing: str) -> None:
    """The loads of the racks are the unknowns, every meter that is left is one weighted row: textbook least squares."""
    layout, found = solve(rack_site(3, mims=False), racks(), (missing,))
    rows = np.array([[1, 1, 1], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
    at = layout.node_index[missing]
    left = np.arange(5) != at
    weight = 1 / SIGMA_W[left]
    loads, *_ = np.linalg.lstsq(rows[left] * weight[:, None], READ_W[left] * weight, rcond=None)
    covariance = np.linalg.inv((rows[left] * weight[:, None] ** 2).T @ rows[left])
    assert found.by_sums[at]
    # the sums themselves are held to 1 W, beside meters of 10 W and more
    np.testing.assert_allclose(found.gross_va[at].real, rows[at] @ loads, atol=0.6)
    np.testing.assert_allclose(found.sigma_va[at].real, np.sqrt(rows[at] @ covariance @ rows[at]), rtol=0.01)


def test_two_missing_under_one_total_share_it_by_what_they_drew_last() -> None:
    last, sigma = np.full((5, 3), np.nan + 0j), np.full((5, 3), np.nan + 0j)
    last[2], last[3] = 1400.0, 2700.0
    sigma[2], sigma[3] = 100 * (1 + 1j), 200 * (1 + 1j)
    _, found = solve(rack_site(3, mims=False), racks(), ("rack1", "rack2"), last_va=last, last_sigma_va=sigma)
    # the total: the pdu's meter and the feed's, by their weights, less the rack that is left
    total = (READ_W[0] / 60**2 + READ_W[1] / 30**2) / (1 / 60**2 + 1 / 30**2) - READ_W[4]
    variance = 1 / (1 / 60**2 + 1 / 30**2) + 15**2
    gap = total - 4100.0
    share = 1 / (100**2 + 200**2 + variance)
    np.testing.assert_allclose(found.gross_va[2].real, 1400 + 100**2 * share * gap, atol=1.0)
    np.testing.assert_allclose(found.gross_va[3].real, 2700 + 200**2 * share * gap, atol=1.0)
    np.testing.assert_allclose(found.sigma_va[2].real, 100 * np.sqrt(1 - 100**2 * share), rtol=0.01)
    assert not found.by_sums[[2, 3]].any()
    assert found.group[2] == found.group[3] >= 0


def test_without_a_past_nothing_divides_a_total() -> None:
    _, found = solve(rack_site(3, mims=False), racks(), ("rack1", "rack2"))
    assert np.isnan(found.gross_va[[2, 3]]).all()


def test_the_past_alone_is_no_estimate() -> None:
    """Every meter but one rack's is gone: nothing of now tells of the others, however well they are remembered."""
    last, sigma = racks(), np.full((5, 3), 1 + 1j)
    _, found = solve(rack_site(3, mims=False), racks(), ("feed", "pdu", "rack1", "rack2"), last_va=last, last_sigma_va=sigma)
    assert np.isnan(found.gross_va).all()


def test_below_a_node_with_a_load_of_its_own_nothing_can_be_told() -> None:
    site = rack_site(3, mims=False)
    loaded = replace(site, nodes=tuple(replace(n, own_load=True) if n.id == "pdu" else n for n in site.nodes))
    _, found = solve(loaded, racks(), ("rack1",))
    assert np.isnan(found.gross_va).all()
    assert (found.group == -1).all()


def through_a_delta() -> Site:
    """feed 11 kV – Dyn11 – two pdus – two racks each; cables and a transformer with losses."""
    unit = Transformer(Winding.DYN, 250e3, short_circuit_voltage_pct=4.0, copper_loss_w=2500.0, no_load_loss_w=400.0)
    nodes = [
        replace(node("feed", None, NodeKind.FEED, 20.0), voltage_ln_v=6350.9, neutral_rating_a=None),
        node("xfmr", "feed", NodeKind.TRANSFORMER, 400.0, transformer=unit),
    ]
    for p in ("a", "b"):
        nodes.append(node(f"pdu-{p}", "xfmr", NodeKind.PDU, 160.0, cable=Cable(0.02, 0.006, 0.02, 0.006)))
        nodes += [node(f"rack-{p}{r}", f"pdu-{p}", rating_a=63.0, cable=Cable(0.03, 0.001, 0.03, 0.001)) for r in (1, 2)]
    return replace(rack_site(1, mims=False), nodes=tuple(nodes), meters=())


def flow_through_a_delta(site: Site, seed: int = 2) -> tuple[SiteLayout, np.ndarray]:
    layout, rng = SiteLayout(site), np.random.default_rng(seed)
    load = np.where(layout.has_own_load[:, None], rng.uniform(500, 6000, (len(layout.nodes), 3)) * (1 + 0.3j), 0)
    return layout, PowerNetwork(layout).solve(load).flow_va


@pytest.mark.parametrize("missing", [("rack-a1",), ("xfmr",), ("pdu-b", "rack-a2"), ("feed",)])
def test_missing_flows_agree_with_the_power_flow(missing: tuple[str, ...]) -> None:
    """Cables, a delta winding and their losses: the sums know them to a few watts of tens of kilowatts."""
    layout, flow = flow_through_a_delta(through_a_delta())
    losses = BranchLosses(layout)
    lost = losses.lost_va(flow)
    _, found = solve(layout.site, flow, missing, lost_va=lost, lost_sigma_va=losses.sigma_va(flow, lost))
    for name in missing:
        at = layout.node_index[name]
        np.testing.assert_allclose(found.gross_va[at], flow[at], atol=12.0)


def test_losses_agree_with_the_power_flow() -> None:
    layout, flow = flow_through_a_delta(through_a_delta())
    exact = PowerNetwork(layout).solve(np.where(layout.has_own_load[:, None], flow, 0)).branch_loss_w
    np.testing.assert_allclose(BranchLosses(layout).lost_va(flow).real.sum(axis=1), exact, rtol=0.05, atol=1.0)
