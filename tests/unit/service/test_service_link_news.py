"""What happens on radio links by itself: failures become events, the rest is counted; stale at once when the link goes."""

from datetime import UTC, datetime

import numpy as np
import pytest

from builders import rack_site
from mimctl.control.collect import Collector
from mimctl.control.events import EventLog
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import LinkDown, LinkTimeout
from mimctl.model.event import LinkNews
from mimctl.model.latency import Latency, LatencyClass
from mimctl.model.layout import SiteLayout
from mimctl.model.sample import Quality, Sample
from mimctl.service.link_status import note_link_news

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Group:
    def __init__(self, *news, driver=None):
        self.news, self.link = list(news), "air"
        self.drivers = {} if driver is None else {driver.device: driver}

    def take_news(self):
        news, self.news = self.news, []
        return news

    def status(self):
        return {"connected": True}


def test_failures_are_noted_once_and_what_went_well_is_kept_with_its_device():
    events = EventLog(VirtualClock(NOW))
    group = Group(
        LinkNews("lorawan.expired", "mim1", "setpoint 3", bad=True), LinkNews("lorawan.echoed", "mim1", "setpoint 4", bad=False)
    )
    note_link_news([group], events)
    note_link_news([group], events)
    assert [(e.code, e.where, e.text) for e in events.recent()] == [("lorawan.expired", "mim1", "mim1: setpoint 3")]
    assert [(e.code, str(e.severity)) for e in events.of("mim1")] == [("lorawan.echoed", "info"), ("lorawan.expired", "warning")]
    assert events.of("mim2") == ()


def test_what_goes_well_pushes_out_nothing_that_matters():
    events = EventLog(VirtualClock(NOW))
    note_link_news([Group(LinkNews("lorawan.expired", "mim1", "setpoint 3", bad=True))], events)
    many = [LinkNews("lorawan.echoed", f"mim{n % 7}", f"setpoint {n}", bad=False) for n in range(5000)]
    note_link_news([Group(*many)], events)
    assert [e.code for e in events.recent()] == ["lorawan.expired"]
    last = events.of("mim3")
    assert 2 < len(last) < 50
    assert last[-1].text == "mim3: setpoint 4994"


class Radio:
    """A MIM that reported once."""

    def __init__(self, mim):
        self.device, self.error = mim.id, None
        keys = tuple(f"{q}.port{n + 1}" for q in ("active_power", "reactive_power") for n in range(len(mim.ports)))
        self.sample = Sample(mim.id, 0.0, keys, np.zeros(len(keys)))

    async def read(self):
        if self.error is not None:
            raise self.error
        return self.sample


@pytest.mark.parametrize(
    ("error", "quality"),
    [(None, Quality.GOOD), (LinkTimeout("mim1", "late"), Quality.GOOD), (LinkDown("mim1", "broker"), Quality.BAD)],
)
async def test_a_device_that_reports_seldom_is_stale_at_once_when_its_link_goes(error, quality):
    from dataclasses import replace

    site = rack_site(1)
    slow = Latency(LatencyClass.SLOW, 1.0, 60.0, 60.0)
    site = replace(site, mims=tuple(replace(mim, latency=slow) for mim in site.mims))
    radio, clock = Radio(site.mims[0]), VirtualClock(NOW)
    collector = Collector(SiteLayout(site), [Group(driver=radio)], clock, 5.0)
    assert (await collector.collect(1.0)).mims.quality[0] == Quality.GOOD
    radio.error = error
    clock.advance_to(20.0)
    assert (await collector.collect(21.0)).mims.quality[0] == quality
