"""What befalls a coordinator: unplugged, silent, garbled, another network; in memory and behind a socket."""

import asyncio
import contextlib
import logging
import threading

import pytest

from mimctl.model.clock import SystemClock
from mimctl.model.errors import LinkDown, LinkError
from mimctl.model.site import ExpiryAction
from mimctl.model.zigbee import RadioKind, ZigbeeRadio
from mimctl.twin.zigbee_stick import formed_stick
from mimctl.wire.zigbee import bridge as bridge_module
from mimctl.wire.zigbee import mim_layout as layout
from mimctl.wire.zigbee.air import Air, Trouble
from mimctl.wire.zigbee.air_socket import AirServer, SocketPort
from mimctl.wire.zigbee.bridge import ZigbeeBridge
from mimctl.wire.zigbee.guard import guarded
from mimctl.wire.zigbee.memory_radio import AirPort, memory_radio
from mimctl.wire.zigbee.pace import Pace
from mimctl.wire.zigbee.watched import Wanted
from zigbee_mim import EUI, ZigbeeMim

QUICK = Pace(first_s=0.02, most_s=0.1, look_s=0.02, command_s=0.3, close_s=1.0, start_s=2.0)
VOLTAGE = (1, 0x0B04, None, 0x0505)
COMMAND = layout.SetPower(1, 30, ExpiryAction.ZERO, True, (100, 0, 0), (0, 0, 0))
RADIO = ZigbeeRadio(RadioKind.ZNP, "memory")
OTHER = formed_stick("another")


class Bench:
    """A MIM, a coordinator that things befall, and the bridge. `tries`: how often it was looked for."""

    def __init__(self, folder, port):
        self.air = Air(stick=formed_stick("trouble"))
        self.tries = 0
        self.port, self.mim, self.folder = port(self.air), ZigbeeMim(self.air), folder
        self.mim.node.hears = self.air.stick.eui
        self.mim.switch_on()
        connect = self.port.connect

        def counted(*callbacks):
            self.tries += 1
            return connect(*callbacks)

        self.port.connect = counted
        self.bridge = self.new_bridge()

    def new_bridge(self):
        radio = guarded(memory_radio(self.port, 0.1))
        made = ZigbeeBridge("zb", RADIO, self.folder / "zb.db", SystemClock(), QUICK, lambda: radio)
        self.watched = made.watch(EUI, [Wanted(VOLTAGE, 0, 60)])
        return made

    def say(self, volts):
        self.mim.show({"voltage.port1": volts})
        for rule in self.mim.node.reporting.values():
            rule.told_at_s = float("-inf")
        self.mim.node.tick(0.0)

    @property
    def told(self):
        held = self.watched.values.get(VOLTAGE)
        return None if held is None else held.raw


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it asks for what nobody signals
            await asyncio.sleep(0.01)


@pytest.fixture(params=["memory", "socket"])
async def bench(request, tmp_path, monkeypatch):
    monkeypatch.setattr("mimctl.wire.zigbee.memory_radio._PING_S", 0.2)
    monkeypatch.setattr("mimctl.wire.zigbee.air_socket._GREETING_S", 0.3)
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "memory":
            made = Bench(tmp_path, AirPort)
        else:
            made = Bench(tmp_path, lambda _: SocketPort("127.0.0.1", 0))
            server = AirServer(made.air)
            made.port._host, made.port._port = await server.start()
            stack.push_async_callback(server.stop)
        stack.push_async_callback(made.bridge.close)
        await made.bridge.open()
        await until(lambda: made.watched.ready)
        yield made


@pytest.mark.parametrize("trouble", [Trouble.UNPLUGGED, Trouble.SILENT, Trouble.OTHER_NETWORK])
async def test_nothing_is_believed_meanwhile_nothing_is_replayed_afterwards_and_it_comes_back_by_itself(bench, trouble):
    bench.say(230.0)
    await until(lambda: bench.told == 23000)
    assert await bench.bridge.set_power(EUI, COMMAND) == (1, layout.ACCEPTED)
    commands, starts = len(bench.mim.heard), bench.bridge.starts
    bench.air.befall(trouble, OTHER)
    if trouble is Trouble.SILENT:
        with pytest.raises(LinkError):
            await bench.bridge.keep_alive(EUI, 1, 30)
    await until(lambda: not bench.bridge.connected)
    assert bench.told is None
    with pytest.raises(LinkDown):
        await bench.bridge.set_power(EUI, COMMAND)
    tries = bench.tries
    await until(lambda: bench.tries >= tries + 3)
    assert not bench.bridge.connected
    assert bench.told is None
    bench.air.befall(None)
    bench.mim.show({"voltage.port1": 231.0})
    await until(lambda: bench.watched.ready)
    assert bench.bridge.starts == starts + 1
    assert bench.told == 23100  # asked anew: what was told before is gone
    assert len(bench.mim.heard) == commands  # and no command was kept for it


