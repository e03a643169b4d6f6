"""What each fault of a simulation did, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mimctl.cli.render import print_table

_SHOWN = 3
_COLUMNS = ("fault", "befalls", "from", "until", "violations", "above limit", "recovered", "after its end", "worst gap", "events")


def print_faults(faults: Sequence[Mapping[str, Any]], *, to_stderr: bool) -> None:
    """One row for each, in the order of the file."""
    rows = [_row(fault) for fault in faults]
    title = "\nFaults: gap to the optimum of what is left, and how long until it was under 10 %"
    print_table(_COLUMNS, rows, title=title, right=("from", "until", "violations", "above limit", "worst gap"), stderr=to_stderr)


def _row(fault: Mapping[str, Any]) -> tuple[str, ...]:
    happened = fault["happened"]
    return (
        str(fault["kind"]),
        _some(list(fault["targets"])),
        _time(fault["at_s"]),
        "stays" if fault["until_s"] is None else _time(fault["until_s"]),
        str(fault["limit_violations"]) if happened else "never came",
        "0 s" if not fault["above_limit_min"] else f"{60 * fault['above_limit_min']:.0f} s",
        _recovery(fault["recovered"], fault["recovery_s"]),
        _recovery(fault["recovered_after"], fault["recovery_after_s"]),
        "–" if fault["worst_gap"] is None else f"{100 * fault['worst_gap']:.0f} %",
        _some(sorted({event["code"] for event in fault["events"]})),
    )


def _recovery(recovered: bool | None, seconds: float | None) -> str:
    if recovered is None:
        return "–"
    return "not yet" if seconds is None else "at once" if seconds == 0 else f"{seconds:.0f} s"


def _time(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
