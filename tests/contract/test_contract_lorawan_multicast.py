"""MIMs of a multicast group: told by one frame over ChirpStack's interface, proven by the echo of each, released all at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from lorawan_air import EUI, air, throwaway, until
from mimctl.config.profiles.payload_profile import find_payload_profile, load_payload_profile
from mimctl.drivers.lorawan_group import LorawanGroup
from mimctl.drivers.lorawan_mim import LorawanMim
from mimctl.drivers.lorawan_multicast import GroupWriter
from mimctl.model.address import DeviceAddress
from mimctl.model.clock import SystemClock
from mimctl.model.connection import Connection
from mimctl.model.errors import LinkError
from mimctl.model.latency import Latency, LatencyClass
from mimctl.model.lorawan import DownlinkState, MulticastGroup
from mimctl.model.protocols import MimCommand, Wide
from mimctl.model.reason import Reason
from mimctl.model.site import Mim, PortSpec
from mimctl.wire.chirpstack.groups import GroupPart
from mimctl.wire.payload import encode_payload, read_payload
from mimctl.wire.payload_group import read_part, read_release

pytestmark = pytest.mark.bound_s(30)
WHY = Reason("contract", "the contract suite asks")
SLOW = Latency(LatencyClass.SLOW, delay_s=1.0, command_every_s=20.0, report_every_s=20.0)
GROUP = MulticastGroup("6a0f4c1e-52a7-4a39-8c55-0d6a2e7b9f10", (("mim1", 7), ("mim2", 8), ("mim3", 200)), 3)
PATH = find_payload_profile("mimctl/mim")
assert PATH is not None
MIM = load_payload_profile(PATH)
assert MIM.group is not None


def eui(n: int) -> str:
    return f"{int(EUI, 16) + n:016x}"


@dataclass
class Firmware:
    """Takes frames to itself and to its group, and echoes the number that is in force."""

    server: object
    eui: str
    member: int
    number: int = 0
    setpoint: tuple[float, ...] = (0.0,) * 6
    validity_s: float = 0.0
    deaf: bool = False
    misses_release: bool = False
    heard: list[str] = field(default_factory=list)

    def take(self, port: int, payload: bytes) -> bool:
        if self.deaf:
            return False
        single = read_payload([MIM.setpoint], port, payload)
        several = read_part(MIM.group, port, payload, self.member)
        if (number := read_release(MIM.group, port, payload)) is not None:
            if self.misses_release:
                return False
            self.heard.append("release all")
            self._do(number, 0.0, (0.0,) * 6)
        elif several is not None:
            self.heard.append("group")
            self._do(int(several[1].get("sequence")), several[0], tuple(several[1].values[2:]))
        elif single is not None:
            self.heard.append("single")
            self._do(int(single.get("sequence")), single.get("validity") or 0.0, tuple(single.values[2:]))
        return True

    def _do(self, number: int, validity_s: float, setpoint: tuple[float, ...]) -> None:
        if number != self.number:
            self.number, self.validity_s, self.setpoint = number, validity_s, setpoint
        self.report()

    def report(self) -> None:
        layout = MIM.uplinks[1]
        values = dict.fromkeys(layout.keys, 0.0) | {"sequence_ack": float(self.number)}
        self.server.uplink(self.eui, layout.port, encode_payload("m", layout, values, measured=True))


@dataclass
class Bench:
    link: object
    group: LorawanGroup
    firmware: list[Firmware]

    @property
    def mims(self) -> list[LorawanMim]:
        return [self.group.drivers[f"mim{n}"] for n in (1, 2, 3)]

    def state(self, n: int) -> DownlinkState:
        return self.group.bridge.downlinks(eui(n)).current.state

    async def echoed(self, *which: int) -> None:
        await until(lambda: all(self.state(n) is DownlinkState.ECHOED for n in which))


def mim(n: int) -> Mim:
    ports = tuple(PortSpec("rack1", Connection(f"L{k}"), 2000.0) for k in (1, 2, 3))
    return Mim(f"mim{n}", DeviceAddress("air", 1, "mimctl/mim", eui=eui(n)), ports, latency=SLOW, validity_s=120.0)


def command(w: float, validity_s: float = 120.0) -> MimCommand:
    return MimCommand((w, -w, 0.0), (1.0, 2.0, 3.0), validity_s, WHY)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return throwaway(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def bench(tmp_path, pki):
    async with air(tmp_path, pki) as link:
        link.server.most_bytes = 115
        bridge, clock = link.bridge(), SystemClock()
        firmware = [Firmware(link.server, eui(n), number) for n, (_, number) in zip((1, 2, 3), GROUP.members, strict=True)]
        for n, each in zip((1, 2, 3), firmware, strict=True):
            link.server.add(eui(n), f"mim{n}", each.take)
        link.server.add_group(GROUP.id, [eui(n) for n in (1, 2, 3)])
        writer = GroupWriter(GROUP, MIM.group, 115, MIM.most_number, bridge, clock)
        drivers = {f"mim{n}": LorawanMim(mim(n), bridge, MIM, clock, group=writer) for n in (1, 2, 3)}
        group = LorawanGroup(bridge, drivers, (writer,))
        await group.open()
        await until(lambda: bridge.connected)
        made = Bench(link, group, firmware)
        for n, each in enumerate(firmware):
            each.number = 10 + n
            each.report()
        await until(lambda: all(driver._sample is not None for driver in made.mims))
        yield made
        await group.close()


async def test_those_who_are_commanded_together_are_told_by_one_frame_and_each_echo_proves_one(bench):
    bench.firmware[1].deaf = True
    held = await asyncio.gather(*(driver.apply(command(100.0 * n)) for n, driver in enumerate(bench.mims, 1)))
    await bench.echoed(1, 3)
    assert bench.link.server.enqueued == 1
    assert [each.setpoint[:3] for each in bench.firmware] == [(100, 1, -100), (0, 0, 0), (300, 1, -300)]
    assert [each.validity_s for each in bench.firmware] == [120, 0, 120]
    assert [each.number for each in bench.firmware] == [11, 11, 13]  # 10, 11, 12 were in force
    assert held[0].inject_w == (100.0, -100.0, 0.0)
    assert [driver.held() for driver in bench.mims] == [held[0], None, held[2]]
    assert bench.state(2) is DownlinkState.ENQUEUED


async def test_one_that_is_commanded_alone_is_told_by_itself(bench):
    await bench.mims[0].apply(command(50.0))
    await bench.echoed(1)
    assert [each.heard for each in bench.firmware] == [["single"], [], []]


async def test_others_of_another_validity_are_told_by_themselves(bench):
    validities = (120.0, 120.0, 300.0)
    await asyncio.gather(*(d.apply(command(50.0, v)) for d, v in zip(bench.mims, validities, strict=True)))
    await bench.echoed(1, 2, 3)
    assert [each.heard for each in bench.firmware] == [["group"], ["group"], ["single"]]
    assert [each.validity_s for each in bench.firmware] == list(validities)


async def test_more_than_a_frame_has_room_for_take_several(bench):
    for driver in bench.mims:
        driver._group._most_parts = 2
    await asyncio.gather(*(driver.apply(command(50.0)) for driver in bench.mims))
    await bench.echoed(1, 2, 3)
    assert [each.heard for each in bench.firmware] == [["group"], ["group"], ["single"]]


async def test_a_release_of_all_is_one_frame_and_one_to_each_in_case_it_was_missed(bench):
    await asyncio.gather(*(driver.apply(command(50.0)) for driver in bench.mims))
    await bench.echoed(1, 2, 3)
    bench.firmware[2].misses_release = True
    await asyncio.gather(*(driver.release(WHY) for driver in bench.mims))
    await until(lambda: all("release all" in each.heard for each in bench.firmware[:2]))
    await bench.echoed(1, 2, 3)
    assert len({each.number for each in bench.firmware}) == 1
    assert [each.setpoint for each in bench.firmware] == [(0.0,) * 6] * 3
    assert bench.firmware[2].heard == ["group", "single"]


async def test_closing_behind_a_release_does_not_take_the_frame_for_all_back(bench):
    await asyncio.gather(*(driver.apply(command(50.0)) for driver in bench.mims))
    await bench.echoed(1, 2, 3)
    await asyncio.gather(*(driver.release(WHY) for driver in bench.mims))
    await bench.group.close()
    await until(lambda: all("release all" in each.heard for each in bench.firmware))


async def test_those_that_hold_nothing_do_not_keep_the_others_from_it(bench):
    bench.firmware[2].number, before = 0, bench.mims[2]._sample
    bench.firmware[2].report()
    await until(lambda: bench.mims[2]._sample is not before)
    await asyncio.gather(*(driver.apply(command(50.0)) for driver in bench.mims[:2]))
    await bench.echoed(1, 2)
    await asyncio.gather(*(driver.release(WHY) for driver in bench.mims[:2]))
    await until(lambda: "release all" in bench.firmware[2].heard)


async def test_while_another_holds_a_setpoint_nobody_is_released_by_the_frame(bench):
    await asyncio.gather(*(driver.apply(command(50.0)) for driver in bench.mims))
    await bench.echoed(1, 2, 3)
    await asyncio.gather(*(driver.release(WHY) for driver in bench.mims[:2]))
    await bench.echoed(1, 2)
    assert [each.heard[-1] for each in bench.firmware] == ["single", "single", "group"]
    assert bench.firmware[2].setpoint[0] == 50


async def test_a_command_that_sees_a_part_of_the_group_never_releases_the_rest(bench):
    writer = GroupWriter(GROUP, MIM.group, 115, MIM.most_number, bench.group.bridge, SystemClock())
    some = [LorawanMim(mim(n), bench.group.bridge, MIM, SystemClock(), group=writer) for n in (1, 2)]
    await asyncio.gather(*(driver.release(WHY) for driver in some))
    await until(lambda: bench.firmware[0].heard and bench.firmware[1].heard)
    assert [each.heard for each in bench.firmware] == [["single"], ["single"], []]


async def test_a_frame_that_still_waits_does_not_come_after_a_release(bench):
    bench.link.server._groups[GROUP.id].free_at_s = SystemClock().monotonic_s() + 1000.0
    await asyncio.gather(*(driver.apply(command(50.0)) for driver in bench.mims))
    await bench.mims[0].release(WHY)
    await until(lambda: bench.firmware[0].heard == ["single"])
    assert not bench.link.server._groups[GROUP.id].queue


async def test_a_setpoint_that_waits_for_one_does_not_come_after_a_frame_for_all(bench):
    bench.link.server._devices[eui(1)].free_at_s = SystemClock().monotonic_s() + 1000.0
    await bench.mims[0].apply(command(10.0))
    await asyncio.gather(*(driver.apply(command(50.0)) for driver in bench.mims))
    await bench.echoed(1, 2, 3)
    assert not bench.link.server._devices[eui(1)].queue
    assert bench.firmware[0].heard == ["group"]


async def test_a_frame_that_a_gateway_drops_is_told_by_nobody_and_told_anew(bench):
    bench.link.server.gateway_error = "TOO_LATE"
    await asyncio.gather(*(driver.apply(command(50.0)) for driver in bench.mims))
    await until(lambda: not bench.link.server._groups[GROUP.id].queue)
    bench.link.server.gateway_error = None
    assert [bench.state(n) for n in (1, 2, 3)] == [DownlinkState.ENQUEUED] * 3
    for n in (1, 2, 3):
        tracker = bench.group.bridge.downlinks(eui(n))
        tracker.pass_to(tracker.current.due_s + 1.0)
    with pytest.raises(LinkError, match="not echoed in time"):
        await bench.mims[0].refresh()
    await asyncio.gather(*(driver.apply(command(50.0)) for driver in bench.mims))
    await bench.echoed(1, 2, 3)


async def test_a_server_that_is_away_is_a_link_error_for_each_and_releases_are_tried_all_the_same(bench):
    await bench.link.server.stop_api()
    told = await asyncio.gather(*(d.apply(command(50.0)) for d in bench.mims), return_exceptions=True)
    assert [isinstance(error, LinkError) for error in told] == [True] * 3
    assert [bench.state(n) for n in (1, 2, 3)] == [DownlinkState.EXPIRED] * 3
    released = await asyncio.gather(*(d.release(WHY) for d in bench.mims), return_exceptions=True)
    assert [isinstance(error, LinkError) for error in released] == [True] * 3


async def test_a_group_that_the_token_has_no_right_to_is_a_link_error(bench):
    bench.link.server._groups.clear()
    part = GroupPart(eui(1), 1, SystemClock().monotonic_s() + 60.0)
    with pytest.raises(LinkError, match="API token"):
        await bench.group.bridge.send_group(GROUP.id, 21, b"\x23", 60.0, [part])


async def test_who_is_cancelled_meanwhile_is_left_out(bench):
    first, *others = (asyncio.create_task(driver.apply(command(50.0))) for driver in bench.mims)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(*others)
    await bench.echoed(2, 3)
    assert first.cancelled()
    assert [each.heard for each in bench.firmware] == [[], ["group"], ["group"]]


async def test_closing_leaves_nobody_waiting(bench):
    waiting = asyncio.create_task(bench.mims[0].apply(command(50.0)))
    await asyncio.sleep(0)
    await bench.group.close()
    await asyncio.wait({waiting}, timeout=5.0)
    assert waiting.cancelled()


def test_the_group_of_a_link_takes_the_commands_of_all_its_mims_at_a_time():
    group = LorawanGroup(bridge=None, drivers=dict.fromkeys("abc"))
    assert isinstance(group, Wide)
    assert group.at_a_time == 3
    assert replace(group, drivers={}).at_a_time == 1
