"""Tables of text: which columns there is room for, and the lines of a table without rules or colours."""

from __future__ import annotations

from collections.abc import Sequence

#: columns, the cells of each row, and the spaces between two columns
Fitted = tuple[list[str], list[list[str]], int]


def fitted(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    spare: Sequence[str] = (),
    gaps: Sequence[int] = (2, 1),
) -> Fitted:
    """A table narrow enough for `width` characters, if its spare columns allow it.

    Args:
        spare: columns that may go, the first of them first.
        gaps: spaces between columns, the best first; the narrowest is taken before a column goes.
    """
    kept = list(range(len(columns)))
    sizes = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]

    def wide(gap: int) -> int:
        return sum(sizes[i] + gap for i in kept) - gap

    for name in spare:
        if wide(min(gaps)) <= width:
            break
        kept.remove(columns.index(name))
    gap = next((gap for gap in gaps if wide(gap) <= width), min(gaps))
    return [columns[i] for i in kept], [[row[i] for i in kept] for row in rows], gap


def plain_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "", right: Sequence[str] = (), gap: int = 2
) -> list[str]:
    """Lines of a table without rules or colours, `gap` spaces between columns."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, cells, widths, strict=True)
        )
        return (" " * gap).join(padded).rstrip()

    return [*([title] if title else []), line(columns), *(line(row) for row in rows)]
