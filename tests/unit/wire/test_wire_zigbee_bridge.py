"""The bridge over the in-memory radio: joining, reports, commands, and what happens when the stick goes."""

import asyncio
import contextlib
import logging
import sqlite3
import stat
import threading
from dataclasses import replace

import pytest
import structlog

from mimctl.model.clock import SystemClock
from mimctl.model.errors import BadReply, DeviceRefusal, LinkDown, LinkError, LinkTimeout, Unreachable
from mimctl.model.site import ExpiryAction
from mimctl.model.zigbee import RadioKind, ZigbeeRadio
from mimctl.wire.zigbee import hands, zcl
from mimctl.wire.zigbee import mim_layout as layout
from mimctl.wire.zigbee.air import Air, Frame
from mimctl.wire.zigbee.air_socket import AirServer
from mimctl.wire.zigbee.bridge import Pace, ZigbeeBridge
from mimctl.wire.zigbee.guard import guarded
from mimctl.wire.zigbee.memory_radio import AirPort, memory_radio
from mimctl.wire.zigbee.network import form
from mimctl.wire.zigbee.settling import Settling
from mimctl.wire.zigbee.watched import Wanted
from zigbee_mim import EUI, ZigbeeMim

QUICK = Pace(first_s=0.02, most_s=0.1, look_s=0.02, command_s=0.3, close_s=1.0, start_s=5.0)
VOLTAGE = (1, 0x0B04, None, 0x0505)
DIVISOR = (1, 0x0B04, None, 0x0601)
ACK = (1, layout.CLUSTER, layout.MANUFACTURER, layout.SEQUENCE_ACK)
WANTED = (Wanted(VOLTAGE, 0, 60, 1.0, divisor=DIVISOR), Wanted(DIVISOR, fixed=True), Wanted(ACK, 0, 60))
COMMAND = layout.SetPower(1, 30, ExpiryAction.ZERO, True, (100, 0, 0), (0, 0, 0))
RADIO = ZigbeeRadio(RadioKind.ZNP, "memory")


class Bench:
    """An air, a MIM on it, and a bridge whose stick can be pulled."""

    def __init__(self, folder):
        self.air, self.folder = Air(), folder
        self.port = AirPort(self.air)
        self.mim = ZigbeeMim(self.air)
        self.bridge = self.new_bridge()

    def new_bridge(self):
        radio = guarded(memory_radio(self.port))
        bridge = ZigbeeBridge("zb", RADIO, self.folder / "zb.db", SystemClock(), QUICK, lambda: radio)
        self.watched = bridge.watch(EUI, WANTED)
        return bridge

    async def formed(self):
        radio = guarded(memory_radio(self.port))
        await form(RADIO, self.folder / "zb.db", make_radio=lambda: radio)
        self.mim.switch_on()
        return self

    async def ready(self):
        await until(lambda: self.watched.ready)

    @property
    def ieee(self):
        return next(ieee for ieee in self.bridge._app.devices if str(ieee).endswith("01"))

    def unplug(self):
        self.port.present = False
        self.air.unplug()


