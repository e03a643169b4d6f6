"""Devices that misbehave, vanish or do not obey while the service runs: the rest goes on, and they come back by themselves."""

from __future__ import annotations

import asyncio
import signal
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from tests.site_factory import write_site
from tests.system.service_harness import hall, hall_dict, machine, until
from tests.system.service_inside import Bend, Wire, service_of, straight, twin_of, wires
from tests.system.service_inside import until as until_async

from mimctl.config.site import load_site
from mimctl.control.events import EventLog
from mimctl.control.site_controller import SiteController, build_site_controller
from mimctl.model.clock import SystemClock
from mimctl.model.fault import Fault, FaultKind
from mimctl.service.links import open_groups
from mimctl.twin.faults import schedule

_READS = (3, 4)


def reframed(frame: bytes, pdu: bytes, unit: int | None = None) -> bytes:
    return frame[:4] + struct.pack(">HB", len(pdu) + 1, frame[6] if unit is None else unit) + pdu


def short(frame: bytes) -> bytes:
    """Two registers less than were asked for."""
    return reframed(frame, bytes([frame[7], frame[8] - 4]) + frame[9:-4]) if frame[7] in _READS else frame


def wrong_unit(frame: bytes) -> bytes:
    return reframed(frame, frame[7:], frame[6] + 1)


def failure(frame: bytes) -> bytes:
    """Exception 4: server device failure."""
    return reframed(frame, bytes([frame[7] | 0x80, 4]))


def no_values(frame: bytes) -> bytes:
    """The model's header as it was, then what means “no value” in every register: NaN, or the sentinel of signed numbers."""
    if frame[7] not in _READS or frame[8] <= 8:
        return frame
    model = int.from_bytes(frame[9:11], "big")
    nothing = b"\x7f\xc0\x00\x00" if model in range(211, 215) else b"\x80\x00" * 2
    return reframed(frame, frame[7:13] + (nothing * frame[8])[: frame[8] - 4])


def closes(frame: bytes) -> None:
    return None


def silence(frame: bytes) -> bytes:
    return b""


#: what is wrong with the PDU's gateway of each feed, from B on; feed A is well
FAULTS: dict[str, Bend] = {"b": short, "c": wrong_unit, "d": failure, "e": no_values, "f": closes, "g": silence}


async def test_each_misbehaving_gateway_turns_bad_alone_and_comes_back(tmp_path: Path) -> None:
    feeds = 1 + len(FAULTS)
    site = load_site(write_site(tmp_path, hall_dict(racks=feeds, feeds=feeds, cycle_s=0.3)))
    async with twin_of(site) as twin, wires(twin.site) as (bent, wire), service_of(bent) as service:

        def zone() -> dict[str, Any]:
            return service.status()["zones"]["hall"]

        def all_well() -> bool:
            now = zone()
            return not now.get("bad_nodes", ["?"]) and all(mim["in_force"] for mim in now["mims"].values())

        await until_async(all_well)
        for letter, fault in FAULTS.items():
            wire[f"gw-pdu-{letter}1"].bend = fault
        gone = {f"{kind}-{letter}1{rest}" for letter in FAULTS for kind, rest in (("pdu", ""), ("rack", "-1"))}
        await until_async(lambda: set(zone()["bad_nodes"]) == gone)
        assert zone()["state"] == "degraded"
        told = {event["where"] for event in service.status()["events"]}
        assert told >= {f"meter-pdu-{letter}1" for letter in FAULTS}, service.status()["events"]

        cycles, skipped = zone()["cycles"], zone()["skipped"]
        await until_async(lambda: zone()["cycles"] >= cycles + 3)
        now = zone()
        assert now["skipped"] == skipped, "no cycle is lost to a gateway that is silent"
        assert now["errors"] == 0
        assert set(now["bad_nodes"]) == gone
        assert now["mims"]["mim-a1-1"]["in_force"]
        assert now["nodes"]["pdu-a1"]["i2_i1"] < 0.02

        for letter in FAULTS:
            wire[f"gw-pdu-{letter}1"].bend = straight
        await until_async(all_well)
        await until_async(lambda: not service.status()["events"])
        assert max(zone()["nodes"][f"pdu-{letter}1"]["i2_i1"] for letter in FAULTS) < 0.2


async def test_a_mim_that_ignores_its_setpoints_is_left_out_and_the_others_balance(tmp_path: Path) -> None:
    data = hall_dict(cycle_s=0.3)
    # the PDU matters most: the others take over what the lost one leaves there
    data["rules"] = [{"id": "balance", "weights": {"pdu-a1": 100}}]
    site = load_site(write_site(tmp_path, data))
    async with twin_of(site) as twin:
        fleet = twin.world.plant.fleet
        assert fleet is not None
        schedule(twin.world.plant, [Fault(FaultKind.PRETENDING, ("mim-a1-2",), fleet.now_s)])
        async with service_of(twin.site) as service:
            accused = await until_async(lambda: [e for e in service.status()["events"] if e["code"] == "mim.ignores_setpoint"])
            assert [event["where"] for event in accused] == ["mim-a1-2"]

            def balanced_without_it() -> bool:
                zone = service.status()["zones"]["hall"]
                at_work = {name for name, mim in zone["mims"].items() if mim["in_force"]}
                return at_work == {"mim-a1-1", "mim-a1-3"} and zone["nodes"]["pdu-a1"]["i2_i1"] < 0.02

            await until_async(balanced_without_it)
            assert service.status()["zones"]["hall"]["nodes"]["rack-a1-2"]["i2_i1"] > 0.05, "nobody balances its rack"
        assert not fleet.enabled.any()


