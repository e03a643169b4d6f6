"""The before/after table of `demo` and `simulate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mimctl.cli.render import print_table

if TYPE_CHECKING:
    from mimctl.model.site import Site

#: the first of them leaves first where a terminal is narrow; the rest of the figures is in the JSON
_SPARE = ("loss_kwh", "unbalance_nema_mean", "max_phase_load_pct", "objective", "neutral_a_mean")
_HARMONIC_SPARE = ["loss kWh", "K max", "of IEEE 519 %", "THD-I mean %"]
_SHOWN = ("i2_i1_mean", "i0_i1_mean", *_SPARE)


def print_harmonics(site: Site, result: Mapping[str, Any], *, to_stderr: bool) -> None:
    """Distortion before → after, where the site limits it or some MIM filters it."""
    from mimctl.simulation.table import HARMONIC_COLUMNS, harmonics_before_after

    found = result.get("harmonics", {})
    asked = any(n.harmonic_limits for n in site.nodes) or any(m.harmonic_filter for m in site.mims)
    if not asked or not {"baseline", "controlled"} <= found.keys():
        return
    titles = ["harmonics", *(column.title for column in HARMONIC_COLUMNS)]
    rows = [
        [row.where, *(f"{cell.before_text} → {cell.after_text}" for cell in row.cells)]
        for row in harmonics_before_after(site, found["baseline"], found["controlled"])
    ]
    print_table(titles, rows, right=titles[1:], spare=_HARMONIC_SPARE, stderr=to_stderr)


def print_before_after(
    site: Site, result: Mapping[str, Any], title: str, *, to_stderr: bool, fundamental_neutral: bool = False
) -> None:
    """Every cell says before → after; nothing is shown where one of the two is missing.

    Args:
        fundamental_neutral: the neutral is that of phase meters: the fundamental, without the triplens that come on top; and they
            do not tell what is lost between them.
    """
    from mimctl.simulation.table import COLUMNS, before_after

    before, after = result.get("baseline"), result.get("controlled")
    if before is None or after is None:
        return
    hidden = {"loss_kwh"} if fundamental_neutral else set()
    chosen = tuple(column for column in COLUMNS if column.key in _SHOWN and column.key not in hidden)
    names = {column.key: column.title for column in chosen}
    if fundamental_neutral:
        names["neutral_a_mean"] = "neutral₁ A"
    titles = ["", *names.values()]
    rows = [
        [row.where, *(f"{cell.before_text} → {cell.after_text}" for cell in row.cells)]
        for row in before_after(site, before, after, chosen)
    ]
    spare = [names[key] for key in _SPARE if key in names]
    print_table(titles, rows, title=title, right=titles[1:], spare=spare, stderr=to_stderr)
