"""The group that holds every command, and the one place where an error becomes a line and an exit code.

Command `x` is `mimctl.cli.x:command` and is imported only when it is run (or asked for its own help), so that
`mimctl --help` stays quick and a broken optional part breaks one command alone.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from click.exceptions import Exit, NoArgsIsHelpError

from mimctl import __version__
from mimctl.cli.interrupts import INTERRUPTED, loading
from mimctl.cli.streams import stand_in_for_closed
from mimctl.model.errors import ConfigError, LinkDown, LinkTimeout, MimctlError, Unreachable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: name → summary in `mimctl --help`. A hyphen in the name is an underscore in the module.
COMMANDS: dict[str, str] = {
    "demo": "Run the service on a digital twin; watch its phases balance.",
    "check": "Find every problem of a site file and the profiles it names.",
    "run": "Run a site: discover, measure, balance, until told to stop.",
    "status": "Ask a running service how its site is doing.",
    "explain": "Tell why a running service decided what it did.",
    "rules": "Show which rules are in force, and when.",
    "lease": "List, grant or revoke lock-outs, caps, pauses and the like.",
    "stop": "Emergency stop of a site, or its end.",
    "device": "Read, watch, dump or set one device.",
    "simulate": "Run a site on a virtual clock and compare before with after.",
    "twin": "Serve a site's virtual devices as real Modbus servers.",
    "zigbee": "Form a Zigbee network, let devices in, keep backups.",
    "profile": "Judge, show and list device profiles.",
    "schema": "Print the JSON Schema of site files or device profiles.",
}

EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_INTERRUPTED, EXIT_CLOSED_PIPE = 1, 2, 3, INTERRUPTED, 141

#: set by the shell's completion script (`_MIMCTL_COMPLETE=bash_source mimctl` prints it)
_COMPLETION = "_MIMCTL_COMPLETE"

#: what the machine may refuse at any time; the message says it, and it is no bug of mimctl
_REFUSED_BY_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE}


@dataclass(slots=True)
class Settings:
    """What holds for every command; reach it with `click.pass_obj`.

    Args:
        debug: show the traceback of every error.
    """

    debug: bool = False


class LazyGroup(click.Group):
    """Knows its commands by name and summary; imports one when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        with loading():
            module = importlib.import_module(f"mimctl.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"no such command '{name}'{_did_you_mean(name)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="mimctl %(version)s")
@click.option("--debug", is_flag=True, envvar="MIMCTL_DEBUG", help="Show the traceback of an error (or set MIMCTL_DEBUG=1).")
@click.pass_obj
def mimctl(settings: Settings, debug: bool) -> None:
    """Run a data centre's distributed micro-inverters as one self-balancing power system.

    Start with `mimctl demo`: it needs nothing but this machine.
    """
    settings.debug = debug


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: of this process) and give its exit code. Expected errors become one clear line."""
    stand_in_for_closed()
    _never_fail_on_encoding()
    _one_thread_for_small_matrices()
    settings = Settings()
    try:
        code = _run(sys.argv[1:] if arguments is None else list(arguments), settings)
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_has_left()
    except BaseException as error:  # noqa: BLE001 - the outermost frame: nothing above could say it better
        return _explain(error, debug=settings.debug)
    return code


def _run(arguments: list[str], settings: Settings) -> int:
    """Parse and invoke. `click.Group.main` would turn a closed pipe and an interrupt into exit codes of its own."""
    completion = os.environ.get(_COMPLETION)
    if completion:
        from click.shell_completion import shell_complete

        return shell_complete(mimctl, {}, "mimctl", _COMPLETION, completion)
    try:
        with mimctl.make_context("mimctl", arguments, obj=settings) as context:
            result = mimctl.invoke(context)
    except Exit as stop:
        return stop.exit_code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_FAILED if stop.code else 0
    return result if isinstance(result, int) else 0


def _explain(error: BaseException, *, debug: bool) -> int:
    """Write what went wrong to standard error; the exit code that goes with it."""
    if debug:
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    message, code = _message_and_code(_leading(error))
    if message:
        click.echo(message, err=True)
    return code


def _leading(error: BaseException) -> BaseException:
    """The error that a group of tasks is about: the first that is not mimctl's own, for it may have caused the others."""
    return min(_leaves(error), key=lambda e: isinstance(e, MimctlError))


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _message_and_code(error: BaseException) -> tuple[str, int]:  # noqa: PLR0911 - a table, one line per kind
    match error:
        case click.Abort() if isinstance(error.__cause__, EOFError):
            return "mimctl: an answer was expected on standard input, which has ended", EXIT_FAILED
        case click.Abort() | KeyboardInterrupt():
            return "", EXIT_INTERRUPTED
        case NoArgsIsHelpError():
            return error.format_message(), EXIT_USAGE
        case click.UsageError():
            return _usage(error), EXIT_USAGE
        case click.ClickException():
            return f"mimctl: {error.format_message()}", error.exit_code
        case ConfigError():
            return str(error), EXIT_FAILED
        case Unreachable() | LinkDown() | LinkTimeout():
            return f"mimctl: {error}", EXIT_UNREACHABLE
        case MimctlError():
            return f"mimctl: {error}", EXIT_FAILED
        case OSError() if error.errno in _REFUSED_BY_MACHINE:
            place = f"{error.filename}: " if error.filename else ""
            return f"mimctl: {place}{error.strerror}", EXIT_FAILED
        case _:
            return _bug(error), EXIT_FAILED


def _usage(error: click.UsageError) -> str:
    help_line = f"\nTry '{error.ctx.command_path} --help'." if error.ctx else ""
    return f"mimctl: {error.format_message()}{help_line}"


def _bug(error: BaseException) -> str:
    """One line with what a report of the bug needs first: version, error and where it came from."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    where = f" at {step.tb_frame.f_globals.get('__name__')}:{step.tb_lineno}" if step else ""
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"mimctl: this is a bug in mimctl {__version__}: {what}{where} (MIMCTL_DEBUG=1 shows the traceback)"


def _did_you_mean(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, COMMANDS, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _reader_has_left() -> int:
    """`mimctl … | head`: the reader has what it wanted. Whatever is still buffered must not fail again at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    return EXIT_CLOSED_PIPE


def _never_fail_on_encoding() -> None:
    """A terminal that lacks a character (Ω, ∠, φ) shows '?' in its place."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _one_thread_for_small_matrices() -> None:
    """Before numpy loads: its BLAS starts threads even for a product of 100 × 100, which costs milliseconds on a busy machine."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")


if __name__ == "__main__":
    sys.exit(main())
