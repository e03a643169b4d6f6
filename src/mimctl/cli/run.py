"""`mimctl run SITE`: the service in this process until SIGTERM or Ctrl-C."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import click

from mimctl.cli.interrupts import loading
from mimctl.cli.render import json_option, write_json


@click.command(epilog="Example: mimctl run site.yaml --dry-run")
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Do everything but write to devices.")
@click.option(
    "--twin",
    type=click.Path(path_type=Path),
    metavar="ADDRESSES",
    help="Not the site's devices but those that `mimctl twin SITE --json ADDRESSES` serves.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Least severity.",
)
@click.option("--json-logs/--human-logs", default=None, help="One JSON object a line, or lines for people [default: by terminal].")
@json_option
def command(site: Path, dry_run: bool, twin: Path | None, log_level: str, json_logs: bool | None, json_target: str | None) -> None:
    """Run a site: discover, measure, balance, until told to stop.

    Stops on SIGTERM and Ctrl-C after bringing every device it touched to its safe state; the exit code is 0 then, and 1 if one
    could not be told. --json is what it came to at the end: cycles, and who could not be released.
    """
    with loading():
        from mimctl.cli.twin_links import pointed_at, read_addresses
        from mimctl.config.site import load_site
        from mimctl.model.clock import SystemClock
        from mimctl.model.errors import UserError
        from mimctl.service.app import Service
        from mimctl.service.event_loop import run
        from mimctl.service.left_behind import endless, in_words
        from mimctl.service.links import open_groups
        from mimctl.service.logs import set_up
        from mimctl.service.signals import stop_on_signals
        from mimctl.service.state_dir import site_lock, state_directory

        loaded = load_site(site)
        if twin is not None:
            loaded = pointed_at(loaded, read_addresses(twin))
        directory = state_directory(loaded.id)
    set_up(log_level, human=None if json_logs is None else not json_logs)

    result: dict[str, Any] = {"site": loaded.id, "dry_run": dry_run}

    async def serve() -> str:
        clock = SystemClock()
        with stop_on_signals() as stop:
            service = Service(loaded, open_groups(loaded, clock), clock, door_directory=directory, dry_run=dry_run)
            # what stands now stands to the end: a collection that looked at all of it would hold every zone up for 0.2 s
            gc.collect()
            gc.freeze()
            left = await service.run(stop)
            stay = endless(service.controller, left)
            zones = {zone.id: {"cycles": zone.loop.ticks, "errors": zone.loop.errors} for zone in service.controller.zones}
            result.update(zones=zones, not_released=list(left), endless=list(stay))
            return in_words(left, stay)

    with site_lock(directory, loaded.id):
        left = run(serve())
    if json_target is not None:
        write_json(json_target, result)
    if left:
        raise UserError(f"stopped, but not all MIMs could be released: {left}")
