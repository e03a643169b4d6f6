"""Reading: side by side, bounded, and nothing that failed looks alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pytest
from tests.builders import START, rack_site

from mimctl.control.collect import Collector
from mimctl.model.clock import SystemClock, VirtualClock
from mimctl.model.errors import BadReply, DeviceRefusal, LinkDown, LinkError, LinkTimeout
from mimctl.model.latency import TYPICAL, WIRED, LatencyClass
from mimctl.model.layout import SiteLayout
from mimctl.model.reason import Reason
from mimctl.model.sample import Quality, Sample

METER_KEYS = tuple(f"{q}.{p}" for q in ("active_power", "reactive_power", "voltage", "current") for p in ("L1", "L2", "L3"))
MIM_KEYS = (
    *(f"{q}.port{p}" for q in ("active_power", "reactive_power", "voltage") for p in (1, 2, 3)),
    "sequence_ack",
    "command_status",
)


@dataclass
class ScriptedDriver:
    """Answers with its values, at the clock's instant; raises or hangs when told to."""

    device: str
    clock: object
    keys: tuple[str, ...]
    values: np.ndarray
    fails: bool = False
    hangs: bool = False
    error: Callable[[str, str], LinkError] = BadReply
    reads: int = 0

    async def read(self) -> Sample:
        self.reads += 1
        if self.hangs:
            await asyncio.sleep(3600)
        if self.fails:
            raise self.error(self.device, "no answer")
        return Sample(self.device, self.clock.monotonic_s(), self.keys, self.values.copy())


@dataclass
class ScriptedGroup:
    link: str
    drivers: dict[str, ScriptedDriver] = field(default_factory=dict)

    async def open(self) -> None: ...

    async def close(self) -> None: ...


def meter_values(base: float) -> np.ndarray:
    return np.array([base, base + 1, base + 2, 10, 11, 12, 230, 231, 232, 5, 6, 7], dtype=float)


def fleet(site, clock) -> ScriptedGroup:
    group = ScriptedGroup("gw")
    for i, meter in enumerate(site.meters):
        group.drivers[meter.id] = ScriptedDriver(meter.id, clock, METER_KEYS, meter_values(1000.0 * (i + 1)))
    for mim in site.mims:
        values = np.array([1, 2, 3, 4, 5, 6, 230, 230, 230, 7, 0], dtype=float)
        group.drivers[mim.id] = ScriptedDriver(mim.id, clock, MIM_KEYS, values)
    return group


async def test_every_point_lands_in_its_place():
    site, clock = rack_site(), VirtualClock(START)
    state = await Collector(SiteLayout(site), [fleet(site, clock)], clock, 5.0).collect(1.0)
    np.testing.assert_array_equal(state.nodes.import_w[2], [3000, 3001, 3002])
    np.testing.assert_array_equal(state.nodes.import_var[0], [10, 11, 12])
    np.testing.assert_array_equal(state.nodes.voltage_ln_v[3], [230, 231, 232])
    np.testing.assert_array_equal(state.ports.inject_w, [1, 2, 3, 1, 2, 3])
    np.testing.assert_array_equal(state.ports.inject_var, [4, 5, 6, 4, 5, 6])
    np.testing.assert_array_equal(state.mims.sequence_ack, [7, 7])
    assert (state.nodes.quality == Quality.GOOD).all()
    assert (state.mims.quality == Quality.GOOD).all()


async def test_the_image_cannot_be_written():
    site, clock = rack_site(), VirtualClock(START)
    state = await Collector(SiteLayout(site), [fleet(site, clock)], clock, 5.0).collect(1.0)
    with pytest.raises(ValueError, match="read-only"):
        state.nodes.import_w[0, 0] = 1.0


