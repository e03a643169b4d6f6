"""What a simulation came to, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mimctl.cli.before_after import print_before_after, print_harmonics
from mimctl.cli.fault_table import print_faults
from mimctl.cli.radio_table import print_air, print_radios
from mimctl.cli.render import console, print_table

if TYPE_CHECKING:
    from rich.console import Console

    from mimctl.model.site import Site


def print_result(site: Site, result: Mapping[str, Any], *, faults: bool, to_stderr: bool) -> None:
    """The summary, what was on the air, what radios and missing controllers cost where that was asked, and what faults did.

    Args:
        faults: some were wanted.
    """
    _summarise(site, result, to_stderr=to_stderr)
    if "air" in result:
        print_air(result["air"], to_stderr=to_stderr)
    if "radios" in result:
        print_radios(result["radios"], to_stderr=to_stderr)
    if "without" in result:
        _tell_without(result, to_stderr=to_stderr)
    if faults:
        print_faults(result["faults"], to_stderr=to_stderr)


def _summarise(site: Site, result: Mapping[str, Any], *, to_stderr: bool) -> None:
    title = f"{site.name}: {result['hours']:g} h at {result['step_s']:g} s, without → with control"
    print_before_after(site, result, title, to_stderr=to_stderr)
    screen = console(stderr=to_stderr)
    screen.print()
    print_harmonics(site, result, to_stderr=to_stderr)
    _tell_harmonics(screen, result)
    _tell_verdicts(screen, result)
    screen.print(
        f"removed {_pct(result['removed_share'])} of the imbalance, {_pct(result['achieved_share'])} of what was possible "
        f"(clip rule {_pct(result['rule_share'])}); worse than none in {result['worse_than_none_pct']:.2f} % of the time"
    )
    overload = (result[name]["site"]["overload_min"] for name in ("baseline", "controlled"))
    screen.print(
        f"overload {' → '.join(f'{minutes:.1f}' for minutes in overload)} min; limit violations caused by control: "
        f"{result['limit_violations']}, above a limit for hours {result['above_limit_min']:.1f} min; "
        f"relied on MIMs for {result['relied_on_min']:.1f} min"
    )
    screen.print(f"clamps {result['clamps']}, refusals {result['refusals']}, writes {result['writes']}")
    cycle = result["cycle_ms"]
    screen.print(
        f"{result['cycles']} cycles in {result['wall_s']:.1f} s ({result['times_real_time']:.0f}× real time); "
        f"cycle p50 {cycle['p50']:.1f} ms, p99 {cycle['p99']:.1f} ms"
    )


def _tell_harmonics(screen: Console, result: Mapping[str, Any]) -> None:
    """What filtering brought and cost, where anything was filtered or a limit was passed."""
    found = result.get("harmonics", {})
    before, after = (found.get(name, {}).get("site") for name in ("baseline", "controlled"))
    if not before or not after or not (before["over_limit_min"] or after["over_limit_min"] or after["filter_loss_kwh"]):
        return
    screen.print(
        f"over a limit of distortion {before['over_limit_min']:.1f} → {after['over_limit_min']:.1f} min; "
        f"lost to harmonics {before['loss_kwh']:.3f} → {after['loss_kwh']:.3f} kWh, in filtering {after['filter_loss_kwh']:.3f} kWh"
    )


def _tell_verdicts(screen: Console, result: Mapping[str, Any]) -> None:
    """Which limits of distortion are kept as the standards mean them; nothing of a run too short for any."""
    before, after = (
        [
            (node, verdict)
            for node, verdicts in result.get("harmonics", {}).get(name, {}).get("verdicts", {}).items()
            for verdict in verdicts
            if verdict["met"] is not None
        ]
        for name in ("baseline", "controlled")
    )
    if not after:
        return
    kept = " → ".join(str(sum(verdict["met"] for _, verdict in verdicts)) for verdicts in (before, after))
    screen.print(f"limits of distortion by percentiles: {kept} of {len(after)} kept")
    for node, v in ((node, verdict) for node, verdict in after if not verdict["met"]):
        told = f"{v['value_pct']:.1f} %, the limit is {v['limit_pct']:.1f} %"
        screen.print(f"  {node} passes {v['standard']}, {v['what']} of {v['quantity']}: {told}")


def _tell_without(result: Mapping[str, Any], *, to_stderr: bool) -> None:
    """The same hours with all controllers and without some, row by row."""
    less = result["without"]
    rows = []
    for name, run in (("–", result), (", ".join(less["left_out"]), less)):
        points = less["cost_points"] if run is less else None
        figures = _pct(run["achieved_share"]), _pct(run["removed_share"]), f"{run['worse_than_none_pct']:.2f} %"
        rows.append((name, *figures, run["limit_violations"], "" if points is None else f"{points:.2f} points"))
    columns = ("without", "of what was possible", "removed", "worse than none", "violations", "cost")
    print_table(columns, rows, title="What missing controllers cost", right=columns[1:], stderr=to_stderr)


def _pct(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"
