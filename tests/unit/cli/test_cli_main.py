"""The door: help, typos, exit codes, and what a person reads when something goes wrong."""

import errno
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import mimctl.cli
from mimctl import __version__
from mimctl.cli import main as door
from mimctl.model.errors import ConfigError, DeviceRefusal, LinkDown, LinkTimeout, MissingExtra, Unreachable, UserError
from mimctl.model.problem import error

HEAVY = {
    "numpy",
    "scipy",
    "pydantic",
    "pymodbus",
    "rich",
    "yaml",
    "sunspec2",
    "structlog",
    "apscheduler",
    "power_grid_model",
    "asyncio",
}


@pytest.fixture
def failing(monkeypatch):
    """A command `probe` that raises what it is given."""

    def install(problem):
        @click.command()
        def command():
            raise problem

        monkeypatch.setitem(door.COMMANDS, "probe", "Raise.")
        module = type(sys)("mimctl.cli.probe")
        module.command = command
        monkeypatch.setitem(sys.modules, "mimctl.cli.probe", module)

    return install


def test_every_command_of_the_table_has_its_file_and_every_file_its_place_in_the_table():
    files = {p.stem.replace("_", "-") for p in Path(mimctl.cli.__file__).parent.glob("*.py")}
    with_command = {
        name
        for name in files
        if "\ncommand = " in (text := _source(name)) or "\ndef command(" in text or "\nasync def command(" in text
    }
    assert with_command == set(door.COMMANDS)


def _source(name):
    spec = importlib.util.find_spec(f"mimctl.cli.{name.replace('-', '_')}")
    return Path(spec.origin).read_text()


def test_help_names_every_command_and_imports_nothing_heavy():
    listing = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mimctl", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in listing.stderr.splitlines()}
    assert imported.isdisjoint(HEAVY)
    assert "click" in imported
    assert all(name in listing.stdout for name in door.COMMANDS)


def test_summaries_fit_on_one_line(run_cli):
    lines = run_cli("--help").out.splitlines()
    for name, summary in door.COMMANDS.items():
        assert any(line.split() == [name, *summary.split()] for line in lines), name


def test_version(run_cli):
    result = run_cli("--version")
    assert (result.code, result.out) == (0, f"mimctl {__version__}\n")


def test_typo_gets_a_suggestion(run_cli):
    result = run_cli("chekc", "site.yaml")
    assert result.code == 2
    assert "no such command 'chekc' (did you mean 'check'?)" in result.err


def test_without_arguments_help_is_shown_as_a_usage_error(run_cli):
    result = run_cli()
    assert (result.code, result.out) == (2, "")
    assert "Commands:" in result.err


def test_unknown_option_is_a_usage_error(run_cli):
    result = run_cli("--verison")
    assert result.code == 2
    assert result.err.startswith("mimctl: No such option")
    assert "Try 'mimctl --help'." in result.err


@pytest.mark.parametrize(
    ("problem", "code", "line"),
    [
        (UserError("no site 'x'"), 1, "mimctl: no site 'x'"),
        (
            MissingExtra("zigbee", "a Zigbee link"),
            1,
            "mimctl: a Zigbee link needs the extra 'zigbee': pip install 'mimctl[zigbee]'",
        ),
        (Unreachable("no service runs for site demo"), 3, "mimctl: no service runs for site demo"),
        (LinkDown("plc1", "connection refused"), 3, "mimctl: plc1: connection refused"),
        (LinkTimeout("plc1", "no answer in 1 s"), 3, "mimctl: plc1: no answer in 1 s"),
        (DeviceRefusal("m1", "illegal data address", 2), 1, "mimctl: m1: illegal data address"),
        (OSError(errno.ENOSPC, "No space left on device", "/var/x"), 1, "mimctl: /var/x: No space left on device"),
        (click.ClickException("plain"), 1, "mimctl: plain"),
    ],
)
def test_an_expected_error_is_one_line_and_its_exit_code(failing, run_cli, problem, code, line):
    failing(problem)
    result = run_cli("probe")
    assert (result.code, result.out, result.err) == (code, "", line + "\n")


