"""Write the pages of docs/ that come from the code: the command line, the site file, the index of decisions.

Usage: tools/generate_docs.py [--check]      (--check writes nothing; exit 1 if a page is out of date)
"""

from __future__ import annotations

import re
import sys
import types
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mim_lorawan_page import lorawan_mim_page
from mimctl.cli.main import COMMANDS, Settings, mimctl
from mimctl.config.fault_words import Targets
from mimctl.config.profiles.payload_schema import PayloadProfileFile
from mimctl.config.profiles.registers_profile import ProfileFile, load_profile
from mimctl.config.profiles.zigbee_schema import ZigbeeProfileFile
from mimctl.config.schema import SiteFile
from mimctl.config.schema_faults import FaultItem, FaultsFile, FrequencyItem
from mimctl.config.units import Dimension
from mimctl.model.chain import SETPOINT_MODELS, ChainRules
from mimctl.model.profile import DeviceClass, DeviceProfile
from mimctl.model.quantity import quantity_of
from mimctl.model.resources import data_root
from mimctl.wire.sunspec_device import wanted_class
from mimctl.wire.sunspec_keys import keys_of

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTE = "<!-- written by tools/generate_docs.py (make docs); changes by hand are lost -->\n"
WIDTH = 100
#: models beside the measuring ones whose values are read where they are there
FURTHER_MODELS = (121, 124, 702, 713, 802)


def cli_page() -> str:
    """Every command with its own help text, and what exit codes mean."""
    top = _context(mimctl, "mimctl", None)
    parts = [
        "# Command line\n",
        NOTE,
        "Exit codes: 0 fine, 1 the thing asked for is wrong or failed, 2 usage, 3 something that is needed could not be reached, "
        "130 interrupted, 141 the reader of a pipe left.\n",
        "Ctrl-C is an interruption (130) for every command but `run`, which Ctrl-C and SIGTERM end in order: 0 once every device "
        "is released, 1 if one could not be. `twin` serves until it is told to stop: SIGTERM ends it with 0. SIGTERM "
        "cuts a `demo` short as Ctrl-C does.\n",
        "What the words in the tables mean is in [words](words.md); what a file for `--loads` looks like, in "
        "[traces of loads](loads-csv.md).\n",
        "`--json -` writes to standard output, and nothing else is written there then. Progress is shown on standard error, "
        "and only on a terminal.\n",
        _help(mimctl, top),
    ]
    for name in COMMANDS:
        command = mimctl.get_command(top, name)
        if command is None:
            raise LookupError(name)
        parts += [f"## mimctl {name}\n", _help(command, _context(command, name, top))]
        if isinstance(command, click.Group):
            inner = _context(command, name, top)
            for sub, nested in sorted(command.commands.items()):
                parts += [f"### mimctl {name} {sub}\n", _help(nested, _context(nested, sub, inner))]
    return "\n".join(parts)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    width = {"terminal_width": WIDTH, "max_content_width": WIDTH}
    return click.Context(command, info_name=name, parent=parent, obj=Settings(), **{**width, **command.context_settings})


def _help(command: click.Command, context: click.Context) -> str:
    return f"```text\n{command.get_help(context).rstrip()}\n```\n"


def site_yaml_page() -> str:
    """Every key of a site file: what it takes, what happens without it, what it means."""
    about = (
        "A quantity is written with its unit (`rating: 16 A`) or as a bare number at the key that ends in the unit "
        "(`rating_a: 16`); both at once, or a number without a unit, is an error. `mimctl check FILE` shows every problem "
        "of a file; `mimctl schema site` prints this description as JSON Schema for editors."
    )
    return _file_page("Site file", about, SiteFile)


def profile_page() -> str:
    """Every key of a device profile."""
    about = (
        "A device is described by `device_profiles/<vendor>/<model>.yaml`: register by register, or, where it carries a SunSpec "
        "register map, by what that map does not say (`sunspec`). Files are looked for beside the site "
        "file, in the state directory, or among those that come with mimctl, searched in this order. `mimctl check` judges the "
        "profiles that a site names; `mimctl schema profile` prints this description as JSON Schema for editors."
    )
    return _file_page("Device profile", about, ProfileFile)


