"""Owners and reasons: one line that a terminal can show as it is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.model.errors import UserError
from mimctl.model.lease_text import as_line, check_line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bad\x07bell", r"character 4 is '\\x07'"),
        ("al\x1b[31mice", r"character 3 is '\\x1b'"),
        ("one\ntwo", r"character 4 is '\\n'"),
        ("turned \u202eround", r"character 8 is '\\u202e'"),
        ("x" * 81, "at most 80 characters long, not 81"),
    ],
)
def test_what_is_no_short_line_is_refused_with_the_place(text, says):
    with pytest.raises(UserError, match=f"^owner is .*{says}"):
        check_line("owner", text, 80)


@pytest.mark.parametrize("text", ["", "Zoë Müller, night shift", "故障", "x" * 80])
def test_ordinary_words_of_any_language_are_fine(text):
    check_line("owner", text, 80)


@settings(derandomize=True, max_examples=50)
@given(st.text(max_size=200))
def test_whatever_is_written_becomes_a_line(text):
    check_line("reason", as_line(text, 40), 40)


def test_a_line_keeps_its_words():
    assert as_line("smoke\n in  row\tA ", 300) == "smoke in row A"
    assert as_line("x" * 50, 10) == "x" * 9 + "…"
