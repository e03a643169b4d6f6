"""A device that tells by itself, as `device read` shows it: its values with their ages, and what became of its setpoints."""

from datetime import UTC, datetime

import numpy as np
import pytest

from mimctl.cli.device_view import show_device
from mimctl.control.events import EventLog
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import LinkTimeout, UserError
from mimctl.model.problem import Severity
from mimctl.model.sample import Sample
from mimctl.service.devices import DeviceDesk


class Radio:
    """Told its power just now, its voltage a while ago, and never its charge."""

    device = "mim1"
    error: Exception | None = None

    async def read(self):
        if self.error is not None:
            raise self.error
        keys = ("active_power.port1", "voltage.port1", "soc")
        return Sample("mim1", -2.0, keys, np.array([150.0, 230.4, np.nan]), older_s=np.array([np.nan, -60.0, np.nan]))


class Group:
    link = "air"

    def __init__(self):
        self.drivers = {"mim1": Radio()}


@pytest.fixture
def clock():
    return VirtualClock(datetime(2026, 3, 1, tzinfo=UTC))


async def test_it_shows_values_with_their_ages_and_what_happened(clock, capsys):
    events = EventLog(clock)
    events.pass_by("lorawan.echoed", "mim1", "mim1: setpoint 4: echoed")
    events.note("lorawan.nack", Severity.WARNING, "mim1", "mim1: setpoint 5: nack")
    events.note("lorawan.nack", Severity.WARNING, "mim2", "mim2: setpoint 5: nack")
    told = await DeviceDesk([Group()], clock, events=events).read("mim1")
    points = {p["point"]: (p["value"], p["unit"], p["quality"], p["age_s"]) for p in told["points"]}
    assert points == {
        "active_power.port1": (150.0, "W", "good", 2.0),
        "voltage.port1": (230.4, "V", "good", 60.0),
        "soc": (None, "%", "bad", 2.0),
    }
    assert [(e["code"], e["severity"]) for e in told["events"]] == [("lorawan.echoed", "info"), ("lorawan.nack", "warning")]
    show_device(told, raw=False)
    out = capsys.readouterr().out
    assert "mim1: radio, good" in out
    assert "mim1: setpoint 4: echoed" in out
    assert "60.0" in out


async def test_one_that_is_silent_is_a_link_error(clock):
    group = Group()
    group.drivers["mim1"].error = LinkTimeout("mim1", "has not reported yet")
    with pytest.raises(LinkTimeout):
        await DeviceDesk([group], clock, events=EventLog(clock)).read("mim1")


async def test_without_a_service_that_listened_there_is_nothing_to_show(clock):
    with pytest.raises(UserError, match="over the air: ask a running service"):
        await DeviceDesk([Group()], clock).read("mim1")