async def test_a_device_that_stops_answering_is_unknown_once_its_sample_is_too_old_and_known_again_when_it_is_back():
    site, clock = rack_site(), VirtualClock(START)
    group = fleet(site, clock)
    collector = Collector(SiteLayout(site), [group], clock, 5.0)
    await collector.collect(1.0)
    group.drivers["m-rack1"].fails = True
    clock.advance_to(3.0)
    state = await collector.collect(4.0)
    assert state.nodes.quality[2] == Quality.GOOD, "three seconds old is young enough"
    assert state.node_age_s()[2] == pytest.approx(3.0)
    assert state.node_age_s()[3] == pytest.approx(0.0)
    clock.advance_to(6.0)
    state = await collector.collect(7.0)
    assert state.nodes.quality[2] == Quality.BAD
    assert np.isnan(state.nodes.import_w[2]).all()
    assert state.bad_nodes() == ["rack1"]
    assert "no answer" in collector.errors()["m-rack1"].what
    assert (state.nodes.quality[[0, 1, 3]] == Quality.GOOD).all()
    group.drivers["m-rack1"].fails = False
    clock.advance_to(40.0)
    assert (await collector.collect(41.0)).nodes.quality[2] == Quality.GOOD
    assert not collector.errors()


async def test_a_device_that_answers_nonsense_is_asked_less_and_less_often():
    site, clock = rack_site(), VirtualClock(START)
    group = fleet(site, clock)
    dead = group.drivers["m-rack1"]
    dead.fails = True
    collector = Collector(SiteLayout(site), [group], clock, 5.0)
    for second in range(60):
        clock.advance_to(float(second))
        await collector.collect(second + 1.0)
    assert 4 <= dead.reads <= 8
    assert group.drivers["m-rack2"].reads == 60


@pytest.mark.parametrize("error", [LinkDown, LinkTimeout, lambda device, what: DeviceRefusal(device, what, 11)])
async def test_a_device_that_its_link_paces_is_asked_in_every_cycle_so_that_it_is_back_with_it(error):
    site, clock = rack_site(), VirtualClock(START)
    group = fleet(site, clock)
    device = group.drivers["m-rack1"]
    device.fails, device.error = True, error
    collector = Collector(SiteLayout(site), [group], clock, 5.0)
    for second in range(20):
        clock.advance_to(float(second))
        await collector.collect(second + 1.0)
    assert device.reads == 20


async def test_those_that_answer_are_read_before_those_that_do_not():
    site, clock = rack_site(), VirtualClock(START)
    group = fleet(site, clock)
    order: list[str] = []
    for name, driver in group.drivers.items():
        driver.read = partial(_noting, order, name, driver.read)
    first = next(iter(group.drivers))
    group.drivers[first].fails, group.drivers[first].error = True, LinkTimeout
    collector = Collector(SiteLayout(site), [group], clock, 5.0)
    await collector.collect(1.0)
    names, order[:] = list(order), []
    clock.advance_to(1.0)
    await collector.collect(2.0)
    assert names[0] == first
    assert order == [*names[1:], first]


async def _noting(order, name, read):
    order.append(name)
    return await read()


async def test_when_one_device_of_a_link_is_back_the_others_are_asked_at_once():
    site, clock = rack_site(), VirtualClock(START)
    group = fleet(site, clock)
    first, second = group.drivers["m-rack1"], group.drivers["m-rack2"]
    first.fails = second.fails = True
    collector = Collector(SiteLayout(site), [group], clock, 5.0)
    for now in (0.0, 1.0, 2.5, 5.0):
        clock.advance_to(now)
        await collector.collect(now + 0.1)
    second.fails = True
    reads = second.reads
    first.fails = False
    for now in np.arange(5.1, 40.0, 0.1):
        clock.advance_to(float(now))
        await collector.collect(now + 0.05)
        if "m-rack1" not in collector.errors():
            break
    assert second.reads == reads + 1


