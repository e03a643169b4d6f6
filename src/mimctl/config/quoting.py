"""How messages quote what stands in a file: short, on one line, and without anything that a terminal would obey."""

from __future__ import annotations

import re
from dataclasses import replace

from mimctl.model.problem import Problem

_LONGEST_QUOTE = 60
_LONGEST_MESSAGE = 600
_LONGEST_PATH = 160

#: control characters, line separators, and what turns the direction of writing
CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_CONTROL = re.compile(f"[{CONTROL}]")


def quoted(text: str) -> str:
    """A text in quotes, cut where it is long."""
    return repr(cut(text, _LONGEST_QUOTE))


def cut(text: str, longest: int) -> str:
    """At most `longest` characters, an ellipsis for the rest."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def escaped(text: str) -> str:
    """Control characters spelt out."""
    return _CONTROL.sub(lambda found: repr(found.group())[1:-1], text)


def tidy(problem: Problem) -> Problem:
    """The same problem, fit to be printed whatever stands in the file."""
    path, message = _fit(problem.path, _LONGEST_PATH), _fit(problem.message, _LONGEST_MESSAGE)
    if path is problem.path and message is problem.message:
        return problem
    return replace(problem, path=path, message=message)


def _fit(text: str, longest: int) -> str:
    if _CONTROL.search(text):
        text = escaped(text)
    return cut(text, longest)


def count(number: int, word: str) -> str:
    """`1 node`, `2 nodes`, `2 days`, `2 entries`."""
    plural = word[:-1] + "ies" if word.endswith("y") and word[-2:-1] not in "aeiou" else word + "s"
    return f"{number} {word if number == 1 else plural}"
