"""What holds for every command: it gives JSON, shows an example, and says what is wrong in one line with what may be meant."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import click
import pytest

from mimctl.cli.main import COMMANDS, main


def commands() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command = importlib.import_module(f"mimctl.cli.{name}").command
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {child}", command.commands[child]) for child in sorted(command.commands))


EVERY = dict(commands())


@pytest.mark.parametrize("path", EVERY)
def test_every_command_shows_an_example_of_itself(path):
    command = EVERY[path]
    assert f"mimctl {path}" in (command.epilog or ""), "an example that can be pasted"


@pytest.mark.parametrize("path", [path for path, command in EVERY.items() if not isinstance(command, click.Group)])
def test_every_command_gives_json(path):
    options = {option for parameter in EVERY[path].params for option in parameter.opts}
    assert "--json" in options


@pytest.mark.parametrize("path", [path for path, command in EVERY.items() if not isinstance(command, click.Group)])
def test_every_option_says_what_it_is(path):
    silent = [p.name for p in EVERY[path].params if isinstance(p, click.Option) and not p.help]
    assert silent == []


@pytest.mark.parametrize("path", EVERY)
def test_help_is_no_error(path, capsys):
    assert main([*path.split(), "--help"]) == 0
    assert "Usage: mimctl" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lese list", "lease"),
        ("lease lst x", "list"),
        ("device reed x y", "read"),
        ("zigbee premit x", "permit"),
        ("chek x", "check"),
    ],
)
def test_a_slip_in_a_command_is_answered_with_what_may_be_meant(typed, meant, capsys):
    assert main(typed.split()) == 2
    assert f"did you mean '{meant}'?" in capsys.readouterr().err.casefold()


@pytest.mark.parametrize(
    ("typed", "meant"), [("check x --jsn -", "--json"), ("run x --dryrun", "--dry-run"), ("stop x --emergancy", "--emergency")]
)
def test_a_slip_in_an_option_is_answered_with_what_may_be_meant(typed, meant, capsys):
    assert main(typed.split()) == 2
    assert meant in capsys.readouterr().err


@pytest.mark.parametrize(
    "path", [p for p in EVERY if p not in ("demo", "schema", "profile list", "lease", "device", "zigbee", "profile")]
)
def test_what_is_missing_is_wrong_usage_in_one_line(path, capsys):
    assert main(path.split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2, "what is missing, and where to read on"
    assert lines[0].startswith("mimctl: ")
    assert lines[1] == f"Try 'mimctl {path} --help'."