async def test_a_link_that_hangs_does_not_hold_up_the_others():
    site = rack_site()
    clock = SystemClock()
    whole = fleet(site, clock)
    hanging = ScriptedGroup("slow", {"m-rack1": whole.drivers.pop("m-rack1")})
    hanging.drivers["m-rack1"].hangs = True
    collector = Collector(SiteLayout(site), [whole, hanging], clock, 5.0)
    state = await collector.collect(clock.monotonic_s() + 0.05)
    assert state.nodes.quality.tolist() == [Quality.GOOD, Quality.GOOD, Quality.BAD, Quality.GOOD]
    await collector.collect(clock.monotonic_s() + 0.05)
    assert hanging.drivers["m-rack1"].reads == 1, "the request that is under way is not doubled"
    await collector.close()


async def test_sign_and_phase_map_of_a_meter_are_applied_once():
    site, clock = rack_site(), VirtualClock(START)
    turned = replace(site.meters[2], sign=-1, phase_map=("L2", "L3", "L1"))
    turned = replace(turned, phase_map=tuple(type(site.nodes[0].phases[0])(p) for p in turned.phase_map))
    site = replace(site, meters=(*site.meters[:2], turned, *site.meters[3:]))
    state = await Collector(SiteLayout(site), [fleet(site, clock)], clock, 5.0).collect(1.0)
    np.testing.assert_array_equal(state.nodes.import_w[2], [-3002, -3000, -3001])
    np.testing.assert_array_equal(state.nodes.voltage_ln_v[2], [232, 230, 231])


@pytest.mark.parametrize(
    ("watts", "total", "expected", "vague"),
    [
        # S = 230 V · 5 A = 1150 VA, P = 920 W: no more than Q = √(1150² − 920²) = 690 var
        ((920, 920, 920), 2070.0, (690, 690, 690), (1380, 1380, 1380)),
        ((920, 920, 920), -2070.0, (-690, -690, -690), (1380, 1380, 1380)),
        # with distortion the bounds are 1725 var together, the measured total is 60 % of that; √(1150² − 1035²) = 501.3
        ((920, 1035, 1035), 1015.5, (414, 300.8, 300.8), (1104, 802.1, 802.1)),
        ((920, 1150, 1150), 5000.0, (690, 0, 0), (1380, 0, 0)),
    ],
)
async def test_vars_that_are_told_as_a_total_are_shared(watts, total, expected, vague):
    site, clock = rack_site(), VirtualClock(START)
    group = fleet(site, clock)
    keys = ("active_power.L1", "active_power.L2", "active_power.L3", "voltage.L1", "voltage.L2", "voltage.L3")
    keys += ("current.L1", "current.L2", "current.L3", "reactive_power.total")
    values = np.array([*watts, 230, 230, 230, 5, 5, 5, total], dtype=float)
    group.drivers["m-rack1"] = ScriptedDriver("m-rack1", clock, keys, values)
    nodes = (await Collector(SiteLayout(site), [group], clock, 5.0).collect(1.0)).nodes
    np.testing.assert_allclose(nodes.import_var[2], expected, atol=0.5)
    assert nodes.vague_var is not None
    np.testing.assert_allclose(nodes.vague_var[2], vague, atol=1.0)
    assert not nodes.vague_var[[0, 1, 3]].any(), "the others tell theirs per phase"


async def test_vars_without_any_sign_stay_unknown():
    site, clock = rack_site(), VirtualClock(START)
    group = fleet(site, clock)
    keys = ("active_power.L1", "active_power.L2", "active_power.L3", "voltage.L1", "voltage.L2", "voltage.L3")
    keys += ("current.L1", "current.L2", "current.L3")
    group.drivers["m-rack1"] = ScriptedDriver(
        "m-rack1", clock, keys, np.array([920, 920, 920, 230, 230, 230, 5, 5, 5], dtype=float)
    )
    state = await Collector(SiteLayout(site), [group], clock, 5.0).collect(1.0)
    assert np.isnan(state.nodes.import_var[2]).all()
    assert state.nodes.quality[2] == Quality.BAD


async def test_a_mim_with_one_unknown_port_is_bad():
    site, clock = rack_site(), VirtualClock(START)
    group = fleet(site, clock)
    group.drivers["mim-rack1"].values[1] = np.nan
    state = await Collector(SiteLayout(site), [group], clock, 5.0).collect(1.0)
    assert state.mims.quality.tolist() == [Quality.BAD, Quality.GOOD]


