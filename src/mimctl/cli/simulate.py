"""`mimctl simulate SITE`: the same cycle on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mimctl.cli.explain import show
from mimctl.cli.interrupts import loading
from mimctl.cli.options import LOADS_HELP, Number, faults_option, positive, radio_options, seed_option, without_option
from mimctl.cli.render import STDOUT, console, fail, json_option, progress, write_json
from mimctl.cli.simulate_result import print_result
from mimctl.model.errors import UserError

if TYPE_CHECKING:
    from mimctl.control.explain.case import Question
    from mimctl.model.fault import Fault
    from mimctl.model.site import Site
    from mimctl.simulation.engine import Request
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
@radio_options
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
    frame_loss: float,
    compare: str | None,
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
        from mimctl.simulation.engine import Request
        from mimctl.simulation.loads import choose_loads
        from mimctl.simulation.radio_compare import radio_links
        from mimctl.simulation.without import cost, left_out

    _refuse_half_questions(explain_at, mim, node)
    _refuse_two_questions(compare, faults)
    if hours is not None:
        _refuse_endless(hours, step)
    with loading():
        loaded = load_site(site)
    # faults that are wanted, and frames that radios lose, are told in tables, not line by line
    set_up("critical" if faults is not None or _has_radio(loaded) else "error")
    missing = left_out(without, loaded)
    seed = loaded.twin.seed if seed is None else seed
    begin = None if start is None else start.replace(tzinfo=UTC)
    choose = partial(choose_loads, trace=loads, start=begin, hours=hours, step_s=step, seed=seed)
    chosen = choose(loaded)
    _refuse_endless(chosen.hours, step)
    _tell_loads(chosen)
    wrong = () if faults is None else load_faults(faults, loaded, start=chosen.start, seed=seed)
    _refuse_double_loss(frame_loss, wrong, loaded)
    if compare is not None:
        radio_links(loaded)
    asked = None if explain_at is None else _question(explain_at, mim, node, chosen, loaded)
    request = Request(
        loaded, chosen.loads, chosen.start, chosen.hours, step, seed, optimum, wrong, explain=asked, frame_loss_pct=frame_loss
    )
    result = _simulated(request, f"simulating {chosen.hours:g} h")
    if without:
        again = replace(request, loads=choose(loaded).loads, without=missing, explain=None)
        result["without"] = cost(result, _simulated(again, f"once more without {', '.join(missing.names())}"), missing)
    if compare is not None:
        result["radios"] = _with_and_without_radios(request, result, choose)
    result["loads"] = chosen.trace if chosen.trace is not None else {"generator": seed}
    _tell(loaded, result, json_target, faults=faults is not None)


def _tell(site: Site, result: Mapping[str, Any], json_target: str | None, *, faults: bool) -> None:
    """The result to whoever wants it; a run that is not to be trusted ends in failure all the same."""
    if json_target is not None:
        write_json(json_target, result)
    print_result(site, result, faults=faults, to_stderr=json_target == STDOUT)
    if result.get("explained") is not None and json_target != STDOUT:
        click.echo()
        show(result["explained"])
    if result["fault"] is not None:
        fail(f"the result is not to be trusted: {result['fault']}")


def _refuse_half_questions(explain_at: str | None, mim: str | None, node: str | None) -> None:
    if explain_at is None and (mim is not None or node is not None):
        raise click.UsageError("--mim and --node go with --explain-at")
    if mim is not None and node is not None:
        raise click.UsageError("--mim and --node are two questions: ask one at a time")


def _refuse_two_questions(compare: str | None, faults: Path | None) -> None:
    if compare is not None and faults is not None:
        raise click.UsageError("--compare radios and --faults are two questions: lose frames with --frame-loss")


def _has_radio(site: Site) -> bool:
    return any(link.type.is_radio for link in site.links)


def _refuse_double_loss(frame_loss: float, wrong: Sequence[Fault], site: Site) -> None:
    """Of two shares for one link the end of one would end both."""
    from mimctl.model.fault import FaultKind

    if frame_loss and not _has_radio(site):
        raise click.UsageError(f"--frame-loss is for radio links, and site '{site.id}' has none")
    radios = {link.id for link in site.links if link.type.is_radio}
    twice = {link for fault in wrong if fault.kind is FaultKind.LINK_LOSS for link in fault.targets} & radios
    if frame_loss and twice:
        raise click.UsageError(f"--frame-loss and a 'link_loss' in --faults are both of the link '{min(twice)}': leave one out")


def _with_and_without_radios(request: Request, result: dict[str, Any], choose: Callable[..., ChosenLoads]) -> dict[str, Any]:
    """The same hours as if every MIM were wired, and without radios, beside the run that was made."""
    from mimctl.simulation.radio_compare import AS_IT_IS, AS_WIRED, NO_RADIOS, as_wired, compared, without_radios

    wired = as_wired(request.site)
    runs = {
        AS_WIRED: replace(request, site=wired, loads=choose(wired).loads, frame_loss_pct=0.0, explain=None),
        NO_RADIOS: replace(request, loads=choose(request.site).loads, without=without_radios(request.site), explain=None),
    }
    titles = {AS_WIRED: "once more as if all were wired", NO_RADIOS: "once more without radios"}
    return compared(
        {AS_IT_IS: result} | {name: _simulated(run, titles[name]) for name, run in runs.items()}, request.frame_loss_pct
    )


def _simulated(request: Request, what: str) -> dict[str, Any]:
    """The result of one run, with a bar while it goes on."""
    from mimctl.simulation.engine import simulate

    with progress(what, request.hours * 3600) as done:
        return simulate(request, done)


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
