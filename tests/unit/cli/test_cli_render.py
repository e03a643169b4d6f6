"""JSON files that are whole or absent, tables that survive a pipe, failure with a code."""

import io
import json
import math
import os
from dataclasses import dataclass
from datetime import UTC, datetime, time
from enum import Enum, StrEnum
from pathlib import Path

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimctl.cli import render
from mimctl.model.errors import UserError
from mimctl.model.phases import PerPhase


class Colour(StrEnum):
    RED = "red"


class Level(Enum):
    LOW = 1


@dataclass(frozen=True, slots=True)
class Inner:
    value: float
    colour: Colour


def test_every_kind_of_value_has_its_plain_form():
    data = {
        "nan": math.nan,
        "inf": -math.inf,
        "inner": Inner(1.5, Colour.RED),
        "phases": PerPhase(1, None, 3),
        "enum": Level.LOW,
        "when": datetime(2026, 3, 29, 1, 0, tzinfo=UTC),
        "at": time(6, 30),
        "path": Path("a/b"),
        "scalar": np.float64(2.5),
        "nan_scalar": np.float32("nan"),
        "integer": np.int64(7),
        "truth": np.bool_(True),
        "array": np.array([[1.0, np.nan], [np.inf, 4.0]]),
        "set": {"b", "a"},
        Colour.RED: (1, 2),
    }
    assert render.to_plain(data) == {
        "nan": None,
        "inf": None,
        "inner": {"value": 1.5, "colour": "red"},
        "phases": {"l1": 1, "l2": None, "l3": 3},
        "enum": 1,
        "when": "2026-03-29T01:00:00+00:00",
        "at": "06:30:00",
        "path": "a/b",
        "scalar": 2.5,
        "nan_scalar": None,
        "integer": 7,
        "truth": True,
        "array": [[1.0, None], [None, 4.0]],
        "set": ["a", "b"],
        "red": [1, 2],
    }


@pytest.mark.parametrize("value", [1j, b"bytes", object(), lambda: None, memoryview(b"x")])
def test_what_has_no_json_form_is_refused(value):
    with pytest.raises(TypeError, match="has no JSON form"):
        render.to_plain({"x": [value]})


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(nested)
def test_plain_data_survives_the_round_trip(data):
    assert json.loads(json.dumps(render.to_plain(data))) == data


def test_a_file_is_replaced_whole_and_nothing_is_left_behind(tmp_path):
    target = tmp_path / "out.json"
    target.write_text("old")
    render.write_json(str(target), {"x": 1, "unit": "Ω"})
    assert json.loads(target.read_text(encoding="utf-8")) == {"x": 1, "unit": "Ω"}
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]


def test_a_value_without_json_form_leaves_the_old_file_alone(tmp_path):
    target = tmp_path / "out.json"
    target.write_text("old")
    with pytest.raises(TypeError):
        render.write_json(str(target), {"x": object()})
    assert target.read_text() == "old"


def test_new_files_follow_the_umask_and_old_ones_keep_their_mode(tmp_path):
    before = os.umask(0o027)
    try:
        render.write_json(str(tmp_path / "new.json"), 1)
    finally:
        os.umask(before)
    assert (tmp_path / "new.json").stat().st_mode & 0o777 == 0o640
    (tmp_path / "new.json").chmod(0o604)
    render.write_json(str(tmp_path / "new.json"), 2)
    assert (tmp_path / "new.json").stat().st_mode & 0o777 == 0o604


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    render.write_json(str(tmp_path / "link.json"), [1])
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text()) == [1]


def test_a_device_is_written_to_and_not_replaced():
    render.write_json("/dev/null", {"x": 1})
    assert not Path("/dev/null").is_file()


def test_standard_output(capsys):
    render.write_json("-", {"x": math.nan})
    assert json.loads(capsys.readouterr().out) == {"x": None}


@pytest.mark.parametrize(("name", "reason"), [(".", "it is a directory"), ("no/such/out.json", "there is no directory")])
def test_targets_that_cannot_be_written_are_named(tmp_path, monkeypatch, name, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=reason):
        render.write_json(name, {})


def test_the_json_option_refuses_before_the_work_starts(run_cli, tmp_path):
    worked = []

    @click.command()
    @render.json_option
    def command(json_target):
        worked.append(json_target)

    with pytest.raises(UserError, match="directory"):
        command.main(["--json", str(tmp_path)], standalone_mode=False)
    command.main(["--json", "-"], standalone_mode=False)
    command.main([], standalone_mode=False)
    assert worked == ["-", None]


def test_fail_carries_its_code():
    with pytest.raises(click.ClickException, match="no service") as caught:
        render.fail("no service", code=3)
    assert caught.value.exit_code == 3


def test_a_piped_table_is_aligned_plain_text_and_cuts_nothing(capsys):
    long = "x" * 200
    render.print_table(["node", "I [A]"], [["pdu-a1", 3.25], [long, None], ["[bold]", 10]], title="Nodes", right=["I [A]"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Nodes"
    assert lines[1] == "node".ljust(200) + "  I [A]"
    assert lines[2] == "pdu-a1".ljust(200) + "   3.25"
    assert lines[3] == long
    assert lines[4] == "[bold]".ljust(200) + "     10"


def test_an_empty_table_shows_its_columns(capsys):
    render.print_table(["a", "b"], [])
    assert capsys.readouterr().out == "a  b\n"


def test_rows_of_the_wrong_length_are_refused():
    with pytest.raises(ValueError, match="zip"):
        render.print_table(["a", "b"], [["only one"]])


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_the_table_keeps_brackets_as_they_are(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    render.print_table(["node"], [["rack[3]"]])
    assert "rack[3]" in screen.getvalue()


def test_progress_is_shown_on_a_terminal_only(monkeypatch, capsys):
    with render.progress("Simulating", 10) as advance:
        advance(5)
    assert capsys.readouterr() == ("", "")
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with render.progress("Simulating", 10) as advance:
        advance(5)
    assert "Simulating" in screen.getvalue()
