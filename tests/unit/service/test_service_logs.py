"""Log lines for people say everything once."""

from __future__ import annotations

import pytest

from mimctl.service.logs import _say_it_once


@pytest.mark.parametrize("text", ["mim-1 does not answer", "mim-1: no voltage", "cleared: mim-1 does not answer"])
def test_a_device_in_the_sentence_is_not_named_again(text: str) -> None:
    assert _say_it_once(None, "error", {"event": text, "where": "mim-1", "code": "c"}) == {"event": text, "code": "c"}


@pytest.mark.parametrize(
    "line", [{"event": "mim-10 is late", "where": "mim-1"}, {"event": "running"}, {"event": "x", "where": "hall"}]
)
def test_what_the_sentence_does_not_say_stays(line: dict[str, str]) -> None:
    assert _say_it_once(None, "info", dict(line)) == line
