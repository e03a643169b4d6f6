"""A coordinator as it is sold: the serial protocol of Z-Stack behind a socket, spoken by the package that drives real sticks."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from mimctl.model.clock import SystemClock
from mimctl.model.errors import LinkDown, LinkTimeout, Unreachable
from mimctl.model.site import ExpiryAction
from mimctl.model.zigbee import RadioKind, ZigbeeRadio
from mimctl.wire.zigbee import mim_layout as layout
from mimctl.wire.zigbee import network
from mimctl.wire.zigbee.air import Air
from mimctl.wire.zigbee.bridge import ZigbeeBridge
from mimctl.wire.zigbee.pace import Pace
from mimctl.wire.zigbee.watched import Wanted
from z_stack import ZStack
from zigbee_mim import EUI, ZigbeeMim

PACE = Pace(first_s=0.05, most_s=0.2, look_s=0.05, command_s=0.5, close_s=2.0)
VOLTAGE = (1, 0x0B04, None, 0x0505)
COMMAND = layout.SetPower(1, 30, ExpiryAction.ZERO, True, (100, 0, 0), (0, 0, 0))
#: the example of the Zigbee Base Device Behavior Specification, 10.1
CODE, KEY = "83FED3407A939723A5C639B26916D505C3B5", "66b6900981e1ee3ca4206b6b861c02bb"


class Hall:
    """A stick, a MIM, and the database of their network."""

    def __init__(self, folder, **more):
        self.air = Air()
        self.stick, self.database = ZStack(self.air, **more), folder / "zb.db"
        self.mim = ZigbeeMim(self.air)
        self.radio = None

    async def start(self):
        self.radio = ZigbeeRadio(RadioKind.ZNP, await self.stick.start())
        return self

    def by_hand(self, what, *args, **named):
        return getattr(network, what)(self.radio, self.database, *args, **named)

    async def join(self):
        """The device tries until it is let in."""
        while not self.air.admit(self.mim.node, bytes.fromhex(KEY)):  # noqa: ASYNC110 - as a device does
            await asyncio.sleep(0.02)
        self.mim.node.announce()


@pytest.fixture
async def stack():
    async with contextlib.AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def hall(tmp_path, stack):
    made = await Hall(tmp_path).start()
    stack.push_async_callback(made.stick.stop)
    await made.by_hand("form", channel=20)
    return made


async def until(condition, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it asks for what nobody signals
            await asyncio.sleep(0.02)


async def test_a_network_is_formed_a_device_let_in_read_and_commanded_and_a_restart_is_seen(hall, stack):
    joining = asyncio.create_task(hall.join())
    hall.stick.permits.clear()
    found = await hall.by_hand("permit", EUI, CODE, 10.0)
    await joining
    assert (found.eui, found.maker, found.ready) == (EUI, "mimctl", True)
    assert [code.hex() for code in hall.stick.codes] == [KEY]
    opened = [(seconds, strict) for seconds, strict in hall.stick.permits if seconds]
    assert opened == [(10, True)]  # never without its demand for an install code
    assert hall.stick.permits[-1] == (0, True)  # which stood until the network was closed
    assert not hall.stick.strict

    bridge = ZigbeeBridge("zb", hall.radio, hall.database, SystemClock(), PACE)
    watched = bridge.watch(EUI, [Wanted(VOLTAGE, 0, 60)])
    await bridge.open()
    stack.push_async_callback(bridge.close)
    await until(lambda: watched.ready)
    hall.mim.show({"voltage.port1": 231.0})
    hall.mim.node.tick(0.0)
    await until(lambda: watched.values[VOLTAGE].raw == 23100)
    assert await bridge.set_power(EUI, COMMAND) == (1, layout.ACCEPTED)
    assert hall.mim.taken == [COMMAND]

    hall.stick.restart()  # behind a USB bridge the line stays; the network does not
    await until(lambda: not bridge.connected)
    assert not watched.values
    await until(lambda: watched.ready)
    assert bridge.starts == 2
    assert await bridge.set_power(EUI, replace(COMMAND, sequence=2)) == (2, layout.ACCEPTED)

    hall.mim.node.online = False
    with pytest.raises(LinkTimeout):
        await bridge.set_power(EUI, COMMAND)
    hall.air.stations.clear()
    with pytest.raises(LinkDown):
        await bridge.set_power(EUI, COMMAND)
    hall.air.unplug()
    await until(lambda: not bridge.connected)


async def test_a_backup_goes_on_another_stick_with_every_key(hall, tmp_path, stack):
    kept = await hall.by_hand("backup")
    spare = await Hall(tmp_path / "spare", eui="00124b0000decade").start()
    stack.push_async_callback(spare.stick.stop)
    found = await spare.by_hand("restore", kept)
    again = await spare.by_hand("backup")
    assert (found.channel, found.coordinator) == (20, "00124b0000c0ffee")
    before, after = kept["network_info"], again["network_info"]
    for name in ("pan_id", "extended_pan_id", "channel", "key_table", "children"):
        assert after[name] == before[name], name
    assert after["network_key"]["key"] == before["network_key"]["key"]
    assert after["network_key"]["tx_counter"] >= before["network_key"]["tx_counter"] + 10_000


async def test_a_stick_without_a_network_or_without_install_codes_is_told(tmp_path, stack):
    hall = await Hall(tmp_path, install_codes=False).start()
    stack.push_async_callback(hall.stick.stop)
    with pytest.raises(Unreachable, match="mimctl zigbee form"):
        await hall.by_hand("devices")
    await hall.by_hand("form", channel=15)
    with pytest.raises(Unreachable, match="without an install code out"):
        await hall.by_hand("permit", EUI, CODE, 60.0)
    assert not any(seconds for seconds, _ in hall.stick.permits)
