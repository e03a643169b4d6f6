"""One count of how long nodes rest on MIMs: by the site's own calendar, over restarts, never too little."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
from tests.builders import START, rack_site

from mimctl.control.rulebook.reliance_day import RelianceDay
from mimctl.model.layout import SiteLayout
from mimctl.model.zoning import restrict

SITE = rack_site(2)
LAYOUT = SiteLayout(SITE)
PDU = np.array([node.id == "pdu" for node in SITE.nodes])


def counted(seconds: float = 90.0) -> RelianceDay:
    day = RelianceDay(SITE)
    day.add(day.places(LAYOUT), PDU, seconds, START)
    return day


def test_what_one_part_of_the_site_counts_another_reads() -> None:
    day, part = counted(), SiteLayout(restrict(SITE, replace(SITE.zones[0], heads=("pdu",))))
    assert day.used_s(day.places(part), START).tolist() == [90.0, 0.0, 0.0]
    assert part.nodes[0].id == "pdu"


def test_a_new_day_begins_by_the_calendar_of_the_site() -> None:
    zurich = RelianceDay(replace(SITE, timezone="Europe/Zurich"))
    at = zurich.places(LAYOUT)
    evening = START + timedelta(hours=22, minutes=50)  # ten minutes before midnight there
    zurich.add(at, PDU, 60.0, evening)
    assert zurich.used_s(at, evening + timedelta(minutes=5)).sum() == 60.0
    assert zurich.used_s(at, evening + timedelta(minutes=15)).sum() == 0.0


def test_a_clock_that_is_set_back_gives_no_day_twice() -> None:
    day = counted()
    at = day.places(LAYOUT)
    assert day.used_s(at, START - timedelta(days=1)).sum() == 90.0
    day.add(at, PDU, 10.0, START - timedelta(hours=3))
    assert day.used_s(at, START).sum() == 100.0


def test_the_next_run_goes_on_where_this_one_may_have_ended() -> None:
    """Resting now: a minute more may go by before the next word. At rest: what was used, and no more."""
    day = counted()
    assert day.kept(60.0) == (START.date(), {"pdu": 150.0})
    day.add(day.places(LAYOUT), PDU & False, 5.0, START)
    assert day.kept(60.0) == (START.date(), {"pdu": 90.0})
    again = RelianceDay(SITE)
    assert again.kept(60.0) is None
    again.restore(START.date(), {"pdu": 90.0, "gone": 7.0})
    assert again.used_s(again.places(LAYOUT), START).tolist() == [0.0, 90.0, 0.0, 0.0]
    assert again.used_s(again.places(LAYOUT), START + timedelta(days=1)).sum() == 0.0


def test_yesterdays_record_counts_for_nothing() -> None:
    day = RelianceDay(SITE)
    day.restore(date(2026, 1, 4), {"pdu": 5000.0})
    assert day.used_s(day.places(LAYOUT), START).sum() == 0.0