async def test_it_is_starting_until_every_device_has_answered_or_failed():
    site, clock = rack_site(), SystemClock()
    group = fleet(site, clock)
    group.drivers["mim-rack2"].hangs = True
    collector = Collector(SiteLayout(site), [group], clock, 5.0)
    await collector.collect(clock.monotonic_s() + 0.05)
    assert collector.starting()
    await collector.close()
    group.drivers["mim-rack2"].hangs, group.drivers["mim-rack2"].fails = False, True
    await collector.collect(clock.monotonic_s() + 1.0)
    assert not collector.starting()


@pytest.mark.parametrize(
    ("error", "latency", "awaited_s"),
    [
        (LinkTimeout, TYPICAL[LatencyClass.MEDIUM], 15.0),
        (LinkTimeout, TYPICAL[LatencyClass.SLOW], 180.0),
        (LinkDown, TYPICAL[LatencyClass.SLOW], 10.0),
        (LinkTimeout, WIRED, 0.0),
    ],
)
async def test_a_device_that_reports_by_itself_is_awaited_until_its_reports_are_overdue(error, latency, awaited_s):
    site, clock = rack_site(), VirtualClock(START, monotonic_s=100.0)
    site = replace(site, mims=(site.mims[0], replace(site.mims[1], latency=latency)))
    group = fleet(site, clock)
    group.drivers["mim-rack2"].fails, group.drivers["mim-rack2"].error = True, error
    collector = Collector(SiteLayout(site), [group], clock, 5.0)
    awaited = []
    for second in range(200):
        clock.advance_to(100.0 + second)
        await collector.collect(clock.monotonic_s() + 1.0)
        assert set(collector.errors()) == {"mim-rack2"}
        awaited += [second] if collector.awaited() == {"mim-rack2"} else []
    assert awaited == list(range(int(awaited_s)))


async def test_a_device_that_was_heard_once_is_awaited_no_more():
    site, clock = rack_site(), VirtualClock(START)
    site = replace(site, mims=(site.mims[0], replace(site.mims[1], latency=TYPICAL[LatencyClass.SLOW])))
    group = fleet(site, clock)
    collector = Collector(SiteLayout(site), [group], clock, 5.0)
    await collector.collect(1.0)
    group.drivers["mim-rack2"].fails, group.drivers["mim-rack2"].error = True, LinkTimeout
    await collector.collect(1.0)
    assert set(collector.errors()) == {"mim-rack2"}
    assert collector.awaited() == frozenset()


async def test_a_driver_that_trips_over_its_device_does_not_stop_the_others():
    site, clock = rack_site(), VirtualClock(START)
    group = fleet(site, clock)

    async def trips() -> Sample:
        raise ZeroDivisionError("a scale nobody thought of")

    group.drivers["m-rack1"].read = trips
    collector = Collector(SiteLayout(site), [group], clock, 5.0)
    state = await collector.collect(1.0)
    assert state.nodes.quality.tolist() == [Quality.GOOD, Quality.GOOD, Quality.BAD, Quality.GOOD]
    assert "a scale nobody thought of" in collector.errors()["m-rack1"].what


async def test_a_device_that_answers_without_values_is_doubted():
    site, clock = rack_site(), VirtualClock(START)
    group = fleet(site, clock)
    proper = group.drivers["m-rack1"].read

    async def empty() -> Sample:
        return replace(await proper(), quality=Quality.BAD, reason=Reason("device.no_values", "gives no value"))

    group.drivers["m-rack1"].read = empty
    collector = Collector(SiteLayout(site), [group], clock, 5.0)
    await collector.collect(1.0)
    assert [(name, reason.code) for name, reason in collector.doubts().items()] == [("m-rack1", "device.no_values")]
    group.drivers["m-rack1"].read = proper
    await collector.collect(1.0)
    assert not collector.doubts()
