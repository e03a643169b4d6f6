"""Anything may come off the air: nothing raises, nothing hangs, a good device goes on."""

import asyncio
import contextlib

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from zigpy.exceptions import ZigbeeException

from mimctl.model.clock import SystemClock
from mimctl.model.errors import LinkError
from mimctl.model.site import ExpiryAction
from mimctl.model.zigbee import RadioKind, ZigbeeRadio
from mimctl.wire.zigbee import mim_layout as layout
from mimctl.wire.zigbee import zcl
from mimctl.wire.zigbee.air import Air, Frame
from mimctl.wire.zigbee.bridge import Pace, ZigbeeBridge
from mimctl.wire.zigbee.guard import Gate, guarded
from mimctl.wire.zigbee.memory_radio import AirPort, memory_radio
from mimctl.wire.zigbee.network import form
from mimctl.wire.zigbee.node import Node
from mimctl.wire.zigbee.settling import known_device
from mimctl.wire.zigbee.setup import set_up
from mimctl.wire.zigbee.watched import Wanted, Watched
from mimctl.wire.zigbee.zcl import Header
from zigbee_mim import EUI, ZigbeeMim

VOLTAGE = (1, 0x0B04, None, 0x0505)
RADIO = ZigbeeRadio(RadioKind.ZNP, "memory")
KNOWN, STRANGER = 0x1001, 0x7001

OWN = (1, layout.CLUSTER, layout.MANUFACTURER, layout.SEQUENCE_ACK)
PLACES = [
    (1, 0x0104, 0x0B04),
    (1, 0x0104, layout.CLUSTER),
    (1, 0x0104, 0),
    (0, 0, 0x0013),
    (0, 0, 0x8001),
    (0, 0, 0x8021),
    (9, 9, 9),
]
HEADS = [b"", b"\x18", b"\x1c\x4d\x1f", b"\x08", b"\x09", b"\x19", b"\x01", b"\xff\xff\xff"]
VALUES = [0, 1, -1, 0xFFFF, 1 << 70, -(1 << 70), 1.5, float("nan"), "", "230 V", None, b"", b"\xff", True, [], {}, ()]
#: bytes of one case; a hundred of them in each example
SIZE, CASES = 40, 100
NOISE = st.binary(min_size=SIZE * CASES, max_size=SIZE * CASES)
BOUNDED = settings(max_examples=100, derandomize=True, deadline=None)


def cases(noise):
    return (noise[n : n + SIZE] for n in range(0, len(noise), SIZE))


def frame_of(noise):
    """One frame: a report that is nearly right, one cut or lengthened, or anything, from a device that is known or not."""
    src = STRANGER if noise[0] % 8 == 0 else KNOWN
    if noise[1] % 4 == 3:
        endpoint, profile, cluster = PLACES[noise[2] % len(PLACES)]
        return Frame(src, endpoint, 0, min(endpoint, 1), profile, cluster, HEADS[noise[3] % len(HEADS)] + noise[4:])
    own = noise[1] % 4 == 2
    records = b"".join(record_of(noise[n : n + 9], own) for n in range(4, 13 + 9 * (noise[2] % 3), 9))
    head = b"\x1c\x4d\x1f\x07\x0a" if own else b"\x18\x07\x0a"
    whole = head + records
    return Frame(
        src, 1, 0, 1, 0x0104, layout.CLUSTER if own else 0x0B04, whole[: len(whole) - noise[3] % 3] if noise[3] % 2 else whole
    )


def record_of(noise, own):
    """An attribute, its data type and a value: each of them often, and not always, what it should be."""
    wanted = layout.SEQUENCE_ACK if own else VOLTAGE[3]
    attribute = wanted.to_bytes(2, "little") if noise[0] % 4 else noise[1:3]
    kind = (0x20 if own else 0x21) if noise[3] % 4 else noise[4] % 0x50
    try:
        size = zcl.size_of(kind)
    except ValueError:
        size = noise[5] % 4
    return attribute + bytes((kind,)) + (noise * 2)[:size]


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def bridge(runner, tmp_path_factory):
    """One bridge for all examples: what one leaves behind, the next must bear."""
    air, folder = Air(), tmp_path_factory.mktemp("fuzz")
    radio = guarded(memory_radio(AirPort(air)))
    made = ZigbeeBridge("zb", RADIO, folder / "zb.db", SystemClock(), Pace(look_s=0.02), lambda: radio)
    made.watched, made.air, made.mim = made.watch(EUI, [Wanted(VOLTAGE, 0, 60), Wanted(OWN, 0, 60)]), air, ZigbeeMim(air)

    async def start():
        await form(RADIO, folder / "zb.db", make_radio=lambda: radio)
        made.mim.switch_on()
        await made.open()
        async with asyncio.timeout(10):
            while not made.watched.ready:  # noqa: ASYNC110 - nobody signals it
                await asyncio.sleep(0.01)

    runner.run(start())
    yield made
    runner.run(made.close())


