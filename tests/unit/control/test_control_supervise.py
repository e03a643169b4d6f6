"""Which MIMs are left out because they do not do what they are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import START, rack_site, state_of

from mimctl.control.events import EventLog
from mimctl.control.supervise import Supervisor
from mimctl.model.clock import VirtualClock
from mimctl.model.layout import SiteLayout
from mimctl.model.problem import Severity

LOADS = np.full((4, 3), 1000.0 + 0j)
BOTH, TOLD = np.ones(2, dtype=bool), np.zeros(2)


class Bench:
    """Two three-port MIMs of 2 kVA a port that answer within 1 s, looked at once a second; a second old samples."""

    def __init__(self) -> None:
        self.events = EventLog(VirtualClock(START))
        self.supervisor = Supervisor(SiteLayout(rack_site()), self.events)
        self.now_s = 0.0

    def look(self, told, measured, *, status: float = 0.0, fresh: bool = True, in_force: np.ndarray = BOTH) -> list[bool]:
        self.now_s += 1.0
        taken_s = self.now_s if fresh else 1.0
        state = state_of(
            rack_site(), LOADS, np.array(measured, dtype=complex), now_s=self.now_s, node_taken_s=taken_s, mim_taken_s=taken_s
        )
        state = replace(state, mims=replace(state.mims, command_status=np.array([status, 0.0])))
        return self.supervisor.check(state, np.array(told, dtype=complex), TOLD, in_force).tolist()


def moving(second: int) -> list[float]:
    """Setpoints that never stand still."""
    return [800.0 + 30 * (second % 3), -400, -400, 100, -100, 10 * (second % 2)]


def test_one_that_follows_setpoints_that_move_in_every_cycle_is_kept():
    bench, last = Bench(), [0.0] * 6
    for second in range(20):
        assert bench.look(last, last) == [True, True]
        last = moving(second)


def test_one_that_stands_still_while_its_setpoints_move_is_left_out():
    bench = Bench()
    seen = [bench.look(moving(second), [0, 0, 0, *moving(second)[3:]]) for second in range(8)]
    assert seen[0] == [True, True]
    assert seen[-1] == [False, True]
    assert [(e.code, e.where) for e in bench.events.open()] == [("mim.ignores_setpoint", "mim-rack1")]


def test_a_step_takes_its_time():
    """Setpoint 0 → 1500 W: an output that is on its way, slower than told, is within what was wanted lately."""
    bench = Bench()
    for _ in range(5):
        bench.look([0.0] * 6, [0.0] * 6)
    for share in (0.0, 0.6, 0.95, 1.0, 1.0, 1.0, 1.0):
        wanted = np.array([1500, -700, -800, 0, 0, 0])
        assert bench.look(wanted, share * wanted) == [True, True]


def test_what_all_ports_have_in_common_is_the_mims_own_business():
    bench, wanted = Bench(), np.array([500.0, -200, -300, 0, 0, 0])
    for _ in range(8):
        assert bench.look(wanted, wanted - 250) == [True, True]


def test_the_same_sample_does_not_count_again():
    bench = Bench()
    for _ in range(8):
        assert bench.look([1500, -700, -800, 0, 0, 0], [0.0] * 6, fresh=False) == [True, True]


@pytest.mark.parametrize("status", [2.0, 3.0])
def test_one_that_says_that_another_setpoint_is_in_force_is_left_out(status: float):
    bench = Bench()
    seen = [bench.look(moving(s), moving(s), status=status) for s in range(10)]
    assert seen[0] == [True, True]
    assert seen[-1] == [False, True]


def test_a_fallen_back_one_is_no_offender_while_it_holds_nothing_of_ours():
    bench = Bench()
    for _ in range(10):
        assert bench.look([0.0] * 6, [0.0] * 6, status=3.0, in_force=~BOTH) == [True, True]


def test_it_is_tried_again_later_and_left_out_longer_each_time():
    bench, away = Bench(), []
    wanted, usable = [1500, -700, -800, 0, 0, 0], True
    for _ in range(400):
        usable = bench.look(wanted if usable else [0.0] * 6, [0.0] * 6)[0]
        away.append(not usable)
    starts = [i for i in range(1, 400) if away[i] and not away[i - 1]]
    ends = [i for i in range(1, 400) if not away[i] and away[i - 1]]
    lengths = [end - start for start, end in zip(starts, ends, strict=False)]
    assert lengths[0] == 60
    assert lengths[1] == 120


def test_zones_clear_only_their_own_conditions():
    whole = EventLog(VirtualClock(START))
    one, other = whole.within("one"), whole.within("other")
    one.keep_only("device.unreachable", [("meter-1", "gone")], Severity.ERROR)
    other.keep_only("device.unreachable", [("meter-2", "gone")], Severity.ERROR)
    one.keep_only("device.unreachable", [("meter-1", "gone")], Severity.ERROR)
    assert [event.where for event in whole.open()] == ["meter-1", "meter-2"]
    other.keep_only("device.unreachable", [], Severity.ERROR)
    assert [event.where for event in whole.open()] == ["meter-1"]
    assert [event.where for event in whole.recent()] == ["meter-2"]
