"""Whatever comes over MQTT or out of the air: counted and told once, never raised."""

import json
from datetime import UTC, datetime

import pytest
from chirpstack_api import integration
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from lorawan_air import APPLICATION, EUI
from mimctl.config.profiles.payload_profile import find_payload_profile, load_payload_profile
from mimctl.drivers.lorawan_mim import LorawanMim
from mimctl.model.address import DeviceAddress
from mimctl.model.clock import VirtualClock
from mimctl.model.connection import Connection
from mimctl.model.link import Link, LinkType
from mimctl.model.lorawan import LorawanLink
from mimctl.model.site import Mim, PortSpec
from mimctl.wire.chirpstack.bridge import LorawanBridge
from mimctl.wire.chirpstack.events import Log, MalformedEvent, Uplink, read_event

TOPIC = f"application/{APPLICATION}/device/{EUI}/event/"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
#: as version 4 sends it: what is 0, false or empty is left out, bytes are base64, enumerations are names
JSON_UPLINK = {
    "deduplicationId": "3ac7e3c4-4401-4b8d-9386-a5c902f9202d",
    "time": "2026-02-28T23:59:58.500Z",
    "deviceInfo": {
        "tenantId": "t",
        "applicationId": APPLICATION,
        "devEui": EUI,
        "deviceClassEnabled": "CLASS_C",
        "tags": {"k": "v"},
    },
    "devAddr": "00189440",
    "fPort": 11,
    "data": "yAMH3/zxoB6AAAA=",
    "rxInfo": [
        {"gatewayId": "0016c001f153a14c", "rssi": -60, "snr": 4.5},
        {"gatewayId": "0016c001f153a14d", "rssi": -48, "snr": 9},
    ],
    "aFieldOfALaterVersion": {"x": [1, 2]},
}


MIM = load_payload_profile(find_payload_profile("mimctl/mim"))


def the_mim():
    ports = tuple(PortSpec("rack1", Connection(f"L{n}"), 2000.0) for n in (1, 2, 3))
    return Mim("mim1", DeviceAddress("air", 1, "mimctl/mim", eui=EUI), ports)


def bridge(heard=None):
    link = Link("air", LinkType.LORAWAN, "127.0.0.1", 1883, lorawan=LorawanLink(APPLICATION, "127.0.0.1"))
    made = LorawanBridge(link, VirtualClock(NOW, 1000.0))
    made._stream.since_s = 0.0  # connected for long: what is not dated has not waited anywhere
    made.watch(EUI, "mim1", lambda uplink, at_s: heard is not None and heard.append((uplink, at_s)), most_age_s=60.0)
    return made


def body(message, **device):
    message.device_info.dev_eui = device.get("eui", EUI)
    return message.SerializeToString()


def test_json_as_the_server_sends_it_with_what_is_zero_left_out():
    event = read_event(TOPIC + "up", json.dumps(JSON_UPLINK).encode(), APPLICATION)
    assert isinstance(event, Uplink)
    assert (event.counter, event.port, event.payload.hex()) == (0, 11, "c80307dffcf1a01e800000")
    assert (event.session, event.rssi_dbm, event.snr_db) == ("00189440", -48, 9)
    assert event.at == datetime(2026, 2, 28, 23, 59, 58, 500000, tzinfo=UTC)


def test_protobuf_says_the_same():
    message = json_format.ParseDict(JSON_UPLINK, integration.UplinkEvent(), ignore_unknown_fields=True)
    as_json = read_event(TOPIC + "up", json.dumps(JSON_UPLINK).encode(), APPLICATION)
    assert read_event(TOPIC + "up", message.SerializeToString(), APPLICATION) == as_json


def test_a_log_entry_names_the_item_of_the_queue():
    log = integration.LogEvent(level=integration.ERROR, code=integration.EXPIRED, context={"queue_item_id": "7"})
    assert read_event(TOPIC + "log", body(log), APPLICATION) == Log(EUI, "EXPIRED", "", "7")


def test_a_log_code_of_a_later_version_is_a_number():
    assert read_event(TOPIC + "log", body(integration.LogEvent()) + b"\x20\x63", APPLICATION) == Log(EUI, "99", "", "")


@pytest.mark.parametrize("kind", ["status", "location", "integration"])
def test_other_kinds_are_passed_over(kind):
    assert read_event(TOPIC + kind, b"whatever", APPLICATION) is None


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("application/other/device/70b3d57ed0000001/event/up", b""),
        (f"application/{APPLICATION}/device/70B3D57ED0000001/event/up", b""),
        (f"application/{APPLICATION}/device/{EUI}/command/down", b""),
        (TOPIC + "up", body(integration.UplinkEvent(), eui="70b3d57ed0000002")),
        (TOPIC + "up", b""),
        (TOPIC + "up", b"{"),
        (TOPIC + "up", b"{" * 3000),
        (TOPIC + "up", b'{"fCnt": "many"}'),
        (TOPIC + "up", b'{"data": 5}'),
        (TOPIC + "up", b'{"time": "yesterday"}'),
        (TOPIC + "up", b"\xff\xff\xff"),
        (TOPIC + "up", b"{\xff}"),
        (TOPIC + "up", b" " * 300_000),
    ],
)
def test_what_is_no_event_is_malformed(topic, payload):
    with pytest.raises(MalformedEvent):
        read_event(topic, payload, APPLICATION)


