"""`mimctl twin SITE`: the virtual devices of a site as real Modbus servers, for any client to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mimctl.cli.interrupts import loading
from mimctl.cli.options import LOADS_HELP, YEAR_S, faults_option, positive, seed_option
from mimctl.cli.render import json_option, print_table, write_json
from mimctl.cli.until_told import until_told

if TYPE_CHECKING:
    from datetime import datetime

    from mimctl.model.fault import Fault
    from mimctl.model.profile import DeviceProfile
    from mimctl.model.site import Site
    from mimctl.twin.loads import LoadSet
    from mimctl.twin.server import TwinServer


@click.command(
    epilog="Example: mimctl twin site_configs/demo.yaml, then mbpoll -m tcp -0 -1 -a 1 -r 40000 -c 2 -t 4:hex -p 15020 127.0.0.1"
)
@click.argument("site", type=click.Path(path_type=Path), required=False)
@click.option(
    "--replay",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DUMP",
    help="Instead of a site: serve a register dump, read-only. Again for more of them, or name them as further arguments.",
)
@click.argument("more", nargs=-1, type=click.Path(path_type=Path))
@click.option("--free-ports", is_flag=True, help="Any free ports of 127.0.0.1 instead of those of the site file.")
@click.option("--seconds", type=positive(YEAR_S), help="Stop by itself after this time.")
@seed_option
@click.option("--loads", type=click.Path(path_type=Path), help=LOADS_HELP)
@faults_option
@click.option("--while-stdin", is_flag=True, help="Stop when standard input ends: for a process that wants the twin gone with it.")
@json_option
def command(
    site: Path | None,
    replay: tuple[Path, ...],
    more: tuple[Path, ...],
    free_ports: bool,
    seconds: float | None,
    seed: int | None,
    loads: Path | None,
    faults: Path | None,
    while_stdin: bool,
    json_target: str | None,
) -> None:
    """Serve a site's virtual devices as real Modbus servers; or, with --replay, what real devices once said.

    Links whose address is not of this machine's loopback are served on free ports of 127.0.0.1, serial links on pseudo-terminals,
    whose paths are shown. With --json the addresses are written as soon as every server listens; `mimctl run SITE --twin FILE`
    reads them. Serves until Ctrl-C (exit code 130) or SIGTERM (0).
    """
    if replay:
        from mimctl.cli.twin_replay import replay_dumps

        # a site argument is a dump here: --replay a.json b.json
        paths = (*replay, *([site] if site is not None else []), *more)
        if replay_dumps(paths, seconds, while_stdin=while_stdin, json_target=json_target):
            raise KeyboardInterrupt
        return
    if site is None or more:
        raise click.UsageError("one SITE is needed, or --replay DUMP…")
    _serve_site(site, free_ports, seconds, seed, loads, faults, while_stdin, json_target)


def _serve_site(
    site: Path,
    free_ports: bool,
    seconds: float | None,
    seed: int | None,
    loads: Path | None,
    faults: Path | None,
    while_stdin: bool,
    json_target: str | None,
) -> None:
    with loading():
        import asyncio

        from mimctl.config.site import load_site
        from mimctl.model.clock import SystemClock
        from mimctl.service.links import site_profiles
        from mimctl.simulation.loads import choose_loads

        loaded = load_site(site)
        profiles = site_profiles(loaded)
    number = loaded.twin.seed if seed is None else seed
    begin = None if loads is not None else SystemClock().utc()
    chosen = choose_loads(loaded, loads, start=begin, hours=None, step_s=1.0, seed=number)
    wrong = () if faults is None else faults_of_twin(faults, loaded, chosen.start, number)
    if asyncio.run(_serve(_Wanted(loaded, profiles, chosen.loads, number, free_ports, wrong), seconds, while_stdin, json_target)):
        raise KeyboardInterrupt


def faults_of_twin(path: Path, site: Site, start: datetime, seed: int) -> tuple[Fault, ...]:
    """The faults of a file, as far as a twin without a controller in it can have them.

    Raises:
        ConfigError: the file is wrong.
        UserError: it names a fault of the controller.
    """
    from mimctl.config.faults import load_faults
    from mimctl.model.errors import UserError
    from mimctl.model.fault import OF_CONTROLLER

    faults = load_faults(path, site, start=start, seed=seed)
    for fault in faults:
        if fault.kind in OF_CONTROLLER:
            raise UserError(f"{path}: {fault.kind} befalls the controller, and the twin has none: `mimctl simulate` does")
    return faults


class _Wanted:
    """What the twin is made of."""

    def __init__(
        self,
        site: Site,
        profiles: dict[str, DeviceProfile],
        loads: LoadSet,
        seed: int,
        free_ports: bool,
        faults: tuple[Fault, ...],
    ) -> None:
        self.site, self.profiles, self.loads, self.seed, self.free_ports = site, profiles, loads, seed, free_ports
        self.faults = faults

    def server(self) -> TwinServer:
        from mimctl.model.clock import SystemClock
        from mimctl.twin.faults import schedule
        from mimctl.twin.firmware import MimFleet
        from mimctl.twin.plant import Plant
        from mimctl.twin.server import TwinServer

        layout = self.loads.layout
        plant = Plant(layout, self.loads, fleet=MimFleet(layout))
        schedule(plant, self.faults)
        return TwinServer(self.site, plant, SystemClock(), profiles=self.profiles, free_ports=self.free_ports, seed=self.seed)


async def _serve(wanted: _Wanted, seconds: float | None, while_stdin: bool, json_target: str | None) -> bool:
    """Serve until told to stop; True when it was Ctrl-C."""
    async with wanted.server() as server:
        _show(server, to_stderr=json_target == "-")

        def ready() -> None:
            if json_target is not None:
                write_json(json_target, _as_json(server))

        return await until_told(seconds, while_stdin=while_stdin, ready=ready)


def _show(server: TwinServer, *, to_stderr: bool) -> None:
    rows = []
    for device in server.devices:
        link = device.address.link
        rows.append((link, server.where(link), str(device.address.unit), device.id, device.kind))
    for wireless in server.wireless:
        link = wireless.address.link
        rows.append((link, server.where(link), wireless.address.eui, wireless.id, wireless.kind))
    columns = ("link", "address", "unit", "device", "kind")
    print_table(columns, rows, right=("unit",), stderr=to_stderr)
    for link, files in server.client_files.items():
        click.echo(f"{link}: clients show {files.certificate} with {files.key} and trust {files.ca}", err=to_stderr)


def _as_json(server: TwinServer) -> dict[str, Any]:
    links: dict[str, Any] = {}
    for link, (host, port) in server.addresses.items():
        links[link] = {"host": host, "port": port, "tls": server.client_files.get(link)}
    for link, path in server.serial_ports.items():
        links[link] = {"device": path}
    for served in server.site.links:
        if served.lorawan is not None:
            links[served.id] |= {"api_port": served.lorawan.api_port, "token_file": served.lorawan.token_file}
    devices = [
        {"id": d.id, "link": d.address.link, "unit": d.address.unit, "profile": d.address.profile, "kind": d.kind}
        for d in server.devices
    ]
    devices += [
        {"id": d.id, "link": d.address.link, "eui": d.address.eui, "profile": d.address.profile, "kind": d.kind}
        for d in server.wireless
    ]
    return {"links": links, "devices": devices}
