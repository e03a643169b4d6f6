from __future__ import annotations

from dataclasses import replace

import pytest
from score_site import LAYOUT, OPERATORS, make_site, truth

from mimctl.model.node import NodeKind
from mimctl.simulation.score import METRICS, ScenarioScore
from mimctl.simulation.table import COLUMNS, Cell, before_after


def scored(r: tuple[float, float, float]) -> dict:  # type: ignore[type-arg]
    score = ScenarioScore(OPERATORS, 1)
    score.add(truth(p=r, r=r), 60.0)
    return score.summary()


def test_columns_are_the_metrics() -> None:
    assert tuple(column.key for column in COLUMNS) == METRICS


def test_rows_are_the_site_and_its_pdus() -> None:
    rows = before_after(LAYOUT.site, scored((9, 0, 0)), scored((3, 3, 3)))
    assert [(row.where, row.kind) for row in rows] == [("site", "site"), ("p", "pdu")]
    cells = {cell.column.key: cell for cell in rows[1].cells}
    assert (cells["i2_i1_mean"].before_text, cells["i2_i1_mean"].after_text) == ("100.0", "0.0")
    assert cells["neutral_a_mean"].change_pct == pytest.approx(-100)
    assert cells["loss_kwh"].before_text == "–"


def test_a_site_without_pdus_shows_what_is_above_the_racks() -> None:
    site = make_site()
    nodes = tuple(replace(n, kind=NodeKind.BRANCH) if n.id == "p" else n for n in site.nodes)
    summary = scored((1, 1, 1))
    assert [row.where for row in before_after(replace(site, nodes=nodes), summary, summary)] == ["site", "A", "B", "p", "b"]


@pytest.mark.parametrize(("before", "after"), [(None, 1.0), (1.0, None), (0.0, 1.0)])
def test_change_of_nothing_is_unknown(before: float | None, after: float | None) -> None:
    assert Cell(COLUMNS[0], before, after).change_pct is None
