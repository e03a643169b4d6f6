"""`mimctl zigbee …`: form a network, let one device in, keep and bring back a backup, see who is there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mimctl.cli.options import positive
from mimctl.cli.render import STDOUT, fail, json_option, print_table, write_json

if TYPE_CHECKING:
    from mimctl.model.link import Link
    from mimctl.model.site import Site
    from mimctl.model.zigbee import ZigbeeRadio
    from mimctl.wire.zigbee.hands import Network

_T = TypeVar("_T")
_AnyFunction = TypeVar("_AnyFunction", bound=Callable[..., Any])
#: what is done with a coordinator and its database
_Work = Callable[["ZigbeeRadio", Path], Coroutine[Any, Any, _T]]
#: how long a service may take: an old stick reads its memory for minutes, a map asks every router [s]
_PATIENCE_S, _BACKUP_S, _MAP_S = 30.0, 240.0, 1800.0


def _site_argument(function: _AnyFunction) -> _AnyFunction:
    function = click.option("--link", "link_id", help="Which Zigbee link, where the site has several.")(function)
    return click.argument("site", type=click.Path(path_type=Path))(function)


@click.group(no_args_is_help=True, epilog="Example: mimctl zigbee devices site.yaml --json -")
def command() -> None:
    """Form a Zigbee network, let devices in, keep backups.

    A running service is asked, for it has the coordinator. `form` and `restore` need the coordinator for themselves: stop the
    service first.
    """


@command.command(epilog="Example: mimctl zigbee form site.yaml --channel 20")
@_site_argument
@click.option("--channel", type=click.IntRange(11, 26), help="Radio channel [default: the quietest of 11, 15, 20 and 25].")
@click.option("--replace", is_flag=True, help="Give up the network that the coordinator has: every device has to join anew.")
@json_option
def form(site: Path, link_id: str | None, channel: int | None, replace: bool, json_target: str | None) -> None:
    """Form a new network with a random key. A coordinator that has one keeps it."""
    from mimctl.wire.zigbee import hands, network

    def run(radio: ZigbeeRadio, database: Path) -> Coroutine[Any, Any, Network]:
        return network.form(radio, database, channel=channel, replace=replace)

    found = _alone(*_coordinator(site, link_id), "form", run)
    _show(json_target, hands.plain(found), _network_text("formed", found))


@command.command(
    epilog="""\b
