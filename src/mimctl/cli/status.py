"""`mimctl status SITE`: ask the running service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mimctl.cli.interrupts import loading
from mimctl.cli.render import json_option, print_table, write_json

if TYPE_CHECKING:
    from mimctl.model.site import Site


@click.command(epilog="Example: mimctl status site_configs/demo.yaml --json -")
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--all", "every_node", is_flag=True, help="Racks too, not only feeds and PDUs.")
@json_option
def command(site: Path, every_node: bool, json_target: str | None) -> None:
    """Ask a running service how its site is doing.

    The service is found by its state directory: MIMCTL_STATE_DIR, where it is set, must be the one of the service. Only the user
    who runs the service may ask.
    """
    with loading():
        from mimctl.cli.service_call import ask_service
        from mimctl.config.site import load_site

        loaded = load_site(site)
    status = ask_service(loaded.id, site, "status")
    if json_target is not None:
        write_json(json_target, status)
        return
    _show(loaded, status, every_node)


def _show(site: Site, status: dict[str, Any], every_node: bool) -> None:
    from mimctl.cli import live

    everything = frozenset(node.id for node in site.nodes)
    nodes = everything if every_node else live.shown_nodes(site)
    title = f"{live.headline(status)} (process {status['pid']})"
    columns = live.NODE_COLUMNS
    print_table(columns, live.node_rows(status, nodes), title=title, right=columns[1:], spare=live.NODE_SPARE)
    if hidden := len(everything) - len(nodes):
        click.echo(f"… and {hidden} racks; --all shows them")
    click.echo()
    print_table(live.ZONE_COLUMNS, live.zone_rows(status), right=live.ZONE_COLUMNS[3:], spare=live.ZONE_SPARE)
    click.echo()
    print_table(live.LINK_COLUMNS, live.link_rows(status), right=live.LINK_COLUMNS[2:-1], spare=live.LINK_SPARE)
    if transfers := live.transfer_rows(status):
        click.echo()
        print_table(live.TRANSFER_COLUMNS, transfers)
    if islands := live.island_rows(status):
        click.echo()
        print_table(live.ISLAND_COLUMNS, islands)
    if leases := [lease for lease in status["leases"] if lease["kind"] != "emergency_stop"]:
        click.echo()
        print_table(live.LEASE_COLUMNS, live.lease_rows(leases), spare=live.LEASE_SPARE)
    if rules := live.rule_rows(status):
        click.echo()
        print_table(live.RULE_COLUMNS, rules)
    if events := live.event_rows(status):
        click.echo()
        print_table(live.EVENT_COLUMNS, events)
