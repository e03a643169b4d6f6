"""What a device on LoRaWAN held before us: asked for, taken as it says, and not waited for without end."""

from datetime import UTC, datetime

import pytest

from mimctl.config.profiles.payload_profile import find_payload_profile, load_payload_profile
from mimctl.drivers.lorawan_recall import ASK_EVERY_S, WAIT_S, HeldBefore
from mimctl.model.clock import VirtualClock
from mimctl.model.protocols import HeldSetpoint, Recall
from mimctl.wire.payload import read_payload

PATH = find_payload_profile("mimctl/mim")
assert PATH is not None
MIM = load_payload_profile(PATH)
#: of the short frame: number, status, three ports without output
IN_FORCE, IDLE, RUN_OUT = (bytes([number, status, *9 * [0]]) for number, status in ((7, 0), (0, 0), (7, 3)))
#: of the frame that answers: 1500 W, -200 var, 0, 0, -2300 W, 300 var for another 720 s
HELD = bytes.fromhex("120700 02d0 05dcff38 00000000 f704012c".replace(" ", ""))


@pytest.fixture
def clock():
    return VirtualClock(datetime(2026, 3, 1, tzinfo=UTC))


def hear(before, payload, port=11):
    reading = read_payload(MIM.uplinks, port, payload)
    assert reading is not None
    before.hear(reading, 3)


async def test_a_setpoint_in_force_is_asked_for_until_it_is_told(clock):
    before = HeldBefore(True, clock)
    assert (before.state, before.wants_to_ask()) == (Recall.SETTLED, False)
    hear(before, IN_FORCE)
    assert before.state is Recall.ASKED
    assert (before.wants_to_ask(), before.wants_to_ask()) == (True, False)
    await clock.sleep_until(clock.monotonic_s() + ASK_EVERY_S)
    assert before.wants_to_ask()
    hear(before, HELD, 12)
    assert before.state is Recall.SETTLED
    assert before.held == HeldSetpoint((1500.0, 0.0, -2300.0), (-200.0, 0.0, 300.0))
    hear(before, IN_FORCE)
    assert (before.state, before.wants_to_ask()) == (Recall.SETTLED, False)


@pytest.mark.parametrize("payload", [IDLE, RUN_OUT])
def test_with_nothing_in_force_nothing_is_asked(clock, payload):
    before = HeldBefore(True, clock)
    hear(before, payload)
    assert (before.state, before.wants_to_ask(), before.held) == (Recall.SETTLED, False, None)


def test_one_that_falls_back_meanwhile_holds_nothing(clock):
    before = HeldBefore(True, clock)
    hear(before, IN_FORCE)
    hear(before, RUN_OUT)
    assert before.state is Recall.SETTLED


def test_an_answer_without_time_left_is_nothing_in_force(clock):
    before = HeldBefore(True, clock)
    hear(before, IN_FORCE)
    hear(before, HELD[:3] + b"\x00\x00" + HELD[5:], 12)
    assert (before.state, before.held) == (Recall.SETTLED, None)


def test_an_answer_that_lacks_a_port_is_no_answer(clock):
    before = HeldBefore(True, clock)
    hear(before, IN_FORCE)
    hear(before, HELD[:5] + b"\x80\x00" + HELD[7:], 12)
    assert before.state is Recall.ASKED


async def test_it_is_not_waited_for_without_end(clock):
    before = HeldBefore(True, clock)
    hear(before, IN_FORCE)
    await clock.sleep_until(clock.monotonic_s() + WAIT_S + 1)
    assert (before.state, before.wants_to_ask()) == (Recall.UNKNOWN, False)
    before.settle()
    assert before.state is Recall.SETTLED


def test_a_device_that_cannot_be_asked_is_never_waited_for(clock):
    before = HeldBefore(False, clock)
    hear(before, IN_FORCE)
    assert (before.state, before.wants_to_ask()) == (Recall.UNKNOWN, False)
