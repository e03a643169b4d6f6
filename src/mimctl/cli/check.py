"""`mimctl check`: every problem of site files, at its line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mimctl.cli.render import STDOUT, json_option, write_json

if TYPE_CHECKING:
    from mimctl.model.problem import Problem
    from mimctl.model.site import Site

_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}


@click.command(
    "check",
    epilog="Example:  mimctl check site_configs/demo.yaml --json problems.json",
)
@click.argument("sites", metavar="SITE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
@click.pass_context
def command(context: click.Context, sites: tuple[Path, ...], json_target: str | None) -> None:
    """Find every problem of site files and of the device profiles they name.

    Each problem is one line: file:line:column path: message [code]. The exit code is 1 if there is an error; a warning
    does not stop a site from running.
    """
    from mimctl.config.site import check_site

    found: list[Problem] = []
    for path in sites:
        site, problems = check_site(path)
        found += problems
        for problem in problems:
            click.echo(_line(problem), err=json_target == STDOUT)
        click.echo(_summary(path, site, problems), err=json_target == STDOUT)
    if json_target is not None:
        write_json(json_target, {"problems": [_plain(problem) for problem in found]})
    if any(problem.severity == "error" for problem in found):
        context.exit(1)


def _line(problem: Problem) -> str:
    word = click.style(problem.severity.value, fg=_COLOURS[problem.severity.value])
    return f"{problem}" if problem.severity == "error" else f"{problem} {word}"


def _summary(path: Path, site: Site | None, problems: list[Problem]) -> str:
    counts = Counter(problem.severity.value for problem in problems)
    trouble = ", ".join(_count(counts[kind], kind) for kind in ("error", "warning") if counts[kind])
    if site is None:
        return f"{path}: {trouble}"
    return f"{path}: fine{f' but for {trouble}' if trouble else ''} ({_contents(site)})"


def _contents(site: Site) -> str:
    kinds = Counter(node.kind.value for node in site.nodes)
    parts = [
        (len(site.mims), "MIM"),
        (kinds["pdu"], "PDU"),
        (kinds["rack"], "rack"),
        (len(site.nodes), "node"),
        (len(site.meters), "meter"),
        (len(site.batteries), "battery"),
        (len(site.zones), "zone"),
    ]
    return ", ".join(_count(number, word) for number, word in parts if number)


def _count(number: int, word: str) -> str:
    plural = word[:-1] + "ies" if word.endswith("y") else word + "s"
    return f"{number} {word if number == 1 else plural}"


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
