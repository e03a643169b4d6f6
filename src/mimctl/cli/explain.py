"""`mimctl explain SITE`: why the running service decided what it did."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import click

from mimctl.cli.interrupts import loading
from mimctl.cli.render import PIPE_WIDTH, STDOUT, console, json_option, print_table, write_json

#: an explanation is worked out beside the service, which gives up before this
_PATIENCE_S = 90.0
_COLUMNS = ("MIM", "load moved by its ports", "written", "held back by")
_SPARE = ("written",)


@click.command(
    epilog="""\b
Examples:
  mimctl explain site.yaml --mim mim-a11
  mimctl explain site.yaml --node pdu-a1 --at 14:30:05
  mimctl explain site.yaml --zone zone-a --at -5min --json why.json"""
)
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--at", help="When: 14:30:05 by the site's clock, 2026-03-01T13:30:05Z, or -5min  [default: the last decision].")
@click.option("--mim", metavar="ID", help="Why this MIM does what it does.")
@click.option("--node", metavar="ID", help="What was decided for this feed, PDU or rack.")
@click.option("--zone", metavar="ID", help="This zone only.")
@json_option
def command(site: Path, at: str | None, mim: str | None, node: str | None, zone: str | None, json_target: str | None) -> None:
    """Tell in sentences why the running service decided what it did.

    Without --mim and --node: a summary of the decision of each zone, and every MIM in a line. The service remembers each decision
    of the last minutes, and fewer of the hours before. What might have been is worked out beside it, so that no cycle waits.
    """
    if mim is not None and node is not None:
        raise click.UsageError("--mim and --node are two questions: ask one at a time")
    with loading():
        from mimctl.cli.service_call import ask_service
        from mimctl.config.site import load_site

        loaded = load_site(site)
    wanted = {"at": at, "mim": mim, "node": node, "zone": zone}
    told = ask_service(loaded.id, site, "explain", timeout_s=_PATIENCE_S, **wanted)
    if json_target is not None:
        write_json(json_target, told)
    if json_target != STDOUT:
        show(told["answers"])


def show(answers: Sequence[Mapping[str, Any]]) -> None:
    """Print answers as `control.explain.answer` gives them."""
    for i, answer in enumerate(answers):
        if i:
            click.echo()
        for line in lines_of(answer, console().width if sys.stdout.isatty() else PIPE_WIDTH):
            click.echo(line)
        if answer.get("mims"):
            click.echo()
            print_table(_COLUMNS, [_row(mim) for mim in answer["mims"]], spare=_SPARE)


def lines_of(answer: Mapping[str, Any], width: int = PIPE_WIDTH) -> list[str]:
    """One answer as text: a title that stands out, its sentences below."""
    lines: list[str] = []
    for section in answer["sections"]:
        if lines:
            lines += ["", section["title"][:1].upper() + section["title"][1:]]
        indent = "  " if lines else ""
        for line in section["lines"]:
            lines += wrap(line, width, initial_indent=indent, subsequent_indent=f"{indent}    ", break_on_hyphens=False)
    return lines


def _row(mim: Mapping[str, Any]) -> list[str]:
    codes = dict.fromkeys(reason["code"] for reason in mim["reasons"])
    return [mim["mim"], mim["does"], mim["wrote"], ", ".join(codes) or "nothing"]
