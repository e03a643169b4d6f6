"""The before/after table of a run as plain values; whoever prints it decides how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mimctl.model.node import NodeKind
from mimctl.model.site import Site


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of the result file.

    Args:
        key: its name there.
        title: for people, with the unit.
        scale: shown value = scale × value in the file.
        digits: after the point.
    """

    key: str
    title: str
    scale: float = 1.0
    digits: int = 1


COLUMNS = (
    Column("i2_i1_mean", "I2/I1 mean %", 100),
    Column("i2_i1_p95", "I2/I1 p95 %", 100),
    Column("i0_i1_mean", "I0/I1 mean %", 100),
    Column("i0_i1_p95", "I0/I1 p95 %", 100),
    Column("neutral_a_mean", "neutral A"),
    Column("vuf2_p95", "VUF2 p95 %", digits=2),
    Column("unbalance_nema_mean", "NEMA %"),
    Column("max_phase_load_pct", "fullest phase %"),
    Column("overload_min", "overload min"),
    Column("loss_kwh", "loss kWh", digits=2),
    Column("objective", "J", digits=6),
)


#: of the distortion of a node
HARMONIC_COLUMNS = (
    Column("thd_i_mean_pct", "THD-I mean %"),
    Column("tdd_mean_pct", "TDD mean %"),
    Column("tdd_max_pct", "TDD max %"),
    Column("thd_v_max_pct", "THD-V max %", digits=2),
    Column("neutral_a_mean", "neutral rms A"),
    Column("k_factor_max", "K max"),
    Column("ieee519_worst_pct", "of IEEE 519 %", digits=0),
    Column("loss_kwh", "loss kWh", digits=3),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One metric before and after; None where there is none."""

    column: Column
    before: float | None
    after: float | None

    @property
    def before_text(self) -> str:
        return self._text(self.before)

    @property
    def after_text(self) -> str:
        return self._text(self.after)

    @property
    def change_pct(self) -> float | None:
        """Relative change; None where there was nothing to change."""
        if self.before is None or self.after is None or self.before == 0:
            return None
        return 100 * (self.after - self.before) / abs(self.before)

    def _text(self, value: float | None) -> str:
        return "–" if value is None else f"{self.column.scale * value:.{self.column.digits}f}"


@dataclass(frozen=True, slots=True)
class Row:
    """The site or one node."""

    where: str
    kind: str
    cells: tuple[Cell, ...]


def before_after(
    site: Site, before: Mapping[str, Any], after: Mapping[str, Any], columns: tuple[Column, ...] = COLUMNS
) -> tuple[Row, ...]:
    """Rows of the table: the site, then its PDUs in the order of the site file; without PDUs, every node but the racks.

    Args:
        before, after: two scenarios' summaries (`site` and `nodes`).
    """
    shown = [n for n in site.nodes if n.kind is NodeKind.PDU] or [n for n in site.nodes if n.kind is not NodeKind.RACK]
    rows = [Row("site", "site", _cells(columns, before["site"], after["site"]))]
    rows += [Row(n.id, n.kind.value, _cells(columns, before["nodes"][n.id], after["nodes"][n.id])) for n in shown]
    return tuple(rows)


def harmonics_before_after(site: Site, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Row, ...]:
    """The distortion of nodes: those with limits and the PDUs, in the order of the site file.

    Args:
        before, after: two scenarios' figures of distortion (`nodes`).
    """
    shown = [n for n in site.nodes if n.harmonic_limits is not None or n.kind is NodeKind.PDU]
    return tuple(Row(n.id, n.kind.value, _cells(HARMONIC_COLUMNS, before["nodes"][n.id], after["nodes"][n.id])) for n in shown)


def _cells(columns: tuple[Column, ...], before: Mapping[str, float | None], after: Mapping[str, float | None]) -> tuple[Cell, ...]:
    return tuple(Cell(column, before[column.key], after[column.key]) for column in columns)
