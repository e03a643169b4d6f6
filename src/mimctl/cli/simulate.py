"""`mimctl simulate SITE`: the same cycle on a virtual clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mimctl.cli.before_after import print_before_after
from mimctl.cli.render import console, fail, json_option, progress, write_json

if TYPE_CHECKING:
    from mimctl.model.site import Site
    from mimctl.simulation.loads import ChosenLoads


@click.command(epilog="Example: mimctl simulate site_configs/demo.yaml --hours 2 --step 1 --json result.json")
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--loads", type=click.Path(path_type=Path), help="Trace of loads, CSV or CSV.gz [default: the built-in generator].")
@click.option("--start", type=click.DateTime(), help="UTC instant to start at [default: the trace's beginning].")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), help="How long [default: the whole trace, or 1 h].")
@click.option("--step", type=click.FloatRange(min=0.1, max=3600), default=1.0, show_default=True, help="Control cycle, in s.")
@click.option("--seed", type=int, help="Of loads and noise [default: the site's twin.seed].")
@click.option("--optimum/--no-optimum", default=True, show_default=True, help="Work out the yardstick; off is about twice as fast.")
@json_option
def command(
    site: Path,
    loads: Path | None,
    start: datetime | None,
    hours: float | None,
    step: float,
    seed: int | None,
    optimum: bool,
    json_target: str | None,
) -> None:
    """Run a site on a virtual clock and compare before with after.

    The very control cycle of `run`, on measurements one cycle old, against the digital twin; beside it the same hours without
    control, with every MIM clipping its own rack, and the optimum with perfect knowledge.
    """
    from mimctl.config.site import load_site
    from mimctl.service.logs import set_up
    from mimctl.simulation.engine import Request, simulate
    from mimctl.simulation.loads import choose_loads

    set_up("error")
    loaded = load_site(site)
    seed = loaded.twin.seed if seed is None else seed
    begin = None if start is None else start.replace(tzinfo=UTC)
    chosen = choose_loads(loaded, loads, start=begin, hours=hours, step_s=step, seed=seed)
    _tell_loads(chosen)
    request = Request(loaded, chosen.loads, chosen.start, chosen.hours, step, seed, optimum)
    with progress(f"simulating {chosen.hours:g} h", chosen.hours * 3600) as done:
        result = simulate(request, done)
    result["loads"] = chosen.trace if chosen.trace is not None else {"generator": seed}
    if json_target is not None:
        write_json(json_target, result)
    _summarise(loaded, result, to_stderr=json_target == "-")
    if result["fault"] is not None:
        fail(f"the result is not to be trusted: {result['fault']}")


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
    if trace.gaps_filled:
        screen.print(f"{trace.gaps_filled} gaps filled with the value before")


def _some(names: tuple[str, ...], shown: int = 4) -> str:
    return ", ".join(names[:shown]) + (", …" if len(names) > shown else "")


def _summarise(site: Site, result: Mapping[str, Any], *, to_stderr: bool) -> None:
    title = f"{site.name}: {result['hours']:g} h at {result['step_s']:g} s, without → with control"
    print_before_after(site, result, title, to_stderr=to_stderr)
    screen = console(stderr=to_stderr)
    screen.print()
    screen.print(
        f"removed {_pct(result['removed_share'])} of the imbalance, {_pct(result['achieved_share'])} of what was possible "
        f"(clip rule {_pct(result['rule_share'])}); worse than none in {result['worse_than_none_pct']:.2f} % of the time"
    )
    screen.print(
        f"limit violations {result['limit_violations']}, clamps {result['clamps']}, refusals {result['refusals']}, "
        f"writes {result['writes']}, relied on MIMs for {result['relied_on_min']:.1f} min"
    )
    cycle = result["cycle_ms"]
    screen.print(
        f"{result['cycles']} cycles in {result['wall_s']:.1f} s ({result['times_real_time']:.0f}× real time); "
        f"cycle p50 {cycle['p50']:.1f} ms, p99 {cycle['p99']:.1f} ms"
    )


def _pct(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"