async def until(condition, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it asks for what nobody signals
            await asyncio.sleep(0.01)


@pytest.fixture
async def bench(tmp_path):
    made = await Bench(tmp_path).formed()
    await made.bridge.open()
    await made.ready()
    yield made
    await made.bridge.close()


async def test_a_device_of_the_site_is_found_and_set_to_report_by_itself(bench):
    assert bench.watched.values[VOLTAGE].raw is None  # 0xFFFF
    bench.mim.show({"voltage.port1": 230.5})
    bench.mim.node.tick(0.0)
    await until(lambda: bench.watched.values[VOLTAGE].raw == 23050)
    assert bench.watched.unit(WANTED[0]) == pytest.approx(0.01)
    asked = bench.air.carried
    await asyncio.sleep(5 * QUICK.look_s)
    assert bench.air.carried == asked  # nobody polls


async def test_changes_below_the_step_wait(bench):
    bench.mim.show({"voltage.port1": 230.0})
    bench.mim.node.tick(0.0)
    bench.mim.show({"voltage.port1": 230.9})
    bench.mim.node.tick(1.0)
    bench.mim.show({"voltage.port1": 231.0})
    bench.mim.node.tick(2.0)
    await until(lambda: bench.watched.values[VOLTAGE].raw == 23100)
    assert next(w for w in bench.mim.node.reporting.values() if w.told == 23100).told_at_s == 2.0


async def test_a_command_arrives_whole_and_its_answer_names_what_is_in_force(bench):
    assert await bench.bridge.set_power(EUI, COMMAND) == (1, layout.ACCEPTED)
    assert bench.mim.taken == [COMMAND]
    assert await bench.bridge.keep_alive(EUI, 1, 30) == (1, layout.ACCEPTED)
    assert await bench.bridge.keep_alive(EUI, 9, 30) == (1, layout.STALE)
    assert await bench.bridge.set_power(EUI, replace(COMMAND, sequence=0)) == (1, layout.STALE)
    assert bench.mim.taken == [COMMAND]


async def test_silence_and_refusals_are_link_errors(bench):
    with pytest.raises(DeviceRefusal, match="0x80"):
        await bench.bridge._command(EUI, "set_power", b"no command")
    bench.mim.node.online = False
    with pytest.raises(LinkTimeout):
        await bench.bridge.set_power(EUI, COMMAND)
    bench.air.stations.clear()
    with pytest.raises(LinkDown):
        await bench.bridge.set_power(EUI, COMMAND)
    with pytest.raises(LinkError):
        await bench.bridge.set_power("ffffffffffffffff", COMMAND)


async def test_a_pulled_stick_makes_everything_stale_at_once_and_it_comes_back_by_itself(bench):
    bench.mim.show({"voltage.port1": 230.0})
    bench.mim.node.tick(0.0)
    await until(lambda: bench.watched.values[VOLTAGE].raw == 23000)
    bench.unplug()
    assert not bench.bridge.connected
    assert not bench.watched.values
    with pytest.raises(LinkDown):
        await bench.bridge.set_power(EUI, COMMAND)
    await asyncio.sleep(3 * QUICK.most_s)
    assert not bench.bridge.connected
    assert not bench.watched.values
    bench.port.present = True
    await bench.ready()
    assert bench.bridge.starts == 2
    assert await bench.bridge.set_power(EUI, COMMAND) == (1, layout.ACCEPTED)


async def test_a_device_that_restarts_is_set_up_again(bench):
    bench.mim.node.reporting.clear()
    bench.mim.nwk = bench.mim.node.nwk = 0x2002
    bench.air.stations = {0x2002: bench.mim.node}
    bench.mim.restart()
    await until(lambda: bench.mim.node.reporting)
    await bench.ready()


async def test_a_device_that_was_without_power_is_set_up_again_under_its_old_address(bench):
    bench.mim.node.reporting.clear()
    bench.mim.restart()
    await until(lambda: bench.mim.node.reporting)
    await bench.ready()


async def test_what_a_device_cannot_report_is_asked_for_at_the_interval_of_its_reports(tmp_path):
    bench = Bench(tmp_path)
    bench.watched = bench.bridge.watch(EUI, (Wanted(VOLTAGE, 0, 1.0), Wanted(DIVISOR, fixed=True), Wanted(ACK, 0, 60)))
    bench.mim.node.unreportable.add(VOLTAGE[3])
    await bench.formed()
    await bench.bridge.open()
    await bench.ready()
    assert bench.watched.unreported == {VOLTAGE}
    assert bench.bridge.gate.counts["reporting refused"] == 1
    bench.mim.show({"voltage.port1": 229.0})
    await until(lambda: bench.watched.values[VOLTAGE].raw == 22900)
    await bench.bridge.close()


async def test_a_full_binding_table_is_counted_and_told(tmp_path):
    bench = Bench(tmp_path)
    bench.mim.node.bindings = 1
    await bench.formed()
    await bench.bridge.open()
    await bench.ready()
    assert bench.bridge.gate.counts["binding refused"] == 1
    await bench.bridge.close()


async def test_one_that_does_not_answer_keeps_no_other_waiting(tmp_path):
    bench = Bench(tmp_path)
    dead = [f"00124b00000001{n:02x}" for n in range(QUICK.at_a_time - 1)]
    others = [ZigbeeMim(bench.air, eui=eui, nwk=0x2000 + n) for n, eui in enumerate(dead)]
    silent = [bench.bridge.watch(eui, WANTED) for eui in dead]
    await bench.formed()
    for other in others:
        other.switch_on()
    await bench.bridge.open()
    await until(lambda: all(w.ready for w in silent) and bench.watched.ready)
    for other, watched in zip(others, silent, strict=True):
        other.node.online, watched.ready = False, False
    await until(lambda: len({w.tries for w in silent}) == 1)
    bench.watched.ready = False
    await until(lambda: bench.watched.ready, 1.0)
    await bench.bridge.close()


async def test_a_device_that_leaves_is_forgotten(bench):
    bench.bridge._app.handle_leave(bench.mim.nwk, bench.ieee)
    assert not bench.watched.values


async def test_a_new_database_finds_the_devices_that_are_on_the_network(bench):
    await bench.bridge.close()
    (bench.folder / "zb.db").unlink()
    bench.bridge = bench.new_bridge()
    await bench.bridge.open()
    await bench.ready()


async def test_what_was_heard_before_a_restart_is_not_believed(bench):
    bench.mim.show({"voltage.port1": 230.0})
    bench.mim.node.tick(0.0)
    await until(lambda: bench.watched.values[VOLTAGE].raw == 23000)
    await bench.bridge.close()
    bench.mim.node.online = False
    bench.bridge = bench.new_bridge()
    await bench.bridge.open()
    await until(lambda: bench.bridge.connected)
    await asyncio.sleep(0.1)
    assert not bench.watched.values


async def test_without_a_network_it_says_what_to_do_and_waits(tmp_path):
    bench = Bench(tmp_path)
    await bench.bridge.open()
    await until(lambda: "mimctl zigbee form" in (bench.bridge.trouble or ""))
    await bench.bridge.close()


@pytest.mark.parametrize("kind", [RadioKind.ZNP, RadioKind.EZSP])
async def test_a_serial_port_that_is_not_there_is_told_and_does_not_hold_the_end_up(tmp_path, kind):
    radio = ZigbeeRadio(kind, str(tmp_path / "no-port"))
    bridge = ZigbeeBridge("zb", radio, tmp_path / "zb.db", SystemClock(), QUICK)
    await bridge.open()
    await until(lambda: "not there" in (bridge.trouble or ""))
    async with asyncio.timeout(5):
        await bridge.close()


async def test_a_fault_in_what_looks_after_devices_is_told_as_that_and_begun_anew(bench, monkeypatch):
    begun, whole = bench.bridge.starts, Settling._look

    def fails(self):
        monkeypatch.setattr(Settling, "_look", whole)
        raise KeyError("sec" + "ret")  # the traceback shows the line, not what it made

    why = []
    monkeypatch.setattr(ZigbeeBridge, "_note_down", lambda self, text: (why.append(text), self._down(text)))
    with structlog.testing.capture_logs() as told:
        monkeypatch.setattr(Settling, "_look", fails)
        await until(lambda: bench.bridge.starts > begun)
    assert ["KeyError" in text for text in why] == [True]
    (line,) = [line for line in told if line["log_level"] == "error"]
    assert "in fails" in line["at"]
    assert "secret" not in str(line)
    await bench.ready()


async def test_what_people_ask_for_ends_with_the_coordinator(bench):
    async def long(_):
        await asyncio.sleep(60)

    asking = asyncio.create_task(bench.bridge.by_hand(long))
    await until(lambda: bench.bridge._by_hand)
    bench.unplug()
    with pytest.raises(Unreachable, match="went away"):
        await asking
    with pytest.raises(Unreachable, match="is away"):
        await bench.bridge.by_hand(hands.listed)


async def test_a_stick_that_hangs_while_it_is_let_go_does_not_hold_the_end_up(bench):
    async def hang():
        await asyncio.sleep(60)

    bench.port.close = hang
    async with asyncio.timeout(8):
        await bench.bridge.close()
    assert not [thread for thread in threading.enumerate() if "connection_worker" in thread.name]


async def test_a_damaged_database_is_told_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "zb.db").write_bytes(b"no database at all" * 100)
    bench = Bench(tmp_path)
    await bench.bridge.open()
    await until(lambda: "damaged" in (bench.bridge.trouble or ""))
    await bench.bridge.close()


