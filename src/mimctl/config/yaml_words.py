"""What is wrong with a YAML text, in words for somebody who edits it, and where to mend it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

#: what YAML counts as the end of a line
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
#: `key:value`, the space forgotten; a URL and a Windows path are meant as they are
_NO_SPACE = re.compile(r"""([\s{\[,-]*)([A-Za-z_][\w.-]*):([^\s:/\\,\]}'"][^,\]}]*|['"].*)""")
_KEY_BEFORE = re.compile(r"([\w.-]+)\s*:\s*\Z")


@dataclass(frozen=True, slots=True)
class Spot:
    """Line and column, the first of each being 1."""

    line: int
    column: int

    @staticmethod
    def of(mark: Any) -> Spot:
        return Spot(mark.line + 1, mark.column + 1)


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Where the parser gave up (`at`), and where that began which it was reading."""

    lines: list[str]
    at: Spot
    begun: Spot

    @property
    def line(self) -> str:
        return _line(self.lines, self.at.line)

    @property
    def character(self) -> str:
        return self.line[self.at.column - 1 : self.at.column]

    @property
    def at_end(self) -> bool:
        """Whether only blank lines and comments come after."""
        rest = [self.line[self.at.column - 1 :], *self.lines[self.at.line :]]
        return all(not text.strip() or text.lstrip().startswith("#") for text in rest)

    @property
    def begins_line(self) -> bool:
        return not self.line[: self.at.column - 1].strip()


Words = tuple[str, Spot]


def missing_space(text: str) -> str | None:
    """`id: demo` for `id:demo`; None where no space seems to be missing behind a colon."""
    found = _NO_SPACE.match(text)
    return f"{found[2]}: {found[3].rstrip()}" if found else None


def syntax_words(exc: yaml.MarkedYAMLError, text: str) -> Words:
    """What to say about an error of the YAML parser, and where."""
    mark = exc.problem_mark or exc.context_mark
    if mark is None:
        return f"not valid YAML: {exc.problem}", Spot(1, 1)
    trouble = _Trouble(_BREAK.split(text), Spot.of(mark), Spot.of(exc.context_mark or mark))
    context, problem = str(exc.context or ""), str(exc.problem or "")
    for pattern, words in _WORDS:
        if re.search(pattern, f"{context}: {problem}"):
            return words(trouble)
    return f"not valid YAML: {context + ': ' if context else ''}{problem or 'it cannot be read'}", trouble.at


def _line(lines: list[str], number: int) -> str:
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _tab(t: _Trouble) -> Words:
    column = t.line.find("\t") + 1
    return "a tab cannot indent in YAML: use spaces", Spot(t.at.line, column or t.at.column)


def _start(t: _Trouble) -> Words:
    return _tab(t) if t.character == "\t" else (f"a value cannot begin with '{t.character}': put it in quotes", t.at)


def _unclosed(kind: str, opening: str, closing: str) -> Callable[[_Trouble], Words]:
    def words(t: _Trouble) -> Words:
        key = _KEY_BEFORE.search(_line(t.lines, t.begun.line)[: t.begun.column - 1])
        whose = f" of '{key[1]}'" if key else ""
        where = f"the {kind}{whose} opened with '{opening}' in line {t.begun.line}, column {t.begun.column}"
        if t.character and t.character in "]}" and t.character != closing:
            return f"{where} must be closed with '{closing}', not '{t.character}'", t.at
        text = f"{where} is not closed: ',' or '{closing}' is missing"
        return (text, t.begun) if t.at_end else (f"{text} before this", t.at)

    return words


def _quote(t: _Trouble) -> Words:
    quote = _line(t.lines, t.begun.line)[t.begun.column - 1 : t.begun.column]
    return f"the quote ({quote}) opened here is never closed", t.begun


def _escape(t: _Trouble) -> Words:
    escape = t.line[t.at.column - 1 : t.at.column + 1]
    return f"{escape} means nothing between double quotes: use single quotes, or write \\\\ for a backslash", t.at


def _simple_key(t: _Trouble) -> Words:
    line = _line(t.lines, t.begun.line)
    if (spaced := missing_space(line[t.begun.column - 1 :])) is not None:
        return _space_text(spaced), t.begun
    return "a ':' is missing behind this: a line is 'key: value', or '- value' in a list", t.begun


def _space_text(spaced: str) -> str:
    return f"a space is missing behind the ':'; write '{_short(spaced)}'"


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _second_colon(t: _Trouble) -> Words:
    above = next((n for n in range(t.at.line - 1, 0, -1) if _line(t.lines, n).strip()), 0)
    before = _line(t.lines, above)
    if above and (spaced := missing_space(before)) is not None:
        return _space_text(spaced), Spot(above, len(before) - len(before.lstrip(" -")) + 1)
    if ": " in t.line[: t.at.column - 1]:
        return "a second ': ' in this line: put the value in quotes, or begin a new line for the second key", t.at
    column = len(t.line) - len(t.line.lstrip()) + 1
    text = f"bad indentation: this line is deeper than line {above}, whose key has its value already"
    return text if above else "a ':' cannot stand here: put the text in quotes", Spot(t.at.line, column)


def _no_key(t: _Trouble) -> Words:
    if t.character and t.character in "]}":
        return f"this '{t.character}' closes nothing that was opened", t.at
    if not t.begins_line:
        text = "something follows the end of a value: put the whole value in quotes, or close a quote that was opened above"
        return text, t.at
    if t.at.column != t.begun.column:
        text = f"bad indentation: this line begins in column {t.at.column}; the keys of line {t.begun.line} begin in column"
        return f"{text} {t.begun.column}, and nothing between is open", t.at
    if t.character == "-":
        return f"a list entry where a key must stand: the mapping that begins in line {t.begun.line} has 'key: value' lines", t.at
    return f"a key is missing here; the mapping begins in line {t.begun.line}", t.at


def _no_entry(t: _Trouble) -> Words:
    where = f"the list that begins in line {t.begun.line} has its '-' in column {t.begun.column}"
    if t.at.column == t.begun.column:
        return f"a key where a list entry must stand: {where}; begin this line with '- ', or indent the list", t.at
    return f"bad indentation: {where}, and this line begins in column {t.at.column}", t.at


def _new_document(t: _Trouble) -> Words:
    first = next((n for n, line in enumerate(t.lines, 1) if line.strip() and not line.lstrip().startswith(("#", "%", "---"))), 1)
    column = len(_line(t.lines, first)) - len(_line(t.lines, first).lstrip()) + 1
    if column > t.at.column:
        return f"bad indentation: this line begins in column {t.at.column}, the first one (line {first}) in column {column}", t.at
    return "this does not belong to what stands above: the file's first value has ended", t.at


def _content(t: _Trouble) -> Words:
    what = f"this '{t.character}' closes nothing that was opened" if t.character and t.character in "]}" else ""
    return what or f"a value cannot begin with '{t.character}': put it in quotes", t.at


def _marker(t: _Trouble) -> Words:
    sign = _line(t.lines, t.begun.line)[t.begun.column - 1 : t.begun.column]
    return f"a value cannot begin with '{sign}': put it in quotes", t.begun


def _dash(t: _Trouble) -> Words:
    return "a list entry ('- ') cannot stand in the line of its key: begin a new line, or write '[…]'", t.at


def _block(t: _Trouble) -> Words:
    return "nothing but a comment may stand behind '|' or '>' in its line: put the text in quotes", t.at


#: the parser's words (both of PyYAML's parsers) → ours; the first that fits
_WORDS: tuple[tuple[str, Callable[[_Trouble], Words]], ...] = (
    (r"tab character", _tab),
    (r"cannot start any token", _start),
    (r"flow sequence", _unclosed("list", "[", "]")),
    (r"flow mapping", _unclosed("mapping", "{", "}")),
    (r"quoted scalar.*end of stream", _quote),
    (r"unknown escape", _escape),
    (r"simple key", _simple_key),
    (r"mapping values are not allowed", _second_colon),
    (r"block mapping", _no_key),
    (r"block collection", _no_entry),
    (r"<document start>", _new_document),
    (r"node content", _content),
    (r"an (alias|anchor)", _marker),
    (r"a tag", _marker),
    (r"block sequence entries", _dash),
    (r"block scalar", _block),
)
