"""A YAML file as plain Python data that remembers where everything stood.

Reading never raises on content: whatever is wrong with a file becomes a `Problem` with a line.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mimctl.config.yaml_core import Builder, Place
from mimctl.model.problem import Problem, error

MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A file as plain data. `data` is None where nothing could be read.

    Args:
        path: as the user gave it.
        problems: what is wrong with the text itself, already with its line.
    """

    path: Path
    data: Any
    problems: tuple[Problem, ...] = ()
    root: Place = field(default_factory=lambda: Place(1, 1, 1, 1))

    def has(self, path: str) -> bool:
        """Whether the file has this path."""
        return _descend(self.root, path)[1]

    def locate(self, path: str, key: bool = False) -> tuple[int, int]:
        """Line and column of a document path such as `mims[2].ports[0].node`.

        Args:
            path: of a value; where it is not in the file, its nearest parent that is.
            key: where the key stands instead of the value.
        """
        place, found = _descend(self.root, path)
        if found and (key or not place.children):
            return (place.key_line, place.key_column) if key else (place.line, place.column)
        if "id" in place.children:
            return place.children["id"].key_line, place.children["id"].key_column
        return place.key_line, place.key_column


def read_document(path: Path) -> Document:
    """Read a YAML file; every trouble ends up in the document's problems."""
    raw, problem = _read_bytes(path)
    if problem is not None:
        return Document(path, None, (problem.at(str(path), 1, 1),))
    return parse_document(path, raw)


def parse_document(path: Path, raw: bytes) -> Document:
    """The same for bytes at hand; `path` only names them."""
    if (utf16 := _utf16(raw)) is not None:
        text = f"the file is {utf16} text: save it as UTF-8"
        return Document(path, None, (error("file.encoding", "", text).at(str(path), 1, 1),))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        code, what = ("file.binary", "is binary, not YAML text") if b"\0" in raw else ("file.encoding", "is not UTF-8 text")
        line = raw.count(b"\n", 0, exc.start) + 1
        column = exc.start - raw.rfind(b"\n", 0, exc.start)
        return Document(path, None, (error(code, "", f"the file {what}").at(str(path), line, column),))
    if bad := _UNPRINTABLE.search(text):
        line, column = text.count("\n", 0, bad.start()) + 1, bad.start() - text.rfind("\n", 0, bad.start())
        what = f"the file is binary, not YAML text: it holds the control character {bad.group()!r}"
        return Document(path, None, (error("file.binary", "", what).at(str(path), line, column),))
    builder = Builder(str(path))
    builder.build(text)
    if not builder.problems and builder.data is None:
        builder.problems.append(error("file.empty", "", "the file is empty").at(str(path), 1, 1))
    return Document(path, builder.data, tuple(builder.problems), builder.root)


#: what YAML does not allow in a stream
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _utf16(raw: bytes) -> str | None:
    """`UTF-16` or `UTF-32` where the bytes say so: by their mark, or by every other byte of the first ones being zero."""
    if raw.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    head = raw[:64]
    even, odd = head[::2], head[1::2]
    bare = len(head) >= 8 and min(even.count(0), odd.count(0)) == 0 and max(even.count(0), odd.count(0)) > 0.8 * len(even)
    return "UTF-16" if bare or raw.startswith((b"\xff\xfe", b"\xfe\xff")) else None


def _read_bytes(path: Path) -> tuple[bytes, Problem | None]:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return b"", error("file.directory", "", "this is a directory; name a YAML file in it")
        if not stat.S_ISREG(status.st_mode):
            return b"", error("file.not_regular", "", "this is not an ordinary file")
        if status.st_size > MAX_BYTES:
            return b"", error("file.too_large", "", f"the file has {status.st_size / 2**20:.0f} MB; at most 32 MB are read")
        return path.read_bytes(), None
    except FileNotFoundError:
        return b"", error("file.missing", "", f"there is no such file{_neighbour(path)}")
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        return b"", error("file.unreadable", "", f"the file cannot be read: {reason}")


def _neighbour(path: Path) -> str:
    """A file beside it that may have been meant."""
    try:
        names = [beside.name for beside in path.parent.iterdir() if beside.suffix in (".yaml", ".yml")]
    except OSError:
        return ""
    close = get_close_matches(path.name, names, n=1)
    return f" (did you mean '{path.parent / close[0]}'?)" if close else ""


def _descend(place: Place, path: str) -> tuple[Place, bool]:
    """The place of a path, or its nearest parent; whether it was found whole. Keys may hold dots: the longest one wins."""
    rest = path
    while rest:
        if rest[0] == "[" and (index := rest[1 : rest.find("]")]).isdigit():
            step: str | int | None = int(index)
            length = len(index) + 2
        else:
            rest = rest.removeprefix(".")
            step = _next_key(place, rest)
            length = len(step) if step is not None else 0
        if step is None or step not in place.children:
            return place, False
        place, rest = place.children[step], rest[length:]
    return place, True


def _next_key(place: Place, rest: str) -> str | None:
    simple = re.split(r"[.\[]", rest, maxsplit=1)[0]
    matching = [
        key
        for key in place.children
        if isinstance(key, str) and rest.startswith(key) and (len(rest) == len(key) or rest[len(key)] in ".[")
    ]
    return max(matching, key=len, default=simple if simple in place.children else None)