async def test_closing_while_it_cannot_start_or_in_the_middle_of_it_never_hangs(tmp_path):
    for seconds in (0.0, 0.01, 0.05):
        bench = Bench(tmp_path)
        bench.port.present = False
        await bench.bridge.open()
        await asyncio.sleep(seconds)
        async with asyncio.timeout(5):
            await bench.bridge.close()


async def test_reports_are_not_written_into_the_database_and_what_a_device_is_is(bench):
    for n in range(50):
        bench.mim.show({"voltage.port1": 200.0 + 2 * n})
        bench.mim.node.tick(float(n))
    await until(lambda: bench.watched.values[VOLTAGE].raw == 29800)
    assert bench.bridge._app._dblistener._callback_handlers.qsize() == 0
    await bench.bridge.close()
    with contextlib.closing(sqlite3.connect(bench.folder / "zb.db")) as database:
        kept = set(database.execute("SELECT cluster_id FROM attributes_cache_v16").fetchall())
        (heard,) = database.execute("SELECT count(*) FROM devices_v16 WHERE last_seen > 0").fetchone()
    assert kept == {(0,)}
    assert heard
    bench.bridge = bench.new_bridge()
    await bench.bridge.open()
    await until(lambda: bench.bridge.connected)
    (found,) = await bench.bridge.by_hand(hands.listed)
    assert (found.maker, found.model, found.ready) == ("mimctl", "MIM", True)