def payload_page() -> str:
    """Every key of a profile of payloads."""
    about = (
        "A device on LoRaWAN is described by `device_profiles/lorawan/<vendor>/<model>.yaml`: which number stands at which byte of "
        "what it sends and takes ([how to connect it](../how-to/lorawan.md)). Files are looked for beside the site file, in the "
        "state directory, or among those that come with mimctl, searched in this order. `mimctl profile lint` and `mimctl check` "
        "judge a file and run its golden vectors; `mimctl schema payload-profile` prints this description as JSON Schema for "
        "editors."
    )
    return _file_page("Profile of payloads", about, PayloadProfileFile)


def zigbee_page() -> str:
    """Every key of a profile of a Zigbee device."""
    about = (
        "A meter on Zigbee is described by `device_profiles/zigbee/<vendor>/<model>.yaml`: which attribute of which cluster holds "
        "which value ([how to connect it](../how-to/zigbee.md)). Files are looked for beside the site file, in the state "
        "directory, or among those that come with mimctl, searched in this order. `mimctl profile lint` and `mimctl check` judge "
        "a file and run its golden vectors; `mimctl schema zigbee-profile` prints this description as JSON Schema for editors."
    )
    return _file_page("Profile of a Zigbee device", about, ZigbeeProfileFile)


def faults_page() -> str:
    """Every kind of fault of the digital twin."""
    about = (
        "What goes wrong in the digital twin, when and where: for `--faults FILE` of `mimctl simulate`, `twin` and `demo` "
        "([how to use it](../how-to/faults.md)). `mimctl schema faults` prints this description as JSON Schema for editors."
    )
    kinds = [record for record in _records(FaultsFile) if record is not FaultsFile]
    parts = ["# File of faults\n", NOTE, f"{about}\n", "## The file\n", f"{_summary(FaultsFile)}\n", _table(FaultsFile)]
    parts += ["## `faults[]`\n", "Every entry has a `kind`, what it befalls, and:\n", _table(FaultItem)]
    parts += [f"What it befalls is {Targets.takes}.\n", "## Kinds\n"]
    rows = ["| kind | befalls | what happens | keys of its own |", "|---|---|---|---|", *map(_fault_row, kinds)]
    return "\n".join([*parts, "\n".join(rows) + "\n"])


def _fault_row(record: type[BaseModel]) -> str:
    fields = record.model_fields
    targets = [name for name, field in fields.items() if Targets in (field.annotation, *typing.get_args(field.annotation))]
    own = {name: field for name, field in fields.items() if name not in {*FaultItem.model_fields, *targets, "kind"}}
    keys = (f"{_key(name, field)}: {_takes(field)}. {field.description}" + _default_words(field) for name, field in own.items())
    befalls = " or ".join(f"`{name}`" for name in targets) or ("the mains" if record is FrequencyItem else "the controller")
    return f"| {_type_words(fields['kind'].annotation)} | {befalls} | {_summary(record)} | {'<br>'.join(keys)} |"


def _default_words(field: FieldInfo) -> str:
    if field.is_required():
        return " Required."
    return f" Default: {_without(field)}." if _without(field) else ""


def _file_page(title: str, about: str, model: type[BaseModel]) -> str:
    parts = [f"# {title}\n", NOTE, f"{about}\n"]
    for record, paths in _records(model).items():
        heading = ", ".join(f"`{path}`" for path in dict.fromkeys(paths) if path) or "The file"
        parts += [f"## {heading}{_of_type(record)}\n", f"{_summary(record)}\n", _table(record)]
    return "\n".join(parts)


def _of_type(record: type[BaseModel]) -> str:
    """What tells entries of one list apart."""
    kinds = typing.get_args(record.model_fields["type"].annotation) if "type" in record.model_fields else ()
    return f" of type `{kinds[0]}`" if len(kinds) == 1 else ""


def _records(model: type[BaseModel]) -> dict[type[BaseModel], list[str]]:
    """The model and all models inside it, in the order of the file, each with the paths where it stands."""
    found: dict[type[BaseModel], list[str]] = {}
    todo = [("", model)]
    while todo:
        path, current = todo.pop(0)
        found.setdefault(current, []).append(path)
        if len(found[current]) > 1:
            continue
        inner = [
            (f"{path}.{field.alias or name}{step}".lstrip("."), nested)
            for name, field in current.model_fields.items()
            for nested, step in _nested(field.annotation)
        ]
        todo = inner + todo
    return found


