"""`mimctl lease`: what people and systems want of a running site for a while."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from mimctl.cli.live import LEASE_COLUMNS, LEASE_SPARE, lease_rows, time_left
from mimctl.cli.options import Finite, Number
from mimctl.cli.render import STDOUT, fail, json_option, print_table, write_json

#: a lock-out waits for its MIMs to be told
_PATIENCE_S = 60.0


@click.group(no_args_is_help=True, epilog="Example: mimctl lease grant site.yaml lock-out rack-a3 --reason 'PSU swap'")
def command() -> None:
    """List, grant or revoke leases: lock-outs, caps, pauses, setpoints and form mode with an owner, a reason and an end.

    The running service takes a lease as a bound of its next cycle. Where two contradict, the source decides: maintenance, operator,
    BMS, tenant, optimiser, in this order. The emergency stop stands above all: mimctl stop SITE --emergency.
    """


@command.command("list", epilog="Example: mimctl lease list site.yaml --json -")
@click.argument("site", type=click.Path(path_type=Path))
@json_option
def list_(site: Path, json_target: str | None) -> None:
    """Show every lease in force."""
    found = _ask(site, do="list")
    if json_target is not None:
        write_json(json_target, found)
    if json_target != STDOUT:
        if found["leases"]:
            print_table(LEASE_COLUMNS, lease_rows(found["leases"]), spare=LEASE_SPARE)
        else:
            click.echo("no lease is in force")


@command.command(
    "grant",
    epilog="""\b
