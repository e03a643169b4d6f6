"""Transfer devices in a closed loop: what their source cannot give or take back holds at once; what is open stays dead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.loop.closed_loop import ClosedLoop, uneven_site

from mimctl.balance.problem import Balancer
from mimctl.model.address import DeviceAddress
from mimctl.model.fault import Fault, FaultKind
from mimctl.model.lease import LeaseSource, Setpoint
from mimctl.model.node import Feed
from mimctl.model.site import ControlSettings, Site, Zone
from mimctl.model.transfer import Transfer, TransferKind, TransferSource, TransferState
from mimctl.twin.faults import schedule

_CODES = tuple((int(state), state) for state in TransferState if state is not TransferState.UNKNOWN)


def transfer(node: str = "feed", kind: TransferKind = TransferKind.ATS, **more: object) -> Transfer:
    """A device with a generator of 30 kVA behind it, which takes nothing back."""
    sources = (TransferSource(TransferState.NORMAL, None, None), TransferSource(TransferState.GENERATOR, 30e3, 0.0))
    given = {"sources": sources, "address": DeviceAddress("gw", 50), "codes": _CODES, "backup": TransferState.GENERATOR}
    return Transfer("ats", kind, node, **(given | more))  # type: ignore[arg-type]


def with_transfer(site: Site, device: Transfer, **more: object) -> Site:
    return replace(site, transfers=(device,), **more)  # type: ignore[arg-type]


def exporting_site(device: Transfer) -> Site:
    """One rack, 0.7 kW on L3, whose feed takes 5 kW a phase back."""
    return with_transfer(uneven_site(racks=1), device, feeds=(Feed("A", "feed", reverse_power_limit_w=5000.0),))


def ask(loop: ClosedLoop, powers: tuple[complex | None, ...], mim: str = "mim-rack1") -> None:
    book = loop.controller.leases
    book.put(book.draft(LeaseSource.OPERATOR, "test", mim, Setpoint(powers), seconds=600.0, reason="test"))


def in_force(loop: ClosedLoop) -> np.ndarray:
    return loop.controller.zones[0].cycle.dispatcher.held.in_force


def codes(loop: ClosedLoop) -> set[str]:
    return {event.code for event in loop.events.open()}


def head_w(loop: ClosedLoop, node: str = "feed") -> np.ndarray:
    return loop.plant.solve().flow_va[loop.layout.node_index[node]].real


async def test_a_lost_feed_releases_everything_at_once_and_the_generator_is_used_when_it_has_proven_healthy():
    loop = ClosedLoop(with_transfer(uneven_site(), transfer(transfer_s=5.0)))
    await loop.run(10)
    assert in_force(loop).all()
    schedule(loop.plant, [Fault(FaultKind.FEED_LOST, ("A",), at_s=loop.plant.t_s)])
    await loop.run(3)  # one until it is measured, one until the sample is the controller's
    assert not in_force(loop).any()
    assert codes(loop) >= {"grid.lost", "transfer.open"}
    await loop.run(8)  # the generator runs, and is watched
    assert not in_force(loop).any()
    assert "transfer.generator" in codes(loop)
    assert "transfer.open" not in codes(loop)
    await loop.run(15)
    assert in_force(loop).all()
    assert "grid.lost" not in codes(loop)
    # 30 kVA are 43.5 A a phase
    assert np.abs(loop.plant.solve().current_a[0]).max() <= 43.5


async def test_a_generator_takes_nothing_back_though_the_feed_would():
    loop = ClosedLoop(exporting_site(transfer()))
    ask(loop, (None, None, 1900))
    await loop.run(10)
    assert head_w(loop).min() < -1000, "the utility takes it"
    loop.plant.switches.move(loop.plant.switches.devices[0], TransferState.GENERATOR)
    await loop.run(4)
    assert head_w(loop).min() >= -10


async def test_a_device_that_cannot_be_read_any_more_counts_as_its_worst_source():
    site = exporting_site(transfer())
    loop = ClosedLoop(replace(site, control=ControlSettings(max_data_age_s=3.0)))
    ask(loop, (None, None, 1900))
    await loop.run(10)
    assert head_w(loop).min() < -1000
    schedule(loop.plant, [Fault(FaultKind.OFFLINE, ("ats",))])
    await loop.run(8)
    assert head_w(loop).min() >= -10
    assert {"transfer.unknown", "device.unreachable"} <= codes(loop)
    limits = loop.controller.zones[0].cycle.last.bounds.node_limit_a[0]
    assert limits == pytest.approx(np.full(3, 30e3 / 3 / 230))


async def test_what_says_that_it_is_open_is_not_energised_whatever_voltage_is_measured():
    loop = ClosedLoop(with_transfer(uneven_site(), transfer(kind=TransferKind.CONTACTOR)))
    await loop.run(10)
    loop.plant.switches.devices[0].state = TransferState.OPEN
    ask(loop, (300, None, None))
    await loop.run(3)
    assert not in_force(loop).any()
    assert not loop.fleet.enabled.any()
    judged = {j.reason.code for j in loop.controller.zones[0].cycle.last.safe_plan.judgements}
    assert "interlock.source_open" in judged


async def test_nothing_flows_back_into_a_ups_inside_the_tree():
    """Its place is no head: the PDU behind it imports at least nothing, while the feed above would take power back."""
    sources = (TransferSource(TransferState.NORMAL, None, 0.0), TransferSource(TransferState.BATTERY, 60e3, 0.0))
    ups = transfer("pdu", TransferKind.UPS, sources=sources, address=None, fixed=TransferState.NORMAL, backup=None)
    loop = ClosedLoop(exporting_site(ups))
    ask(loop, (None, None, 1900))
    await loop.run(12)
    assert np.abs(loop.setpoint_va()).max() > 300
    assert head_w(loop, "pdu").min() >= -10


async def test_zones_below_a_feed_give_back_and_share_what_stands_above_them():
    """Both hear of the one device above them, which is read once a cycle for both."""
    site = uneven_site()
    rules = tuple(replace(rule, zones=("z1", "z2")) for rule in site.rules)
    zones = (Zone("z1", ("rack1", "rack2")), Zone("z2", ("rack3",)))
    loop = ClosedLoop(with_transfer(site, transfer(transfer_s=30.0), zones=zones, rules=rules))
    await loop.run(8)
    schedule(loop.plant, [Fault(FaultKind.FEED_LOST, ("A",), at_s=loop.plant.t_s)])
    await loop.run(3)
    for zone in loop.controller.zones:
        assert not zone.cycle.dispatcher.held.in_force.any()
        assert zone.cycle.last.state.transfers.state[0] == TransferState.OPEN
    await loop.run(45)
    for zone in loop.controller.zones:
        bounds, layout = zone.cycle.last.bounds, zone.layout
        # the feed's 320 A of heads of 50.4 A each: by the larger of both sums
        share_a = 30e3 / 3 / 230 * 50.4 / 320
        assert bounds.node_limit_a[layout.heads] == pytest.approx(np.full((len(layout.heads), 3), share_a))
        assert (bounds.head_min_import_w >= 0).all()


async def test_the_solve_itself_holds_the_least_import_of_a_node_inside_the_tree():
    """Only the feed counts, and beside the PDU it has 3 kW on L2 and on L3: balanced it has 6.8 kW a phase, of which the PDU would
    leave 3.8 kW on L2 and L3. 4.2 kW are the least there."""
    ups = Transfer("ups", TransferKind.UPS, "pdu", (TransferSource(TransferState.NORMAL, None, 0.0),), fixed=TransferState.NORMAL)
    site = with_transfer(uneven_site(), ups)
    loop = ClosedLoop(replace(site, nodes=tuple(replace(n, omega=float(n.id == "feed")) for n in site.nodes)))
    await loop.run(2)
    last, layout = loop.controller.zones[0].cycle.last, loop.layout
    assert layout.guarded.tolist() == [0, layout.node_index["pdu"]]
    own_w = last.forecast.load_w.copy()
    own_w[0] = [0, 3000, 3000]
    forecast = replace(last.forecast, load_w=own_w)
    rest = np.zeros(len(layout.ports), dtype=complex)
    for least_w, expected_w in ((0.0, 3800), (4200.0, 4200)):
        bounds = replace(last.bounds, head_min_import_w=np.array([0.0, least_w]), mim_dc_w=np.zeros(3))
        plan = Balancer(loop.operators).solve(forecast, bounds, rest, rest)
        pdu_w = loop.operators.flow(own_w + 0j, plan.inject_w + 0j)[layout.node_index["pdu"]].real
        assert pdu_w[1:] == pytest.approx([expected_w, expected_w], abs=60)
    assert ("pdu.L2", "head_import") in {(limit.where, limit.kind) for limit in plan.active}