def _nested(annotation: object, step: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    """Models inside a type, each with how its path goes on: `[]` in a list, `.<name>` in a map."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, step
    deeper = {list: "[]", tuple: "[]", dict: ".<name>"}.get(typing.cast(type, typing.get_origin(annotation)), "")
    for argument in typing.get_args(annotation):
        yield from _nested(argument, step + deeper)


def _table(model: type[BaseModel]) -> str:
    rows = ["| key | takes | without it | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        cells = _key(name, field), _takes(field), _without(field), (field.description or "").replace("|", "\\|")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _dimension(field: FieldInfo) -> Dimension | None:
    found = [m for m in (*field.metadata, *_metadata(field.annotation)) if isinstance(m, Dimension)]
    return found[0] if found else None


def _metadata(annotation: object) -> Iterator[object]:
    """Everything said with Annotated anywhere in a type."""
    yield from getattr(annotation, "__metadata__", ())
    for argument in typing.get_args(annotation):
        yield from _metadata(argument)


def _key(name: str, field: FieldInfo) -> str:
    dimension = _dimension(field)
    if dimension is None:
        return f"`{field.alias or name}`"
    return f"`{name.removesuffix(dimension.suffix)}` or `{name}`"


def _takes(field: FieldInfo) -> str:
    dimension = _dimension(field)
    if dimension is not None:
        return f"`{dimension.example}` or a number of {dimension.unit}"
    return _type_words(field.annotation)


def _type_words(annotation: object) -> str:  # noqa: PLR0911 - a table, one line per kind
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_words(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f"`{a}`" for a in arguments)
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(dict.fromkeys(_type_words(a) for a in arguments if a is not type(None)))
    if origin in {list, tuple}:
        return f"list of {_type_words(arguments[0])}"
    if origin is dict:
        return f"map of {_type_words(arguments[0])} to {_type_words(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "map, see below"
    if (said := getattr(annotation, "takes", None)) is not None:
        return str(said)
    return {str: "text", bool: "`true`, `false`", int: "whole number", float: "number"}.get(typing.cast(type, annotation), "value")


def _without(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    default = field.default
    if field.default_factory is not None or default is None or default == "" or hasattr(default, "takes"):
        return ""
    value = default.value if isinstance(default, Enum) else default
    text = f"{value:.15g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
    dimension = _dimension(field)
    return f"{text} {dimension.unit}" if dimension else f"`{text}`"


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


_CLASSES = {
    "meter": "Meters",
    "branch_monitor": "Branch circuit monitors",
    "pdu": "PDUs",
    "sts": "Transfer switches",
    "inverter": "Inverters",
    "ess": "Storage",
    "mim": "MIMs",
    "other": "Others",
}


def devices_page() -> str:
    """Every device that a profile comes for, what it measures and takes, and what is not known about it."""
    profiles = [load_profile(path) for path in sorted((data_root() / "device_profiles").glob("*/*.yaml"))]
    parts = [
        "# Devices\n",
        NOTE,
        "What mimctl knows by itself. Confidence says how far independent sources agree on the registers; verified says what the "
        "profile was run against. `mimctl profile show ID` prints every register. A device that is not here: "
        "[add it](../how-to/add-a-device.md).\n",
    ]
    for name, title in _CLASSES.items():
        chosen = [p for p in profiles if p.register_map.device_class == name]
        if chosen:
            head = "| profile | device | per phase | also | commands | failsafe | confidence | verified |"
            parts += [f"## {title}\n", "\n".join([head, "|---|---|---|---|---|---|---|---|", *map(_device_row, chosen)]) + "\n"]
    # what no profile says: devices that need none, and devices that cannot have one yet
    parts += [Path(__file__).with_name("devices_about.md").read_text(encoding="utf-8"), "## What is not known\n"]
    parts += [f"**{p.id}**\n\n" + "\n".join(f"- {gap}" for gap in p.gaps) + "\n" for p in profiles]
    return "\n".join(parts)


def _keys(profile: DeviceProfile) -> list[str]:
    """Everything that may be measured; what a device with a register map of its own has of it, it tells when it is asked."""
    found = [p.key for p in profile.register_map.points] + [d.key for d in profile.register_map.differences]
    rules = profile.chain
    if rules is None:
        return found
    told = [key for model in (*rules.models, *FURTHER_MODELS) if model not in rules.ignored for key in keys_of(model, "").values()]
    told += [p.key for p in rules.points] + [d.key for d in rules.differences]
    if wanted_class(profile) is DeviceClass.METER:
        told = [key for model in rules.models for key in keys_of(model, "").values()]
    return [*(k for k in told if k not in rules.left_out and k.partition(".")[0] not in rules.left_out), *found]


def _takes_chain(rules: ChainRules) -> tuple[str, str]:
    """Commands and failsafe of a device that is commanded by models of its own chain."""
    models = [c.model for c in rules.controls or () if c.model in SETPOINT_MODELS]
    if not models:
        return "", ""
    return f"of 1 port, by model {' or '.join(map(str, models))}", "as the device tells"


def _device_row(profile: DeviceProfile) -> str:
    keys = _keys(profile)
    quantities = dict.fromkeys(k.partition(".")[0] for k in keys if not k.startswith("setpoint_") and quantity_of(k) is not None)
    # one profile is for single-phase and three-phase devices where the chain says which: only the second phase tells
    places = ("L1", "port1", "circuit1", "port3") if profile.chain is None else ("L2",)
    phased = [q for q in quantities if any(k.startswith(f"{q}.") and k.endswith(places) for k in keys)]
    others = [q for q in quantities if q not in phased]
    mim = profile.register_map.mim
    takes = (
        ""
        if mim is None
        else f"{'P' * any(mim.setpoint_w)}{'Q' * any(mim.setpoint_var)} of {mim.ports} port{'s' * (mim.ports > 1)}"
    )
    failsafe = "" if mim is None else str(mim.failsafe) + ("" if mim.failsafe_s is None else f", {mim.failsafe_s:g} s")
    if profile.chain is not None:
        takes, failsafe = _takes_chain(profile.chain)
    names = f"{profile.vendor} {', '.join(profile.models)}"
    told = profile.provenance
    cells = (f"`{profile.id}`", names, _words(phased), _words(others), takes, failsafe, told.confidence, told.verified)
    return f"| {' | '.join(cells)} |"


def _words(names: list[str]) -> str:
    spoken = {"thd_v": "voltage THD", "thd_i": "current THD", "soc": "state of charge", "dc_power": "DC power"}
    return ", ".join(spoken.get(name, name.replace("_", " ")) for name in names)


def decisions_page() -> str:
    """One line per decision record."""
    rows = ["# Decisions\n", NOTE, "What was decided, when, and why; a later record replaces an earlier one by naming it.\n"]
    for page in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        text = page.read_text(encoding="utf-8")
        title = re.search(r"^# (.+)$", text, flags=re.MULTILINE)
        date = re.search(r"^Date: (\S+)$", text, flags=re.MULTILINE)
        if title is None or date is None:
            raise ValueError(f"{page}: a decision starts with '# NNNN Title' and has a line 'Date: YYYY-MM-DD'")
        rows.append(f"- [{title[1]}]({page.name}) ({date[1]})")
    return "\n".join(rows) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "reference/cli.md": cli_page,
    "reference/site-yaml.md": site_yaml_page,
    "reference/device-profile.md": profile_page,
    "reference/payload-profile.md": payload_page,
    "reference/zigbee-profile.md": zigbee_page,
    "reference/mim-lorawan.md": lambda: lorawan_mim_page(NOTE),
    "reference/devices.md": devices_page,
    "reference/faults-yaml.md": faults_page,
    "decisions/index.md": decisions_page,
}


def main(arguments: list[str]) -> int:
    stale = []
    for name, make in PAGES.items():
        page, text = DOCS / name, make()
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            page.write_text(text, encoding="utf-8")
    if stale:
        print("out of date:" if "--check" in arguments else "written:", ", ".join(stale))
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
