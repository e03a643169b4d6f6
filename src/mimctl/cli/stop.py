"""`mimctl stop SITE --emergency`: every MIM to its safe state, now, and no control until an operator clears it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from mimctl.cli.render import STDOUT, fail, json_option, write_json

#: a service that is alive releases within three seconds or says what it could not
_PATIENCE_S = 6.0


@click.command(
    epilog="""\b
Examples:
  mimctl stop site.yaml --emergency --reason 'smoke in row A'
  mimctl stop site.yaml --clear --yes"""
)
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--emergency", is_flag=True, help="Release every MIM now; nothing but releases is written until it is cleared.")
@click.option("--clear", is_flag=True, help="End an emergency stop: control begins again.")
@click.option("--yes", is_flag=True, help="With --clear: yes, control may begin again.")
@click.option("--reason", default="", help="With --emergency: for those who find the site stopped.")
@click.option("--owner", help="Who does it [default: the user who runs this].")
@json_option
def command(site: Path, emergency: bool, clear: bool, yes: bool, reason: str, owner: str | None, json_target: str | None) -> None:
    """Emergency stop of a site, or its end.

    The stop acts at once and stands over restarts. It works without a running service too: the next run then starts stopped, and
    the devices are released directly. SITE is the site file; where that is broken or elsewhere, the site's id will do.

    It takes away what mimctl commands. It disconnects nothing: open the breakers for that.
    """
    if emergency == clear:
        raise click.UsageError("give --emergency or --clear")
    if clear and not yes:
        raise click.UsageError("--clear lets control begin again: confirm it with --yes")
    told = _clear(site, owner) if clear else _emergency(site, owner, reason)
    if json_target is not None:
        write_json(json_target, told)
    if json_target != STDOUT:
        click.echo(told["text"])
    if told.get("trouble"):
        fail("; ".join(told["trouble"]))


def _emergency(file: Path, owner: str | None, reason: str) -> dict[str, Any]:
    from mimctl.cli.stop_alone import latch, stop_alone
    from mimctl.service.door import NoService, ask
    from mimctl.service.left_behind import in_words
    from mimctl.service.state_dir import socket_path, state_path

    site = _site_id(file)
    # first of all, for nobody knows yet whether the service can still listen
    stop, untold = latch(site, owner, reason)
    try:
        told: dict[str, Any] = ask(
            socket_path(state_path(site)), "stop", timeout_s=_PATIENCE_S, do="emergency", owner=stop.owner, reason=reason
        )
    except NoService:
        return stop_alone(file, stop, untold)
    trouble = []
    if told["not_released"]:
        left = in_words(told["not_released"], told["endless"])
        trouble.append(f"could not be released yet, it is tried again each cycle: {left}")
    if told["silent"]:
        trouble.append(f"never answered, so what they hold is not known: {', '.join(told['silent'])}")
    if told["not_kept"]:
        trouble.append(f"the stop does not outlive the service: {told['not_kept']}")
    text = f"{site}: EMERGENCY STOP is in force; mimctl stop {file} --clear --yes ends it"
    return {"site": site, "text": text, "trouble": trouble, "through": "service", **told}


def _clear(file: Path, owner: str | None) -> dict[str, Any]:
    from mimctl.service.door import NoService, ask
    from mimctl.service.lease_store import LeaseStore
    from mimctl.service.state_dir import site_lock, socket_path, state_path

    site = _site_id(file)
    directory = state_path(site)
    try:
        told: dict[str, Any] = ask(socket_path(directory), "stop", timeout_s=_PATIENCE_S, do="clear", yes=True, owner=owner)
    except NoService:
        told = {"cleared": False}
        if directory.is_dir():
            with site_lock(directory, site):
                store = LeaseStore(directory, site)
                told = {"cleared": store.in_force()}
                store.clear_stop()
    text = "the emergency stop is cleared" if told["cleared"] else "no emergency stop was in force"
    return {"site": site, "text": f"{site}: {text}", **told}


def _site_id(file: Path) -> str:
    """The id of a site by its file, even one with errors in it; or the id itself."""
    from mimctl.config.source import read_document
    from mimctl.model.errors import UserError
    from mimctl.service.state_dir import state_path

    document = read_document(file)
    with contextlib.suppress(TypeError, KeyError):
        found = document.data["site"]["id"]
        if isinstance(found, str) and found:
            return found
    if len(file.parts) == 1 and state_path(str(file)).is_dir():
        return str(file)
    known = sorted(p.name for p in state_path("x").parent.glob("*/") if p.is_dir())
    told = f"; sites that have been run here: {', '.join(known)}" if known else ""
    raise UserError(f"'{file}' is neither a site file nor the id of a site{told}")
