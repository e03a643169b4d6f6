"""Instants as people say them; the clock changes are those of Europe/Zurich in 2026: 29 March and 25 October."""

from datetime import UTC, datetime

import pytest

from mimctl.model.calendar import instants_of
from mimctl.model.errors import UserError
from mimctl.service.instants import instant_of

ZURICH = "Europe/Zurich"
NOW = datetime(2026, 3, 1, 14, 0, tzinfo=UTC)  # 15:00 in Zurich


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("-5min", utc(2026, 3, 1, 13, 55)),
        ("-90 s", utc(2026, 3, 1, 13, 58, 30)),
        ("-2h", utc(2026, 3, 1, 12)),
        ("14:30", utc(2026, 3, 1, 13, 30)),
        ("14:30:05", utc(2026, 3, 1, 13, 30, 5)),
        ("15:30", utc(2026, 2, 28, 14, 30)),  # has not been today
        ("13:30Z", utc(2026, 3, 1, 13, 30)),
        ("14:30Z", utc(2026, 2, 28, 14, 30)),
        ("2026-03-01T14:30", utc(2026, 3, 1, 13, 30)),
        ("2026-03-01 14:30:05", utc(2026, 3, 1, 13, 30, 5)),
        ("2026-03-01T14:30:05Z", utc(2026, 3, 1, 14, 30, 5)),
        ("2026-03-01T14:30:05-05:00", utc(2026, 3, 1, 19, 30, 5)),
    ],
)
def test_what_an_instant_means(text, means):
    assert instant_of(text, NOW, ZURICH) == means


@pytest.mark.parametrize("text", ["soon", "-5 apples", "-", "25:00", "2026-13-01T00:00", "", "-1e999s"])
def test_what_is_no_instant_is_told_with_what_is_one(text):
    with pytest.raises(UserError, match=r"14:30:05"):
        instant_of(text, NOW, ZURICH)


def test_a_time_that_was_twice_or_never_is_not_guessed():
    with pytest.raises(UserError, match=r"twice that day: say 2026-10-25T00:30:00Z or 2026-10-25T01:30:00Z"):
        instant_of("2026-10-25T02:30", NOW, ZURICH)
    with pytest.raises(UserError, match="jumped over"):
        instant_of("2026-03-29T02:30", NOW, ZURICH)


def test_the_clock_shows_a_time_once_twice_or_never():
    def shown(text):
        return instants_of(datetime.fromisoformat(text), ZURICH)

    assert shown("2026-03-01T14:30") == (utc(2026, 3, 1, 13, 30),)
    assert shown("2026-10-25T02:30") == (utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30))
    assert shown("2026-03-29T02:30") == ()
