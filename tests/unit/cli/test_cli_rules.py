"""`mimctl rules` without a service: what windows alone tell, as a table, as JSON, and over the week."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time

import pytest

from mimctl.cli.rule_week import bar, cells_for, headline, week_of
from mimctl.cli.rules import condition_words, window_words
from mimctl.model.rules import Condition, Watched, Window
from site_factory import site_dict, write_site

#: Wednesday, 10:00 in Zurich
AT = "2026-11-25T09:00"
PEAK = {"days": ["wed"], "start": "08:30", "end": "18:00"}


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMCTL_STATE_DIR", str(tmp_path / "state"))
    data = site_dict(racks=2)
    data["rules"] = [
        {"id": "night", "window": {"start": "22:00", "end": "06:00"}},
        {"id": "uneven", "when": {"quantity": "imbalance", "above": 0.001}},
        {"id": "rest"},
        {"id": "last"},
        {
            "id": "peak",
            "type": "limit",
            "feeds": ["A"],
            "max": "40 A",
            "window": {"days": ["wed"], "start": "08:30", "end": "18:00"},
        },
        {"id": "full", "type": "reserve", "rating": "20 %", "when": {"quantity": "current", "node": "pdu-a1", "above": "40 A"}},
        {"id": "works", "type": "lock", "nodes": ["rack-a1-1"], "window": {"first_day": "2027-03-01"}},
    ]
    return write_site(tmp_path, data)


def rules(run_cli, site, *options):
    done = run_cli("rules", site, *options, "--json", "-")
    assert done.code == 0, done.err
    return {rule["id"]: rule for rule in json.loads(done.out)["rules"]}


def test_windows_decide_and_conditions_are_left_open(run_cli, site):
    found = rules(run_cli, site, "--at", AT)
    assert {name: rule["in_force"] for name, rule in found.items()} == {
        "night": "no",
        "uneven": "if",
        "rest": "yes",
        "last": "no",  # the first one open is taken
        "peak": "yes",
        "full": "if",
        "works": "no",
    }
    assert found["peak"]["where"] == ["feed-a"]
    assert found["peak"]["changes"] == "2026-11-25T17:00:00+00:00"
    assert found["night"]["changes"] == "2026-11-25T21:00:00+00:00"
    assert found["works"]["changes"] == "2027-02-28T23:00:00+00:00"
    assert found["full"]["changes"] is None


def test_a_time_with_an_offset_is_taken_as_it_is(run_cli, site):
    assert rules(run_cli, site, "--at", "2026-11-25T18:30+01:00")["peak"]["in_force"] == "no"
    assert rules(run_cli, site, "--at", "2026-11-25T16:30")["peak"]["in_force"] == "yes", "UTC without one"


def test_the_week_in_json_has_the_instants(run_cli, site):
    found = rules(run_cli, site, "--at", AT, "--week")
    assert found["peak"]["open_this_week"] == [["2026-11-25T07:30:00+00:00", "2026-11-25T17:00:00+00:00"]]
    assert found["works"]["open_this_week"] == []
    assert found["rest"]["open_this_week"] == [["2026-11-22T23:00:00+00:00", "2026-11-29T23:00:00+00:00"]]


def test_the_table_and_the_picture(run_cli, site):
    done = run_cli("rules", site, "--at", AT, "--week")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "hall · Wed 2026-11-25 10:00 Europe/Zurich"
    assert "Wed 2026-11-25 18:00" in next(line for line in lines if line.startswith("peak"))
    # windows alone say when `peak` changes; `full` has none, and changes when its condition does
    assert next(line for line in lines if line.startswith("full")).endswith("by condition")
    assert next(line for line in lines if line.startswith("rest")).endswith("never")
    picture = [line for line in lines if "█" in line]
    assert picture[0].split() == ["night", *["███········█"] * 7]
    peak = next(line for line in picture if line.startswith("peak"))
    assert peak.split()[1:] == ["············"] * 2 + ["····▆████···"] + ["············"] * 4
    assert next(line for line in picture if line.startswith("full")).endswith("  if")


def test_without_a_service_it_says_so(run_cli, site):
    done = run_cli("rules", site)
    assert done.code == 0
    assert "no service runs this site" in done.err


def test_a_time_that_is_none_is_a_usage_error(run_cli, site):
    done = run_cli("rules", site, "--at", "noon")
    assert done.code == 2
    assert "2026-03-01T08:30" in done.err


@pytest.mark.parametrize(
    ("window", "words"),
    [
        (Window(), "always"),
        (Window(start=time(8), end=time(8)), "always"),
        (Window(start=time(22), end=time(6)), "22:00-06:00"),
        (Window(days=(0, 1, 2, 3, 4)), "Mon-Fri"),
        (Window(days=(0, 2), start=time(8, 30), end=time(9)), "Mon,Wed 08:30-09:00"),
        (Window(first_day=date(2026, 3, 1), last_day=date(2026, 3, 4)), "from 2026-03-01 until 2026-03-04"),
    ],
)
def test_windows_in_words(window, words):
    assert window_words(window) == words


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition(Watched.CURRENT, 40.0, True, 38.0, "pdu", for_s=30.0), "pdu current above 40 A for 30 s"),
        (Condition(Watched.SOC, 30.0, False, 31.5, None, "b"), "b soc below 30 %"),
        (Condition(Watched.IMBALANCE, 0.01, True, 0.009), "imbalance above 0.01"),
    ],
)
def test_conditions_in_words(condition, words):
    assert condition_words(condition) == words


def test_a_day_of_a_clock_change_has_as_many_cells_and_all_of_its_hours():
    """The last Sunday of October 2026 has 25 hours in Zurich: from 00:00 to 12:00 they are 13, a little more than half."""
    week = week_of(datetime(2026, 10, 24, tzinfo=UTC), "Europe/Zurich")
    assert headline(week, 12).split()[-2:] == ["Sun", "25"]
    morning = bar(week, Window(start=time(0), end=time(12)), 12).split()
    assert [len(day) for day in morning] == [12] * 7
    assert morning[0] == "██████······"
    assert morning[6] == "██████▂·····"  # 13 h / (25 h / 12) = 6.24 cells


def test_the_picture_fits():
    assert cells_for(["night"], 120) == 12
    assert cells_for(["night"], 80) == 8
    assert cells_for(["a-long-name-of-a-rule"], 80) == 6