def test_the_instant_is_when_a_gateway_heard_it():
    heard = []
    bridge(heard)._take(TOPIC + "up", json.dumps(JSON_UPLINK).encode())
    assert heard[0][1] == pytest.approx(1000.0 - 1.5)


def test_a_frame_from_the_future_is_of_now():
    heard = []
    bridge(heard)._take(TOPIC + "up", json.dumps(JSON_UPLINK | {"time": "2026-03-01T00:10:00Z"}).encode())
    assert heard[0][1] == 1000.0


def test_unknown_devices_are_counted_and_told_once():
    made = bridge()
    for n in range(500):
        topic = f"application/{APPLICATION}/device/{n:016x}/event/join"
        made._take(topic, body(integration.JoinEvent(), eui=f"{n:016x}"))
    assert made.counts["unknown device"] == 500
    assert len(made._told) == 1
    assert made.take_news() == []


def test_frames_that_fail_their_check_are_told_once():
    made = bridge()
    for _ in range(3):
        made._take(TOPIC + "log", body(integration.LogEvent(code=integration.UPLINK_MIC)))
    assert [(n.code, n.device) for n in made.take_news()] == [("lorawan.uplink_mic", "mim1")]


def test_a_listener_that_trips_does_not_bring_the_bridge_down():
    made = bridge()
    made.watch(EUI, "mim1", lambda uplink, at_s: 1 / 0, most_age_s=60.0)
    made._take(TOPIC + "up", json.dumps(JSON_UPLINK).encode())
    assert made.counts["failed"] == 1


KINDS = ["up", "join", "ack", "txack", "log", "status", "x"]
SOUND = json_format.ParseDict(JSON_UPLINK, integration.UplinkEvent(), ignore_unknown_fields=True).SerializeToString()


@settings(max_examples=40)
@given(st.binary(min_size=100, max_size=200), st.integers(0, len(SOUND) - 1))
def test_noise_never_raises_and_every_message_is_counted(noise, where):
    """Windows of noise, sound messages with noise in them, and sound ones cut short: some 11,000 messages in all."""
    made, count = bridge(), 0
    for n in range(40):
        broken = SOUND[:where] + noise[n : n + 9] + SOUND[where + n % 5 :]
        text = json.dumps(JSON_UPLINK).encode()
        at = (where * 3 + n * 7) % len(text)
        for kind in KINDS:
            made._take(TOPIC + kind, (noise[n:], broken, SOUND[:n], text[:at] + noise[n : n + 2] + text[at + 2 :])[n % 4])
            count += 1
    assert made.counts.total() == count
    assert made.counts["failed"] == 0


def test_whatever_a_known_device_sends_reaches_its_driver_and_never_raises():
    """Sound events with any payload, port, counter, session and instant: some 14,000, each taken apart up to the sample."""
    made = bridge()
    driver = LorawanMim(the_mim(), made, MIM, VirtualClock(NOW, 1000.0))
    sizes = [(frame.port, frame.length, frame.header) for frame in MIM.uplinks]
    sent = 0

    @settings(max_examples=60)
    @given(st.binary(min_size=300, max_size=400), st.integers(0, 2**32 - 1), st.integers(-(2**40), 2**40))
    def every_window(noise, counter, seconds):
        nonlocal sent
        for n in range(240):
            port, size, header = sizes[n % len(sizes)]
            event = integration.UplinkEvent(dev_addr=f"{sent:08x}", f_cnt=counter, f_port=port if n % 17 else n)
            event.data = (header + noise[n:])[: size + (n % 13 == 0)]
            event.rx_info.add(snr=float(noise[n]), rssi=-noise[n])
            if n % 5 == 0:
                event.time.seconds = seconds
            event.device_info.dev_eui = EUI
            made._take(TOPIC + "up", event.SerializeToString())
            sent += 1

    every_window()
    assert made.counts.total() == sent >= 14_000
    assert made.counts["failed"] == made.counts["malformed"] == 0
    assert made.counts["news"] > 10_000
    assert driver.unreadable < made.counts["news"] / 4
    assert len(made.take_news()) < 20


@given(st.text(max_size=120), st.binary(max_size=40))
def test_whatever_the_topic(topic, payload):
    made = bridge()
    made._take(topic, payload)
    assert made.counts.total() == 1


@given(st.sampled_from([integration.TxAckEvent, integration.AckEvent]), st.text(max_size=40))
def test_events_about_downlinks_that_nobody_sent_are_passed_over(kind, item):
    made = bridge()
    made._take(TOPIC + ("txack" if kind is integration.TxAckEvent else "ack"), body(kind(queue_item_id=item)))
    assert made.downlinks(EUI).current is None
    assert made.counts["told"] == 1
