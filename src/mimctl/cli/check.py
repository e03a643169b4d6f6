"""`mimctl check`: every problem of site files, at its line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
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
    does not stop a site from running. A device profile may be given in place of a site.
    """
    found: list[Problem] = []
    for path in sites:
        contents, problems = _judge(path)
        found += problems
        print_problems(problems, err=json_target == STDOUT)
        click.echo(_summary(path, contents, problems), err=json_target == STDOUT)
    if json_target is not None:
        write_json(json_target, {"problems": [_plain(problem) for problem in found]})
    if any(problem.severity == "error" for problem in found):
        context.exit(1)


def _judge(path: Path) -> tuple[str | None, list[Problem]]:
    """What the file holds, None where it has an error; and its problems."""
    from mimctl.config.site import check_document
    from mimctl.config.source import read_document

    document = read_document(path)
    if isinstance(document.data, dict) and "points" in document.data and not {"site", "nodes"} & document.data.keys():
        from mimctl.config.profile import check_profile

        problems = check_profile(path)
        return None if any(p.severity == "error" for p in problems) else "a device profile", problems
    site, problems = check_document(document)
    return None if site is None else _contents(site), problems


def print_problems(problems: Iterable[Problem], *, err: bool = False) -> None:
    """One line each, coloured on a terminal."""
    for problem in problems:
        click.echo(_line(problem), err=err)


def _line(problem: Problem) -> str:
    word = click.style(problem.severity.value, fg=_COLOURS[problem.severity.value])
    return f"{problem}" if problem.severity == "error" else f"{problem} {word}"


def _summary(path: Path, contents: str | None, problems: list[Problem]) -> str:
    counts = Counter(problem.severity.value for problem in problems)
    trouble = ", ".join(_count(counts[kind], kind) for kind in ("error", "warning") if counts[kind])
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
