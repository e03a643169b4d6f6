"""What status tells of the links."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.builders import rack_site

from mimctl.control.events import EventLog
from mimctl.control.site_controller import build_site_controller
from mimctl.drivers.registry import build_groups
from mimctl.model.clock import VirtualClock
from mimctl.service.link_status import links_status
from mimctl.wire.memory import MemoryBank, MemoryTransport
from mimctl.wire.modbus import ModbusLink
from mimctl.wire.sunspec_image import ModelContent, build_chain


def meters_only():
    site = rack_site(1, mims=False)
    image, _ = build_chain([ModelContent(1, {"Mn": "ACME"}), ModelContent(213)])
    bank = MemoryBank(40000, image)
    return site, dict.fromkeys((1, 2, 3), bank)


async def test_sweeps_are_measured_against_the_time_for_reading():
    site, banks = meters_only()
    clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC))
    transport = MemoryTransport("gw", banks)
    transport.before = lambda *_: clock.advance_to(clock.monotonic_s() + 0.01)
    groups = build_groups(site, lambda _: transport, {}, clock)
    controller = build_site_controller(site, groups, clock, EventLog(clock))
    before = links_status(groups, controller)
    assert before == {"gw": {"devices": 3, "sweep_ms": {"p50": None, "p99": None}, "budget_ms": 500.0, "busy_pct": None}}
    for _ in range(5):
        await controller.zones[0].step()
    found = links_status(groups, controller)["gw"]
    assert found["sweep_ms"]["p50"] == pytest.approx(30.0)  # three meters of one read each
    assert found["busy_pct"] == pytest.approx(6.0)
    assert found["sweep_ms"]["p99"] > 30.0  # the first one asked what they are
    await controller.stop()


async def test_a_link_tells_whether_it_is_up_and_what_went_wrong():
    site, _ = meters_only()
    clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC))
    callers: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: callers.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    link = replace(site.links[0], port=port, timeout_s=0.05)
    site = replace(site, links=(link,))
    groups = build_groups(site, lambda spec: ModbusLink(spec, clock), {}, clock)
    controller = build_site_controller(site, groups, clock, EventLog(clock))
    assert links_status(groups, controller)["gw"]["connected"] is False
    await groups[0].open()
    await controller.zones[0].cycle.collector.collect(clock.monotonic_s() + 5.0)
    found = links_status(groups, controller)["gw"]
    assert found["requests"] >= found["timeouts"] >= 1
    assert (found["late"], found["wrong"]) == (0, 0)
    assert set(found["resting"]) <= {1, 2, 3}
    await controller.stop()
    await groups[0].close()
    for caller in callers:
        caller.close()
        await caller.wait_closed()
    silent.close()
