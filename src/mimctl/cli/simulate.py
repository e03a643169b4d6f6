"""`mimctl simulate SITE`: the same cycle on a virtual clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mimctl.cli.before_after import print_before_after, print_harmonics
from mimctl.cli.explain import show
from mimctl.cli.fault_table import print_faults
from mimctl.cli.interrupts import loading
from mimctl.cli.options import LOADS_HELP, Number, faults_option, positive, seed_option, without_option
from mimctl.cli.render import console, fail, json_option, print_table, progress, write_json
from mimctl.model.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from mimctl.control.explain.case import Question
    from mimctl.model.site import Site
    from mimctl.simulation.loads import ChosenLoads

#: ten years, and about as many steps as a computer does in a week
_LONGEST_H, _MOST_STEPS = 87_660.0, 10_000_000
#: a trace in which two rows are further apart than so many usual intervals has a hole
_HOLE = 2.0


@click.command(epilog="Example: mimctl simulate site_configs/demo.yaml --hours 2 --step 1 --json result.json")
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--loads", type=click.Path(path_type=Path), help=LOADS_HELP)
@click.option("--start", type=click.DateTime(), help="UTC instant to start at [default: the trace's beginning].")
@click.option("--hours", type=positive(_LONGEST_H), help="How long [default: the whole trace, or 1 h].")
@click.option("--step", type=Number(0.1, 3600), default=1.0, show_default=True, help="Control cycle, in s.")
@seed_option
@click.option("--optimum/--no-optimum", default=True, show_default=True, help="Work out the yardstick; off is about twice as fast.")
@faults_option
@without_option
@click.option("--explain-at", metavar="TIME", help="Tell why it was decided so at this time, as `mimctl explain --at` does.")
@click.option("--mim", metavar="ID", help="With --explain-at: of this MIM.")
@click.option("--node", metavar="ID", help="With --explain-at: of this feed, PDU or rack.")
@json_option
def command(
    site: Path,
    loads: Path | None,
    start: datetime | None,
    hours: float | None,
    step: float,
    seed: int | None,
    optimum: bool,
    faults: Path | None,
    without: tuple[str, ...],
    explain_at: str | None,
    mim: str | None,
    node: str | None,
    json_target: str | None,
) -> None:
    """Run a site on a virtual clock and compare before with after.

    The very control cycle of `run`, on measurements one cycle old, against the digital twin; beside it the same hours without
    control, with every MIM clipping its own rack, and the optimum with perfect knowledge.
    """
    with loading():
        from mimctl.config.faults import load_faults
        from mimctl.config.site import load_site
        from mimctl.service.logs import set_up
        from mimctl.simulation.engine import Request, simulate
        from mimctl.simulation.loads import choose_loads
        from mimctl.simulation.without import cost, left_out

    if explain_at is None and (mim is not None or node is not None):
        raise click.UsageError("--mim and --node go with --explain-at")
    if mim is not None and node is not None:
        raise click.UsageError("--mim and --node are two questions: ask one at a time")
    # a fault that is wanted is told in the table, not line by line
    set_up("error" if faults is None else "critical")
    if hours is not None:
        _refuse_endless(hours, step)
    with loading():
        loaded = load_site(site)
    missing = left_out(without, loaded)
    seed = loaded.twin.seed if seed is None else seed
    begin = None if start is None else start.replace(tzinfo=UTC)
    chosen = choose_loads(loaded, loads, start=begin, hours=hours, step_s=step, seed=seed)
    _refuse_endless(chosen.hours, step)
    _tell_loads(chosen)
    wrong = () if faults is None else load_faults(faults, loaded, start=chosen.start, seed=seed)
    request = Request(loaded, chosen.loads, chosen.start, chosen.hours, step, seed, optimum, wrong)
    if explain_at is not None:
        request = replace(request, explain=_question(explain_at, mim, node, chosen, loaded))
    with progress(f"simulating {chosen.hours:g} h", chosen.hours * 3600) as done:
        result = simulate(request, done)
    if without:
        again = choose_loads(loaded, loads, start=begin, hours=hours, step_s=step, seed=seed)
        with progress(f"once more without {', '.join(missing.names())}", chosen.hours * 3600) as done:
            less = simulate(replace(request, loads=again.loads, without=missing, explain=None), done)
        result["without"] = cost(result, less, missing)
    result["loads"] = chosen.trace if chosen.trace is not None else {"generator": seed}
    if json_target is not None:
        write_json(json_target, result)
    _summarise(loaded, result, to_stderr=json_target == "-")
    if without:
        _tell_without(result, to_stderr=json_target == "-")
    if faults is not None:
        print_faults(result["faults"], to_stderr=json_target == "-")
    if explain_at is not None and json_target != "-":
        click.echo()
        show(result["explained"])
    if result["fault"] is not None:
        fail(f"the result is not to be trusted: {result['fault']}")


def _question(at: str, mim: str | None, node: str | None, chosen: ChosenLoads, site: Site) -> Question:
    """What is to be explained; a time of day is that of the last day simulated, a time ago is counted from the end."""
    from mimctl.control.explain.case import Question
    from mimctl.control.explain.find import unknown
    from mimctl.service.instants import instant_of

    known = {"MIM": (mim, [m.id for m in site.mims]), "node": (node, [n.id for n in site.nodes])}
    for what, (name, every) in known.items():
        if name is not None and name not in every:
            raise UserError(unknown(what, name, every))
    end = chosen.start + timedelta(hours=chosen.hours)
    asked = instant_of(at, end, site.timezone)
    if not chosen.start <= asked <= end:
        raise UserError(
            f"--explain-at {at} is not in the time simulated, {chosen.start:%Y-%m-%dT%H:%M:%SZ} and {chosen.hours:g} h on"
        )
    return Question(mim, node, asked)


def _refuse_endless(hours: float, step_s: float) -> None:
    steps = hours * 3600 / step_s
    if steps > _MOST_STEPS:
        raise click.UsageError(
            f"{hours:g} h at {step_s:g} s are {steps:.3g} steps, the most is {_MOST_STEPS:.0e}: choose --hours or --step"
        )


def _tell_loads(chosen: ChosenLoads) -> None:
    """What of the trace is not used is said, not hidden."""
    trace, screen = chosen.trace, console(stderr=True)
    if trace is None:
        return
    screen.print(f"loads: {len(trace.columns_used)} columns, one value each {trace.interval_s:g} s")
    if trace.columns_ignored:
        screen.print(f"warning: {len(trace.columns_ignored)} columns drive no load of this site: {_some(trace.columns_ignored)}")
    if trace.loads_without_column:
        screen.print(
            f"warning: {len(trace.loads_without_column)} loads have no column and stay zero: {_some(trace.loads_without_column)}"
        )
    if trace.longest_interval_s > _HOLE * trace.interval_s:
        screen.print(f"warning: the trace has a hole of {trace.longest_interval_s:g} s; the values before it hold until its end")
    if trace.gaps_filled:
        screen.print(f"{trace.gaps_filled} gaps filled with the value before")


def _some(names: tuple[str, ...], shown: int = 4) -> str:
    return ", ".join(names[:shown]) + (", …" if len(names) > shown else "")


def _summarise(site: Site, result: Mapping[str, Any], *, to_stderr: bool) -> None:
    title = f"{site.name}: {result['hours']:g} h at {result['step_s']:g} s, without → with control"
    print_before_after(site, result, title, to_stderr=to_stderr)
    screen = console(stderr=to_stderr)
    screen.print()
    print_harmonics(site, result, to_stderr=to_stderr)
    _tell_harmonics(screen, result)
    screen.print(
        f"removed {_pct(result['removed_share'])} of the imbalance, {_pct(result['achieved_share'])} of what was possible "
        f"(clip rule {_pct(result['rule_share'])}); worse than none in {result['worse_than_none_pct']:.2f} % of the time"
    )
    overload = (result[name]["site"]["overload_min"] for name in ("baseline", "controlled"))
    screen.print(
        f"overload {' → '.join(f'{minutes:.1f}' for minutes in overload)} min; limit violations caused by control: "
        f"{result['limit_violations']}; relied on MIMs for {result['relied_on_min']:.1f} min"
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
