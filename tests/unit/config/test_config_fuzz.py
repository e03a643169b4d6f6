"""Whatever a site file holds, checking it ends in a site or in problems with their lines, never in an exception."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.config import site as site_module
from mimctl.config.source import parse_document
from site_factory import site_dict

DEMO = (Path(__file__).resolve().parents[3] / "site_configs" / "demo.yaml").read_text(encoding="utf-8")
LINES = DEMO.splitlines(keepends=True)


def judge(text: str | bytes) -> None:
    """Check a text as a file, without the file."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    path = Path("site_configs/fuzz.yaml")
    site, problems = site_module.check_document(parse_document(path, raw))
    assert (site is None) == any(p.severity == "error" for p in problems)
    for problem in problems:
        assert problem.file
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.message
        assert "\n" not in str(problem)


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["delete", "double", "swap", "indent", "insert", "replace", "cut"]),
        st.integers(0, len(LINES) - 1),
        st.integers(0, 100),
        st.text(alphabet="aL1:-[]{}&*!%'\"\t #|>?,.~<5 \x00é", max_size=4),
    ),
    min_size=1,
    max_size=4,
)


def edited(lines: list[str], edits: list[tuple[str, int, int, str]]) -> str:
    lines = list(lines)
    for kind, row, column, text in edits:
        at = min(row, len(lines) - 1)
        line = lines[at]
        cut = min(column, max(len(line) - 1, 0))
        lines[at] = {
            "delete": "",
            "double": line + line,
            "swap": lines[at - 1],
            "indent": " " * (column % 7) + line.lstrip(),
            "insert": line[:cut] + text + line[cut:],
            "replace": line[:cut] + text + line[cut + len(text) :],
            "cut": line[:cut] + "\n",
        }[kind]
    return "".join(lines)


@settings(derandomize=True, max_examples=120)
@given(EDITS)
def test_a_damaged_demonstration_site_never_raises(edits):
    judge(edited(LINES, edits))


ODD: list[Any] = [
    None, [], {}, 5, -1, 0, True, 1e300, 10**30, "", "x", "5 A", "L9", "3ph", "rack-a1-1", "pdu-a1", ["L1"], [None], [[]],
    {"id": "x"}, {"connection": "L1"}, {"a": {"b": 1}}, float("nan"),
]  # fmt: skip


def whole_site() -> dict[str, Any]:
    """A site with something in every section."""
    data = site_dict(racks=2, feeds=2, battery=True)
    data["zones"] = [{"id": "z", "heads": ["feed-a"], "cycle": "1 s"}, {"id": "y", "heads": ["feed-b"]}]
    window = {"days": ["mon"], "start": "02:00", "end": "05:00"}
    data["rules"] = [{"id": "r", "zones": ["z"], "weights": {"pdu-a1": 2}, "window": window}]
    data["twin"]["spectra"] = {"psu": {"3": "5 %"}}
    data["control"] = {"site_period": "10 s"}
    data["mims"][0]["ports"] = [{"node": "rack-a1-1", "connection": "L1", "rating": "1 kVA"}, "L2"]
    return data


def spots(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in the data."""
    keys = list(data) if isinstance(data, dict) else list(range(len(data))) if isinstance(data, list) else []
    return [spot for key in keys for spot in [(*path, key), *spots(data[key], (*path, key))]]


@settings(derandomize=True, max_examples=250)
@given(st.data())
def test_odd_values_anywhere_never_raise(draw):
    data = whole_site()
    for _ in range(draw.draw(st.integers(1, 4))):
        *above, last = draw.draw(st.sampled_from(spots(data)))
        owner: Any = data
        for step in above:
            owner = owner[step]
        kind = draw.draw(st.sampled_from(["odd", "odd", "drop", "misspell"]))
        if kind == "odd":
            owner[last] = deepcopy(draw.draw(st.sampled_from(ODD)))
        elif kind == "drop" or isinstance(owner, list):
            del owner[last]
        else:
            owner[f"{last}x"] = owner.pop(last)
        if not spots(data):
            break
    judge(yaml.safe_dump(data, sort_keys=False))
