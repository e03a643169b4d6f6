"""What `mimctl device write` asks for and shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from mimctl.cli.render import STDOUT, print_table, write_json

_COLUMNS = ("port", "node", "connection", "wanted W", "wanted var", "setpoint W", "setpoint var")


def wishes_of(ports: Sequence[int], watts: Sequence[float], vars_: Sequence[float]) -> list[dict[str, float]]:
    """The ports with their powers, as the service takes them.

    Raises:
        click.UsageError: the options do not pair up.
    """
    if not ports or len(ports) != len(watts) or len(vars_) not in (0, len(ports)):
        raise click.UsageError("give --port and --w as often as each other, and --var for all ports or none")
    if len(set(ports)) != len(ports):
        raise click.UsageError("a port is given twice")
    return [{"port": port, "w": w, "var": var} for port, w, var in zip(ports, watts, vars_ or [0.0] * len(ports), strict=True)]


def show_write(told: Mapping[str, Any], seconds: float, json_target: str | None) -> None:
    """The ports, what the judge said, and what became of it."""
    if json_target is not None:
        write_json(json_target, told)
    to_stderr = json_target == STDOUT
    rows = [
        (
            p["port"],
            p["node"],
            p["connection"],
            _power(p["wanted_w"]),
            _power(p["wanted_var"]),
            _power(p["setpoint_w"]),
            _power(p["setpoint_var"]),
        )
        for p in told["ports"]
    ]
    print_table(_COLUMNS, rows, right=("port", *_COLUMNS[3:]), stderr=to_stderr)
    for port in told["ports"]:
        if port.get("why_not"):
            click.echo(f"port {port['port']} is not met: {port['why_not']['text']} ({port['why_not']['code']})", err=to_stderr)
    named = {port["why_not"]["code"] for port in told["ports"] if port.get("why_not")}
    for judgement in (j for j in told["judgements"] if j["code"] not in named or j["verdict"] != "scaled"):
        click.echo(f"judge: {judgement['verdict']}: {judgement['text']} ({judgement['code']})", err=to_stderr)
    well = told["applied"] or (told["outcome"] is None and agreed(told))
    click.echo(_outcome(told, seconds) if well else f"mimctl: {_outcome(told, seconds)}", err=to_stderr or not well)


#: what to try instead, by the code of a refusal
_HINTS = {"plan.unbalanced": "leave a port out: it takes what the others need, and without a battery nothing else can"}


def agreed(told: Mapping[str, Any]) -> bool:
    """Whether the judge lets something of it through."""
    refused = any(judgement["verdict"] in ("refused", "excluded") for judgement in told["judgements"])
    return told["action"] in ("send", "refresh") and not refused


def _outcome(told: Mapping[str, Any], seconds: float) -> str:
    partly = any(port.get("met") is False for port in told["ports"])
    if told["applied"]:
        return f"{told['mim']}: written{', as far as it goes' if partly else ''}; stands for {seconds:g} s"
    if told["outcome"] is not None and told["outcome"]["error"]:
        return f"{told['mim']}: nothing was written: {told['outcome']['error']}"
    if agreed(told):
        return f"{told['mim']}: this would be written{', as far as it goes' if partly else ''}; --yes writes it"
    hint = next((f"; {_HINTS[j['code']]}" for j in told["judgements"] if j["code"] in _HINTS), "")
    return f"{told['mim']}: no setpoint would be written now{hint}"


def _power(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
