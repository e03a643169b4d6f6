"""The parts of a demo: each has its time and its least looks, counted from the first complete measurement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.builders import rack_site

from mimctl.cli import demo
from mimctl.cli.demo import SETTLING_S, _long_enough, _Watch
from mimctl.model.errors import MimctlError


class Score:
    """Counts looks; a look is complete when `complete` says so of the instant."""

    def __init__(self, clock: SimpleNamespace, complete: Callable[[float], bool]) -> None:
        self.cycles, self._clock, self._complete = 0, clock, complete

    def add(self, _zones: Sequence[object], _dt_s: float, _above: object) -> None:
        self.cycles += self._complete(self._clock.now_s)


def watched(
    complete: Callable[[float], bool], seconds: float = 30.0
) -> tuple[list[tuple[float, str]], dict[str, Score], list[bool]]:
    """(instant, phase) of every look on a site with a cycle each second, the scores, and what was asked of the service."""
    clock = SimpleNamespace(now_s=100.0)
    zone = SimpleNamespace(zone=SimpleNamespace(id="z"), cycle=SimpleNamespace(number=0))
    paused: list[bool] = []
    service = SimpleNamespace(controller=SimpleNamespace(zones=[zone], upper_state=None), pause=paused.append)
    scores = {name: Score(clock, complete) for name in ("baseline", "controlled")}
    watch = _Watch(cast(Any, service), cast(Any, scores), seconds, asyncio.Event(), cast(Any, None))
    looks = []
    while True:
        zone.cycle.number = int(clock.now_s)
        phase, left_s = watch._look(clock.now_s, 100.0)
        if left_s is None:
            return looks, scores, paused
        assert left_s <= seconds
        looks.append((clock.now_s - 100.0, phase))
        clock.now_s += 0.5


def of(looks: list[tuple[float, str]], phase: str) -> list[float]:
    return [at for at, name in looks if name == phase]


def test_a_third_without_control_then_two_thirds_with_it_less_the_settling() -> None:
    looks, scores, paused = watched(lambda _: True)
    assert of(looks, "without control") == [i / 2 for i in range(20)]
    assert of(looks, "balancing") == [10 + i / 2 for i in range(40)]
    assert paused == [False]
    # one image a second, both ends included: 0 … 10 s, and 10 s + settling … 30 s
    assert scores["baseline"].cycles == 11
    assert scores["controlled"].cycles == 21 - SETTLING_S


def test_time_begins_with_the_first_complete_measurement() -> None:
    looks, scores, _ = watched(lambda now_s: now_s >= 107)
    assert of(looks, "first measurements")[-1] == 6.5
    assert looks[-1][0] == 7 + 29.5
    assert scores["baseline"].cycles == 11


def test_a_part_waits_a_while_for_its_looks() -> None:
    """Complete at the first look and then not before 16 s: control begins at 16 s instead of 10."""
    looks, scores, _ = watched(lambda now_s: now_s == 100 or now_s >= 116)
    assert of(looks, "balancing")[0] == 16
    assert scores["baseline"].cycles == 2


@pytest.mark.parametrize(("complete", "baseline"), [(lambda _: False, 0), (lambda now_s: now_s < 112, 11)])
def test_it_ends_all_the_same_where_they_do_not_come(complete: Callable[[float], bool], baseline: int) -> None:
    looks, scores, _ = watched(complete)
    assert scores["baseline"].cycles == baseline
    assert scores["controlled"].cycles == 0
    assert looks[-1][0] < 10 + 20 + demo._PATIENCE_S


def test_long_cycles_need_a_longer_demo() -> None:
    site = rack_site()
    slow = SimpleNamespace(zones=[SimpleNamespace(cycle_s=2.0), SimpleNamespace(cycle_s=1.0)])
    _long_enough(site, 12.0)
    with pytest.raises(Exception, match="needs --seconds 16 at least") as caught:
        _long_enough(cast(Any, slow), 15.0)
    assert not isinstance(caught.value, MimctlError)
    assert caught.value.exit_code == 1  # type: ignore[attr-defined]
