"""`mimctl device watch`: a table that follows a device on a terminal, lines of what changed elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mimctl.cli.device_view import COLUMNS, change_lines, changed_points, row
from mimctl.model.errors import MimctlError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

Read = Callable[[], Mapping[str, Any]]
#: spaces between two columns
_GAP = 2


def watch_device(read: Read, every_s: float, seconds: float | None, *, raw: bool) -> None:
    """Until `seconds` have passed, or Ctrl-C. A reading that fails is shown; the next one is tried."""
    readings = _readings(read, every_s, seconds)
    if sys.stdout.isatty():
        _live(readings, raw=raw)
    else:
        _lines(readings)


def write_lines(read: Read, every_s: float, seconds: float | None, target: str) -> None:
    """The same as JSON, one reading a line, each out as soon as it is there.

    Args:
        target: path, or `-`.
    """
    import json

    from mimctl.cli.render import STDOUT, to_plain
    from mimctl.model.clock import SystemClock

    clock = SystemClock()
    with contextlib.ExitStack() as stack:
        out = None if target == STDOUT else stack.enter_context(Path(target).open("w", encoding="utf-8"))
        for now in _readings(read, every_s, seconds):
            at = clock.utc().isoformat(timespec="milliseconds")
            told = {"utc": at, "error": str(now)} if isinstance(now, MimctlError) else {"utc": at, **now}
            click.echo(json.dumps(to_plain(told), ensure_ascii=False, allow_nan=False), file=out)
            (out or sys.stdout).flush()


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

    from mimctl.cli.render import console

    screen = console()
    last: Mapping[str, Any] | None = None
    with Live(console=screen, auto_refresh=False, vertical_overflow="crop") as live:
        for now in readings:
            size = (screen.size.width, screen.size.height)
            if isinstance(now, MimctlError):
                live.update(picture(last, frozenset(), size, raw=raw, error=str(now)), refresh=True)
                continue
            live.update(picture(now, changed_points(last, now), size, raw=raw), refresh=True)
            last = now


def picture(
    device: Mapping[str, Any] | None, changed: frozenset[str], size: tuple[int, int], *, raw: bool, error: str = ""
) -> RenderableType:
    """A reading that is never larger than the terminal: side by side where it is wide, cut with a count where it is small.

    Args:
        device: the last reading; None = there was none yet.
        changed: points to mark.
        size: columns and lines of the terminal.
        error: why there is no newer reading; the last one is then shown dimmed.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    width, height = size
    told = Text(error, style="red", no_wrap=True, overflow="ellipsis")
    if device is None:
        return told
    head = Text(f"{device['device']} ({device['quality']})", style="bold", no_wrap=True, overflow="ellipsis")
    lines = [(p["point"], row(device, p, raw=raw)) for p in device["points"]]
    columns = (*COLUMNS, *(("address", "registers") if raw else ()))
    one = sum(max(len(cell) for cell in column) + _GAP for column in zip(columns, *(cells for _, cells in lines), strict=True))
    # below the last line stands the cursor
    room = max(1, height - 4 - bool(error))
    beside = max(1, min(width // (one + _GAP), -(-len(lines) // room)))
    tall = min(room, -(-len(lines) // beside))
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    parts = [lines[at : at + tall] for at in range(0, min(len(lines), beside * tall), tall)]
    grid.add_row(*(_table(columns, part, changed, dim=bool(error)) for part in parts))
    left = len(lines) - beside * tall
    more = Text(f"… and {left} more points; a larger window shows them" if left > 0 else "", style="dim", no_wrap=True)
    return Group(head, *([told] if error else []), grid, more)


def _table(columns: Sequence[str], lines: Sequence[tuple[str, list[str]]], changed: frozenset[str], *, dim: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, _GAP, 0, 0))
    for name in columns:
        table.add_column(name, justify="right" if name in ("value", "age_s") else "left", no_wrap=True, overflow="ellipsis")
    for name, cells in lines:
        # the value alone: a whole line turned round is hard to read where most of them change
        marked = [("reverse" if name in changed and column == "value" else "dim" if dim else "") for column in columns]
        table.add_row(*(Text(cell, style=style) for cell, style in zip(cells, marked, strict=True)))
    return table
