"""`mimctl profile`: judge, show and list device profiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mimctl.cli.check import print_problems
from mimctl.cli.profile_data import brief, command_row, described, point_rows
from mimctl.cli.render import STDOUT, fail, json_option, print_table, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mimctl.model.chain import ChainPoint, ChainRules
    from mimctl.model.problem import Problem
    from mimctl.model.profile import DeviceProfile


@click.group("profile", epilog="Example:  mimctl profile show victron/gx")
def command() -> None:
    """Judge, show and list device profiles.

    A profile is device_profiles/VENDOR/MODEL.yaml: what stands in the registers of a device that does not tell it itself.
    """


@command.command("lint", epilog="Example:  mimctl profile lint device_profiles/acme/m1.yaml")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
@click.pass_context
def lint(context: click.Context, files: tuple[Path, ...], json_target: str | None) -> None:
    """Find every problem of profile files, and run their golden vectors.

    Each problem is one line: file:line:column path: message [code]. The exit code is 1 if there is an error.
    """
    found: list[Problem] = []
    for path in files:
        problems, summary = judge(path)
        found += problems
        print_problems(problems, err=json_target == STDOUT)
        click.echo(f"{path}: {summary}", err=json_target == STDOUT)
    if json_target is not None:
        write_json(json_target, {"problems": found})
    if any(problem.severity == "error" for problem in found):
        context.exit(1)


@command.command("show", epilog="Example:  mimctl profile show janitza/umg96rm --json -")
@click.argument("profile", metavar="ID")
@json_option
def show(profile: str, json_target: str | None) -> None:
    """Show what a profile reads and commands, where its facts come from, and what is not known.

    ID is vendor/model, or the path of a profile file.
    """
    loaded = _load(profile)
    if json_target is not None:
        write_json(json_target, described(loaded))
        if json_target == STDOUT:
            return
    _print(loaded)


@command.command("list", epilog="Example:  mimctl profile list")
@json_option
@click.pass_context
def list_(context: click.Context, json_target: str | None) -> None:
    """List the profiles that mimctl finds here and among its own.

    A profile that is wrong shows its problems on standard error; the others are listed, and the exit code is 1.
    """
    from mimctl.config.profiles.registers_profile import known_profiles
    from mimctl.model.errors import ConfigError

    found: list[DeviceProfile] = []
    wrong = False
    for name in known_profiles(Path.cwd()):
        try:
            found.append(_load(name))
        except ConfigError as error:
            wrong = True
            print_problems(error.problems, err=True)
    _print_list(found, json_target)
    if wrong:
        context.exit(1)


def _print_list(found: list[DeviceProfile], json_target: str | None) -> None:
    if json_target is not None:
        write_json(json_target, {"profiles": [brief(p) for p in found]})
    if json_target == STDOUT:
        return
    rows = [(p.id, p.register_map.device_class, ", ".join(p.models), p.provenance.confidence, p.provenance.verified) for p in found]
    print_table(("profile", "class", "models", "confidence", "verified"), rows)


def judge(path: Path) -> tuple[list[Problem], str]:
    """Every problem of a profile file, golden vectors included, and one line about it."""
    from mimctl.cli.profile_kinds import kind_of
    from mimctl.config.source import read_document

    problems, wrong, told = kind_of(read_document(path).data).judge(path)
    if told is None:
        hint = "; `lint` takes a file, `show` a file or an id" if any(p.code == "file.missing" for p in problems) else ""
        return problems, f"{len(problems)} problem{'s' * (len(problems) != 1)}{hint}"
    if any(p.code == "profile.sunspec" for p in wrong):
        return problems + wrong, f"{len(wrong)} problem{'s' * (len(wrong) != 1)}"
    text = f"fine ({told})" if not wrong else f"{len(wrong)} golden value{'s are' if len(wrong) != 1 else ' is'} wrong"
    return problems + wrong, text


def _load(name: str) -> DeviceProfile:
    from mimctl.config.profiles.registers_profile import find_profile, known_profiles, load_profile
    from mimctl.config.validate import did_you_mean

    path: Path | None = Path(name)
    if not name.endswith((".yaml", ".yml")):
        path = find_profile(name, beside=Path.cwd())
    if path is None:
        fail(f"there is no profile '{name}'{did_you_mean(name, known_profiles(Path.cwd()))}; mimctl profile list shows all")
    return load_profile(path)


def _print(profile: DeviceProfile) -> None:
    told = profile.provenance
    click.echo(f"{profile.id}: {profile.vendor} {', '.join(profile.models)} ({profile.register_map.device_class})")
    if profile.use:
        click.echo(profile.use)
    click.echo(f"source: {told.source}\nconfidence: {told.confidence}, verified: {told.verified}\n")
    if profile.chain is not None:
        _print_chain(profile.chain)
    columns = ("key", "function", "address", "type", "scale", "scale_register", "unit", "note")
    rows = [[_cell(row.get(c)) for c in columns] for row in point_rows(profile.register_map)]
    if rows:
        if profile.chain is not None:
            click.echo("\nbeside the chain")
        print_table(columns, rows, right=("function", "address", "scale", "scale_register"))
    mim_map = profile.register_map.mim
    if mim_map is not None:
        waits = "" if mim_map.failsafe_s is None else f" after {mim_map.failsafe_s:g} s"
        then = "" if mim_map.silent_action is None else f", then {mim_map.silent_action}"
        click.echo(f"\nsetpoints of {mim_map.ports} port{'s' * (mim_map.ports > 1)}, failsafe: {mim_map.failsafe}{waits}{then}")
        columns = ("key", "role", "address", "type", "scale", "minimum", "maximum", "codes")
        rows = [[_cell(command_row(c).get(name)) for name in columns] for c in mim_map.commands]
        print_table(columns, rows, right=("address", "scale", "minimum", "maximum"))
    for variant in profile.variants:
        click.echo(f"\nvariant: {variant.name}")
    if profile.gaps:
        click.echo("\nnot known:")
        for gap in profile.gaps:
            click.echo(f"- {gap}")


def _print_chain(rules: ChainRules) -> None:
    """What is taken from the device's own chain; where it stands, the chain says."""
    told: list[tuple[str, Iterable[object]]] = [
        ("measured by model", rules.models),
        ("left alone", rules.ignored),
        *((f"its {name}", patterns) for name, patterns in rules.common),
        ("counted the other way round", rules.turned),
        ("not believed", rules.left_out),
        ("0 is no value", rules.silent_zeros),
        ("commanded by model", (f"{c.model}{' (one register at a time)' * c.single}" for c in rules.controls or ())),
    ]
    click.echo("the register map comes from the device's own SunSpec chain")
    for name, values in told:
        if shown := ", ".join(map(str, values)):
            click.echo(f"{name}: {shown}")
    rows = [(p.key, f"model {p.model} {p.path}", _requires(p)) for p in rules.points]
    rows += [(d.key, f"{d.plus} − {d.minus}", "") for d in rules.differences]
    if rows:
        click.echo()
        print_table(("key", "point", "note"), rows)


def _requires(point: ChainPoint) -> str:
    return f"where there is model {', '.join(map(str, point.requires))}" if point.requires else ""


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
