"""Every command line that a page shows is one that there is: its commands and its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mimctl.cli.main import mimctl

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
_COMMAND = re.compile(r"(?:\$ )?(?:sudo -u mimctl )?(?:env )?(?:[A-Z_]+=\S+ )*(?:exec )?(?:\S*/)?mimctl( .+)")
#: the mark of a file
_NO_COMMANDS = {"mimctl register dump"}
#: what ends a command in a shell
_ENDS = {"|", ">", "<", "&&", ";", "&"}


def shown() -> Iterator[object]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"```(?:sh|text)\n(.*?)```", text, flags=re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines()]
        lines += re.findall(r"`([^`\n]*\bmimctl [^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        for line in dict.fromkeys(lines):
            command = _COMMAND.match(line.strip())
            if command is not None and line not in _NO_COMMANDS:
                # behind it a comment, or the words that a table has beside it
                yield pytest.param(re.split(r"\s#|\s{3,}", command[1])[0], id=f"{page.relative_to(ROOT)}:{line.strip()[:60]}")


@pytest.mark.parametrize("line", list(shown()))
def test_the_command_is_there(line: str) -> None:
    words = shlex.split(line.replace("…", "").replace("[", "").replace("]", ""))
    command: click.Command = mimctl
    context = click.Context(mimctl)
    for word in words:
        if word in _ENDS:
            break
        if isinstance(command, click.Group) and not word.startswith("-"):
            for name in word.split("|"):  # `form|permit|backup`: each of them
                found = command.get_command(context, name)
                assert found is not None, f"there is no command '{name}'"
            command = found
        elif word.startswith("--"):
            options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            options |= {"--help"}
            for option in word.split("|"):
                assert option.partition("=")[0] in options, f"'{command.name}' has no {option}"


def test_some_are_shown() -> None:
    assert len(list(shown())) > 50
