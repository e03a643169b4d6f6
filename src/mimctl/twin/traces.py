"""Loads from a file: CSV, plain or gzip, with a column `time` and one column a load.

A column drives a load of the site that names it in `twin.loads[].column`, or it says itself where it belongs:
`<node>.<connection>.p_w` and optionally `<node>.<connection>.q_var`. Values hold from their time to the next. An empty cell keeps
the value before it; at the beginning of the file it takes the first one that follows. Before the first time and after the end the
nearest value holds.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

import numpy as np

from mimctl.model.connection import Connection
from mimctl.model.errors import UserError
from mimctl.model.layout import ComplexArray, FloatArray
from mimctl.model.site import Site, TwinLoad
from mimctl.twin.loads import reactive_factor

TIME_COLUMN = "time"
_GZIP_MAGIC = b"\x1f\x8b"
_MISSING = {"", "nan", "na", "null", "none"}


@dataclass(frozen=True, slots=True)
class TraceInfo:
    """What was taken from a trace file.

    Args:
        columns_used: columns that drive a load.
        columns_ignored: columns that no load of the site names.
        loads_without_column: `node.connection` of loads that the file leaves at zero.
        gaps_filled: empty cells in the columns used.
        start, end: first instant, and the instant up to which the last value holds; aware, in UTC.
        interval_s: usual time between two rows.
        longest_interval_s: longest time between two rows.
    """

    columns_used: tuple[str, ...]
    columns_ignored: tuple[str, ...]
    loads_without_column: tuple[str, ...]
    gaps_filled: int
    start: datetime
    end: datetime
    interval_s: float
    longest_interval_s: float


@dataclass(frozen=True, slots=True)
class _Drive:
    """How one load follows the file: p = scale × column `p`; q from column `q` or the power factor."""

    load: int
    p: str
    q: str | None
    scale: float
    reactive: float


class TraceLoads:
    """Loads that follow a file. Implements `twin.loads.LoadSource`; `t_s` = 0 is `start`."""

    def __init__(
        self, loads: tuple[TwinLoad, ...], times_s: FloatArray, power_va: ComplexArray, info: TraceInfo, start: datetime
    ) -> None:
        self.loads, self.info, self.start = loads, info, start
        self._times_s, self._power_va = times_s, power_va

    def at(self, t_s: float) -> ComplexArray:
        """(L,) [VA]"""
        row = int(np.searchsorted(self._times_s, t_s + 1e-9, side="right")) - 1
        power: ComplexArray = self._power_va[max(row, 0)]
        return power

    @property
    def remaining_s(self) -> float:
        """How long the file lasts from `start` [s]."""
        return (self.info.end - self.start).total_seconds()


def read_trace(file: Path, site: Site, start: datetime | None = None) -> TraceLoads:
    """Read a trace file for a site.

    Args:
        start: instant that `t_s` = 0 stands for; without a zone it is UTC. None = the beginning of the file.

    Raises:
        UserError: the file cannot be read, is no such file, or has nothing for this site; one line with file and line number.
    """
    with _opened(file) as lines:
        try:
            rows = csv.reader(lines)
            header = _header(file, rows)
            loads, drives = _match(header, site)
            if not drives:
                raise UserError(f"{file}:1: no column drives a load of this site; {_expected(site)}; columns are {_some(header)}")
            used = list(dict.fromkeys(c for d in drives for c in (d.p, d.q) if c is not None))
            times, values = _body(file, lines, rows, header, used)
        except (csv.Error, UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(f"{file}:{lines.number + 1}: cannot be read as CSV: {error}") from error
    gaps = _fill(file, used, values)
    first, origin = times[0], _aware(start) if start else times[0]
    seconds = np.array([(t - origin).total_seconds() for t in times])
    interval, longest = _intervals(seconds)
    end = times[-1] + timedelta(seconds=interval)
    if not first <= origin < end:
        raise UserError(
            f"{file}: --start {origin:%Y-%m-%dT%H:%M:%S} is outside {first:%Y-%m-%dT%H:%M:%S} … {end:%Y-%m-%dT%H:%M:%S}"
        )
    info = TraceInfo(
        columns_used=tuple(used),
        columns_ignored=tuple(c for c in header if c not in used and c != TIME_COLUMN),
        loads_without_column=_undriven(loads, drives),
        gaps_filled=gaps,
        start=first,
        end=end,
        interval_s=interval,
        longest_interval_s=longest,
    )
    return TraceLoads(loads, seconds, _powers(len(loads), drives, used, values), info, origin)


@contextmanager
def _opened(file: Path) -> Iterator[_Lines]:
    """The lines of a file; gzip is recognised by its content, not by its name."""
    try:
        with file.open("rb") as raw:
            packed = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            raw.seek(0)
            with io.TextIOWrapper(gzip.GzipFile(fileobj=raw) if packed else raw, encoding="utf-8-sig", newline="") as text:
                yield _Lines(text)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from error


class _Lines:
    """Lines, counted."""

    def __init__(self, text: TextIO) -> None:
        self._text, self.number = text, 0

    def __iter__(self) -> Iterator[str]:
        for line in self._text:
            self.number += 1
            yield line


def _header(file: Path, rows: Iterator[list[str]]) -> list[str]:
    header = [name.strip() for name in next(rows, [])]
    if TIME_COLUMN not in header:
        raise UserError(f"{file}:1: no column '{TIME_COLUMN}'; {_hint(header)}columns are {_some(header)}")
    double = [name for name in dict.fromkeys(header) if header.count(name) > 1]
    if double:
        raise UserError(f"{file}:1: column '{double[0]}' stands there twice")
    return header


def _hint(header: Sequence[str]) -> str:
    """Spreadsheets of some countries write semicolons."""
    other = next((mark for mark in (";", "\t") if mark in "".join(header)), None)
    return "" if other is None else "use commas between columns, and a point in numbers; "


def _expected(site: Site) -> str:
    """The names that would do for this site."""
    own = [f"'{load.column}'" for load in site.twin.loads if load.column is not None]
    places = [f"'{load.node}.{load.connection}.p_w'" for load in site.twin.loads] or [f"'{site.nodes[-1].id}.L1.p_w'"]
    return f"expected are names like {_some(own or places, 3)}"


def _match(header: Sequence[str], site: Site) -> tuple[tuple[TwinLoad, ...], list[_Drive]]:
    """The loads (those of the site, then those that the file alone has) and the columns that drive them."""
    columns, loads = set(header), list(site.twin.loads)
    drives: list[_Drive] = []
    placed: set[tuple[str, Connection]] = set()
    for i, load in enumerate(loads):
        if load.column is not None and load.column in columns:
            drives.append(_Drive(i, load.column, None, load.scale, reactive_factor(load.power_factor)))
            placed.add((load.node, load.connection))
    nodes = {node.id for node in site.nodes}
    for name in header:
        place = _place(name, nodes)
        if place is None or place in placed:
            continue
        placed.add(place)
        own = next((i for i, x in enumerate(loads) if (x.node, x.connection) == place), None)
        if own is None:
            own = len(loads)
            loads.append(TwinLoad(place[0], place[1], typical_w=0.0))
        q = f"{place[0]}.{place[1]}.q_var"
        drives.append(_Drive(own, name, q if q in columns else None, 1.0, reactive_factor(loads[own].power_factor)))
    return tuple(loads), drives


def _place(column: str, nodes: set[str]) -> tuple[str, Connection] | None:
    """Node and connection that a column `<node>.<connection>.p_w` names; a node's id may hold dots."""
    parts = column.rsplit(".", 2)
    if len(parts) != 3 or parts[2] != "p_w" or parts[0] not in nodes or parts[1] not in list(Connection):
        return None
    return parts[0], Connection(parts[1])


