"""`mimctl status SITE`: ask the running service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mimctl.cli.render import json_option, print_table, write_json


@click.command(epilog="Example: mimctl status site_configs/demo.yaml --json -")
@click.argument("site", type=click.Path(path_type=Path))
@json_option
def command(site: Path, json_target: str | None) -> None:
    """Ask a running service how its site is doing."""
    from mimctl.cli.live import EVENT_COLUMNS, NODE_COLUMNS, ZONE_COLUMNS, event_rows, node_rows, zone_rows
    from mimctl.config.site import load_site
    from mimctl.service.door import ask
    from mimctl.service.state_dir import socket_path, state_directory

    loaded = load_site(site)
    status: dict[str, Any] = ask(socket_path(state_directory(loaded.id)), "status")
    if json_target is not None:
        write_json(json_target, status)
        return
    nodes = frozenset(node.id for node in loaded.nodes)
    print_table(NODE_COLUMNS, node_rows(status, nodes), title=f"{status['name']} (process {status['pid']})", right=NODE_COLUMNS[1:])
    click.echo()
    print_table(ZONE_COLUMNS, zone_rows(status), right=ZONE_COLUMNS[2:])
    if events := event_rows(status):
        click.echo()
        print_table(EVENT_COLUMNS, events)
