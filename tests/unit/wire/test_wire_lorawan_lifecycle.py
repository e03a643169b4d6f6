"""What becomes of a downlink, whatever the order in which the server tells it."""

import pytest

from mimctl.model.lorawan import DownlinkState
from mimctl.wire.chirpstack.events import Ack, Log, TxAck
from mimctl.wire.chirpstack.lifecycle import DownlinkTracker

EUI = "70b3d57ed0000001"


@pytest.fixture
def told():
    return []


@pytest.fixture
def tracker(told):
    return DownlinkTracker(lambda downlink: told.append((downlink.sequence, downlink.state)))


def queued(tracker, sequence, item, due_s=100.0):
    tracker.begin(sequence, due_s)
    tracker.enqueued(item)


def test_the_usual_way(tracker, told):
    queued(tracker, 1, "a")
    tracker.happened(TxAck(EUI, "a"))
    tracker.happened(Ack(EUI, "a", acknowledged=True))
    assert tracker.echoed(1)
    assert [state for _, state in told] == ["enqueued", "txack", "ack", "echoed"]


def test_a_gateway_that_refuses_a_frame_of_the_network_says_nothing_of_ours(tracker):
    queued(tracker, 1, "a")
    tracker.happened(TxAck(EUI, "a"))
    tracker.happened(Log(EUI, "DOWNLINK_GATEWAY", "TOO_LATE", ""))
    assert tracker.current.state is DownlinkState.TXACK


def test_an_echo_before_the_answer_of_the_server_counts(tracker, told):
    tracker.begin(1, 100.0)
    assert tracker.echoed(1)
    tracker.enqueued("a")
    assert told == [(1, DownlinkState.ECHOED)]


def test_a_txack_before_the_answer_of_the_server_counts(tracker, told):
    tracker.begin(1, 100.0)
    tracker.happened(TxAck(EUI, "a"))
    tracker.enqueued("a")
    assert [state for _, state in told] == ["enqueued", "txack"]


def test_a_newer_one_supersedes_what_waits_and_leaves_what_is_over(tracker, told):
    queued(tracker, 1, "a")
    tracker.echoed(1)
    queued(tracker, 2, "b")
    queued(tracker, 3, "c")
    assert told[-2:] == [(2, DownlinkState.SUPERSEDED), (3, DownlinkState.ENQUEUED)]
    assert (1, DownlinkState.SUPERSEDED) not in told


def test_what_the_server_refused_has_used_its_number(tracker):
    tracker.begin(1, 100.0)
    tracker.refused("no answer")
    assert tracker.current is not None
    assert (tracker.current.sequence, tracker.current.state) == (1, DownlinkState.EXPIRED)
    assert tracker.echoed(1)  # it was taken all the same


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (Ack(EUI, "a", acknowledged=False), DownlinkState.NACK),
        (Log(EUI, "EXPIRED", "", "a"), DownlinkState.EXPIRED),
        (Log(EUI, "DOWNLINK_PAYLOAD_SIZE", "", "a"), DownlinkState.EXPIRED),
        (Log(EUI, "DOWNLINK_GATEWAY", "TOO_LATE", ""), DownlinkState.GATEWAY_ERROR),
        (Log(EUI, "UPLINK_CODEC", "", ""), DownlinkState.ENQUEUED),
        (Log(EUI, "EXPIRED", "", "of another time"), DownlinkState.ENQUEUED),
        (TxAck(EUI, ""), DownlinkState.ENQUEUED),
    ],
)
def test_what_the_server_tells(tracker, event, state):
    queued(tracker, 1, "a")
    tracker.happened(event)
    assert tracker.current is not None
    assert tracker.current.state is state


def test_time_ends_what_nobody_echoed(tracker):
    queued(tracker, 1, "a", due_s=100.0)
    tracker.pass_to(100.0)
    assert tracker.current is not None
    assert tracker.current.state is DownlinkState.ENQUEUED
    tracker.pass_to(100.1)
    assert tracker.current.state is DownlinkState.EXPIRED


def test_an_old_number_is_known_for_a_while(tracker):
    for n in range(1, 11):
        queued(tracker, n, str(n))
    assert tracker.knows(10)
    assert tracker.knows(3)
    assert not tracker.knows(2)
