"""`mimctl device watch`: a table that follows a device on a terminal, lines of what changed elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from mimctl.cli.device_view import COLUMNS, change_lines, changed_points, row
from mimctl.model.errors import MimctlError

if TYPE_CHECKING:
    from rich.table import Table

Read = Callable[[], Mapping[str, Any]]


def watch_device(read: Read, every_s: float, seconds: float | None, *, raw: bool) -> None:
    """Until `seconds` have passed, or Ctrl-C. A reading that fails is shown; the next one is tried."""
    readings = _readings(read, every_s, seconds)
    if sys.stdout.isatty():
        _live(readings, raw=raw)
    else:
        _lines(readings)


def _readings(read: Read, every_s: float, seconds: float | None) -> Iterator[Mapping[str, Any] | MimctlError]:
    started_s = due_s = time.monotonic()
    while True:
        try:
            yield read()
        except MimctlError as error:
            yield error
        due_s = max(due_s + every_s, time.monotonic())
        if seconds is not None and due_s >= started_s + seconds:
            return
        time.sleep(max(0.0, due_s - time.monotonic()))


def _lines(readings: Iterator[Mapping[str, Any] | MimctlError]) -> None:
    from mimctl.model.clock import SystemClock

    clock, before = SystemClock(), None
    for now in readings:
        at = clock.utc().isoformat(timespec="milliseconds")
        if isinstance(now, MimctlError):
            click.echo(f"{at}  {now}", err=True)
            continue
        names = frozenset(p["point"] for p in now["points"]) if before is None else changed_points(before, now)
        for line in change_lines(now, names, at):
            click.echo(line)
        before = now


def _live(readings: Iterator[Mapping[str, Any] | MimctlError], *, raw: bool) -> None:
    from rich.live import Live
    from rich.text import Text

    from mimctl.cli.render import console

    before: Mapping[str, Any] | None = None
    with Live(console=console(), auto_refresh=False, vertical_overflow="visible") as live:
        for now in readings:
            if isinstance(now, MimctlError):
                live.update(Text(str(now), style="red"), refresh=True)
                continue
            live.update(_table(now, changed_points(before, now), raw=raw), refresh=True)
            before = now


def _table(device: Mapping[str, Any], names: frozenset[str], *, raw: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{device['device']} ({device['quality']})", title_justify="left", box=None, header_style="bold")
    for name in (*COLUMNS, *(("address", "registers") if raw else ())):
        table.add_column(name, justify="right" if name in ("value", "age_s") else "left")
    for point in device["points"]:
        style = "reverse" if point["point"] in names else ""
        table.add_row(*(Text(cell, style=style) for cell in row(device, point, raw=raw)))
    return table
