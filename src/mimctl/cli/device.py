"""`mimctl device`: look at one device, take its registers along, or give it a setpoint for a while."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import Exit

from mimctl.cli.interrupts import INTERRUPTED
from mimctl.cli.options import YEAR_S, Finite, Number, positive
from mimctl.cli.render import STDOUT, fail, json_option, write_json
from mimctl.model.errors import UserError

if TYPE_CHECKING:
    from mimctl.cli.device_session import DeviceSession


@click.group(no_args_is_help=True, epilog="Example: mimctl device read site.yaml mim-a11")
def command() -> None:
    """Read, watch, dump or set one device.

    While `mimctl run SITE` runs, the service is asked, over the connections it has. Otherwise the site's lock is taken and the
    device is connected to.
    """


@command.command(
    "read",
    epilog="""\b
Examples:
  mimctl device read site.yaml mim-a11
  mimctl device read --dump inverter.json --all""",
)
@click.argument("site", type=click.Path(path_type=Path), required=False)
@click.argument("device", required=False)
@click.option("--dump", type=click.Path(path_type=Path), help="A register dump instead of a device of a site.")
@click.option("--profile", help="With --dump: the register map, an id or a file [default: as the dump says, else SunSpec].")
@click.option("--unit", "units", type=click.IntRange(0, 255), multiple=True, help="With --dump: only this unit.")
@click.option("--all", "every_point", is_flag=True, help="Every point of every SunSpec model too, as model<ID>.<point>.")
@click.option("--raw", is_flag=True, help="Addresses and raw registers too.")
@json_option
def read(
    site: Path | None,
    device: str | None,
    dump: Path | None,
    profile: str | None,
    units: tuple[int, ...],
    every_point: bool,
    raw: bool,
    json_target: str | None,
) -> None:
    """Show every point of a device: value, unit, quality, age."""
    from mimctl.cli.device_view import show_device

    if dump is not None:
        if site is not None:
            raise click.UsageError("either SITE and DEVICE or --dump")
        devices = _read_dump(dump, profile, units, every_point=every_point)
    else:
        if profile is not None or units:
            raise click.UsageError("--profile and --unit go with --dump; a site names them in its file")
        with _session(site, device) as session:
            devices = [session.read(every_point=every_point)]
    if json_target is not None:
        write_json(json_target, {"devices": devices})
    if json_target != STDOUT:
        for number, one in enumerate(devices):
            if number:
                click.echo()
            show_device(one, raw=raw)
    if not any(point["value"] is not None for one in devices for point in one["points"]):
        fail("no point has a value")


def _read_dump(path: Path, profile: str | None, units: tuple[int, ...], *, every_point: bool) -> list[dict[str, Any]]:
    import asyncio

    from mimctl.drivers.dump_reading import read_dump
    from mimctl.model.address import SUNSPEC
    from mimctl.model.clock import SystemClock
    from mimctl.service.devices import plain_reading
    from mimctl.service.logs import set_up
    from mimctl.wire.dump import load_dump

    set_up("error")
    dump = load_dump(path)
    name = profile or dump.profile or SUNSPEC
    loaded = None if name == SUNSPEC else _profile(name, path)
    found = asyncio.run(read_dump(dump, SystemClock(), profile=loaded, units=units, every_point=every_point))
    return [plain_reading(reading, None) for reading in found]


def _profile(name: str, dump: Path) -> Any:
    """A profile by its id, or by its file."""
    from mimctl.config.profiles.registers_profile import find_profile, load_profile

    path = Path(name) if Path(name).suffix in (".yaml", ".yml") else find_profile(name, dump.parent)
    if path is None:
        raise UserError(f"device profile '{name}' found neither beside the dump nor among the packaged ones")
    return load_profile(path)


@command.command(
    "watch",
    epilog="""\b
