"""What a broken YAML text is told: the common slips each in words of their own, at the place to mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimctl.config.source import parse_document
from mimctl.config.yaml_words import missing_space

SLIPS: dict[str, tuple[str, tuple[int, int], str]] = {
    "tab": ("a:\n\tb: 1\n", (2, 1), "a tab cannot indent"),
    "tab in an entry": ("a:\n  - id: x\n\t  b: 1\n", (3, 1), "a tab cannot indent"),
    "bracket": (
        "mims:\n  - ports: [L1, L2\n    node: x\n",
        (3, 9),
        "the list of 'ports' opened with '[' in line 2, column 12 is not closed",
    ),
    "bracket at the end": ("a: 1\nn: [b,\n  c\n# end\n", (2, 4), "opened with '[' in line 2, column 4 is not closed"),
    "brace": ("n:\n  - {id: a, kind: b\n  - {id: c}\n", (3, 5), "the mapping opened with '{' in line 2, column 5 is not closed"),
    "bracket for brace": (
        "n:\n  - {id: a, kind: b]\n",
        (2, 20),
        "opened with '{' in line 2, column 5 must be closed with '}', not ']'",
    ),
    "bracket too many": ("a: [1, 2]]\n", (1, 10), "this ']' closes nothing"),
    "double quote": ('a: "abc\nb: 1\n', (1, 4), 'the quote (") opened here is never closed'),
    "single quote": ("a: 'abc\nb: 1\n", (1, 4), "the quote (') opened here is never closed"),
    "quote closed by the next": ("a: 'abc\nb: 'x'\n", (2, 5), "close a quote that was opened above"),
    "text behind a quote": ("a: 'x' y\n", (1, 8), "something follows the end of a value"),
    "backslash": ('a: "C:\\dir"\n', (1, 7), "\\d means nothing between double quotes"),
    "too deep": ("a:\n  b: 1\n   c: 2\n", (3, 4), "bad indentation: this line is deeper than line 2"),
    "too shallow": ("a:\n   b: 1\n  c: 2\n", (3, 3), "bad indentation: this line begins in column 3"),
    "entry too shallow": ("n:\n  - id: a\n    kind: x\n - id: b\n", (4, 2), "bad indentation: this line begins in column 2"),
    "between entry and list": (
        "n:\n  - id: a\n   kind: x\n",
        (3, 4),
        "the list that begins in line 2 has its '-' in column 3, and this line begins in column 4",
    ),
    "file indented": ("  a: 1\nb: 2\n", (2, 1), "this line begins in column 1, the first one (line 1) in column 3"),
    "key in a list": ("- b\na: 1\n", (2, 1), "a key where a list entry must stand"),
    "entry in a mapping": ("a: 1\n- b\n", (2, 1), "a list entry where a key must stand"),
    "entry behind a key": ("a: - b\n", (1, 4), "a list entry ('- ') cannot stand in the line of its key"),
    "space": ("a: 1\nid:demo\nb: 2\n", (2, 1), "a space is missing behind the ':'; write 'id: demo'"),
    "space, last line": ("a: 1\nid:demo\n", (2, 1), "write 'id: demo'"),
    "space, first line": ("schema:1\nsite: 2\n", (1, 1), "write 'schema: 1'"),
    "space, nested": ("site:\n  id:demo\n  name: x\n", (2, 3), "write 'id: demo'"),
    "space, in an entry": ("n:\n  - id:demo\n    kind: x\n", (2, 5), "write 'id: demo'"),
    "no colon": ("a: 1\nfoo\nb: 2\n", (2, 1), "a ':' is missing behind this"),
    "two colons": ("name: Hall: north\n", (1, 11), "a second ': ' in this line"),
    "at sign": ("a: @x\n", (1, 4), "a value cannot begin with '@'"),
    "asterisk": ("a: *\n", (1, 4), "a value cannot begin with '*'"),
    "block scalar": ("a: |x\n  b\n", (1, 5), "nothing but a comment may stand behind '|'"),
    "unknown to us": ("%YAML 3.0\n---\na: 1\n", (1, 1), "not valid YAML: "),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_each_slip_has_its_words_and_its_place(slip: str) -> None:
    text, place, words = SLIPS[slip]
    (problem,) = parse_document(Path("site.yaml"), text.encode()).problems
    assert problem.code == "yaml.syntax"
    assert words in problem.message
    assert (problem.line, problem.column) == place


@pytest.mark.parametrize(
    ("text", "spaced"),
    [
        ("id:demo", "id: demo"),
        ("  - id:demo", "id: demo"),
        ("rating:16 A", "rating: 16 A"),
        ("name:'x y'", "name: 'x y'"),
        ("host: 10.0.0.1:502", None),
        ("http://a", None),
        ("12:30", None),
        ("id:", None),
    ],
)
def test_a_missing_space_is_told_from_what_is_meant(text: str, spaced: str | None) -> None:
    assert missing_space(text) == spaced
