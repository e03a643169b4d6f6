"""Tables fit the width they are given, first by closing up, then by leaving out what may be left out."""

from __future__ import annotations

import pytest

from mimctl.cli.tables import fitted, plain_table

COLUMNS = ["node", "a", "bb", "ccc"]
ROWS = [["pdu-1", "10", "20", "30"], ["x", "1", "2", "3000"]]
#: 5 + 2 + 2 + 4 characters, and three gaps


@pytest.mark.parametrize(
    ("width", "kept", "gap"),
    [(19, COLUMNS, 2), (18, COLUMNS, 1), (16, COLUMNS, 1), (15, ["node", "a", "ccc"], 2), (10, ["node", "ccc"], 1)],
)
def test_what_is_left_at_each_width(width: int, kept: list[str], gap: int) -> None:
    columns, rows, spaces = fitted(COLUMNS, ROWS, width, spare=("bb", "a"))
    assert (columns, spaces) == (kept, gap)
    assert [row[0] for row in rows] == ["pdu-1", "x"]
    assert all(len(row) == len(kept) for row in rows)
    assert max(map(len, plain_table(columns, rows, gap=gap))) <= width


def test_what_may_not_go_stays_however_narrow() -> None:
    columns, _, gap = fitted(COLUMNS, ROWS, 3, spare=("bb",))
    assert (columns, gap) == (["node", "a", "ccc"], 1)


def test_a_table_without_rows() -> None:
    assert fitted(COLUMNS, [], 80)[:2] == (COLUMNS, [])
    assert plain_table(COLUMNS, []) == ["node  a  bb  ccc"]
