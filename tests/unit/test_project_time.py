"""Time is passed in as a Clock: nobody else asks the machine what time it is."""

import ast
from pathlib import Path

import pytest

import mimctl

SOURCE = Path(mimctl.__file__).parent
FILES = sorted(p for p in SOURCE.rglob("*.py") if p != SOURCE / "model" / "clock.py")

#: durations for people may be taken with perf_counter; control and ages may not
FORBIDDEN = {
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "monotonic"),
    ("time", "monotonic_ns"),
    ("time", "sleep"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}

#: a command may wait for a process that it started, and that lives in real time
ALLOWED_IN_CLI = {"time.monotonic", "time.sleep"}


def offences(source):
    """Line and name of every use of a forbidden function, called or handed on, however it was imported."""
    tree = ast.parse(source)
    names = {
        (alias.asname or alias.name): alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in {"time", "datetime"}:
            for alias in node.names:
                if (node.module, alias.name) in FORBIDDEN:
                    yield node.lineno, f"{node.module}.{alias.name}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else names.get(node.value.id, "")
            if (owner, node.attr) in FORBIDDEN:
                yield node.lineno, f"{owner}.{node.attr}"


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("import time\ntime.time()", 1),
        ("import time as t\nt.monotonic()", 1),
        ("from time import time\ntime()", 1),
        ("from datetime import datetime, UTC\nx = field(default_factory=datetime.now)", 1),
        ("import datetime as dt\ndt.datetime.now()", 1),
        ("import time\ntime.perf_counter()", 0),
        ("class A:\n    time: float\nA().time\nself.clock.time.now", 0),
        ("from datetime import time\ntime(0, 0)", 0),
    ],
)
def test_the_detector(source, count):
    assert len(list(offences(source))) == count


@pytest.mark.parametrize("file", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_only_the_clock_asks_for_the_time(file):
    allowed = ALLOWED_IN_CLI if file.parent.name == "cli" else set()
    found = [(line, name) for line, name in offences(file.read_text(encoding="utf-8")) if name not in allowed]
    assert found == []