Example:
  mimctl zigbee permit site.yaml --eui 00124b0014d9a1b2 --install-code - < code.txt"""
)
@_site_argument
@click.option("--eui", required=True, help="Address of the device, as printed on it: sixteen hexadecimal digits.")
@click.option("--install-code", required=True, help="Its install code; - reads it from standard input.")
@click.option("--seconds", type=positive(60.0), default=60.0, show_default=True, help="How long to wait for it.")
@json_option
def permit(site: Path, link_id: str | None, eui: str, install_code: str, seconds: float, json_target: str | None) -> None:
    """Let one device in by its install code, and close the network behind it. Nobody joins without one."""
    from mimctl.wire.zigbee import hands, network

    code = sys.stdin.readline().strip() if install_code == "-" else install_code

    async def run(radio: ZigbeeRadio, database: Path) -> dict[str, Any]:
        return hands.plain(await network.permit(radio, database, eui, code, seconds))

    if sys.stderr.isatty():
        click.echo(f"waiting {seconds:.0f} s for {eui}: put it into joining mode …", err=True)
    asked = {"do": "permit", "eui": eui, "install_code": code, "seconds": seconds}
    found = _ask_or_do(site, link_id, asked, run, seconds + _PATIENCE_S)
    others = found["turned_away"]
    text = f"{found['eui']} joined: {found['maker']} {found['model']}"
    _show(json_target, found, text if not others else f"{text}\nothers tried {others} times and were turned away")


@command.command(epilog="Example: mimctl zigbee backup site.yaml --to coordinator.json")
@_site_argument
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="File to write; only its owner may read it.")
@json_option
def backup(site: Path, link_id: str | None, target: Path, json_target: str | None) -> None:
    """Write what another coordinator needs to take over. The file holds the network key; the result of --json does not."""
    from mimctl.wire.zigbee import network
    from mimctl.wire.zigbee.radios import write_private

    kept = _ask_or_do(site, link_id, {"do": "backup"}, network.backup, _BACKUP_S)
    write_private(target, json.dumps(kept, indent=1) + "\n")
    _show(json_target, {"file": str(target)}, f"{target}: keep it as you keep a key, for it holds one")


@command.command(epilog="Example: mimctl zigbee restore site.yaml --from coordinator.json --yes")
@_site_argument
@click.option("--from", "source", type=click.Path(path_type=Path), required=True, help="File that `backup` wrote.")
@click.option("--yes", is_flag=True, help="Yes, the network that the coordinator has now may go.")
@json_option
def restore(site: Path, link_id: str | None, source: Path, yes: bool, json_target: str | None) -> None:
    """Put a backup on a coordinator: devices go on as if nothing had been."""
    from mimctl.wire.zigbee import hands, network

    if not yes:
        raise click.UsageError("the coordinator's present network is overwritten: confirm it with --yes")
    try:
        kept = json.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"{source}: {error.strerror}")
    except ValueError:
        fail(f"{source}: this is no backup of a Zigbee network")

    def run(radio: ZigbeeRadio, database: Path) -> Coroutine[Any, Any, Network]:
        return network.restore(radio, database, kept)

    found = _alone(*_coordinator(site, link_id), "restore", run)
    _show(json_target, hands.plain(found), _network_text("restored", found))


@command.command(epilog="Example: mimctl zigbee devices site.yaml --json devices.json")
@_site_argument
@json_option
def devices(site: Path, link_id: str | None, json_target: str | None) -> None:
    """List the devices that the coordinator knows."""
    from mimctl.wire.zigbee import hands, network

    async def run(radio: ZigbeeRadio, database: Path) -> list[dict[str, Any]]:
        return [hands.plain(found) for found in await network.devices(radio, database)]

    found = _ask_or_do(site, link_id, {"do": "devices"}, run, _PATIENCE_S)
    rows = [
        (d["eui"], d["nwk"], d["maker"] or "", d["model"] or "", _age(d["age_s"]), "yes" if d["ready"] else "no") for d in found
    ]
    _table(json_target, found, ("eui", "short", "maker", "model", "heard", "known"), rows)


@command.command("map", epilog="Example: mimctl zigbee map site.yaml --link mesh")
@_site_argument
@json_option
def map_(site: Path, link_id: str | None, json_target: str | None) -> None:
    """Ask every router whom it hears, and how well (0 to 255). Takes a few seconds for each."""
    from mimctl.wire.zigbee import hands, network

    async def run(radio: ZigbeeRadio, database: Path) -> list[dict[str, Any]]:
        return [hands.plain(found) for found in await network.survey(radio, database)]

    found = _ask_or_do(site, link_id, {"do": "map"}, run, _MAP_S)
    rows = [(n["of"], n["eui"], n["nwk"], n["relation"].lower(), str(n["lqi"])) for n in found]
    _table(json_target, found, ("router", "hears", "short", "relation", "lqi"), rows)


def _coordinator(file: Path, link_id: str | None) -> tuple[Site, Link]:
    from mimctl.config.site import load_site
    from mimctl.wire.zigbee.radios import require_zigbee

    require_zigbee()
    site = load_site(file)
    return site, _link_of(site, link_id)


def _ask_or_do(file: Path, link_id: str | None, asked: Mapping[str, Any], run: _Work[_T], patience_s: float) -> _T:
    """Have the service do it, which has the coordinator; where none runs, do it here under the site's lock."""
    from mimctl.service.door import ask, somebody_listens
    from mimctl.service.state_dir import socket_path, state_directory

    site, link = _coordinator(file, link_id)
    door = socket_path(state_directory(site.id))
    if somebody_listens(door):
        answer: _T = ask(door, "zigbee", timeout_s=patience_s, link=link.id, **asked)
        return answer
    return _here(site, link, run)


def _alone(site: Site, link: Link, what: str, run: _Work[_T]) -> _T:
    """What nobody else may look at meanwhile."""
    from mimctl.service.door import somebody_listens
    from mimctl.service.state_dir import socket_path, state_directory

    if somebody_listens(socket_path(state_directory(site.id))):
        fail(f"'{what}' needs the coordinator for itself: stop the service of site '{site.id}' first")
    return _here(site, link, run)


def _here(site: Site, link: Link, run: _Work[_T]) -> _T:
    import asyncio

    from mimctl.service.links import zigbee_database
    from mimctl.service.logs import set_up
    from mimctl.service.state_dir import site_lock, state_directory

    set_up("error")
    if link.zigbee is None:
        fail(f"link '{link.id}' names no coordinator")
    with site_lock(state_directory(site.id), site.id):
        return asyncio.run(run(link.zigbee, zigbee_database(site, link)))


def _link_of(site: Site, link_id: str | None) -> Link:
    from mimctl.model.link import LinkType

    found = {link.id: link for link in site.links if link.type is LinkType.ZIGBEE}
    if not found:
        fail(f"site '{site.id}' has no Zigbee link")
    if link_id is None and len(found) > 1:
        raise click.UsageError(f"the site has {len(found)} Zigbee links: say which with --link ({', '.join(found)})")
    name = next(iter(found)) if link_id is None else link_id
    if name not in found:
        fail(f"no Zigbee link '{name}' (there are: {', '.join(found)})")
    return found[name]


def _network_text(done: str, found: Network) -> str:
    return f"network {found.pan_id} {done} on channel {found.channel}, coordinator {found.coordinator}"


def _age(age_s: float | None) -> str:
    return "never" if age_s is None else f"{age_s:.0f} s ago"


def _show(json_target: str | None, found: dict[str, Any], text: str) -> None:
    if json_target is not None:
        write_json(json_target, found)
    if json_target != STDOUT:
        click.echo(text)


def _table(
    json_target: str | None, found: Sequence[Mapping[str, Any]], columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]
) -> None:
    if json_target is not None:
        write_json(json_target, found)
    if json_target != STDOUT:
        print_table(columns, rows)
