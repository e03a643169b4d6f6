"""Reading YAML: values of the core schema, places, and a problem for everything that is not a document."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.config.source import MAX_BYTES, parse_document, read_document

FILE = Path("site.yaml")


def parse(text: str | bytes):
    return parse_document(FILE, text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("12:30", "12:30"),
        ("0755", "0755"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("0o17", 15),
        ("0x1F", 31),
        ("-3", -3),
        ("+4", 4),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("9" * 30, "9" * 30),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("'5'", "5"),
        ('"true"', "true"),
        ("3ph", "3ph"),
        ("16 A", "16 A"),
    ],
)
def test_plain_scalars_follow_the_core_schema_and_surprises_stay_text(text, value):
    data = parse(f"a: {text}\n").data
    assert data == {"a": value}
    assert type(data["a"]) is type(value)


@pytest.mark.parametrize(
    ("content", "code", "place"),
    [
        (b"", "file.empty", (1, 1)),
        (b"# only a comment\n", "file.empty", (1, 1)),
        (b"a: 1\nb: [1, 2\n", "yaml.syntax", (2, 4)),
        (b"a: b: c\n", "yaml.syntax", (1, 5)),
        (b"a: 1\nb: 2\na: 3\n", "key.duplicate", (3, 1)),
        (b"a: !!python/object:os.system x\n", "yaml.tag", (1, 4)),
        (b"a: *nothing\n", "yaml.alias", (1, 4)),
        (b"a: &a [*a]\n", "yaml.alias", (1, 8)),
        (b"<<: {a: 1}\n", "yaml.merge_key", (1, 1)),
        (b"? [1]\n: 2\n", "yaml.key", (1, 3)),
        (b"true: 2\n", "yaml.key", (1, 1)),
        (b"a: 1\n---\nb: 2\n", "yaml.documents", (2, 1)),
        (b"a: 1\nb: \x07\n", "file.binary", (2, 4)),
        (b"\x7fELF\x02\x00\x01\xff\xfe", "file.binary", (1, 8)),
        (b"name: caf\xe9\n", "file.encoding", (1, 10)),
        ("a: 1\n".encode("utf-16"), "file.encoding", (1, 1)),
        ("site: demonstration\n".encode("utf-16-le"), "file.encoding", (1, 1)),
        ("site: demonstration\n".encode("utf-16-be"), "file.encoding", (1, 1)),
        ("a: 1\n".encode("utf-32"), "file.encoding", (1, 1)),
        (b"[" * 5000, "yaml.depth", (1, 41)),
        (b"- " * 5000, "yaml.depth", (1, 81)),
    ],
)
def test_malformed_text_is_one_problem_at_its_place(content, code, place):
    (problem,) = parse(content).problems
    assert (problem.code, (problem.line, problem.column), problem.file) == (code, place, "site.yaml")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_are_named(encoding):
    (problem,) = parse("site: {id: demonstration}\n".encode(encoding)).problems
    assert problem.message == f"the file is {encoding[:6].upper()} text: save it as UTF-8"


def test_aliases_repeat_values_but_cannot_unfold_without_bound():
    small = parse("a: &x {r: 5}\nb: *x\n")
    assert small.data == {"a": {"r": 5}, "b": {"r": 5}}
    assert small.locate("b.r") == (2, 1)
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
    assert [p.code for p in parse(bomb).problems] == ["yaml.alias"]


def test_files_that_are_no_files(tmp_path):
    large = tmp_path / "large.yaml"
    with large.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    codes = {
        tmp_path / "missing.yaml": "file.missing",
        tmp_path: "file.directory",
        large: "file.too_large",
        Path("/dev/null"): "file.not_regular",
        tmp_path / "a.yaml" / "b.yaml": "file.missing",
        Path("nul\0byte"): "file.unreadable",
    }
    for path, code in codes.items():
        document = read_document(path)
        assert document.data is None
        assert [(p.code, p.line, p.column) for p in document.problems] == [(code, 1, 1)]


def test_a_slip_in_the_name_of_a_file_is_answered_with_its_neighbour(tmp_path):
    (tmp_path / "hall-1.yaml").write_text("schema: 1")
    (tmp_path / "hall-1.json").write_text("{}")
    [problem] = read_document(tmp_path / "hal-1.yaml").problems
    assert problem.message == f"there is no such file (did you mean '{tmp_path / 'hall-1.yaml'}'?)"
    [problem] = read_document(tmp_path / "unlike.txt").problems
    assert problem.message == "there is no such file"


TREE = """\
site:
  id: demo
mims:
  - link: gw
    id: mim-1
    ports: [L1, {node: rack, connection: L2}]
points:
  active_power.L1: {address: 5}
  active_power: 7
"""


@pytest.mark.parametrize(
    ("path", "key", "place"),
    [
        ("site.id", False, (2, 7)),
        ("site.id", True, (2, 3)),
        ("mims", False, (3, 1)),
        ("mims[0]", False, (5, 5)),  # an entry is found at its id
        ("mims[0].ports[0]", False, (6, 13)),
        ("mims[0].ports[1].node", False, (6, 24)),
        ("mims[0].ports[1]", False, (6, 17)),
        ("mims[0].rating", False, (5, 5)),  # not there: the nearest parent
        ("mims[0].ports[7].node", False, (6, 5)),
        ("points.active_power.L1.address", False, (8, 30)),  # keys may hold dots
        ("points.active_power", False, (9, 17)),
        ("nothing.at.all", False, (1, 1)),
        ("", False, (1, 1)),
    ],
)
def test_locate(path, key, place):
    assert parse(TREE).locate(path, key=key) == place


def test_byte_order_mark_and_windows_line_ends_are_read():
    assert parse(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n").data == {"a": 1, "b": 2}


@settings(derandomize=True, max_examples=300)
@given(st.one_of(st.binary(max_size=200), st.text(alphabet="a:-[]{}&*!%'\"\\\n\t #|>?,1.~<", max_size=60).map(str.encode)))
def test_any_bytes_become_data_or_placed_problems(content):
    document = parse(content)
    assert document.data is not None or document.problems
    assert all(p.line >= 1 and p.column >= 1 and p.message for p in document.problems)