Examples:
  mimctl lease grant site.yaml lock-out rack-a3 --reason 'PSU swap'
  mimctl lease grant site.yaml cap pdu-a1 --max-a 40 --for 2h
  mimctl lease grant site.yaml pause hall --for 30min
  mimctl lease grant site.yaml setpoint mim-a11 --port 1 --w 500 --for 30s
  mimctl lease grant site.yaml form mim-a11 --bus pdu-a1 --for 1h --reason 'feed A out for work'""",
)
@click.argument("site", type=click.Path(path_type=Path))
@click.argument("kind", type=click.Choice(["lock-out", "cap", "pause", "setpoint", "form"]))
@click.argument("scope")
@click.option("--for", "duration", help="How long, like 30s, 20 min, 2 h or 3 d. A lock-out may stand until it is revoked.")
@click.option("--reason", default="", help="For those who read it.")
@click.option("--max-va", type=Number(min=0), help="cap: |P + jQ| of each port in the scope [VA].")
@click.option("--max-a", type=Number(min=0), help="cap: per phase through a node's breaker, or of each port of a MIM [A].")
@click.option("--max-export-w", type=Finite(), help="cap: out of each phase of a head [W]; negative: at least so much flows in.")
@click.option("--port", "ports", type=click.IntRange(1), multiple=True, help="setpoint: port, counted from 1; again with --w.")
@click.option("--w", "watts", type=Finite(), multiple=True, help="setpoint: injection positive [W].")
@click.option("--var", "vars_", type=Finite(), multiple=True, help="setpoint: supplied vars positive [var]  [default: 0].")
@click.option("--bus", help="form: node or feed that the bus begins at: the one that the island's contactor supplies.")
@click.option(
    "--source",
    type=click.Choice(["operator", "bms", "tenant", "optimiser"]),
    help="Who speaks [default: operator].",
)
@click.option("--owner", help="Whose it is [default: the user who runs this].")
@json_option
def grant(
    site: Path,
    kind: str,
    scope: str,
    duration: str | None,
    reason: str,
    max_va: float | None,
    max_a: float | None,
    max_export_w: float | None,
    ports: tuple[int, ...],
    watts: tuple[float, ...],
    vars_: tuple[float, ...],
    bus: str | None,
    source: str | None,
    owner: str | None,
    json_target: str | None,
) -> None:
    """Grant a lease on SCOPE: a MIM, a port (mim-a11/2), a link, a node with all below it, a zone, or the site.

    A lock-out releases the MIMs of its scope and leaves them alone until it is revoked, over restarts too. It is no isolation:
    before work on conductors open and lock the isolator. Caps and pauses outlive a restart for what is left of their time,
    setpoints and form mode do not.

    Form mode has one MIM feed a bus that is cut off: it makes a dead bus alive. It is granted only while the contactor is proven
    open and the bus proven dead, and ends by itself when any of that is not proven any more; it takes another lease to begin again.
    """
    caps = {"max_va": max_va, "max_a": max_a, "max_export_w": max_export_w}
    _only_for("cap", kind, any(value is not None for value in caps.values()), "--max-va, --max-a and --max-export-w")
    _only_for("setpoint", kind, bool(ports or watts or vars_), "--port, --w and --var")
    _only_for("form", kind, bus is not None, "--bus")
    if source is not None and kind == "lock-out":
        raise click.UsageError("a lock-out has no --source: it is maintenance, above all but the emergency stop")
    wanted: dict[str, Any] = {"kind": kind.replace("-", "_"), "scope": scope, "reason": reason, "source": source, "owner": owner}
    wanted |= {name: value for name, value in caps.items() if value is not None}
    if bus is not None:
        wanted["bus"] = bus
    if kind == "setpoint":
        wanted["ports"] = _powers(ports, watts, vars_)
    if duration is not None:
        wanted["seconds"] = _seconds(duration)
    told = _ask(site, do="grant", **wanted)
    if json_target is not None:
        write_json(json_target, told)
    if json_target != STDOUT:
        lease = told["lease"]
        instead = f" (in place of {', '.join(told['replaced'])})" if told["replaced"] else ""
        click.echo(f"{lease['id']}: {lease['scope']} {lease['text']}, {_ends(lease)}{instead}")
    if over := told["lease"]["overruled_by"]:
        click.echo(f"it has no effect now: overruled by {over['text']}", err=True)
    if told["not_released"]:
        fail(f"not released yet: {', '.join(told['not_released'])}; it is tried again each cycle")


@command.command("revoke", epilog="Example: mimctl lease revoke site.yaml 3fa2c1")
@click.argument("site", type=click.Path(path_type=Path))
@click.argument("lease_id", metavar="ID")
@click.option("--owner", help="Who revokes it [default: the user who runs this].")
@json_option
def revoke(site: Path, lease_id: str, owner: str | None, json_target: str | None) -> None:
    """End a lease before its time; `mimctl lease list` shows the ids."""
    told = _ask(site, do="revoke", id=lease_id, owner=owner)
    if json_target is not None:
        write_json(json_target, told)
    if json_target != STDOUT:
        click.echo(f"{lease_id}: revoked")


def _ends(lease: Mapping[str, Any]) -> str:
    return "until it is revoked" if lease["expires_in_s"] is None else f"for {time_left(lease['expires_in_s'])}"


def _only_for(wanted: str, kind: str, given: bool, options: str) -> None:
    if given != (wanted == kind):
        raise click.UsageError(f"{options} go with '{wanted}'" if given else f"'{wanted}' needs {options.replace(' and ', ' or ')}")


def _powers(ports: tuple[int, ...], watts: tuple[float, ...], vars_: tuple[float, ...]) -> list[list[float] | None]:
    """By port, None where nothing is said; as long as the last port named: the service fills the rest up."""
    from mimctl.cli.device_write import wishes_of

    wishes = {int(wish["port"]): [wish["w"], wish["var"]] for wish in wishes_of(ports, watts, vars_)}
    return [wishes.get(n) for n in range(1, max(wishes) + 1)]


def _seconds(text: str) -> float:
    from mimctl.config.units import DURATION

    try:
        return DURATION.parse(text)
    except ValueError as error:
        raise click.BadParameter(f"{error} (how long, from now on; no instant)", param_hint="--for") from None


def _ask(site: Path, **arguments: Any) -> dict[str, Any]:
    from mimctl.cli.interrupts import loading

    with loading():
        from mimctl.cli.service_call import ask_service
        from mimctl.config.site import load_site

        loaded = load_site(site)
    return ask_service(loaded.id, site, "lease", timeout_s=_PATIENCE_S, **arguments)
