"""How old an uplink is: by the oldest instant that anybody gives it, and not at all by a clock that runs ahead."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from mimctl.model.clock import VirtualClock
from mimctl.model.link import Link, LinkType
from mimctl.model.lorawan import LorawanLink
from mimctl.wire.chirpstack.ages import age_s, doubt
from mimctl.wire.chirpstack.bridge import LorawanBridge
from mimctl.wire.chirpstack.events import Uplink

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EUI, APPLICATION = "70b3d57ed0000001", "3b1f2d64-0f8e-4c0a-9d59-1f4d7e1b6a01"
TWO_HOURS_S, MOST_S = 7200.0, 60.0


def uplink(gateway_s: float | None, server_s: float | None) -> Uplink:
    """Dated so long ago, negative = ahead [s]; None = not."""
    at, at_server = (None if age is None else NOW - timedelta(seconds=age) for age in (gateway_s, server_s))
    return Uplink(EUI, "1", "00000001", 1, 10, b"\x01", at, at_server=at_server)


@pytest.mark.parametrize(
    ("gateway_s", "server_s", "age"),
    [
        (3.0, 1.0, 3.0),
        (None, TWO_HOURS_S, TWO_HOURS_S),
        (TWO_HOURS_S, None, TWO_HOURS_S),
        (TWO_HOURS_S, 0.0, TWO_HOURS_S),
        (-3600.0, TWO_HOURS_S, TWO_HOURS_S),
        (-3600.0, 2.0, 2.0),
        (-2.0, None, 0.0),
        (-2.0, -1.0, 0.0),
    ],
)
def test_the_oldest_plausible_instant_counts(gateway_s, server_s, age):
    for live in (True, False):
        assert age_s(uplink(gateway_s, server_s), NOW, live=live) == age


@pytest.mark.parametrize("gateway_s", [None, -3600.0])
def test_what_no_clock_dates_is_new_only_where_nothing_can_have_waited(gateway_s):
    assert age_s(uplink(gateway_s, None), NOW, live=True) == 0.0
    assert age_s(uplink(gateway_s, None), NOW, live=False) == math.inf


@pytest.mark.parametrize(
    ("gateway_s", "server_s", "words"),
    [
        (3.0, 1.0, None),
        (TWO_HOURS_S, TWO_HOURS_S, None),
        (None, TWO_HOURS_S, None),
        (None, None, None),
        (TWO_HOURS_S, 0.0, "7200 s old, the server 0 s"),
        (0.0, TWO_HOURS_S, "0 s old, the server 7200 s"),
        (-3600.0, 0.0, "3600 s ahead"),
    ],
)
def test_clocks_that_disagree_are_told(gateway_s, server_s, words):
    told = doubt(uplink(gateway_s, server_s), NOW, MOST_S)
    assert told is None if words is None else words in told


class Bench:
    """A bridge whose connection is as old as wanted; messages are put into it by hand."""

    def __init__(self, connected_s: float | None) -> None:
        self.clock = VirtualClock(NOW)
        spec = LorawanLink(APPLICATION, "127.0.0.1", 1)
        self.bridge = LorawanBridge(Link("air", LinkType.LORAWAN, "127.0.0.1", 1, lorawan=spec), self.clock)
        self.heard_at_s: list[float] = []
        self.bridge.watch(EUI, "mim1", lambda _, at_s: self.heard_at_s.append(at_s), most_age_s=MOST_S)
        if connected_s is not None:
            self.bridge._stream.since_s = self.clock.monotonic_s() - connected_s

    def take(self, **stamps: float) -> None:
        from chirpstack_api import gw, integration

        event = integration.UplinkEvent(deduplication_id="1", dev_addr="00000001", f_cnt=1, f_port=10, data=b"\x01")
        event.device_info.dev_eui = EUI
        event.rx_info.append(gw.UplinkRxInfo(rssi=-70))
        for name, age in stamps.items():
            stamp = event.time if name == "time" else event.rx_info[0].ns_time
            stamp.FromDatetime((NOW - timedelta(seconds=age)).replace(tzinfo=None))
        self.bridge._take(f"application/{APPLICATION}/device/{EUI}/event/up", event.SerializeToString())


def test_an_uplink_that_the_server_had_two_hours_ago_is_no_news():
    bench = Bench(connected_s=3600.0)
    bench.take(ns_time=TWO_HOURS_S)
    assert bench.heard_at_s == []
    assert bench.bridge.counts["old"] == 1


def test_a_gateway_whose_clock_runs_ahead_hides_no_age_and_is_told():
    bench = Bench(connected_s=3600.0)
    bench.take(time=-3600.0, ns_time=TWO_HOURS_S)
    assert bench.heard_at_s == []
    assert [news.code for news in bench.bridge.take_news()] == ["lorawan.gateway_clock"]


@pytest.mark.parametrize(("connected_s", "heard"), [(3600.0, 1), (3.0, 0), (None, 0)])
def test_an_undated_uplink_is_news_only_on_a_connection_that_has_stood_for_a_while(connected_s, heard):
    bench = Bench(connected_s)
    bench.take()
    assert len(bench.heard_at_s) == heard
    assert bench.bridge.counts["old"] == 1 - heard