Examples:
  mimctl device watch site.yaml mim-a11
  mimctl device watch site.yaml mim-a11 --seconds 60 --json - | jq .quality""",
)
@click.argument("site", type=click.Path(path_type=Path))
@click.argument("device")
@click.option("--every", "every_s", type=Number(0.1, 3600), default=1.0, show_default=True, help="Seconds between readings.")
@click.option("--seconds", type=positive(YEAR_S), help="Stop by itself after this time.")
@click.option("--all", "every_point", is_flag=True, help="Every point of every SunSpec model too.")
@click.option("--raw", is_flag=True, help="Addresses and raw registers too.")
@json_option
def watch(
    site: Path, device: str, every_s: float, seconds: float | None, every_point: bool, raw: bool, json_target: str | None
) -> None:
    """Read a device again and again; what changes is marked on a terminal, and is all that is printed elsewhere.

    With --json each reading is a line of its own, whole, as it comes; a reading that failed is a line with `error`.
    """
    from mimctl.cli.device_watch import watch_device, write_lines

    with _session(site, device) as session:

        def read_once() -> dict[str, Any]:
            return session.read(every_point=every_point)

        if json_target is None:
            watch_device(read_once, every_s, seconds, raw=raw)
        else:
            write_lines(read_once, every_s, seconds, json_target)


@command.command("dump", epilog="Example: mimctl device dump site.yaml pdu-a1 --output pdu-a1.json")
@click.argument("site", type=click.Path(path_type=Path))
@click.argument("device")
@click.option("--output", "-o", default=STDOUT, show_default=True, metavar="FILE", help="Where to write; - is standard output.")
@click.option("--keep-secrets", is_flag=True, help="Do not take out serial numbers, host and network addresses.")
@json_option
def dump_command(site: Path, device: str, output: str, keep_secrets: bool, json_target: str | None) -> None:
    """Write a device's registers to a file that `device read --dump` decodes and `mimctl twin --replay` serves.

    The file is JSON. --json tells what was written: how many registers, in how many blocks, what was redacted.
    """
    if json_target == STDOUT == output:
        raise click.UsageError("--output and --json cannot both be standard output")
    with _session(site, device) as session:
        taken = session.dump(redact=not keep_secrets)
    write_json(output, taken)
    registers = sum(block["count"] for block in taken["blocks"])
    if json_target is not None:
        told = {"file": output, "registers": registers, "blocks": len(taken["blocks"]), "redacted": taken["redacted"]}
        write_json(json_target, told)
    if STDOUT not in (output, json_target):
        gone = f", {len(taken['redacted'])} places redacted" if taken["redacted"] else ""
        click.echo(f"{output}: {registers} registers in {len(taken['blocks'])} blocks{gone}")


@command.command("write", epilog="Example: mimctl device write site.yaml mim-a11 --port 1 --w 500 --for 30s --yes")
@click.argument("site", type=click.Path(path_type=Path))
@click.argument("device")
@click.option("--port", "ports", type=click.IntRange(1), multiple=True, help="Port, counted from 1. Again with --w for more ports.")
@click.option("--w", "watts", type=Finite(), multiple=True, help="Active power of the port, injection positive [W].")
@click.option("--var", "vars_", type=Finite(), multiple=True, help="Reactive power, supplied vars positive [var]  [default: 0].")
@click.option(
    "--for", "duration", default="30 s", show_default=True, help="How long it stands, like 30s or 2 min; at most an hour."
)
@click.option("--release", is_flag=True, help="End a setpoint that was given so, before its time.")
@click.option("--yes", is_flag=True, help="Write it. Without this, only what would be written is shown.")
@json_option
def write(
    site: Path,
    device: str,
    ports: tuple[int, ...],
    watts: tuple[float, ...],
    vars_: tuple[float, ...],
    duration: str,
    release: bool,
    yes: bool,
    json_target: str | None,
) -> None:
    """Give a MIM a setpoint for a while; the judge decides, and the other ports keep its balance.

    The running service takes it as a bound of its next cycles. Without a service this command controls the one MIM itself until
    the time is over or Ctrl-C, and releases it then.
    """
    from mimctl.cli.device_write import agreed, show_write, wishes_of

    seconds = _seconds(duration)
    with _session(site, device) as session:
        if release:
            told = session.release()
        else:
            told = session.write(
                wishes_of(ports, watts, vars_), seconds, yes=yes, on_told=lambda t: show_write(t, seconds, json_target)
            )
    if release:
        if json_target is not None:
            write_json(json_target, told)
        if json_target != STDOUT:
            click.echo(f"{device}: {'its setpoint has ended' if told['was_pinned'] else 'no such setpoint stood'}")
    elif not (told["applied"] if yes else agreed(told)):
        raise Exit(1)  # what went wrong has been told with the ports
    elif yes and not session.through_service:
        ended = "its time is over" if not told.get("interrupted") else "ended before its time"
        click.echo(f"{device}: {ended}; it is released", err=True)
        if told.get("interrupted"):
            raise Exit(INTERRUPTED)


def _seconds(text: str) -> float:
    from mimctl.config.units import DURATION
    from mimctl.service.operator_writes import MOST_S

    try:
        seconds = DURATION.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    if not 0 < seconds <= MOST_S:
        raise click.BadParameter(f"'{text}' is not more than 0 s and at most an hour.", param_hint="--for")
    return seconds


def _session(site: Path | None, device: str | None) -> DeviceSession:
    from mimctl.cli.device_session import DeviceSession

    if site is None or device is None:
        raise click.UsageError("SITE and DEVICE are needed, or --dump FILE")
    return DeviceSession(site, device)
