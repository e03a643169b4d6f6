"""Two masters at one MIM, over Modbus/TCP: the zone insists, or leaves the MIM alone, as the site file says."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from tests.builders import rack_site

from fake_mim import BASE, FakeMim
from mimctl.control.commanded import INSIST_TIMES, YIELD_S
from mimctl.control.events import EventLog
from mimctl.control.zone import ZoneController, build_zone
from mimctl.drivers.discovery import SunSpecSource
from mimctl.drivers.register_mim import RegisterMim
from mimctl.drivers.registry import build_groups
from mimctl.model.clock import SystemClock, VirtualClock
from mimctl.model.profile import DeviceClass
from mimctl.model.protocols import MimCommand
from mimctl.model.reason import Reason
from mimctl.model.site import SecondMaster
from mimctl.wire.memory import MemoryBank
from mimctl.wire.modbus import ModbusLink
from mimctl.wire.modbus_server import ModbusServer
from mimctl.wire.sunspec_image import ModelContent, build_chain
from mimctl.wire.sunspec_map import register_map_of
from mimctl.wire.writes import write_image

#: uneven enough that a balancer moves something at once
LOADS = {"active_power.L1": 3000.0, "active_power.L2": 800.0, "active_power.L3": 500.0}
MIM_UNIT = 100
#: what a MIM that is off shows
NOTHING = {f"{quantity}.port{n}": 0.0 for quantity in ("active_power", "reactive_power") for n in (1, 2, 3)}


class Meter:
    """What the loads draw less what the MIM gives, each on its phase."""

    def __init__(self) -> None:
        image, chain = build_chain([ModelContent(1, {"Mn": "ACME"}), ModelContent(213)])
        self.bank = MemoryBank(BASE, image)
        self._map = register_map_of(chain.models, "m")

    def show(self, device: FakeMim) -> None:
        values = {f"voltage.L{n}": 230.0 for n in (1, 2, 3)}
        for n in (1, 2, 3):
            drawn = complex(LOADS[f"active_power.L{n}"]) - device.output_va(n)
            values |= {f"active_power.L{n}": drawn.real, f"reactive_power.L{n}": drawn.imag, f"current.L{n}": abs(drawn) / 230.0}
        write_image(self._map, self.bank.registers, BASE, values)


@dataclass
class Hall:
    """One rack with its meters and its MIM, a zone that balances it, and somebody else."""

    zone: ZoneController
    events: EventLog
    device: FakeMim
    clock: VirtualClock
    rival: RegisterMim
    meter: Meter

    async def cycles(self, count: int) -> None:
        for _ in range(count):
            self.meter.show(self.device)
            self.clock.advance_to(self.clock.monotonic_s() + 1.0)
            await self.zone.step()

    async def rival_writes(self, watts: float) -> None:
        await self.rival.read()
        await self.rival.apply(MimCommand((watts, 0.0, -watts), (0.0,) * 3, 60.0, Reason("test", "another master")))

    @property
    def open_events(self) -> dict[str, str]:
        return {event.code: event.text for event in self.events.open()}


@contextlib.asynccontextmanager
async def hall(rule: SecondMaster | None) -> AsyncIterator[Hall]:
    device = FakeMim()
    meter = Meter()
    meter.show(device)
    banks = dict.fromkeys((1, 2, 3), meter.bank)
    server = ModbusServer("127.0.0.1", 0, {**banks, MIM_UNIT: device.bank})
    host, port = await server.start()
    site = rack_site(1)
    link = replace(site.links[0], host=host, port=port, timeout_s=2.0)
    site = replace(site, links=(link,), mims=(replace(site.mims[0], second_master=rule),))
    clock = VirtualClock(datetime(2026, 1, 5, 12, tzinfo=UTC), monotonic_s=100.0)
    groups = build_groups(site, lambda spec: ModbusLink(spec, SystemClock()), {}, clock)
    other = ModbusLink(replace(link, id="other"), SystemClock())
    events = EventLog(clock)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        for opened in (*groups, other):
            await opened.open()
            stack.push_async_callback(opened.close)
        zone = build_zone(site, site.zones[0], groups, clock, events)
        stack.push_async_callback(zone.cycle.collector.close)
        rival = RegisterMim(site.mims[0], other, source=SunSpecSource(DeviceClass.MIM), clock=clock)
        yield Hall(zone, events, device, clock, rival, meter)


@pytest.mark.parametrize("rule", [None, SecondMaster.INSIST])
async def test_insisting_writes_ours_again(rule):
    async with hall(rule) as here:
        await here.cycles(4)
        assert any(here.device.setpoints()[0])
        await here.rival_writes(777.0)
        assert here.device.setpoints()[0] == [777, 0, -777]
        await here.cycles(1)
        assert "somebody else writes" in here.open_events["mim.second_master"]
        await here.cycles(1)
        assert 777 not in here.device.setpoints()[0]
        assert here.device.setpoints()[0] == here.zone.cycle.dispatcher.held.setpoint_va.real.tolist()
        assert "mim.write_failed" not in here.open_events
        await here.cycles(70)
        assert "mim.second_master" not in here.open_events


async def test_yielding_writes_nothing_at_all_for_a_while():
    async with hall(SecondMaster.YIELD) as here:
        await here.cycles(4)
        await here.rival_writes(777.0)
        here.device.writes.clear()
        await here.cycles(5)
        assert here.device.writes == []
        assert "left alone" in here.open_events["mim.second_master"]
        assert not here.zone.cycle.dispatcher.held.in_force.any()
        await here.zone.stop()
        assert here.device.writes == []  # nor is it given back
        here.clock.advance_to(here.clock.monotonic_s() + YIELD_S)
        await here.cycles(4)
        assert here.device.writes != []
        assert 777 not in here.device.setpoints()[0]
        assert "mim.second_master" not in here.open_events


async def switch_off(here: Hall) -> None:
    """Somebody who knows nothing but off: every setpoint at zero, disabled, and no number counted on."""
    block = here.device.map.mim.command
    sequence = here.device.number("sequence")
    here.device.bank.write(block.address, bytes(2 * block.count - 4) + sequence.to_bytes(4, "big"))
    here.device.show({"sequence_ack": float(sequence) - 1, **NOTHING})


@pytest.mark.parametrize("rule", [None, SecondMaster.INSIST])
@pytest.mark.parametrize("takes_back", ["the same value", "off"])
async def test_insisting_ends_in_leaving_the_mim_alone(rule, takes_back):
    """Whatever somebody else writes after each of our writes, zero and the same value ever again included."""
    async with hall(rule) as here:
        await here.cycles(4)
        taken_back = 0
        for _ in range(20):
            if any(here.device.setpoints()[0]) and here.device.setpoints()[0] != [777, 0, -777]:
                taken_back += 1
                await (here.rival_writes(777.0) if takes_back == "the same value" else switch_off(here))
            here.device.writes.clear()
            await here.cycles(2)
        assert taken_back == INSIST_TIMES + 1
        assert here.device.writes == []
        assert "left alone until nobody else has written for 300 s" in here.open_events["mim.second_master"]
        assert "mim.ignores_setpoint" not in here.open_events
        here.clock.advance_to(here.clock.monotonic_s() + YIELD_S)
        await here.cycles(3)
        assert here.device.setpoints()[0] not in ([0, 0, 0], [777, 0, -777])  # tried again
        await (here.rival_writes(777.0) if takes_back == "the same value" else switch_off(here))
        await here.cycles(2)
        assert "for 600 s" in here.open_events["mim.second_master"]


async def test_a_mim_that_restarts_within_its_validity_is_told_anew_in_the_cycle_that_sees_it():
    async with hall(None) as here:
        await here.cycles(4)
        assert any(here.device.setpoints()[0])
        block = here.device.map.mim.command
        here.device.obedient = False
        here.device.bank.write(block.address, bytes(2 * block.count))
        here.device.show({"sequence_ack": 0.0, **NOTHING})
        here.device.obedient = True
        await here.cycles(1)
        assert here.device.setpoints()[0] == here.zone.cycle.dispatcher.held.setpoint_va.real.tolist()
        assert any(here.device.setpoints()[0])
        assert here.device.number("enable") == 1
        await here.cycles(70)
        assert here.open_events == {}
        assert any(here.device.setpoints()[0])
