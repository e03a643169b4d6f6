"""What every command shares to speak: JSON files, tables, progress, failure. Heavy imports happen on first use."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, time
from enum import Enum
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from mimctl.cli.tables import fitted, plain_table
from mimctl.model.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

#: the target that means standard output
STDOUT = "-"
#: where tables leave columns out when nobody's terminal says how wide it is
PIPE_WIDTH = 120


class _Failure(click.ClickException):
    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click reads it from the instance as well


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with one line on standard error and this exit code."""
    raise _Failure(message, code)


def json_option(function: AnyFunction) -> AnyFunction:
    """Give a command the option `--json FILE`, refused before the work starts if it could not be written.

    The command gets `json_target: str | None`. With `-` standard output holds the JSON alone: show the rest with
    `console(stderr=True)`.
    """
    return click.option(
        "--json",
        "json_target",
        metavar="FILE",
        callback=lambda _ctx, _param, value: value if value is None else _writable(value),
        help="Write the result as JSON; - is standard output.",
    )(function)


def write_json(target: str, data: object) -> None:
    """Write `data` as JSON to a file, whole or not at all, or to standard output (`-`).

    Args:
        target: path or `-`.
        data: dataclasses, mappings, sequences, enums, times, paths and numpy values in any nesting. What JSON cannot
            say (NaN, infinities) becomes null.

    Raises:
        UserError: the target is a directory or cannot be written.
        TypeError: a value that has no JSON form.
    """
    text = json.dumps(to_plain(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if target == STDOUT:
        click.echo(text, nl=False)
        return
    path = Path(_writable(target)).resolve()
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")  # a device or a pipe is written to, never replaced
        else:
            _replace(path, text)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from error


def to_plain(value: object) -> object:
    """`value` in the types that JSON has."""
    if isinstance(value, Enum):
        return to_plain(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    return _container_to_plain(value)


def _container_to_plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((to_plain(item) for item in value), key=str)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [to_plain(item) for item in value]
    to_list = getattr(value, "tolist", None)  # numpy scalars and arrays, without importing numpy to ask
    if to_list is not None and not isinstance(value, memoryview):
        return to_plain(to_list())
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _writable(target: str) -> str:
    """The target itself, if a file could be written there."""
    if target == STDOUT:
        return target
    path = Path(target)
    parent = path.parent
    if path.is_dir():
        raise UserError(f"cannot write {target}: it is a directory")
    if not parent.is_dir():
        raise UserError(f"cannot write {target}: there is no directory {parent}")
    if not os.access(path if path.exists() else parent, os.W_OK):
        raise UserError(f"cannot write {target}: permission denied")
    return target


def _replace(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, never a part."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def console(stderr: bool = False) -> Console:
    """A rich console on standard output or standard error: plain text and no wrapping where that is not a terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, soft_wrap=not stream.isatty())


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    title: str = "",
    right: Sequence[str] = (),
    spare: Sequence[str] = (),
    stderr: bool = False,
) -> None:
    """Show rows of cells: with bold titles on a terminal, as aligned plain lines in a pipe or a file. No cell is cut off.

    Args:
        right: columns to align to the right, as numbers want to be.
        spare: columns that may be left out, the first of them first, where the table would be wider than the terminal (or than
            120 characters where there is none).
        stderr: to standard error, for example because standard output carries JSON.
    """
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not (sys.stderr if stderr else sys.stdout).isatty():
        names, cells, gap = fitted(columns, cells, PIPE_WIDTH, spare, gaps=(2,))
        for line in plain_table(names, cells, title=title, right=right, gap=gap):
            click.echo(line, err=stderr)
        return
    from rich.table import Table
    from rich.text import Text

    screen = console(stderr)
    names, cells, gap = fitted(columns, cells, screen.width, spare)
    table = Table(title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False, padding=(0, gap, 0, 0))
    for name in names:
        table.add_column(name, justify="right" if name in right else "left")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    screen.print(table)


@contextlib.contextmanager
def progress(description: str, total: float) -> Iterator[Callable[[float], None]]:
    """A bar with the time left on standard error, if that is a terminal; else nothing.

    Yields:
        A function to call with how much of `total` is done.
    """
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.update(task, completed=done)
