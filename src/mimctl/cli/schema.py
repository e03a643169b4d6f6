"""`mimctl schema`: JSON Schema for editors."""

from __future__ import annotations

from typing import Any

import click

from mimctl.cli.render import STDOUT, json_option, write_json

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@click.command(
    "schema",
    epilog="Example:  mimctl schema site --json site.schema.json",
)
@click.argument("kind", type=click.Choice(["site", "profile", "payload-profile", "zigbee-profile", "faults"]))
@json_option
def command(kind: str, json_target: str | None) -> None:
    """Print the JSON Schema of site files, profiles of devices (by registers, payloads or Zigbee attributes) or files of faults.

    Editors complete and check YAML with it: write it beside the file and begin the file with the line
    "# yaml-language-server: $schema=site.schema.json".
    """
    write_json(json_target or STDOUT, json_schema(kind))


def json_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of `site`, `profile`, `payload-profile`, `zigbee-profile` or `faults` files."""
    if kind == "site":
        from mimctl.config.schema import SiteFile

        return {"$schema": _DIALECT, "title": "mimctl site file", **_without_titles(SiteFile.model_json_schema())}
    if kind == "faults":
        from mimctl.config.schema_faults import FaultsFile

        return {"$schema": _DIALECT, "title": "mimctl file of faults", **_without_titles(FaultsFile.model_json_schema())}
    if kind == "payload-profile":
        from mimctl.config.profiles.payload_schema import PayloadProfileFile

        schema = _without_titles(PayloadProfileFile.model_json_schema())
        return {"$schema": _DIALECT, "title": "mimctl profile of payloads", **schema}
    if kind == "zigbee-profile":
        from mimctl.config.profiles.zigbee_schema import ZigbeeProfileFile

        schema = _without_titles(ZigbeeProfileFile.model_json_schema())
        return {"$schema": _DIALECT, "title": "mimctl profile of a Zigbee device", **schema}
    from mimctl.config.profiles.registers_profile import ProfileFile

    return {"$schema": _DIALECT, "title": "mimctl device profile", **_without_titles(ProfileFile.model_json_schema())}


def _without_titles(schema: Any) -> Any:
    """Without the titles, which only repeat the name of a class or key."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    cleaned: dict[str, Any] = {}
    for key, value in schema.items():
        if key in {"properties", "$defs"}:
            cleaned[key] = {name: _without_titles(inner) for name, inner in value.items()}
        elif key != "title":
            cleaned[key] = _without_titles(value)
    return cleaned
