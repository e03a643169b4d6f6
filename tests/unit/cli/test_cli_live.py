"""The live picture: fits the terminal, says what asks for attention."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from tests.builders import rack_site

from mimctl.cli.live import (
    NODE_COLUMNS,
    event_rows,
    headline,
    island_rows,
    link_rows,
    live_view,
    node_rows,
    shown_nodes,
    transfer_rows,
    zone_rows,
)


def node(load: float = 40.0, **more: object) -> dict:
    figures = {"i2_i1": 0.1234, "i0_i1": None, "neutral_a": 3.21, "loading_pct": load, "current_a": [10.0, 20.04, None]}
    headroom = {"headroom_assisted_a": [5.0, 4.0, 6.0], "headroom_firm_a": [5.0, None, 6.0]}
    return figures | headroom | more


def event(text: str, severity: str = "error", cleared: str | None = None) -> dict:
    return {
        "code": "x",
        "severity": severity,
        "where": "meter-1",
        "text": text,
        "since": "2026-01-05T10:11:12+00:00",
        "cleared": cleared,
    }


def status(nodes: int = 2, events: int = 0) -> dict:
    zone = {"cycle_s": 1.0, "cycles": 7, "skipped": 0, "state": "balancing", "cycle_ms": 12.34, "objective": 0.00042}
    zone |= {"nodes": {f"pdu-{i}": node() for i in range(nodes)}, "mims": {"a": {"in_force": True}, "b": {"in_force": False}}}
    zone |= {"devices": {"answering": 9, "total": 12}, "balance_rule": "night"}
    return {
        "name": "Hall",
        "dry_run": False,
        "zones": {"hall": zone},
        "events": [event(f"long text number {i}, which goes on and on until nobody reads it any more" * 2) for i in range(events)],
        "recent": [],
    }


def picture(width: int, height: int, shown: dict) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    everything = frozenset(shown["zones"]["hall"]["nodes"])
    console.print(live_view(shown, everything, "Hall · balancing", (width, height)))
    return console.file.getvalue().splitlines()


def test_islands_are_shown_with_who_feeds_them():
    told = {"node": "pdu", "contactor": "k", "contactor_state": "open", "formed_by": "mim-1", "for": "ann", "lease": "n1"}
    status = {"zones": {"z": {"islands": {"i1": told, "i2": told | {"formed_by": None, "for": None}}}, "y": {}}}
    assert island_rows(status) == [["i1", "pdu", "k", "open", "mim-1", "ann"], ["i2", "pdu", "k", "open", "nobody", "–"]]


def test_a_row_says_what_is_known_and_marks_what_is_not() -> None:
    (row,) = node_rows({"zones": {"z": {"nodes": {"pdu": node()}}}}, frozenset({"pdu"}))
    assert row == ["pdu", "10.0", "20.0", "–", "12.3", "–", "3.2", "40", "4.0", "–"]


def test_a_zone_says_how_many_mims_are_at_work() -> None:
    assert zone_rows(status()) == [["hall", "balancing", "night", "1/2", "12.3", "1000", "7", "0", "0.000420"]]


def test_a_link_says_whether_it_is_up_how_busy_it_is_and_who_is_left_alone() -> None:
    counted = {"connected": True, "requests": 90, "timeouts": 3, "late": 1, "wrong": 0, "resting": [4, 7]}
    timed = {"devices": 5, "sweep_ms": {"p50": 123.4, "p99": 200.0}, "budget_ms": 500.0, "busy_pct": 24.7}
    new = {"devices": 1, "sweep_ms": {"p50": None, "p99": None}, "budget_ms": None, "busy_pct": None}
    links = {"gw": timed | counted, "down": new | counted | {"connected": False, "resting": []}, "plant": new}
    assert link_rows({"links": links}) == [
        ["gw", "up", "5", "123.4", "500", "25", "90", "3", "1", "0", "4, 7"],
        ["down", "DOWN", "1", "–", "–", "–", "90", "3", "1", "0", ""],
        ["plant", "–", "1", "–", "–", "–", "–", "–", "–", "–", ""],
    ]


def test_a_zone_that_has_not_begun_is_shown() -> None:
    starting = {"cycle_s": 1.0, "cycles": 0, "skipped": 0, "state": "starting", "nodes": {}, "mims": {}}
    assert zone_rows({"zones": {"hall": starting}}) == [["hall", "starting", "–", "0/0", "–", "1000", "0", "0", "–"]]


def test_open_events_come_first_then_the_last_that_passed() -> None:
    shown = status() | {"events": [event("now")], "recent": [event("older", cleared="y"), event("newer", cleared="y")]}
    assert [row[3] for row in event_rows(shown)] == ["now", "cleared: newer", "cleared: older"]


def test_what_happened_at_one_instant_is_not_said_to_have_ended() -> None:
    called = event("emergency stop by ann") | {"cleared": "2026-01-05T10:11:12+00:00"}
    assert event_rows(status() | {"events": [], "recent": [called]})[0][3] == "emergency stop by ann"


def test_an_event_does_not_repeat_its_place() -> None:
    texts = ["meter-1 does not answer", "meter-1: no voltage", "meter-10 is another"]
    shown = status() | {"events": [event(text) for text in texts], "recent": [event(texts[0], cleared="y")]}
    rows = event_rows(shown)
    assert [row[3] for row in rows] == ["does not answer", "no voltage", "meter-10 is another", "cleared: does not answer"]
    assert {row[2] for row in rows} == {"meter-1"}


def test_the_headline_says_how_much_answers_and_that_nothing_is_written() -> None:
    assert headline(status()) == "Hall · 9 of 12 devices answer"
    assert headline(status() | {"dry_run": True}) == "Hall · DRY RUN · 9 of 12 devices answer"


def test_racks_are_shown_only_where_there_is_nothing_else() -> None:
    assert shown_nodes(rack_site()) == {"feed", "pdu"}


def test_a_narrow_terminal_gets_fewer_columns_not_cut_ones() -> None:
    lines = picture(60, 24, status())
    assert max(map(len, lines)) <= 60
    titles = next(line for line in lines if line.startswith("node"))
    assert "I2/I1 %" in titles
    assert "firm A" not in titles
    assert "…" not in titles


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 45), (100, 18)])
@pytest.mark.parametrize(("nodes", "events"), [(2, 0), (40, 6)])
def test_it_is_never_larger_than_the_terminal_and_keeps_zones_and_events(width: int, height: int, nodes: int, events: int) -> None:
    lines = picture(width, height, status(nodes, events))
    assert len(lines) <= height - 1
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "balancing" in text
    assert all(column in text for column in NODE_COLUMNS)
    assert "long text number 5" in text if events else "no events" in text
    if nodes == 40:
        assert "more" in text


def test_numbers_stand_under_their_titles() -> None:
    titles, row, *_ = (line for line in picture(80, 24, status()) if line.startswith(("node", "pdu")))
    for cell, column in (("12.3", "I2/I1 %"), ("3.2", "neutral₁ A"), ("4.0", "headroom A")):
        assert row.index(cell) + len(cell) == titles.index(column) + len(column)


def test_a_transfer_device_is_shown_once_with_the_newest_that_was_heard_of_it() -> None:
    def told(state: str, age_s: float | None, fixed: bool = False) -> dict:
        return {"kind": "ats", "node": "feed-a", "state": state, "age_s": age_s, "fixed": fixed}

    zones = {
        "z1": {"transfers": {"ats": told("normal", 1.25), "ups": told("normal", None, fixed=True)}},
        "z2": {"transfers": {"ats": told("generator", 0.31), "sts": told("unknown", None)}},
        "z3": {},
    }
    assert transfer_rows({"zones": zones}) == [
        ["ats", "ats", "feed-a", "generator", "0.3"],
        ["ups", "ats", "feed-a", "normal", "site file"],
        ["sts", "ats", "feed-a", "unknown", "never"],
    ]


def test_a_node_of_one_phase_has_its_headroom_and_no_figures_of_the_others():
    single = {"current_a": [None, 3.7, None], "headroom_assisted_a": [None, 9.1, None], "headroom_firm_a": [None, 8.0, None]}
    shown = {"zones": {"hall": {"nodes": {"rack": node(**single, phases=["L2"])}, "devices": {}, "mims": {}}}}
    [row] = node_rows(shown, frozenset({"rack"}))
    assert row[1:4] == ["–", "3.7", "–"]
    assert row[-2:] == ["9.1", "8.0"]
