"""Ratios measured in one run: both sides take turns on the same machine, so that its load hits them alike."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import SimpleNamespace

from rich.console import Console
from rich.table import Table

from mimctl.control import record


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of each round of one task."""

    seconds: tuple[float, ...]

    @property
    def best_ms(self) -> float:
        return 1e3 * min(self.seconds)

    @property
    def median_ms(self) -> float:
        return 1e3 * median(self.seconds)


def stages_on_cpu_time() -> None:
    """From now on the stages of a cycle are timed by the processor: what other programs take of the machine is not in them."""
    record.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[attr-defined]


def once_s(task: Callable[[], object]) -> float:
    """Wall time of one call [s]."""
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def interleaved(tasks: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Times]:
    """Time every task once per round, in turn; the collector rests meanwhile."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, task in tasks.items():
                seconds[name].append(once_s(task))
    finally:
        gc.enable()
    return {name: Times(tuple(values)) for name, values in seconds.items()}


def ratio(times: Mapping[str, Times], top: str, bottom: str) -> float:
    """Median of the round-by-round ratios."""
    return median(a / b for a, b in zip(times[top].seconds, times[bottom].seconds, strict=True))


def best_ratio(times: Mapping[str, Times], top: str, bottom: str) -> float:
    """Ratio of the undisturbed rounds."""
    return times[top].best_ms / times[bottom].best_ms


def cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2e}" if value and abs(value) < 1e-3 else f"{value:.3g}" if abs(value) < 1e3 else f"{value:,.0f}"
    return "-" if value is None else str(value)


def save(title: str, rows: Sequence[Mapping[str, object]], to: str) -> None:
    """The rows as JSON; `-` is standard output."""
    text = json.dumps({"title": title, "rows": [dict(row) for row in rows]}, indent=1) + "\n"
    if to == "-":
        sys.stdout.write(text)
    else:
        Path(to).write_text(text, encoding="utf-8")


def show(title: str, rows: Sequence[Mapping[str, object]], json_to: str | None = None) -> None:
    """A table on the terminal; with `json_to` the same rows as JSON (`-` is standard output)."""
    if json_to:
        save(title, rows, json_to)
    if json_to == "-":
        return
    table = Table(title=title)
    for name in rows[0] if rows else ():
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(cell(value) for value in row.values()))
    console = Console()
    if not console.is_terminal:
        console = Console(width=190)
    console.print(table)
