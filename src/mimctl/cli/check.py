"""`mimctl check`: every problem of site files, at its line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mimctl.cli.render import STDOUT, json_option, write_json
from mimctl.config.quoting import count
from mimctl.model.latency import LatencyClass

if TYPE_CHECKING:
    from mimctl.config.source import Document
    from mimctl.control.delays.stability import LoopMargin
    from mimctl.model.problem import Problem
    from mimctl.model.site import Site

_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}

#: further problems of the same code are counted only
MOST_OF_A_KIND = 50


class _FileName(click.Path):
    """A path; an empty text, as an unset variable of a shell gives it, would mean the directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the name of the file is empty", param, ctx)
        return super().convert(value, param, ctx)


@click.command(
    "check",
    epilog="Example:  mimctl check site_configs/demo.yaml --json problems.json",
)
@click.argument("sites", metavar="SITE...", nargs=-1, required=True, type=_FileName(path_type=Path))
@click.option("--all", "show_all", is_flag=True, help=f"Show every problem, also where more than {MOST_OF_A_KIND} are of one kind.")
@json_option
@click.pass_context
def command(context: click.Context, sites: tuple[Path, ...], show_all: bool, json_target: str | None) -> None:
    """Find every problem of site files and of the device profiles they name.

    Each problem is one line: file:line:column path: message [code]. The exit code is 1 if there is an error; a warning
    does not stop a site from running. The golden vectors of the profiles are run. A device profile may be given in place
    of a site. Of a sound site the timing of control is shown: how often each class of MIMs is commanded, how late it acts by
    the site file, and how much later it may be before control would swing.
    """
    found: list[Problem] = []
    loops: list[dict[str, object]] = []
    for path in sites:
        contents, problems, margins, air = _judge(path)
        found += problems
        loops += [{"file": str(path), **asdict(margin)} for margin in margins]
        print_problems(problems, err=json_target == STDOUT, most=None if show_all else MOST_OF_A_KIND)
        click.echo(_summary(path, contents, problems), err=json_target == STDOUT)
        for line in (*_loop_lines(margins), *air):
            click.echo(line, err=json_target == STDOUT)
    if json_target is not None:
        write_json(json_target, {"problems": [_plain(problem) for problem in found], "loops": loops})
    if has_error(found):
        context.exit(1)


def _judge(path: Path) -> tuple[str | None, list[Problem], tuple[LoopMargin, ...], list[str]]:
    """What the file holds, None where it has an error; its problems; the loops of a sound site and what its radios need."""
    from mimctl.cli.profile_kinds import is_profile, kind_of
    from mimctl.config.source import read_document

    document = read_document(path)
    if is_profile(document.data):
        problems, wrong, _ = kind_of(document.data).judge(path)
        problems += wrong
        return None if has_error(problems) else "a device profile", problems, (), []
    return _judge_site(document)


def _judge_site(document: Document) -> tuple[str | None, list[Problem], tuple[LoopMargin, ...], list[str]]:
    """What every room says about a site: those that see the file as it stands, and those that need it whole."""
    from mimctl.config.site import check_document, order_in, placed

    site, problems = check_document(document)
    if site is None:
        return None, problems, (), []
    from mimctl.cli.profile_kinds import site_vectors
    from mimctl.control.delays.stability import loop_margins
    from mimctl.safety.check import check as check_safety

    problems += placed(document, check_safety(site))
    problems += site_vectors(site)
    problems.sort(key=order_in(document.path))
    if has_error(problems):
        return None, problems, (), []
    return _contents(site), problems, loop_margins(site), _air_lines(site, document.path.parent)


def _air_lines(site: Site, folder: Path) -> list[str]:
    """What the LoRaWAN links of a sound site need of the air."""
    links = [link for link in site.links if link.lorawan is not None]
    if not links:
        return []
    from mimctl.config.air_budget import site_budgets
    from mimctl.config.profiles.payload_profile import PAYLOAD_PROFILES

    budgets = site_budgets(site, PAYLOAD_PROFILES.sound({mim.address.profile for mim in site.mims}, folder))
    return [line for link, budget in budgets for line in budget.lines(link)]


def _loop_lines(margins: Iterable[LoopMargin]) -> list[str]:
    """One line for the loops of a kind that are alike: how fast control is, and how much slower the devices may be."""
    alike: dict[LoopMargin, list[LoopMargin]] = {}
    for margin in margins:
        alike.setdefault(replace(margin, zone="", mims=0), []).append(margin)
    return [_loop_line(loop, members) for loop, members in alike.items()]


def _loop_line(loop: LoopMargin, members: Sequence[LoopMargin]) -> str:
    where = f"zone {members[0].zone}" if len(members) == 1 else f"{len(members)} zones"
    number = sum(margin.mims for margin in members)
    mims = f"{count(number, f'{loop.kind.value} MIM')}, commanded every {loop.every_s:g} s"
    acts = f"{'acts' if number == 1 else 'act'} {loop.dead_s:g} s after the measurement"
    if loop.later_s:
        room = (
            f"stable up to {loop.dead_s + loop.later_s:g} s (margin {loop.later_s:g} s); a running service measures it, and its "
            "event mim.slower_than_declared names each MIM whose latency.delay must be larger"
        )
    elif loop.kind is LatencyClass.FAST:
        room = (
            f"stable while each reports what it puts out: reports may be {loop.report_age_s:g} s old (margin "
            f"{max(loop.report_age_s - max(loop.every_s, loop.dead_s), 0):g} s); one whose reports are older is no longer commanded"
        )
    else:
        room = "stable as long as each reports what it puts out (margin without: 0 s); rather declare too long a latency.delay"
    return f"control of {where}: {mims}, {acts}; {room}"


def has_error(problems: Iterable[Problem]) -> bool:
    return any(problem.severity == "error" for problem in problems)


def print_problems(problems: Iterable[Problem], *, err: bool = False, most: int | None = None) -> None:
    """One line each, coloured on a terminal.

    Args:
        most: lines of one code; what is more of it is counted at the end. None = all.
    """
    shown: Counter[str] = Counter()
    for problem in problems:
        shown[problem.code] += 1
        if most is None or shown[problem.code] <= most:
            click.echo(_line(problem), err=err)
    for code, number in shown.items():
        if most is not None and number > most:
            click.echo(f"… and {number - most} more of this kind [{code}]; --all shows them", err=err)


def _line(problem: Problem) -> str:
    word = click.style(problem.severity.value, fg=_COLOURS[problem.severity.value])
    return f"{problem}" if problem.severity == "error" else f"{problem} {word}"


def _summary(path: Path, contents: str | None, problems: list[Problem]) -> str:
    counts = Counter(problem.severity.value for problem in problems)
    trouble = ", ".join(count(counts[kind], kind) for kind in ("error", "warning") if counts[kind])
    if contents is None:
        return f"{path}: {trouble}"
    return f"{path}: fine{f' but for {trouble}' if trouble else ''} ({contents})"


def _contents(site: Site) -> str:
    kinds = Counter(node.kind.value for node in site.nodes)
    parts = [
        (len(site.mims), "MIM"),
        (kinds["pdu"], "PDU"),
        (kinds["rack"], "rack"),
        (len(site.nodes), "node"),
        (len(site.meters), "meter"),
        (len(site.batteries), "battery"),
        (len(site.transfers), "transfer device"),
        (len(site.islands), "island"),
        (len(site.zones), "zone"),
    ]
    return ", ".join(count(number, word) for number, word in parts if number)


def _plain(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "code": problem.code,
        "severity": problem.severity,
        "message": problem.message,
    }