async def test_the_database_is_private_and_no_key_is_logged(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    bench = await Bench(tmp_path).formed()
    await bench.bridge.open()
    await bench.ready()
    key = bench.air.stick.network["network_key"]["key"]
    bench.unplug()
    await asyncio.sleep(0.05)
    await bench.bridge.close()
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    spoken = caplog.text.lower().replace(":", "")
    assert key.replace(":", "").lower() not in spoken


async def test_another_network_on_the_stick_is_told_and_not_used(bench):
    await bench.bridge.close()
    bench.air.stick.network["network_key"]["key"] = "00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f"
    bench.bridge = bench.new_bridge()
    await bench.bridge.open()
    await until(lambda: "another network" in (bench.bridge.trouble or ""))
    assert "0a:0b" not in bench.bridge.trouble


async def test_over_a_socket_it_is_the_same(tmp_path):
    air = Air()
    mim = ZigbeeMim(air)
    server = AirServer(air)
    host, port = await server.start()
    radio = ZigbeeRadio(RadioKind.TWIN, f"socket://{host}:{port}")
    await form(radio, tmp_path / "zb.db")
    mim.switch_on()
    bridge = ZigbeeBridge("zb", radio, tmp_path / "zb.db", SystemClock(), QUICK)
    watched = bridge.watch(EUI, WANTED)
    await bridge.open()
    await until(lambda: watched.ready)
    assert await bridge.set_power(EUI, COMMAND) == (1, layout.ACCEPTED)
    await server.stop()
    await until(lambda: not bridge.connected)
    assert not watched.values
    server = AirServer(air, port)
    await server.start()
    await until(lambda: watched.ready)
    await bridge.close()
    await server.stop()


async def test_a_device_without_the_cluster_is_no_mim(bench):
    del (
        bench.bridge._app.devices[next(i for i in bench.bridge._app.devices if str(i).endswith("01"))]
        .endpoints[1]
        .in_clusters[layout.CLUSTER]
    )
    with pytest.raises(BadReply, match="does not say that it is a MIM"):
        await bench.bridge.set_power(EUI, COMMAND)


async def test_wrong_types_are_counted_and_not_believed(bench):
    bench.mim.node.attributes[1, 0x0B04, None][0x0505] = zcl.Attribute(zcl.TEXT, "230 V")
    bench.mim.node.tick(100.0)
    await until(lambda: bench.bridge.gate.counts["wrong data type"])
    assert bench.watched.values[VOLTAGE].raw is None


async def test_strangers_are_counted_told_once_and_asked_seldom(bench):
    for n in range(200):
        bench.air.carry(Frame(0x7777, 1, 0, 1, 0x0104, 0x0B04, bytes((0x18, n % 256, 0x0A, 0x05, 0x05, 0x21, 0x10, 0x09))))
    await until(lambda: bench.bridge.gate.counts["unknown sender"] == 200)
    with contextlib.suppress(TimeoutError):
        await until(lambda: bench.air.carried > 250, 0.1)
    assert len(bench.bridge._app.devices) == 2


async def test_a_flood_of_joins_does_not_get_in(bench):
    for n in range(300):
        eui = bytes((n % 256, n // 256, 0xAA, 0, 0, 0, 0, 0))
        bench.air.carry(Frame(0x3000 + n, 0, 0, 0, 0, 0x0013, bytes((1,)) + (0x3000 + n).to_bytes(2, "little") + eui + b"\x8e"))
    await until(lambda: bench.bridge.gate.counts["device that nobody invited"] >= 300)
    assert len(bench.bridge._app.devices) == 2
    assert await bench.bridge.set_power(EUI, COMMAND) == (1, layout.ACCEPTED)