async def _stage_that(controller: SiteController, stage: str, what: Any) -> None:
    """Replace one stage of the first zone's cycle for one step."""
    cycle = controller.zones[0].cycle
    room, method = stage.split(".")
    owner = getattr(cycle, room)
    proper = getattr(owner, method)

    def once(*arguments: Any, **options: Any) -> Any:
        setattr(owner, method, proper)
        return what(lambda: proper(*arguments, **options))

    setattr(owner, method, once)


STAGES = ("collector.collect", "analyst.report", "tracker.forecast", "supervisor.check", "bounds_maker.bounds", "cascade.plan")


class _StageFailed(Exception):
    pass


async def test_a_cycle_that_throws_blocks_or_is_late_writes_no_heartbeat(tmp_path: Path) -> None:
    site = load_site(hall(tmp_path, cycle_s=0.5))
    clock = SystemClock()
    async with twin_of(site) as twin, wires(twin.site) as (bent, wire):
        groups = open_groups(bent, clock)
        controller = build_site_controller(bent, groups, clock, EventLog(clock))
        for group in groups:
            await group.open()
        zone, seen = controller.zones[0], wire["gw-pdu-a1"]
        while not zone.cycle.dispatcher.held.in_force.all():
            await zone.step()

        def fails(_: Any) -> None:
            raise _StageFailed

        async def hangs(_: Any) -> None:
            await asyncio.sleep(3600)

        def stalls(go_on: Any) -> Any:
            time.sleep(zone.cycle.period_s)
            return go_on()

        for stage in (*STAGES, "judge.judge"):
            await _stage_that(controller, stage, fails)
            with pytest.raises(_StageFailed):
                await _quiet(zone.step(), seen)
            await _heard(zone.step(), seen)
        await _stage_that(controller, "collector.collect", lambda _: hangs(None))
        with pytest.raises(TimeoutError):
            await _quiet(asyncio.wait_for(zone.step(), 2 * zone.cycle.period_s), seen)
        await _stage_that(controller, "judge.judge", stalls)
        record = await _quiet(zone.step(), seen)
        assert {outcome.error for outcome in record.outcomes} == {"not written in time"}
        await _heard(zone.step(), seen)
        await controller.stop()
        for group in groups:
            await group.close()


async def _quiet(step: Any, wire: Wire) -> Any:
    """The step's own end; no MIM heard anything of it."""
    before = len(wire.writes)
    try:
        return await step
    finally:
        assert len(wire.writes) == before


async def _heard(step: Any, wire: Wire) -> None:
    before = len(wire.writes)
    await step
    assert len(wire.writes) - before >= 3, "each of the three MIMs"


def half(data: dict[str, Any], letter: str) -> dict[str, Any]:
    """One feed of the site alone."""
    own = {f"feed-{letter}", f"pdu-{letter}1", *(node["id"] for node in data["nodes"] if node.get("parent") == f"pdu-{letter}1")}
    return data | {
        "feeds": [feed for feed in data["feeds"] if feed["node"] in own],
        "nodes": [node for node in data["nodes"] if node["id"] in own],
        "zones": [],
        "twin": {"loads": [load for load in data["twin"]["loads"] if load["node"] in own]},
        **{kind: [device for device in data[kind] if device["node"] in own] for kind in ("meters", "mims")},
    }


def test_a_feed_whose_devices_vanish_is_bad_and_comes_back_when_they_do(tmp_path: Path) -> None:
    data = hall_dict(racks=4, feeds=2)
    whole = write_site(tmp_path, data)
    halves = {letter: write_site(tmp_path, half(data, letter), f"half-{letter}.yaml") for letter in "ab"}
    with machine(tmp_path) as here:
        twins = {letter: here.twin(path) for letter, path in halves.items()}
        run = here.service(whole)
        here.balanced(run, mims=4)

        twins["b"].stop(signal.SIGKILL)
        until(lambda: set(here.zone()["bad_nodes"]) == {"feed-b", "pdu-b1", "rack-b1-1", "rack-b1-2"}, "feed B is bad")
        zone = here.zone()
        assert zone["state"] == "degraded"
        assert zone["nodes"]["pdu-a1"]["i2_i1"] < 0.02
        assert all(zone["mims"][f"mim-a1-{n}"]["in_force"] for n in (1, 2))
        events = {event["where"]: event["text"] for event in here.ask()["events"] if event["code"] == "device.unreachable"}
        assert events.keys() >= {"meter-feed-b", "meter-pdu-b1", "meter-rack-b1-1", "mim-b1-1"}

        here.twin(halves["b"])
        until(lambda: not here.zone()["bad_nodes"] and here.zone()["state"] == "balancing", "feed B is back")
        zone = here.balanced(run, mims=4)
        until(lambda: here.zone()["nodes"]["pdu-b1"]["i2_i1"] < 0.02, "feed B is balanced again")
        until(lambda: not here.ask()["events"], "every condition is cleared")
        assert zone["errors"] == 0
        assert run.stop() == 0