@BOUNDED
@given(noise=NOISE)
def test_ten_thousand_frames_of_any_kind(runner, bridge, noise):
    async def send():
        loop = asyncio.get_running_loop()
        raised = []
        loop.set_exception_handler(lambda _, context: raised.append(context))
        for case in cases(noise):
            bridge.air._arrive(frame_of(case))
            await asyncio.sleep(0)
        loop.set_exception_handler(None)
        return raised

    assert runner.run(send()) == []
    assert bridge.connected
    assert len(bridge._app.devices) == 2
    for spot, most in ((VOLTAGE, 0xFFFF), (OWN, 0xFF)):
        value = bridge.watched.values.get(spot)
        assert value is None or value.raw is None or 0 <= value.raw < most


def test_they_went_all_the_way_and_after_them_a_good_device_is_still_heard_and_commanded(runner, bridge):
    counts = bridge.gate.counts
    assert counts["frames"] >= 10_000
    # strangers at the gate; reports in our own reading of them, believed and not
    assert counts["unknown sender"] > 1000
    assert bridge.watched.reports > 2000
    assert counts["wrong data type"] > 300

    async def go_on():
        bridge.mim.show({"voltage.port1": 231.0})
        async with asyncio.timeout(10):
            while (value := bridge.watched.values.get(VOLTAGE)) is None or value.raw != 23100:
                bridge.mim.node.tick(asyncio.get_running_loop().time())
                await asyncio.sleep(0.02)
        bridge.mim.in_force = 0
        return await bridge.set_power(EUI, layout.SetPower(1, 30, ExpiryAction.ZERO, True, (1, 2, 3), (0, 0, 0)))

    assert runner.run(go_on()) == (1, layout.ACCEPTED)


class Liar(Node):
    """Answers every question in time and under its number, and with anything."""

    noise = b""
    answered = 0

    def _lie(self, *_):
        self.answered += 1
        at = 37 * self.answered % (len(self.noise) - 60)
        return self.noise[at : at + self.noise[at] % 60]

    _read = _write = _configure = _lie

    def _own(self, place, header, payload):
        self._reply(place, Header(layout.ANSWER, header.sequence, header.manufacturer, own=True, from_server=True), self._lie())

    def _answer(self, request, asked):
        return self._lie() if request == 0x0021 else super()._answer(request, asked)


@settings(max_examples=10, derandomize=True, deadline=None)
@given(noise=NOISE)
def test_answers_that_are_lies_set_nothing_up_and_command_nothing(runner, bridge, noise):
    honest = bridge.mim.node
    liar = Liar(EUI, honest.nwk, honest.send, honest.attributes, honest.own_commands, honest.maker_code)
    liar.noise = noise

    async def ask():
        bridge.air.stations[honest.nwk] = liar
        device = known_device(bridge._app, EUI)
        for _ in range(20):
            watched = Watched(EUI, (Wanted(VOLTAGE), Wanted(OWN)))
            with contextlib.suppress(LinkError, ZigbeeException, ValueError):
                await set_up(device, watched, {}, lambda: 1.0)
            assert all(held.raw is None or isinstance(held.raw, int) for held in watched.values.values())
            with contextlib.suppress(LinkError):
                in_force, status = await bridge.keep_alive(EUI, 7, 30)
                assert 0 <= in_force <= 0xFF
                assert 0 <= status <= 0xFF
        bridge.air.stations[honest.nwk] = honest
        return liar.answered

    assert runner.run(ask()) >= 40
    assert bridge.connected


@BOUNDED
@given(noise=NOISE)
def test_any_type_and_any_value_is_taken_or_counted(noise):
    for case in cases(noise):
        refused = []
        watched = Watched(EUI, (Wanted(VOLTAGE),), lambda why, who, refused=refused: refused.append((why, who)))
        value = VALUES[case[1] % len(VALUES)] if case[2] % 2 else int.from_bytes(case[3:11], "little", signed=case[2] % 4 == 0)
        taken = watched.take(VOLTAGE, case[0], value, 1.0)
        assert taken is not bool(refused)
        assert taken is (VOLTAGE in watched.values)


@BOUNDED
@given(noise=NOISE)
def test_a_virtual_device_bears_any_frame(noise):
    for case in cases(noise):
        sent = []
        node = Node(EUI, 0x1001, sent.append, {(1, 0x0B04, None): {}})
        profile = 0 if case[0] % 2 else 0x0104
        cluster = int.from_bytes(case[1:3], "little") % (0x40 if case[3] % 2 else 0x10000)
        node.receive(Frame(0, 1, 0x1001, 0 if profile == 0 else 1, profile, cluster, case[5 : 5 + case[4] % 36]))
        assert len(sent) <= 1


def test_each_kind_of_trouble_of_each_sender_is_told_once():
    before = structlog.get_config()
    structlog.reset_defaults()  # whatever a test before lets through
    with contextlib.ExitStack() as stack:
        stack.callback(structlog.configure, **before)
        lines = stack.enter_context(structlog.testing.capture_logs())
        gate = Gate()
        for _ in range(50):
            gate.refuse("unknown sender", "0x7001")
            gate.refuse("unknown sender", "0x7002")
    assert gate.counts["unknown sender"] == 100
    assert [line["sender"] for line in lines] == ["0x7001", "0x7002"]


def test_what_is_seldom_is_bounded_in_number_and_in_time():
    gate = Gate()
    asked = [gate.seldom(f"ask {n}", 30.0, 0.0, 8) for n in range(100)]
    assert sum(asked) == 8
    assert not gate.seldom("ask 0", 30.0, 29.0, 8)
    assert gate.seldom("ask 99", 30.0, 31.0, 8)
