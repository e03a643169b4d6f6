"""How a device reading is shown: one table a device, or only what has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from mimctl.cli.render import print_table

COLUMNS = ("point", "value", "unit", "quality", "age_s")
_EVENT_COLUMNS = ("since", "event", "text")
_RAW_COLUMNS = ("address", "registers")


def show_device(device: Mapping[str, Any], *, raw: bool, stderr: bool = False) -> None:
    """A heading of who the device is, its points, its warnings."""
    click.echo(_heading(device), err=stderr)
    if device["models"]:
        listed = (f"{m['id']}{'' if m['name'] else ' (unknown)'}" for m in device["models"])
        click.echo(f"SunSpec models: {', '.join(listed)}", err=stderr)
    for warning in device["warnings"]:
        click.echo(f"{warning['code']}: {warning['text']}", err=stderr)
    columns = (*COLUMNS, *(_RAW_COLUMNS if raw else ()))
    print_table(columns, [row(device, point, raw=raw) for point in device["points"]], right=("value", "age_s"), stderr=stderr)
    if events := device.get("events"):
        click.echo("\nlately", err=stderr)
        print_table(_EVENT_COLUMNS, [(e["since"], e["code"], e["text"]) for e in events], stderr=stderr)


def _heading(device: Mapping[str, Any]) -> str:
    who = ", ".join(f"{name} {text}" for name, text in device["identity"].items())
    why = f" ({device['reason']})" if device["reason"] else ""
    mapped = "" if device["map"] is None else f", map {device['map']}, unit {device['unit']}"
    what = f"{device['class']}{mapped}"
    return f"{device['device']}: {what}, {device['quality']}{why}\n{who}".rstrip()


def row(device: Mapping[str, Any], point: Mapping[str, Any], *, raw: bool) -> list[str]:
    age = point.get("age_s", device["age_s"])
    cells = [point["point"], shown(point), point["unit"], point["quality"], "" if age is None else f"{age:.1f}"]
    if raw:
        places = " ".join(f"{place['function']}:{place['address']}" for place in point["places"])
        cells += [places, " ".join("????" if word is None else f"{word:04x}" for word in point["registers"])]
    return cells


def shown(point: Mapping[str, Any]) -> str:
    """A value as a person reads it; `-` where there is none."""
    value = point["value"]
    if value is None:
        return "-"
    # seven digits are what a float32 carries
    text = value if isinstance(value, str) else f"{value:.0f}" if value.is_integer() else f"{value:.7g}"
    return f"{text} ({point['meaning']})" if point["meaning"] else text


def changed_points(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> frozenset[str]:
    """Names of the points whose value or quality is another one; empty on the first reading."""
    if before is None:
        return frozenset()
    old = {p["point"]: (p["value"], p["quality"]) for p in before["points"]}
    return frozenset(p["point"] for p in now["points"] if old.get(p["point"]) != (p["value"], p["quality"]))


def change_lines(now: Mapping[str, Any], names: frozenset[str], at: str) -> Sequence[str]:
    """One line for each changed point."""
    return [f"{at}  {p['point']}  {shown(p)}  {p['unit']}  {p['quality']}" for p in now["points"] if p["point"] in names]
