"""Anything may come off the air: nothing raises, nothing hangs, a good device goes on."""

import asyncio
import contextlib

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.model.clock import SystemClock
from mimctl.model.site import ExpiryAction
from mimctl.model.zigbee import RadioKind, ZigbeeRadio
from mimctl.wire.zigbee import mim_layout as layout
from mimctl.wire.zigbee.air import Air, Frame
from mimctl.wire.zigbee.bridge import Pace, ZigbeeBridge
from mimctl.wire.zigbee.guard import Gate, guarded
from mimctl.wire.zigbee.memory_radio import AirPort, memory_radio
from mimctl.wire.zigbee.network import form
from mimctl.wire.zigbee.node import Node
from mimctl.wire.zigbee.watched import Wanted, Watched
from zigbee_mim import EUI, ZigbeeMim

VOLTAGE = (1, 0x0B04, None, 0x0505)
RADIO = ZigbeeRadio(RadioKind.ZNP, "memory")
KNOWN, STRANGER = 0x1001, 0x7001

PLACES = st.sampled_from(
    [(1, 0x0104, 0x0B04), (1, 0x0104, layout.CLUSTER), (1, 0x0104, 0), (0, 0, 0x0013), (0, 0, 0x8001), (9, 9, 9)]
)
HEADS = st.sampled_from([b"", b"\x18", b"\x1c\x4d\x1f", b"\x08", b"\x09", b"\x01", b"\xff\xff\xff"])
FRAMES = st.lists(
    st.tuples(st.sampled_from([KNOWN, KNOWN, STRANGER]), PLACES, HEADS, st.binary(max_size=60)), min_size=100, max_size=100
)


VALUES = st.one_of(st.integers(), st.floats(), st.text(max_size=3), st.none(), st.binary(max_size=3))


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
    made.watched, made.air, made.mim = made.watch(EUI, [Wanted(VOLTAGE, 0, 60)]), air, ZigbeeMim(air)

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


@settings(max_examples=100, derandomize=True, deadline=None)
@given(frames=FRAMES)
def test_ten_thousand_frames_of_any_kind(runner, bridge, frames):
    async def send():
        loop = asyncio.get_running_loop()
        raised = []
        loop.set_exception_handler(lambda _, context: raised.append(context))
        for src, (endpoint, profile, cluster), head, tail in frames:
            bridge.air._arrive(Frame(src, endpoint, 0, min(endpoint, 1), profile, cluster, head + tail))
            await asyncio.sleep(0)
        loop.set_exception_handler(None)
        return raised

    assert runner.run(send()) == []
    assert bridge.connected
    assert len(bridge._app.devices) == 2
    value = bridge.watched.values.get(VOLTAGE)
    assert value is None or value.raw is None or 0 <= value.raw < 0xFFFF


def test_after_all_that_a_good_device_is_still_heard_and_commanded(runner, bridge):
    async def go_on():
        bridge.mim.show({"voltage.port1": 231.0})
        async with asyncio.timeout(10):
            while (value := bridge.watched.values.get(VOLTAGE)) is None or value.raw != 23100:
                bridge.mim.node.tick(asyncio.get_running_loop().time())
                await asyncio.sleep(0.02)
        bridge.mim.in_force = 0
        return await bridge.set_power(EUI, layout.SetPower(1, 30, ExpiryAction.ZERO, True, (1, 2, 3), (0, 0, 0)))

    assert runner.run(go_on()) == (1, layout.ACCEPTED)
    assert bridge.gate.counts["unknown sender"] > 1000
    assert bridge.gate.counts["frames"] > 9000


@settings(max_examples=100, derandomize=True, deadline=None)
@given(cases=st.lists(st.tuples(st.integers(0, 255), VALUES), min_size=100, max_size=100))
def test_any_type_and_any_value_is_taken_or_counted(cases):
    for kind, value in cases:
        refused = []
        watched = Watched(EUI, (Wanted(VOLTAGE),), lambda why, who, refused=refused: refused.append((why, who)))
        taken = watched.take(VOLTAGE, kind, value, 1.0)
        assert taken is not bool(refused)
        assert taken is (VOLTAGE in watched.values)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    cases=st.lists(
        st.tuples(st.sampled_from([0, 0x0104]), st.integers(0, 0xFFFF), st.binary(max_size=60)), min_size=100, max_size=100
    )
)
def test_a_virtual_device_bears_any_frame(cases):
    for profile, cluster, data in cases:
        sent = []
        node = Node(EUI, 0x1001, sent.append, {(1, 0x0B04, None): {}})
        node.receive(Frame(0, 1, 0x1001, 0 if profile == 0 else 1, profile, cluster, data))
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
