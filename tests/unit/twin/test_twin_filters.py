"""Harmonic filters in the plant: what they cancel, how late, within which rating, and when they stop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import START, rack_site
from mimctl.drivers.discovery import SunSpecSource
from mimctl.drivers.register_mim import RegisterMim
from mimctl.model.clock import VirtualClock
from mimctl.model.connection import Connection
from mimctl.model.harmonics import HarmonicFilter, HarmonicShare, order_bits
from mimctl.model.layout import SiteLayout
from mimctl.model.node import Transformer, Winding
from mimctl.model.profile import DeviceClass
from mimctl.model.protocols import MimCommand
from mimctl.model.reason import Reason
from mimctl.model.site import ExpiryAction, PortSpec, Site, TwinLoad, TwinSpec
from mimctl.twin.devices import virtual_devices
from mimctl.twin.firmware import CommandStatus, MimFleet
from mimctl.twin.loads import LoadSet
from mimctl.twin.picture import World
from mimctl.twin.plant import Plant
from mimctl.wire.memory import MemoryTransport

PHASES = (Connection.L1, Connection.L2, Connection.L3)
ALL = order_bits((3, 5, 7, 9, 11, 13))
#: 2300 W a phase at unity power factor: 10 A
TEN_AMPERES = 2300.0
SETTLED_S = 8.0


def filtering_site(racks: int = 1, *, rating_va: float = 2300.0, late_s: float = 0.0, **more: object) -> Site:
    """Every rack has a filtering three-port MIM whose neutral never limits."""
    site = rack_site(racks)
    part = HarmonicFilter((3, 5, 7, 9, 11, 13), late_s)
    mims = tuple(
        replace(
            m,
            ports=tuple(replace(p, rating_va=rating_va) for p in m.ports),
            harmonic_filter=part,
            neutral_rating_a=1000.0,
            **more,  # type: ignore[arg-type]
        )
        for m in site.mims
    )
    return replace(site, mims=mims)


class Fixed:
    def __init__(self, loads: tuple[TwinLoad, ...], power: list[float]) -> None:
        self.loads, self.power = loads, np.array(power, dtype=np.complex128)

    def at(self, t_s: float) -> np.ndarray:
        return self.power


def plant_of(site: Site, loads: dict[tuple[str, Connection], float], harmonics: tuple[tuple[int, float], ...]) -> Plant:
    wired = tuple(TwinLoad(node, at, 1000.0, harmonic_pct=harmonics) for node, at in loads)
    layout = SiteLayout(replace(site, twin=TwinSpec(loads=wired)))
    return Plant(layout, LoadSet(layout, Fixed(wired, list(loads.values())), noise=False), fleet=MimFleet(layout))


def tell(plant: Plant, m: int, share: float, *, orders: int = ALL, watts: tuple[float, ...] = (0.0, 0.0, 0.0), sequence: int = 1):
    fleet = plant.fleet
    assert fleet is not None
    ports = plant.layout.ports_of_mim[m]
    count = ports.stop - ports.start
    fleet.enable(m, True)
    fleet.heartbeat(m, sequence)
    fleet.apply(m, watts[:count], (0.0,) * count, sequence, [HarmonicShare(share, orders)] * count)


def rack_currents(plant: Plant) -> np.ndarray:
    """(3, H) rms at the first rack."""
    return np.abs(plant.harmonics().current_a[plant.layout.node_index["rack1"]])


def test_the_share_of_every_chosen_order_is_cancelled():
    plant = plant_of(
        filtering_site(), dict.fromkeys((("rack1", c) for c in PHASES), TEN_AMPERES), ((3, 30.0), (5, 20.0), (15, 10.0))
    )
    np.testing.assert_allclose(rack_currents(plant), [[3.0, 2.0, 1.0]] * 3, rtol=1e-3)
    tell(plant, 0, 0.75)
    plant.advance_to(SETTLED_S)
    np.testing.assert_allclose(rack_currents(plant), [[0.75, 0.5, 1.0]] * 3, rtol=1e-3)
    flow = plant.harmonics()
    assert flow.filter_a is not None
    np.testing.assert_allclose(flow.filter_a, 0.75 * np.hypot(3, 2), rtol=1e-3)
    # the triplens in the neutral: 3 × 0.75 A of order 3 and 3 × 1 A of order 15
    assert flow.neutral_a[2] == pytest.approx(3 * np.hypot(0.75, 1.0), rel=1e-3)


def test_orders_that_are_not_named_stay():
    plant = plant_of(filtering_site(), {("rack1", Connection.L1): TEN_AMPERES}, ((3, 30.0), (5, 20.0)))
    tell(plant, 0, 1.0, orders=order_bits((5,)))
    plant.advance_to(SETTLED_S)
    np.testing.assert_allclose(rack_currents(plant)[0], [3.0, 0.0], atol=1e-3)


def test_a_late_filter_leaves_what_its_timing_error_says():
    """106 µs of order 3 at 50 Hz are δ = 0.0999 rad: 2·sin(δ/2) = 0.0999 is left."""
    plant = plant_of(filtering_site(late_s=106e-6), {("rack1", Connection.L1): TEN_AMPERES}, ((3, 30.0),))
    tell(plant, 0, 1.0)
    plant.advance_to(SETTLED_S)
    assert rack_currents(plant)[0, 0] == pytest.approx(3.0 * 0.0999, rel=2e-3)


def test_the_fundamental_comes_first():
    """A 10 A port that delivers 8 A has √(100 − 64) = 6 A left: of 10 A of harmonics six tenths are cancelled."""
    site = filtering_site()
    plant = plant_of(site, {("rack1", Connection.L1): 23000.0}, ((3, 10.0),))
    tell(plant, 0, 1.0, watts=(1840.0, -1840.0, 0.0))
    plant.advance_to(SETTLED_S)
    flow = plant.harmonics()
    assert flow.filter_a is not None
    assert flow.filter_a[0] == pytest.approx(6.0, rel=1e-3)
    assert rack_currents(plant)[0, 0] == pytest.approx(4.0, rel=5e-3)


def test_the_neutral_of_a_mim_is_a_limit_too():
    """Three ports of 3 A of order 3 need 9 A of neutral; with 4.5 A each gives half."""
    site = filtering_site()
    site = replace(site, mims=(replace(site.mims[0], neutral_rating_a=4.5),))
    plant = plant_of(site, dict.fromkeys((("rack1", c) for c in PHASES), TEN_AMPERES), ((3, 30.0),))
    tell(plant, 0, 1.0)
    plant.advance_to(SETTLED_S)
    np.testing.assert_allclose(rack_currents(plant)[:, 0], 1.5, rtol=1e-3)


def test_a_pair_of_lines_is_filtered_without_its_triplens():
    """Line-to-line loads between all lines; ports between the same: everything but a zero sequence goes."""
    site = filtering_site()
    pairs = (Connection.L1L2, Connection.L2L3, Connection.L3L1)
    ports = tuple(PortSpec("rack1", c, 4000.0) for c in pairs)
    site = replace(site, mims=(replace(site.mims[0], ports=ports),))
    loads = {("rack1", c): 2000.0 + 300 * i for i, c in enumerate(pairs)} | {("rack1", Connection.L1): TEN_AMPERES}
    plant = plant_of(site, loads, ((3, 20.0), (5, 10.0)))
    before = plant.harmonics().current_a[2].sum(axis=0)
    tell(plant, 0, 1.0)
    plant.advance_to(SETTLED_S)
    after = plant.harmonics().current_a[2]
    np.testing.assert_allclose(after.sum(axis=0), before, rtol=1e-3)  # what the neutral carries
    np.testing.assert_allclose(after - after.mean(axis=0), 0.0, atol=1e-3)


def test_three_lines_without_a_neutral():
    site = filtering_site()
    site = replace(site, mims=(replace(site.mims[0], ports=(PortSpec("rack1", Connection.THREE_PHASE, 6900.0),)),))
    plant = plant_of(site, {("rack1", Connection.THREE_PHASE): 3 * TEN_AMPERES, ("rack1", Connection.L1): 230.0}, ((5, 20.0),))
    tell(plant, 0, 1.0)
    plant.advance_to(SETTLED_S)
    after = plant.harmonics().current_a[2]
    np.testing.assert_allclose(np.abs(after - after.mean(axis=0)), 0.0, atol=1e-3)


def test_filters_above_see_what_those_below_leave():
    """Half at the rack and half of the rest at the PDU: a quarter of 3 A reaches the feed."""
    site = filtering_site()
    upper = replace(site.mims[0], id="mim-pdu", ports=tuple(replace(p, node="pdu") for p in site.mims[0].ports))
    plant = plant_of(replace(site, mims=(*site.mims, upper)), {("rack1", Connection.L1): TEN_AMPERES}, ((3, 30.0),))
    for m in (0, 1):
        tell(plant, m, 0.5)
    plant.advance_to(SETTLED_S)
    at = plant.layout.node_index
    flow = np.abs(plant.harmonics().current_a[:, 0, 0])
    np.testing.assert_allclose([flow[at["rack1"]], flow[at["pdu"]], flow[at["feed"]]], [1.5, 0.75, 0.75], rtol=1e-3)


def test_a_delta_still_keeps_the_triplens_while_filters_work():
    site = filtering_site()
    unit = Transformer(Winding.DYN, 100e3, 0.001)
    site = replace(site, nodes=tuple(replace(n, transformer=unit) if n.id == "pdu" else n for n in site.nodes))
    plant = plant_of(site, dict.fromkeys((("rack1", c) for c in PHASES), TEN_AMPERES), ((3, 30.0), (5, 20.0)))
    tell(plant, 0, 0.5)
    plant.advance_to(SETTLED_S)
    flow = np.abs(plant.harmonics().current_a)
    at = plant.layout.node_index
    assert flow[at["feed"], :, 0].max() < 1e-3 * flow[at["pdu"], :, 0].min()
    np.testing.assert_allclose(flow[at["feed"], :, 1], 1.0, rtol=1e-2)


def test_a_changed_share_is_followed_in_its_time():
    site = filtering_site()
    slow = replace(site.mims[0].harmonic_filter, response_s=3.0)  # type: ignore[type-var]
    plant = plant_of(
        replace(site, mims=(replace(site.mims[0], harmonic_filter=slow),)), {("rack1", Connection.L1): 2300}, ((3, 30.0),)
    )
    tell(plant, 0, 1.0)
    assert plant.fleet is not None
    plant.advance_to(3.0)
    np.testing.assert_allclose(plant.fleet.filters.share, 0.95, rtol=1e-3)


@pytest.mark.parametrize("action", [ExpiryAction.ZERO, ExpiryAction.REVERT, ExpiryAction.DISCONNECT])
def test_a_lost_link_ends_the_filter_with_the_setpoints(action: ExpiryAction):
    plant = plant_of(filtering_site(validity_s=10.0, expiry_action=action), {("rack1", Connection.L1): TEN_AMPERES}, ((3, 30.0),))
    tell(plant, 0, 1.0)
    plant.advance_to(9.9)
    assert rack_currents(plant)[0, 0] == pytest.approx(0.0, abs=1e-3)
    plant.advance_to(11.5)
    assert rack_currents(plant)[0, 0] == pytest.approx(3.0, rel=1e-3)


def test_hold_holds_the_share_too():
    plant = plant_of(
        filtering_site(validity_s=5.0, expiry_action=ExpiryAction.HOLD), {("rack1", Connection.L1): 2300}, ((3, 30.0),)
    )
    tell(plant, 0, 1.0)
    plant.advance_to(60.0)
    assert rack_currents(plant)[0, 0] == pytest.approx(0.0, abs=1e-3)


def test_no_share_without_a_watchdog_and_none_after_a_restart():
    plant = plant_of(filtering_site(), {("rack1", Connection.L1): TEN_AMPERES}, ((3, 30.0),))
    fleet = plant.fleet
    assert fleet is not None
    fleet.enable(0, True)
    fleet.apply(0, (0.0,) * 3, (0.0,) * 3, 1, [HarmonicShare(1.0, ALL)] * 3)
    assert fleet.command_status[0] == CommandStatus.REJECTED
    tell(plant, 0, 1.0, sequence=2)
    plant.advance_to(4.0)
    fleet.reboot(0)
    assert fleet.filtering() is None
    assert not fleet.filters.commanded.any()


def test_a_command_without_shares_leaves_them_and_a_mim_without_a_filter_takes_none():
    plant = plant_of(filtering_site(), {("rack1", Connection.L1): TEN_AMPERES}, ((3, 30.0),))
    fleet = plant.fleet
    assert fleet is not None
    tell(plant, 0, 0.6)
    fleet.apply(0, (100.0, -100.0, 0.0), (0.0,) * 3, 2)
    np.testing.assert_allclose(fleet.filters.commanded, 0.6)
    bare = plant_of(rack_site(1), {("rack1", Connection.L1): TEN_AMPERES}, ((3, 30.0),))
    tell(bare, 0, 1.0)
    bare.advance_to(SETTLED_S)
    assert bare.harmonics().filter_a is None
    assert rack_currents(bare)[0, 0] == pytest.approx(3.0, rel=1e-3)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    st.floats(0, 1),
    st.tuples(st.floats(-2300, 2300), st.floats(-2300, 2300)),
    st.floats(0, 40e3),
    st.floats(0, 60),
)
def test_no_port_ever_carries_more_than_its_rating(share: float, watts: tuple[float, float], load_w: float, third_pct: float):
    plant = plant_of(filtering_site(), {("rack1", Connection.L1): load_w}, ((3, third_pct), (7, 10.0)))
    tell(plant, 0, share, watts=(watts[0], watts[1], -watts[0] - watts[1]))
    plant.advance_to(SETTLED_S)
    flow, port_va = plant.harmonics(), plant.solve().port_va
    filter_a = np.zeros(3) if flow.filter_a is None else flow.filter_a
    # the share was taken or not; at nominal voltage a port of 2300 VA has 10 A rms
    assert (np.hypot(np.abs(port_va) / 230.0, filter_a) <= 10.0 * (1 + 1e-9)).all()


async def test_through_the_registers_of_a_virtual_mim():
    """The driver of real devices tells a share to the twin's registers, and reads there what became of it."""
    plant = plant_of(filtering_site(), dict.fromkeys((("rack1", c) for c in PHASES), TEN_AMPERES), ((3, 30.0),))
    site, clock = plant.layout.site, VirtualClock(START)
    devices = {d.id: d.bank for d in virtual_devices(plant.layout, World(plant, clock), {}, seed=1)}
    transport = MemoryTransport("gw", {site.mims[0].address.unit: devices["mim-rack1"]})
    driver = RegisterMim(site.mims[0], transport, source=SunSpecSource(DeviceClass.MIM), clock=clock)
    power = (1150.0, -1150.0, 0.0)
    held = await driver.apply(MimCommand(power, (0.0,) * 3, 10.0, Reason("test", "test"), (HarmonicShare(0.5, ALL),) * 3))
    assert held.harmonics == (HarmonicShare(0.5, ALL),) * 3
    clock.advance_to(clock.monotonic_s() + SETTLED_S)
    sample = await driver.read()
    assert sample.get("harmonic_share.port1") == pytest.approx(50.0, abs=0.02)
    # 5 A of fundamental and half of 3 A
    assert sample.get("current.port1") == pytest.approx(np.hypot(5.0, 1.5), rel=0.01)
    assert sample.get("thd_i.port1") == pytest.approx(30.0, rel=0.02)
    clock.advance_to(clock.monotonic_s() + 12.0)
    expired = await driver.read()
    assert expired.get("harmonic_share.port1") == pytest.approx(0.0, abs=0.02)
    await driver.release(Reason("test", "test"))


async def test_a_virtual_mim_without_a_filter_shows_no_share():
    plant = plant_of(rack_site(1), {("rack1", Connection.L1): TEN_AMPERES}, ((3, 30.0),))
    site, clock = plant.layout.site, VirtualClock(START)
    devices = {d.id: d.bank for d in virtual_devices(plant.layout, World(plant, clock), {}, seed=1)}
    transport = MemoryTransport("gw", {site.mims[0].address.unit: devices["mim-rack1"]})
    driver = RegisterMim(site.mims[0], transport, source=SunSpecSource(DeviceClass.MIM), clock=clock)
    held = await driver.apply(MimCommand((0.0,) * 3, (0.0,) * 3, 10.0, Reason("test", "test")))
    assert held.harmonics is None
    assert (await driver.read()).get("harmonic_share.port1") is None
