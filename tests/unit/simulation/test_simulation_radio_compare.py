"""Three fleets beside each other: what is said of them, and what where there was nothing to remove."""

from __future__ import annotations

from typing import Any

from mimctl.simulation.radio_compare import AS_IT_IS, AS_WIRED, NO_RADIOS, compared


def result(removed: float | None, changes: float = 10.0) -> dict[str, Any]:
    return {
        "removed_share": removed,
        "achieved_share": removed,
        "worse_than_none_pct": 0.5,
        "limit_violations": 0,
        "transient_overs": {"count": 0, "max": 0.0, "longest_s": 0.0},
        "failed_writes": 3,
        "calm": {"writes_per_mim_h": changes, "travel_a_per_port_h": 1.0},
        "controlled": {"site": {"objective": 0.01}, "nodes": {}},
        "wall_s": 1.0,
    }


def test_shares_are_of_what_the_wired_fleet_removes():
    found = compared({AS_WIRED: result(0.8), AS_IT_IS: result(0.76, 40.0), NO_RADIOS: result(0.4)}, 5.0)
    assert found["frame_loss_pct"] == 5.0
    assert (round(found["of_wired"], 12), found["without_of_wired"]) == (0.95, 0.5)
    assert list(found["rows"]) == [AS_WIRED, AS_IT_IS, NO_RADIOS]
    assert found["rows"][AS_IT_IS]["writes_per_mim_h"] == 40.0
    assert found["rows"][AS_IT_IS]["objective"] == 0.01
    assert "wall_s" not in found["rows"][AS_IT_IS]


def test_where_nothing_was_to_be_removed_there_is_no_share():
    for nothing in (None, 0.0):
        found = compared({AS_WIRED: result(nothing), AS_IT_IS: result(nothing), NO_RADIOS: result(None)}, 0.0)
        assert (found["of_wired"], found["without_of_wired"]) == (None, None)


def test_rows_come_in_their_order_whatever_ran_first():
    runs = {AS_IT_IS: result(0.7), NO_RADIOS: result(0.5), AS_WIRED: result(0.8)}
    assert list(compared(runs, 5.0)["rows"]) == [AS_WIRED, AS_IT_IS, NO_RADIOS]
