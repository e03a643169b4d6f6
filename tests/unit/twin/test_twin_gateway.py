"""A network server in virtual time: one frame at a time, locks, radio law, gateways that are deaf while they send."""

from __future__ import annotations

import numpy as np
import pytest
from tests.builders import rack_site

from mimctl.model.airtime import Region
from mimctl.model.layout import SiteLayout
from mimctl.model.lorawan import RadioPlan
from mimctl.twin.firmware import MimFleet
from mimctl.twin.gateway import Airtime, VirtualServer
from mimctl.wire.chirpstack.events import Log, TxAck

A, B, C = DEVICES = "70b3d57ed0000001", "70b3d57ed0000002", "70b3d57ed0000003"
#: 16 bytes at SF9 and 37 bytes at SF7, 125 kHz, by the airtime formula of Semtech AN1200.13 [s]
SETPOINT_S, REPORT_S = 0.226304, 0.097536


class Radio:
    """A server with three devices; whatever happens is written down with its instant."""

    def __init__(self, plan: RadioPlan | None = None) -> None:
        self.fleet = MimFleet(SiteLayout(rack_site(1)))
        self.heard: list[tuple[float, bytes]] = []
        self.told: list[TxAck | Log] = []
        self.got: list[tuple[float, str, bytes]] = []
        rng = np.random.default_rng(1)
        hear = lambda event, at_s: self.heard.append((at_s, event.payload))  # noqa: E731
        self.server = VirtualServer(self.fleet, plan or RadioPlan(), hear, self.told.append, rng)
        for eui in DEVICES:
            self.server.add(eui, eui, lambda port, payload, eui=eui: self._take(eui, payload))

    def _take(self, eui: str, payload: bytes) -> bool:
        self.got.append((self.fleet.now_s, eui, payload))
        return True

    def to(self, t_s: float) -> None:
        self.fleet.advance_to(t_s)


def setpoint(n: int) -> bytes:
    return bytes([n]) * 16


def flood(radio: Radio) -> None:
    """Each device in turn, as often as its lock allows: more than a tenth of the hour holds."""
    for second in range(0, 3600, 2):
        radio.server.enqueue(DEVICES[second // 2 % 3], 20, setpoint(1), 60.0)
        radio.to(float(second + 2))


def test_a_downlink_waits_for_the_server_and_lasts_its_airtime():
    radio = Radio()
    radio.to(0.4)
    radio.server.enqueue(A, 20, setpoint(1), 60.0)
    radio.to(5.0)
    ((at_s, eui, payload),) = radio.got
    assert (eui, payload) == (A, setpoint(1))
    assert 1.0 + 0.05 + SETPOINT_S <= at_s <= 1.0 + 0.3 + SETPOINT_S
    assert radio.server.worst_gateway().total_s == pytest.approx(SETPOINT_S)
    assert isinstance(radio.told[0], TxAck)


def test_the_newest_wins_and_a_device_is_left_in_peace_for_five_seconds():
    radio = Radio()
    for n in (1, 2, 3):
        radio.server.enqueue(A, 20, setpoint(n), 60.0)
    radio.to(1.5)
    for n in (4, 5):
        radio.server.enqueue(A, 20, setpoint(n), 60.0)
    radio.to(20.0)
    assert [payload[0] for _, _, payload in radio.got] == [3, 5]
    assert radio.got[1][0] - radio.got[0][0] >= 4.7


def test_what_has_waited_too_long_is_never_sent():
    radio = Radio()
    radio.server.enqueue(A, 20, setpoint(1), 60.0)
    radio.to(1.5)
    item = radio.server.enqueue(A, 20, setpoint(2), 2.0)
    radio.to(20.0)
    assert len(radio.got) == 1
    assert radio.told[-1] == Log(A, "EXPIRED", "queue item has expired", item)


def test_two_frames_of_one_gateway_follow_each_other():
    radio = Radio()
    for eui in (A, B):
        radio.server.enqueue(eui, 20, setpoint(1), 60.0)
    radio.to(5.0)
    first_s, second_s = sorted(at_s for at_s, _, _ in radio.got)
    assert second_s - first_s >= SETPOINT_S - 1e-9


def test_a_gateway_that_has_used_up_its_hour_sends_nothing_more():
    radio = Radio()
    flood(radio)
    air = radio.server.worst_gateway()
    assert 360.0 - SETPOINT_S < air.worst_s <= 360.0
    assert len(radio.got) == int(360.0 / SETPOINT_S)
    assert "DUTY_CYCLE_OVERFLOW" in {event.text for event in radio.told if isinstance(event, Log)}
    radio.server.enqueue(A, 20, setpoint(9), 600.0)
    radio.to(3720.0)
    assert radio.got[-1][2] == setpoint(9), "the hour moves on, and what waited is sent"


def test_no_law_holds_the_gateway_back_where_there_is_none():
    radio = Radio(RadioPlan(Region.US915, uplink_dr=3, downlink_dr=8))
    airtime_s = RadioPlan(Region.US915, uplink_dr=3, downlink_dr=8).downlink.airtime_s(16, uplink=False)
    flood(radio)
    assert radio.server.worst_gateway().worst_s > 360.0
    assert radio.server.counts["held back"] == 0
    assert radio.server.worst_gateway().total_s == pytest.approx(radio.server.counts["downlinks"] * airtime_s)


def test_a_device_keeps_to_its_hundredth():
    radio = Radio()
    for second in range(1000):
        radio.to(float(second))
        radio.server.uplink(A, 10, bytes(37))
    radio.to(1100.0)
    assert len(radio.heard) == int(36.0 / REPORT_S)
    assert radio.server.counts["held back"] == 1000 - int(36.0 / REPORT_S)
    assert radio.server.worst_device().total_s <= 36.0


@pytest.mark.parametrize(("gateways", "heard"), [(1, 0), (2, 1)])
def test_a_gateway_hears_nothing_while_it_sends(gateways, heard):
    radio = Radio(RadioPlan(gateways=gateways))
    radio.server.enqueue(A, 20, setpoint(1), 60.0)
    radio.to(1.31)  # on the air from 1.05 … 1.3 until 0.23 s later
    radio.server.uplink(B, 10, bytes(37))
    radio.to(5.0)
    assert len(radio.heard) == heard
    assert radio.server.counts["not heard"] == 1 - heard
    radio.server.uplink(B, 10, bytes(37))
    radio.to(6.0)
    assert len(radio.heard) == heard + 1
    assert radio.heard[-1][0] == pytest.approx(5.0 + REPORT_S)


def test_time_on_the_air_is_that_of_the_last_hour():
    air = Airtime()
    for at_s, airtime_s in ((0.0, 10.0), (1800.0, 5.0)):
        air.add(at_s, airtime_s)
    assert air.used_s(3599.0) == 15.0
    assert air.may(3599.0, 21.0, 0.01)
    assert not air.may(3599.0, 21.1, 0.01)
    assert air.may(3599.0, 1e6, None)
    assert air.used_s(3600.0) == 5.0
    assert (air.total_s, air.worst_s) == (15.0, 15.0)
