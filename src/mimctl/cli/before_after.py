"""The before/after table of `demo` and `simulate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mimctl.cli.render import print_table

if TYPE_CHECKING:
    from mimctl.model.site import Site

#: what fits a terminal; the rest is in the JSON
_SHOWN = ("i2_i1_mean", "i0_i1_mean", "neutral_a_mean", "unbalance_nema_mean", "max_phase_load_pct", "loss_kwh", "objective")


def print_before_after(site: Site, result: Mapping[str, Any], title: str, *, to_stderr: bool) -> None:
    """Every cell says before → after."""
    from mimctl.simulation.table import COLUMNS, before_after

    before, after = result.get("baseline"), result.get("controlled")
    if before is None or after is None:
        print_table(["nothing to compare"], [["a phase had no complete measurement; see the events"]], stderr=to_stderr)
        return
    chosen = tuple(column for column in COLUMNS if column.key in _SHOWN)
    titles = ["", *(column.title for column in chosen)]
    rows = [
        [row.where, *(f"{cell.before_text} → {cell.after_text}" for cell in row.cells)]
        for row in before_after(site, before, after, chosen)
    ]
    print_table(titles, rows, title=title, right=titles[1:], stderr=to_stderr)
