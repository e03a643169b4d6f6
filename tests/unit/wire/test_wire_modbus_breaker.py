"""How silent units are paced: by tries, growing rests, and a share of the link's time for all of them together."""

from __future__ import annotations

import pytest

from mimctl.wire.modbus_breaker import UnitBreaker
from mimctl.wire.modbus_policy import LinkPolicy

POLICY = LinkPolicy(unit_tries=3, unit_rest_first_s=2.0, unit_rest_max_s=30.0, probe_share=0.25)
LOST_S = 0.5


def test_unit_rests_after_its_tries() -> None:
    breaker = UnitBreaker(POLICY)
    for _ in range(3):
        assert breaker.rest_s(7, 10.0) == 0.0
        breaker.silent(7, 10.0, LOST_S)
    assert breaker.rest_s(7, 10.0) >= 2.0
    assert breaker.rest_s(8, 10.0) == 0.0


def test_answer_between_silences_starts_anew() -> None:
    breaker = UnitBreaker(POLICY)
    for _ in range(5):
        breaker.silent(7, 0.0, LOST_S)
        breaker.silent(7, 0.0, LOST_S)
        breaker.answered(7, 0.0)
    assert breaker.rest_s(7, 0.0) == 0.0


def test_rests_grow_to_a_bound_and_now_and_then_all_tries_are_given() -> None:
    """A register map may stand at the last address that is searched, and some devices are silent at wrong ones."""
    breaker, now_s = UnitBreaker(POLICY), 0.0
    tries, rests = [], []
    for _ in range(9):
        asked = 0
        while breaker.rest_s(7, now_s) == 0.0:
            breaker.silent(7, now_s, 0.01)
            asked += 1
        tries.append(asked)
        rests.append(breaker.rest_s(7, now_s))
        now_s += rests[-1]
    assert tries == [3, 1, 1, 1, 3, 1, 1, 1, 3]
    assert rests == pytest.approx([2, 4, 8, 16, 30, 30, 30, 30, 30])


def test_many_dead_units_together_take_their_share_of_the_time_and_each_gets_its_turn() -> None:
    """Forty of sixty units are dead, everybody asks in every cycle of a second."""
    breaker, now_s, lost_s, probed = UnitBreaker(POLICY), 0.0, 0.0, set()
    dead = range(100, 140)
    while now_s < 1000.0:
        began_s = now_s
        for unit in dead:
            if breaker.rest_s(unit, now_s) == 0.0:
                now_s += LOST_S
                breaker.silent(unit, now_s, LOST_S)
                if began_s > 200.0:
                    lost_s += LOST_S
                    probed.add(unit)
        now_s = max(now_s, began_s + 1.0)
    assert lost_s / 800.0 <= 0.3
    assert probed == set(dead)


def test_when_one_is_back_the_others_need_not_wait_out_their_rest() -> None:
    breaker = UnitBreaker(POLICY)
    for unit in (1, 2):
        for _ in range(3):
            breaker.silent(unit, 0.0, LOST_S)
    now_s = 5.0
    breaker.silent(2, now_s, LOST_S)
    assert breaker.rest_s(2, now_s) == pytest.approx(4.0)
    breaker.answered(1, now_s)
    assert breaker.rest_s(2, now_s) == pytest.approx(0.5 * 3), "only as long as keeps the share"


def test_write_passes_a_rest_once_a_second_and_puts_off_no_read() -> None:
    breaker = UnitBreaker(LinkPolicy(unit_rest_first_s=10.0))
    assert breaker.write_rest_s(7, 0.0) == 0.0
    for _ in range(3):
        breaker.silent(7, 0.0, LOST_S)
    for now_s in (0.5, 2.0, 3.5):
        assert breaker.rest_s(7, now_s) == pytest.approx(10.0 - now_s), "the read comes when it would have come"
        assert breaker.write_rest_s(7, now_s) == 0.0
        breaker.writing(7, now_s)
        assert breaker.write_rest_s(7, now_s) == pytest.approx(1.0), "another one beside it has to wait"
        breaker.silent(7, now_s + LOST_S, LOST_S)
        assert breaker.write_rest_s(7, now_s + LOST_S) == pytest.approx(1.0)
    assert breaker.rest_s(7, 10.0) == breaker.write_rest_s(7, 10.0) == 0.0


def test_answered_write_ends_the_rest() -> None:
    breaker = UnitBreaker(POLICY)
    for _ in range(3):
        breaker.silent(7, 0.0, LOST_S)
    breaker.writing(7, 0.5)
    breaker.answered(7, 0.5)
    assert breaker.rest_s(7, 0.5) == 0.0
    assert breaker.write_rest_s(7, 0.5) == 0.0


def test_it_tells_who_is_left_alone() -> None:
    breaker = UnitBreaker(POLICY)
    for unit in (9, 7):
        for _ in range(3):
            breaker.silent(unit, 10.0, LOST_S)
    breaker.silent(8, 10.0, LOST_S)
    assert breaker.resting() == (7, 9)
    breaker.answered(9, 20.0)
    assert breaker.resting() == (7,)