def _body(
    file: Path, lines: _Lines, rows: Iterator[list[str]], header: Sequence[str], used: Sequence[str]
) -> tuple[list[datetime], FloatArray]:
    """Times, and values (rows, columns used) with NaN in the gaps."""
    at_time, places = header.index(TIME_COLUMN), [header.index(c) for c in used]
    times: list[datetime] = []
    values: list[list[float]] = []
    for row in rows:
        if not row or not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise UserError(f"{file}:{lines.number}: {len(row)} cells, the heading has {len(header)}")
        instant = _time(file, lines.number, row[at_time])
        if times and instant <= times[-1]:
            raise UserError(f"{file}:{lines.number}: time {row[at_time]} does not come after {times[-1]:%Y-%m-%dT%H:%M:%S}")
        times.append(instant)
        try:
            values.append([float(row[i]) for i in places])
        except ValueError:
            values.append([_number(file, lines.number, header[i], row[i]) for i in places])
    if not times:
        raise UserError(f"{file}:{lines.number}: no values below the heading")
    array = np.array(values, dtype=np.float64)
    array[~np.isfinite(array)] = np.nan
    return times, array


def _time(file: Path, line: int, text: str) -> datetime:
    try:
        return _aware(datetime.fromisoformat(text.strip()))
    except ValueError:
        raise UserError(f"{file}:{line}: '{text}' is not a time like 2026-01-31T14:05") from None


def _aware(instant: datetime) -> datetime:
    """In UTC; a time without a zone is one."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _number(file: Path, line: int, column: str, text: str) -> float:
    if text.strip().lower() in _MISSING:
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{file}:{line}: '{text}' in column '{column}' is not a number") from None


def _fill(file: Path, used: Sequence[str], values: FloatArray) -> int:
    """Close the gaps in place; how many there were."""
    missing = np.isnan(values)
    empty = np.flatnonzero(missing.all(axis=0))
    if len(empty):
        raise UserError(f"{file}: column '{used[empty[0]]}' holds no value at all")
    count = int(missing.sum())
    if count:
        rows = np.arange(len(values))[:, None]
        last = np.maximum.accumulate(np.where(missing, -1, rows), axis=0)
        source = np.where(last < 0, (~missing).argmax(axis=0)[None, :], last)
        values[:] = np.take_along_axis(values, source, axis=0)
    return count


def _intervals(seconds: FloatArray) -> tuple[float, float]:
    """Median and longest time between rows [s]; a single row stands for a minute."""
    steps = np.diff(seconds)
    return (float(np.median(steps)), float(steps.max())) if len(steps) else (60.0, 60.0)


def _powers(loads: int, drives: Sequence[_Drive], used: Sequence[str], values: FloatArray) -> ComplexArray:
    column: Mapping[str, int] = {name: i for i, name in enumerate(used)}
    power = np.zeros((len(values), loads), dtype=np.complex128)
    for drive in drives:
        active = drive.scale * values[:, column[drive.p]]
        reactive = drive.reactive * active if drive.q is None else values[:, column[drive.q]]
        power[:, drive.load] = active + 1j * reactive
    return power


def _undriven(loads: Sequence[TwinLoad], drives: Sequence[_Drive]) -> tuple[str, ...]:
    driven = {d.load for d in drives}
    return tuple(f"{load.node}.{load.connection}" for i, load in enumerate(loads) if i not in driven)


def _some(header: Sequence[str], most: int = 6) -> str:
    """The first few column names, for a message."""
    names = [name if len(name) <= 40 else name[:40] + "…" for name in header[:most]]
    return (", ".join(names) or "none") + (" …" if len(header) > most else "")