def test_a_group_of_tasks_shows_the_error_it_is_about(failing, run_cli):
    failing(ExceptionGroup("tasks", [ExceptionGroup("inner", [Unreachable("no socket")]), UserError("second")]))
    result = run_cli("probe")
    assert (result.code, result.err) == (3, "mimctl: no socket\n")
    failing(ExceptionGroup("tasks", [UserError("a consequence"), KeyError("the cause")]))
    assert "bug in mimctl" in run_cli("probe").err


def test_config_errors_are_shown_all_at_once_without_a_prefix(failing, run_cli):
    problems = [error("a.b", "mims[0]", "first").at("s.yaml", 3, 4), error("c.d", "", "second").at("s.yaml", 5, 1)]
    failing(ConfigError(problems))
    result = run_cli("probe")
    assert result.code == 1
    assert result.err == "s.yaml:3:4 mims[0]: first [a.b]\ns.yaml:5:1 (file): second [c.d]\n"


def test_interrupt_is_quiet(failing, run_cli):
    failing(KeyboardInterrupt())
    result = run_cli("probe")
    assert result.code == 130
    assert result.err.strip() == ""


def test_a_bug_is_called_a_bug_in_one_line(failing, run_cli, monkeypatch):
    monkeypatch.delenv("MIMCTL_DEBUG", raising=False)
    failing(ZeroDivisionError("two\nlines"))
    result = run_cli("probe")
    assert result.code == 1
    assert len(result.err.splitlines()) == 1
    assert f"bug in mimctl {__version__}: ZeroDivisionError: two lines at " in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("how", ["option", "environment"])
def test_debug_shows_the_traceback_and_the_line(failing, run_cli, monkeypatch, how):
    monkeypatch.delenv("MIMCTL_DEBUG", raising=False)
    failing(UserError("wrong"))
    if how == "environment":
        monkeypatch.setenv("MIMCTL_DEBUG", "1")
    result = run_cli(*(["--debug"] if how == "option" else []), "probe")
    assert result.code == 1
    assert result.err.startswith("Traceback")
    assert result.err.endswith("mimctl: wrong\n")


def test_exit_code_of_a_command_is_kept(failing, run_cli):
    failing(SystemExit(7))
    assert run_cli("probe").code == 7


def test_a_reader_that_leaves_ends_the_command_quietly():
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-m", "mimctl", "--help"], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writer)
    assert process.returncode == 141
    assert process.stderr == b""


FAILING_COMMAND = """
import sys, types, click
from mimctl.cli import main as door

def speak_and_fail():
    click.echo("out")
    click.get_current_context().exit(1)

door.COMMANDS["probe"] = ""
sys.modules["mimctl.cli.probe"] = types.SimpleNamespace(command=click.Command("probe", callback=speak_and_fail))
sys.exit(door.main(["probe"]))
"""


def test_a_reader_that_leaves_a_failing_command_ends_it_quietly_too():
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-c", FAILING_COMMAND], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writer)
    assert (process.returncode, process.stderr) == (141, b"")


def test_a_terminal_without_the_character_does_not_break_the_command():
    code = "import sys, click; from mimctl.cli.main import _never_fail_on_encoding as f; f(); click.echo('10 Ω')"
    process = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": "iso-8859-1"},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert process.stdout == b"10 ?\n"


def test_completion_does_not_import_commands():
    environment = {**os.environ, "_MIMCTL_COMPLETE": "bash_complete", "COMP_WORDS": "mimctl s", "COMP_CWORD": "1"}
    process = subprocess.run(
        [sys.executable, "-c", "import sys; from mimctl.cli.main import main; code = main([]); assert 'numpy' not in sys.modules"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "plain,status" in process.stdout
    assert "plain,demo" not in process.stdout
