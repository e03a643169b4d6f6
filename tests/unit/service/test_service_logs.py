"""Log lines for people say everything once."""

from __future__ import annotations

import logging

import pytest
import structlog

from mimctl.service.logs import _say_it_once, set_up


@pytest.mark.parametrize("text", ["mim-1 does not answer", "mim-1: no voltage", "cleared: mim-1 does not answer"])
def test_a_device_in_the_sentence_is_not_named_again(text: str) -> None:
    assert _say_it_once(None, "error", {"event": text, "where": "mim-1", "code": "c"}) == {"event": text, "code": "c"}


@pytest.mark.parametrize(
    "line", [{"event": "mim-10 is late", "where": "mim-1"}, {"event": "running"}, {"event": "x", "where": "hall"}]
)
def test_what_the_sentence_does_not_say_stays(line: dict[str, str]) -> None:
    assert _say_it_once(None, "info", dict(line)) == line


def trips() -> None:
    hidden = 3 * "no business "
    raise RuntimeError("tripped", len(hidden))


def test_a_traceback_for_people_is_short(capsys) -> None:
    """Printing every local variable, libraries' own included, takes seconds, and nothing else runs meanwhile."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    config = structlog.get_config()
    try:
        set_up(human=True)
        try:
            trips()
        except RuntimeError as error:
            structlog.get_logger("mimctl.test").error("cycle failed", exc_info=error)
        said = capsys.readouterr().err
    finally:
        structlog.configure(**config)
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
    assert "RuntimeError: ('tripped', 36)" in said
    assert "no business no business" not in said
