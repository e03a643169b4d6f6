"""The LoRaWAN bridge between a real broker, with TLS and an access list, and ChirpStack's own interface."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from lorawan_air import ACL, EUI, TOKEN, air, throwaway, until
from mimctl.model.errors import BadReply, LinkDown, LinkError
from mimctl.model.lorawan import DownlinkState

PAYLOAD = bytes(range(16))


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return throwaway(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def link(tmp_path, pki):
    async with air(tmp_path, pki) as made:
        yield made


@pytest.fixture
async def confirmed(tmp_path, pki):
    async with air(tmp_path, pki, confirmed=True) as made:
        yield made


@pytest.fixture
async def bridge(link):
    made = link.bridge()
    await made.open()
    await until(lambda: made.connected)
    yield made
    await made.close()


@pytest.fixture
async def confirmed_bridge(confirmed):
    made = confirmed.bridge()
    await made.open()
    await until(lambda: made.connected)
    yield made
    await made.close()


async def send(bridge, clock, sequence=1, payload=PAYLOAD, valid_s=60.0, **more):
    await bridge.send(EUI, sequence, 20, payload, valid_s, clock.monotonic_s() + 60.0, **more)


def state(bridge):
    current = bridge.downlinks(EUI).current
    return None if current is None else current.state


def codes(bridge):
    return [news.code for news in bridge.take_news()]


async def test_an_uplink_comes_whole(link, bridge):
    link.server.uplink(EUI, 10, PAYLOAD)
    await until(lambda: link.heard)
    (uplink,) = link.heard
    assert (uplink.eui, uplink.port, uplink.payload, uplink.counter, uplink.rssi_dbm) == (EUI, 10, PAYLOAD, 0, -70)


async def test_both_marshallings_are_understood_on_one_connection(link, bridge):
    link.server.uplink(EUI, 10, PAYLOAD)
    link.server.marshalling = "protobuf"
    link.server.uplink(EUI, 10, PAYLOAD)
    await until(lambda: len(link.heard) == 2)
    first, second = (replace(uplink, id="", counter=0, at=None, at_server=None) for uplink in link.heard)
    assert first == second


async def test_a_downlink_goes_from_the_queue_over_the_gateway_to_the_echo(link, bridge):
    await send(bridge, link.clock)
    assert state(bridge) is DownlinkState.ENQUEUED
    await until(lambda: state(bridge) is DownlinkState.TXACK)
    await until(lambda: link.received)
    assert link.received == [(20, PAYLOAD)]
    assert bridge.downlinks(EUI).echoed(1)
    assert state(bridge) is DownlinkState.ECHOED
    assert codes(bridge) == ["lorawan.enqueued", "lorawan.txack", "lorawan.echoed"]


async def test_a_confirmed_downlink_is_acknowledged(confirmed, confirmed_bridge):
    await send(confirmed_bridge, confirmed.clock)
    await until(lambda: state(confirmed_bridge) is DownlinkState.ACK)
    assert codes(confirmed_bridge) == ["lorawan.enqueued", "lorawan.txack", "lorawan.ack"]


async def test_an_acknowledgement_with_nothing_in_it_is_no_report(confirmed, confirmed_bridge):
    await send(confirmed_bridge, confirmed.clock)
    await until(lambda: confirmed_bridge.counts["empty"] == 1)
    assert confirmed.heard == []
    assert confirmed_bridge.counts["news"] == 0


async def test_to_a_device_of_class_a_a_downlink_goes_with_its_next_uplink_and_that_is_told(link, bridge):
    link.server.add(EUI, "mim1", link.receive, listens=False)
    link.server.uplink(EUI, 10, PAYLOAD)
    await until(lambda: link.heard)
    await send(bridge, link.clock)
    assert state(bridge) is DownlinkState.ENQUEUED
    link.server.uplink(EUI, 10, PAYLOAD)
    await until(lambda: link.received)
    await send(bridge, link.clock, 2)
    assert [code for code in codes(bridge) if code == "lorawan.class_a"] == ["lorawan.class_a"]


async def test_after_a_join_nothing_is_sent_before_the_first_uplink(link, bridge):
    link.server.join(EUI)
    await until(lambda: bridge.counts["joined"])
    await send(bridge, link.clock)
    link.server.uplink(EUI, 10, PAYLOAD)
    await until(lambda: state(bridge) is DownlinkState.TXACK)


async def test_a_confirmed_downlink_that_nobody_acknowledges_has_failed(confirmed, confirmed_bridge):
    confirmed.answers = False
    await send(confirmed_bridge, confirmed.clock)
    await until(lambda: state(confirmed_bridge) is DownlinkState.NACK)


async def test_a_newer_downlink_supersedes_the_one_that_waits(link, bridge):
    link.server.gateway_error = "DUTY_CYCLE_OVERFLOW"
    await send(bridge, link.clock, 1)
    await send(bridge, link.clock, 2, b"\x02" * 16)
    link.server.gateway_error = None
    await until(lambda: link.received)
    await until(lambda: state(bridge) is DownlinkState.TXACK)
    assert link.received == [(20, b"\x02" * 16)]
    assert "lorawan.superseded" in codes(bridge)


async def test_a_gateway_that_refuses_is_told_and_tried_again(link, bridge):
    link.server.gateway_error = "DUTY_CYCLE_OVERFLOW"
    await send(bridge, link.clock)
    await until(lambda: state(bridge) is DownlinkState.GATEWAY_ERROR)
    link.server.gateway_error = None
    await until(lambda: state(bridge) is DownlinkState.TXACK)


async def test_a_downlink_that_was_not_sent_in_time_expires(link, bridge):
    link.server.gateway_error = "QUEUE_FULL"
    await send(bridge, link.clock, valid_s=0.1)
    await until(lambda: link.clock.monotonic_s() and state(bridge) is DownlinkState.GATEWAY_ERROR)
    await asyncio.sleep(0.15)
    link.server.gateway_error = None
    await until(lambda: state(bridge) is DownlinkState.EXPIRED)
    assert link.received == []


async def test_a_downlink_too_long_for_the_data_rate_has_failed(link, bridge):
    await send(bridge, link.clock, payload=bytes(52))
    await until(lambda: state(bridge) is DownlinkState.EXPIRED)


async def test_without_an_echo_in_time_it_counts_as_lost(link, bridge):
    await bridge.send(EUI, 1, 20, PAYLOAD, 60.0, link.clock.monotonic_s() - 1.0)
    assert state(bridge) is DownlinkState.EXPIRED
    assert bridge.downlinks(EUI).echoed(1)  # late, and yet the proof
    assert state(bridge) is DownlinkState.ECHOED


async def test_duplicates_and_replays_are_heard_once(link, bridge):
    for counter in (5, 5, 3, 6):
        link.server.uplink(EUI, 10, PAYLOAD, counter=counter)
    await until(lambda: len(link.heard) == 2)
    assert [u.counter for u in link.heard] == [5, 6]
    assert (bridge.counts["duplicate"], bridge.counts["replay"]) == (1, 1)
    assert "lorawan.counter_back" in codes(bridge)


async def test_a_device_that_the_network_lets_count_anew_is_believed_after_a_few_frames(link, bridge):
    for counter in (9, 0, 1, 2, 3):
        link.server.uplink(EUI, 10, PAYLOAD, counter=counter)
    await until(lambda: len(link.heard) == 3)
    assert [u.counter for u in link.heard] == [9, 2, 3]
    assert bridge.counts["replay"] == 2


async def test_a_gateway_whose_clock_is_wrong_is_told(link, bridge):
    for _ in range(2):
        link.server.uplink(EUI, 10, PAYLOAD, at=link.clock.utc() - timedelta(hours=2))
    await until(lambda: bridge.counts["old"] == 2)
    assert codes(bridge) == ["lorawan.gateway_clock"]


async def test_counters_begin_anew_with_a_join(link, bridge):
    link.server.uplink(EUI, 10, PAYLOAD, counter=9)
    link.server.join(EUI)
    link.server.uplink(EUI, 10, PAYLOAD)
    await until(lambda: len(link.heard) == 2)
    assert [u.counter for u in link.heard] == [9, 0]


async def test_a_new_session_is_believed_where_the_join_was_missed(link, bridge):
    link.server.uplink(EUI, 10, PAYLOAD, counter=9)
    link.server._devices[EUI].address = "000000ff"
    link.server.uplink(EUI, 10, PAYLOAD, counter=0)
    await until(lambda: len(link.heard) == 2)


async def test_events_of_an_outage_are_kept_by_the_broker_and_old_ones_are_not_believed(link, bridge):
    link.server.uplink(EUI, 10, PAYLOAD)
    await until(lambda: link.heard)
    await bridge.close()
    link.server.uplink(EUI, 10, PAYLOAD, at=link.clock.utc() - timedelta(minutes=5))
    link.server.uplink(EUI, 10, b"\x01" * 16)
    await until(link.server._out.empty)
    await asyncio.sleep(0.1)
    again = link.bridge()
    await again.open()
    await until(lambda: len(link.heard) == 2)
    await again.close()
    assert link.heard[1].payload == b"\x01" * 16
    assert again.counts["old"] == 1


async def test_a_broker_that_goes_takes_the_link_down_and_it_comes_back_by_itself(link, bridge):
    await link.broker.stop()
    await until(lambda: not bridge.connected)
    with pytest.raises(LinkDown, match="broker"):
        bridge.require_up("mim1")
    with pytest.raises(LinkDown):
        await send(bridge, link.clock)
    assert link.server.enqueued == 0
    link.server.uplink(EUI, 10, PAYLOAD)
    await link.broker.start()
    await until(lambda: bridge.connected and link.heard)
    assert bridge.connections == 2


async def test_to_make_a_device_safe_needs_no_broker(link, bridge):
    await link.broker.stop()
    await until(lambda: not bridge.connected)
    await send(bridge, link.clock, urgent=True)
    await until(lambda: link.received)


async def test_a_server_that_goes_is_a_link_error_and_comes_back_by_itself(link, bridge):
    await send(bridge, link.clock)
    await link.server.stop_api()
    with pytest.raises(LinkError):
        await send(bridge, link.clock, 2)
    link.server.uplink(EUI, 10, PAYLOAD)  # what devices tell still comes
    await until(lambda: link.heard)
    await link.server.start(port=link.link.lorawan.api_port)
    while True:
        try:
            await send(bridge, link.clock, 3)
        except LinkError:
            await asyncio.sleep(0.05)
        else:
            break
    assert state(bridge) is DownlinkState.ENQUEUED


async def test_a_server_that_is_away_is_left_alone_for_a_while(link, bridge):
    await link.server.stop_api()
    with pytest.raises(LinkError):
        await send(bridge, link.clock)
    with pytest.raises(LinkDown, match="cannot be reached"):
        await send(bridge, link.clock)


async def test_a_wrong_token_is_told_and_never_shown(link, bridge, tmp_path, capsys):
    (tmp_path / "token").write_text("another-token-entirely")
    with pytest.raises(BadReply, match="API token") as refused:
        await send(bridge, link.clock)
    assert "another-token" not in str(refused.value) + "".join(capsys.readouterr())
    (tmp_path / "token").write_text(TOKEN)
    await send(bridge, link.clock)


@pytest.mark.parametrize("content", ["", "two words", "bin\x00ary"])
async def test_a_token_file_without_a_token_is_told(link, bridge, tmp_path, content):
    (tmp_path / "token").write_text(content)
    with pytest.raises(LinkDown, match="holds no API token"):
        await send(bridge, link.clock)


async def test_the_token_may_come_from_the_environment(link, monkeypatch):
    link.link = replace(link.link, lorawan=replace(link.link.lorawan, token_file=None))
    made = link.bridge()
    monkeypatch.setenv("MIMCTL_CHIRPSTACK_TOKEN", TOKEN)
    await send(made, link.clock, urgent=True)
    monkeypatch.delenv("MIMCTL_CHIRPSTACK_TOKEN")
    with pytest.raises(LinkDown, match="MIMCTL_CHIRPSTACK_TOKEN"):
        await send(made, link.clock, urgent=True)
    await made.close()


async def test_a_bridge_without_a_certificate_of_the_authority_hears_nothing(link, pki, tmp_path):
    from mimctl.wire.tls import make_throwaway_pki

    link.link = replace(link.link, tls=replace(make_throwaway_pki(tmp_path / "other").client, ca=pki.client.ca))
    made = link.bridge()
    await made.open()
    link.server.uplink(EUI, 10, PAYLOAD)
    await asyncio.sleep(0.5)
    assert not made.connected
    assert link.heard == []
    await made.close()


async def test_the_access_list_keeps_a_stranger_from_sending_events(link, bridge, pki):
    import aiomqtt

    from mimctl.wire.tls import client_context

    topic = f"application/{link.link.lorawan.application}/device/{EUI}/event/up"
    context = client_context(pki.others["stranger"])
    async with aiomqtt.Client("localhost", link.link.port, identifier="stranger", tls_context=context) as stranger:
        await stranger.publish(topic, b"{}", qos=1)
    link.server.uplink(EUI, 10, PAYLOAD)
    await until(lambda: link.heard)
    assert bridge.counts["malformed"] == 0
    assert "stranger" not in ACL


async def test_closing_never_waits_for_a_broker_that_is_not_there(link):
    await link.broker.stop()
    made = link.bridge()
    await made.open()
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        await made.close()
