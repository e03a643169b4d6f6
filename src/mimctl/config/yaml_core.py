"""YAML events to plain data with the place of every value.

The dialect is the JSON-like core of YAML 1.2, so the surprises of YAML 1.1 stay text: `on`, `yes`, `12:30`, `0755`, `1_000` and
dates mean what they look like. Data are built from the event stream on an own stack: no nesting in a file can exhaust Python's.

Reference: YAML 1.2.2 (2021), section 10.3.2, core schema tag resolution.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from mimctl.config.quoting import quoted, tidy
from mimctl.config.yaml_words import syntax_words
from mimctl.model.problem import Problem, error

MAX_DEPTH = 40
#: how many values aliases may repeat in all, so that a small file cannot unfold into a huge one
MAX_ALIASED = 200_000

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\Z")
_PREFIXED = re.compile(r"0o[0-7]{1,20}\Z|0x[0-9a-fA-F]{1,16}\Z")
_FLOAT = re.compile(r"[-+]?(?=[0-9]*[.eE])(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, Any] = {"": None, "~": None} | {
    spelling: value
    for word, value in (("null", None), ("true", True), ("false", False))
    for spelling in (word, word.capitalize(), word.upper())
}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Place:
    """Where a value stands (first line and column are 1), with the places inside it."""

    line: int
    column: int
    key_line: int
    key_column: int
    children: dict[str | int, Place] = field(default_factory=dict)


def resolve_scalar(text: str) -> Any:
    """What a plain (unquoted) scalar means; text where YAML 1.1 and 1.2 would disagree."""
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if not (first.isdigit() or first in "+-."):
        return text
    if _INTEGER.match(text):
        return int(text)
    if _PREFIXED.match(text):
        return int(text, 0)
    if _FLOAT.match(text):
        value = float(text)
        return value if math.isfinite(value) else text
    return text


@dataclass(slots=True)
class _Frame:
    """A collection being built. `key` is the pending key of a mapping, None while the next scalar is a key."""

    data: Any
    place: Place
    size: int = 1
    key: str | None = None
    key_mark: Any = None
    skip: bool = False
    anchor: str | None = None


class Builder:
    """Data, places and problems of one document text."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.data: Any = None
        self.root = Place(1, 1, 1, 1)
        self.problems: list[Problem] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._aliased = 0
        self._documents = 0

    def build(self, text: str) -> None:
        try:
            for event in self._events(text):
                if not self._take(event):
                    self.data = None
                    return
        except yaml.MarkedYAMLError as exc:
            message, spot = syntax_words(exc, text)
            self.problems.append(tidy(error("yaml.syntax", "", message)).at(self.file, spot.line, spot.column))
            self.data = None
        except yaml.YAMLError as exc:
            self._problem("yaml.syntax", str(exc).splitlines()[0], None)
            self.data = None

    @staticmethod
    def _events(text: str) -> Iterator[Any]:
        loader = _LOADER(text)
        try:
            while loader.check_event():
                yield loader.get_event()
        finally:
            loader.dispose()

    def _take(self, event: Any) -> bool:
        """One event; False stops the reading."""
        mark = event.start_mark
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, mark)
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            return self._open(event, mark)
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._close()
        elif isinstance(event, yaml.AliasEvent):
            return self._alias(event, mark)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._problem("yaml.documents", "a second document starts here; keep one document in a file", mark)
                return False
        return True

    def _scalar(self, event: Any, mark: Any) -> bool:
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.data, dict) and frame.key is None:
            self._key(frame, event, mark)
            return True
        plain = event.implicit[0] and not event.style
        if event.tag is not None:
            self._tag(event, mark)
        value = resolve_scalar(event.value) if plain else event.value
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
        self._add(value, self._place(mark), 1)
        return True

    def _key(self, frame: _Frame, event: Any, mark: Any) -> None:
        plain = event.implicit[0] and not event.style
        key = event.value
        frame.key, frame.key_mark, frame.skip = key, mark, False
        if event.tag is not None:
            self._tag(event, mark)
        if key == "<<" and plain:
            self._problem("yaml.merge_key", "merge keys (<<) are not read; write the keys out", mark)
            frame.skip = True
        elif plain and (resolve_scalar(key) is None or isinstance(resolve_scalar(key), bool)):
            self._problem("yaml.key", f"the key {quoted(key or '(empty)')} is not text; put it in quotes", mark)
            frame.skip = True
        elif key in frame.data:
            first = frame.place.children[key]
            self._problem("key.duplicate", f"the key {quoted(key)} stands twice; the first one is in line {first.key_line}", mark)
            frame.skip = True

    def _open(self, event: Any, mark: Any) -> bool:
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.data, dict) and frame.key is None:
            self._problem("yaml.key", "a key must be plain text, not a mapping or a list", mark)
            return False
        if len(self._stack) >= MAX_DEPTH:
            self._problem("yaml.depth", f"nested deeper than {MAX_DEPTH} levels", mark)
            return False
        if event.tag is not None:
            self._tag(event, mark)
        data: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._stack.append(_Frame(data, self._place(mark), anchor=event.anchor))
        return True

    def _close(self) -> None:
        frame = self._stack.pop()
        if frame.anchor:
            self._anchors[frame.anchor] = (frame.data, frame.size)
        self._add(frame.data, frame.place, frame.size)

    def _alias(self, event: Any, mark: Any) -> bool:
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.data, dict) and frame.key is None:
            self._problem("yaml.key", "a key must be plain text, not an alias", mark)
            return False
        if event.anchor not in self._anchors:
            self._problem("yaml.alias", f"nothing finished above is anchored as '&{event.anchor}'", mark)
            self._add(None, self._place(mark), 1)
            return True
        value, size = self._anchors[event.anchor]
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            self._problem("yaml.alias", f"aliases repeat more than {MAX_ALIASED} values; write them out", mark)
            return False
        self._add(value, self._place(mark), size)
        return True

    def _add(self, value: Any, place: Place, size: int) -> None:
        if not self._stack:
            self.data, self.root = value, place
            return
        frame = self._stack[-1]
        frame.size += size
        if isinstance(frame.data, list):
            frame.place.children[len(frame.data)] = place
            frame.data.append(value)
            return
        if not frame.skip and frame.key is not None:
            place.key_line, place.key_column = frame.key_mark.line + 1, frame.key_mark.column + 1
            frame.place.children[frame.key] = place
            frame.data[frame.key] = value
        frame.key = None

    def _tag(self, event: Any, mark: Any) -> None:
        self._problem("yaml.tag", f"tags are not read: drop {quoted(event.tag)}", mark)

    @staticmethod
    def _place(mark: Any) -> Place:
        line, column = mark.line + 1, mark.column + 1
        return Place(line, column, line, column)

    def _problem(self, code: str, message: str, mark: Any) -> None:
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        self.problems.append(tidy(error(code, "", message)).at(self.file, line, column))