@pytest.mark.parametrize("trouble", [Trouble.SILENT, Trouble.OTHER_NETWORK, Trouble.UNPLUGGED])
async def test_it_is_let_go_at_any_moment_of_it_and_leaves_no_thread(bench, trouble):
    bench.air.befall(trouble, OTHER)
    for pause_s in (0.0, 0.05, 0.3):
        await asyncio.sleep(pause_s)
        async with asyncio.timeout(8):
            await bench.bridge.close()
        assert not [thread for thread in threading.enumerate() if "connection_worker" in thread.name]
        bench.bridge = bench.new_bridge()
        await bench.bridge.open()
    await bench.bridge.close()


async def test_frames_that_make_no_sense_are_counted_and_a_good_one_is_heard_again(bench):
    bench.say(230.0)
    await until(lambda: bench.told == 23000)
    bench.air.befall(Trouble.GARBLED)
    frames = bench.bridge.gate.counts["frames"]
    for n in range(200):
        bench.say(200.0 + n / 10)
    await until(lambda: bench.bridge.gate.counts["frames"] >= frames + 200)
    with pytest.raises(LinkError):
        await bench.bridge.keep_alive(EUI, 0, 30)
    assert bench.bridge.connected
    bench.air.befall(None)
    bench.say(231.0)
    await until(lambda: bench.told == 23100)


async def test_another_key_or_pan_is_told_as_that_without_a_key(bench, caplog):
    caplog.set_level(logging.DEBUG)
    bench.air.befall(Trouble.OTHER_NETWORK, OTHER)
    await until(lambda: "another network" in (bench.bridge.trouble or ""))
    spoken = (caplog.text + bench.bridge.trouble).lower().replace(":", "")
    for stick in (OTHER, formed_stick("trouble")):
        assert stick.network["network_key"]["key"].replace(":", "").lower() not in spoken


@pytest.mark.parametrize(("what", "value"), [("pan_id", "1A62"), ("extended_pan_id", "01:02:03:04:05:06:07:08"), ("channel", 25)])
async def test_a_network_that_was_changed_elsewhere_is_told_and_not_used(bench, what, value):
    held = bench.air.stick.network
    bench.air.stick.network = {**held, what: value}
    bench.air.unplug()
    await until(lambda: "another network" in (bench.bridge.trouble or ""))
    assert not bench.bridge.connected
    bench.air.stick.network = held
    await until(lambda: bench.watched.ready)


async def test_a_line_that_is_no_message_ends_the_connection_and_no_more(tmp_path):
    air = Air(stick=formed_stick("trouble"))
    lost, writers = [], []

    async def serve(reader, writer):
        writers.append(writer)
        writer.write(b'{"stick": {"eui": "00124b0000c0ffee"}}\n')
        writer.write(b'{"f": [1, 2]}\n' if not lost else b"\x00\xff no json\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = SocketPort(*server.sockets[0].getsockname()[:2])
    for n in (1, 2):
        await port.connect(lambda _: None, lost.append)
        await until(lambda n=n: len(lost) == n)
        assert isinstance(lost[-1], ValueError)
        await port.close()
    for writer in writers:
        writer.close()
    server.close()
    await server.wait_closed()
    assert air.stick.network is not None


async def test_pauses_between_tries_grow_to_a_minute_and_are_short_again_after_a_life(tmp_path, monkeypatch):
    pauses, lives = [], iter([*[False] * 9, True, False])
    made = ZigbeeBridge("zb", RADIO, tmp_path / "zb.db", SystemClock(), Pace())

    class Enough(BaseException):
        pass

    async def live():
        if len(pauses) == 11:
            raise Enough
        if not next(lives):
            raise ConnectionError("not there")
        return True

    async def pause(seconds):
        pauses.append(seconds)

    monkeypatch.setattr(made, "_run_once", live)
    monkeypatch.setattr(bridge_module.asyncio, "sleep", pause)
    monkeypatch.setattr(bridge_module.random, "uniform", lambda low, high: (low + high) / 2)
    with pytest.raises(Enough):
        await made._keep()
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60, 1, 2]
    assert made.trouble == "the connection to it was lost"
